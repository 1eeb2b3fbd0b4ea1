// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {TokenFactory} from "./TokenFactory.sol";

/// @notice Makes the tokens of credentials.
contract CredentialTokenFactory is TokenFactory {
    // ------------------------------------------------------------------ events

    /// @notice A credential got its token; all of `supply` went to `creator`.
    event CredentialTokenCreated(
        bytes32 indexed credentialId,
        address indexed tokenAddress,
        address indexed creator,
        string name,
        string symbol,
        uint256 supply
    );

    // ------------------------------------------------------------------- logic

    /// @notice Makes the token of a credential and gives its whole supply to the caller.
    function createToken(bytes32 credentialId, string calldata name, string calldata symbol, uint256 supply)
        external
        returns (address token)
    {
        token = _create(credentialId, name, symbol, supply);
        emit CredentialTokenCreated(credentialId, token, msg.sender, name, symbol, supply);
    }
}

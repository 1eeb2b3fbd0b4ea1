// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {TokenFactory} from "./TokenFactory.sol";

/// @notice Makes the tokens of personas.
contract PersonaTokenFactory is TokenFactory {
    // ------------------------------------------------------------------ events

    /// @notice A persona got its token; all of `supply` went to `creator`.
    event PersonaTokenCreated(
        bytes32 indexed personaId,
        address indexed tokenAddress,
        address indexed creator,
        string name,
        string symbol,
        uint256 supply
    );

    // ------------------------------------------------------------------- logic

    /// @notice Makes the token of a persona and gives its whole supply to the caller.
    function createToken(bytes32 personaId, string calldata name, string calldata symbol, uint256 supply)
        external
        returns (address token)
    {
        token = _create(personaId, name, symbol, supply);
        emit PersonaTokenCreated(personaId, token, msg.sender, name, symbol, supply);
    }
}

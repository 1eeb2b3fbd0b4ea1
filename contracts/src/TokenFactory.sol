// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {MarketToken} from "./MarketToken.sol";

/// @notice Makes at most one token for each id and remembers which.
abstract contract TokenFactory {
    // ------------------------------------------------------------------ errors

    error EmptyId();
    error SupplyOutOfRange(uint256 supply, uint256 max);
    error TokenExists(bytes32 id, address token);

    // ----------------------------------------------------------------- storage

    /// @notice The largest supply, so that products of two reserves fit into 224 bits.
    uint256 public constant MAX_SUPPLY = type(uint112).max;

    /// @notice The token of an id, or zero.
    mapping(bytes32 id => address token) public tokenOf;

    // ------------------------------------------------------------------- logic

    function _create(bytes32 id, string calldata name, string calldata symbol, uint256 supply)
        internal
        returns (address token)
    {
        if (id == bytes32(0)) revert EmptyId();
        if (supply == 0 || supply > MAX_SUPPLY) revert SupplyOutOfRange(supply, MAX_SUPPLY);
        if (tokenOf[id] != address(0)) revert TokenExists(id, tokenOf[id]);
        token = address(new MarketToken(name, symbol, msg.sender, supply));
        tokenOf[id] = token;
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {ConstantProductMarket} from "./ConstantProductMarket.sol";
import {TokenFactory} from "./TokenFactory.sol";

/// @notice The market of credential tokens against USDC.
contract CredentialMarket is ConstantProductMarket {
    // ------------------------------------------------------------------ events

    /// @notice A credential can be traded; `initialLiquidity` are all shares issued, the locked ones too.
    event PoolCreated(bytes32 indexed credentialId, address tokenAddress, uint256 initialLiquidity);

    /// @notice `user` traded. Amounts are the pool's: positive came in, negative went out.
    /// `fee` is in USDC, stays in the pool and is part of `usdcAmount`.
    event Swap(
        bytes32 indexed credentialId, address indexed user, int256 tokenAmount, int256 usdcAmount, uint256 fee
    );

    /// @notice What the pool holds from here on.
    event ReservesUpdated(bytes32 indexed credentialId, uint256 tokenReserves, uint256 usdcReserves);

    // ------------------------------------------------------------- constructor

    constructor(IERC20 usdc_, TokenFactory factory_) ConstantProductMarket(usdc_, factory_) {}

    // ------------------------------------------------------------------- logic

    function _emitPoolCreated(bytes32 id, address token, uint256 shares) internal override {
        emit PoolCreated(id, token, shares);
    }

    function _emitSwap(bytes32 id, int256 tokenAmount, int256 usdcAmount, uint256 fee) internal override {
        emit Swap(id, msg.sender, tokenAmount, usdcAmount, fee);
    }

    function _emitReserves(bytes32 id, uint256 tokenReserve, uint256 usdcReserve) internal override {
        emit ReservesUpdated(id, tokenReserve, usdcReserve);
    }
}

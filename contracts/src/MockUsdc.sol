// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @notice A dollar with six decimals that anybody may print: for local chains only.
contract MockUsdc is ERC20 {
    constructor() ERC20("Mock USD Coin", "USDC") {}

    /// @notice Gives `amount` to `to` out of nothing.
    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function decimals() public pure override returns (uint8) {
        return 6;
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

interface IHooked {
    function onMoney() external;
}

/// @notice A dollar that tells contracts when theirs move, as no real one should.
contract HookedUsdc is ERC20 {
    constructor() ERC20("Hooked USD Coin", "HUSD") {}

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function _update(address from, address to, uint256 amount) internal override {
        super._update(from, to, amount);
        _tell(from);
        _tell(to);
    }

    function _tell(address holder) private {
        if (holder.code.length != 0) {
            try IHooked(holder).onMoney{gas: gasleft() / 2}() {}
            catch (bytes memory reason) {
                if (reason.length != 0) {
                    assembly {
                        revert(add(reason, 32), mload(reason))
                    }
                }
            }
        }
    }
}

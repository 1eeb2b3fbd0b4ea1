// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @notice Calls a contract, and calls it again as soon as it is told of money or copies.
contract Attacker {
    address private target;
    bytes private again;
    bytes public answer;

    function run(address to, bytes calldata data) public {
        _call(to, data);
    }

    function attack(address to, bytes calldata first, bytes calldata second) external {
        (target, again) = (to, second);
        _call(to, first);
        delete target;
    }

    function onMoney() external {
        _strike();
    }

    function onERC1155Received(address, address, uint256, uint256, bytes calldata) external returns (bytes4) {
        _strike();
        return this.onERC1155Received.selector;
    }

    function _strike() private {
        if (target == address(0)) return;
        answer = _call(target, again);
    }

    function _call(address to, bytes memory data) private returns (bytes memory returned) {
        bool done;
        (done, returned) = to.call(data);
        if (!done) {
            assembly {
                revert(add(returned, 32), mload(returned))
            }
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {AgriDAO} from "./AgriDAO.sol";

/// @notice Founds agricultural DAOs; its event is how followers learn of their addresses.
contract AgriDAOFactory {
    // ------------------------------------------------------------------ events

    /// @notice `founder` founded a DAO, which emits its own events from here on.
    event DAOCreated(address indexed dao, address indexed founder, string name, uint256 membershipFee);

    // ------------------------------------------------------------------ errors

    error EmptyName();

    // ----------------------------------------------------------------- storage

    /// @notice What all DAOs are paid in.
    IERC20 public immutable usdc;

    // ------------------------------------------------------------- constructor

    constructor(IERC20 usdc_) {
        usdc = usdc_;
    }

    // ------------------------------------------------------------------- logic

    /// @notice Founds a DAO with the caller as founder and first member.
    function createDAO(string calldata name, uint256 membershipFee) external returns (address dao) {
        if (bytes(name).length == 0) revert EmptyName();
        dao = address(new AgriDAO(usdc, msg.sender, name, membershipFee));
        emit DAOCreated(dao, msg.sender, name, membershipFee);
    }
}

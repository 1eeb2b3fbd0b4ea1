// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuard} from "@openzeppelin/contracts/utils/ReentrancyGuard.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

/// @notice USDC that people put behind a credential, and lose a part of when it is slashed.
/// @dev Stakers hold shares of what is behind a credential, so a slash costs each of them the same part
/// without a loop. There are never fewer shares than units of USDC, and a slash leaves at least half.
abstract contract StakeDeposits is ReentrancyGuard {
    using SafeERC20 for IERC20;

    // ------------------------------------------------------------------ events

    /// @notice `staker` put `amount` behind a credential.
    event StakeDeposited(bytes32 indexed credentialId, address indexed staker, uint256 amount);

    /// @notice `staker` took `amount` back.
    event StakeWithdrawn(bytes32 indexed credentialId, address indexed staker, uint256 amount);

    /// @notice All who stood behind a credential lost `amount` together.
    event StakeSlashed(bytes32 indexed credentialId, uint256 indexed proposalId, uint256 amount);

    // ------------------------------------------------------------------ errors

    error StakeFrozen(bytes32 credentialId, uint256 until);
    error StakeLocked(address staker, uint256 until);
    error StakeTooSmall(uint256 stake, uint256 needed);
    error ZeroAmount();

    // ----------------------------------------------------------------- storage

    struct Pot {
        uint256 amount;
        uint256 shares;
        uint64 frozenUntil;
        uint64 peaceUntil;
    }

    struct Stake {
        uint256 shares;
        uint64 depositedAt;
    }

    /// @notice What stakes are paid in.
    IERC20 public immutable usdc;

    /// @notice The sum of all pots, which this contract holds.
    uint256 public totalStaked;

    /// @notice What is behind a credential.
    mapping(bytes32 credentialId => Pot pot) public pots;

    /// @notice Who has which part of it.
    mapping(bytes32 credentialId => mapping(address staker => Stake stake)) public stakes;

    /// @notice Until when a staker who has proposed or voted cannot withdraw anything.
    mapping(address staker => uint64 time) public lockedUntil;

    // ------------------------------------------------------------- constructor

    constructor(IERC20 usdc_) {
        usdc = usdc_;
    }

    // ------------------------------------------------------------------- logic

    /// @notice Puts `amount` behind a credential. A stake votes on later proposals only.
    function deposit(bytes32 credentialId, uint256 amount) external nonReentrant {
        if (amount == 0) revert ZeroAmount();
        Pot storage pot = pots[credentialId];
        uint256 shares = pot.shares == 0 ? amount : Math.mulDiv(amount, pot.shares, pot.amount);
        Stake storage stake = stakes[credentialId][msg.sender];
        stake.shares += shares;
        stake.depositedAt = uint64(block.timestamp);
        pot.shares += shares;
        pot.amount += amount;
        totalStaked += amount;
        emit StakeDeposited(credentialId, msg.sender, amount);
        usdc.safeTransferFrom(msg.sender, address(this), amount);
    }

    /// @notice Takes `amount` back, unless a proposal, against it or by the caller, or an own vote forbids it.
    function withdraw(bytes32 credentialId, uint256 amount) external nonReentrant {
        if (amount == 0) revert ZeroAmount();
        Pot storage pot = pots[credentialId];
        if (block.timestamp < pot.frozenUntil) revert StakeFrozen(credentialId, pot.frozenUntil);
        uint256 locked = lockedUntil[msg.sender];
        if (block.timestamp < locked) revert StakeLocked(msg.sender, locked);
        uint256 stake = stakeOf(credentialId, msg.sender);
        if (amount > stake) revert StakeTooSmall(stake, amount);
        uint256 shares = Math.mulDiv(amount, pot.shares, pot.amount, Math.Rounding.Ceil);
        stakes[credentialId][msg.sender].shares -= shares;
        pot.shares -= shares;
        pot.amount -= amount;
        totalStaked -= amount;
        emit StakeWithdrawn(credentialId, msg.sender, amount);
        usdc.safeTransfer(msg.sender, amount);
    }

    /// @notice Returns what `staker` could withdraw, were nothing frozen or locked.
    function stakeOf(bytes32 credentialId, address staker) public view returns (uint256) {
        Pot storage pot = pots[credentialId];
        if (pot.shares == 0) return 0;
        return Math.mulDiv(stakes[credentialId][staker].shares, pot.amount, pot.shares);
    }

    /// @dev Sends what `_slashable` allowed from a pot to `to`.
    function _slash(bytes32 credentialId, uint256 proposalId, uint256 amount, address to) internal {
        pots[credentialId].amount -= amount;
        totalStaked -= amount;
        emit StakeSlashed(credentialId, proposalId, amount);
        usdc.safeTransfer(to, amount);
    }

    /// @dev Keeps a staker's money here until `time` at least.
    function _lock(address staker, uint64 time) internal {
        if (lockedUntil[staker] < time) lockedUntil[staker] = time;
    }

    function _slashable(bytes32 credentialId, uint256 amount) internal view returns (uint256) {
        return Math.min(amount, pots[credentialId].amount / 2);
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuard} from "@openzeppelin/contracts/utils/ReentrancyGuard.sol";

/// @notice Farmers who pay a fee to join, propose projects, and fund them together.
/// @dev What projects raise and what the treasury holds is all the USDC here. A project that misses its
/// goal gives everything back; the treasury funds like a member, under this contract's own address.
contract AgriDAO is ReentrancyGuard {
    using SafeERC20 for IERC20;

    // ------------------------------------------------------------------ events

    /// @notice `member` joined and paid `fee` into the treasury.
    event MemberJoined(address indexed member, uint256 fee);

    /// @notice `member` resigned; the fee stays.
    event MemberLeft(address indexed member);

    /// @notice `proposer` wants `goal` raised for `beneficiary` before `deadline`.
    event ProjectProposed(
        uint256 indexed projectId,
        address indexed proposer,
        address indexed beneficiary,
        string title,
        uint256 goal,
        uint64 deadline
    );

    /// @notice `funder` added `amount`; a project has `raised` so much now.
    event ProjectFunded(uint256 indexed projectId, address indexed funder, uint256 amount, uint256 raised);

    /// @notice A project reached its goal and was paid out.
    event ProjectCompleted(uint256 indexed projectId, address indexed beneficiary, uint256 amount);

    /// @notice A project missed its goal and `funder` got `amount` back.
    event ContributionRefunded(uint256 indexed projectId, address indexed funder, uint256 amount);

    // ------------------------------------------------------------------ errors

    error AlreadyCompleted(uint256 projectId);
    error AlreadyMember(address caller);
    error DeadlineAhead(uint64 deadline);
    error DeadlinePassed(uint64 deadline);
    error GoalExceeded(uint256 remaining);
    error GoalMissed(uint256 raised, uint256 goal);
    error GoalReached(uint256 projectId);
    error NotFounder(address caller);
    error NotMember(address caller);
    error NothingToRefund(uint256 projectId, address funder);
    error TreasuryTooSmall(uint256 treasury, uint256 amount);
    error UnknownProject(uint256 projectId);
    error ZeroAddress();
    error ZeroAmount();

    // ----------------------------------------------------------------- storage

    struct Project {
        address beneficiary;
        uint64 deadline;
        bool isCompleted;
        uint256 goal;
        uint256 raised;
    }

    /// @notice What fees and projects are paid in.
    IERC20 public immutable usdc;

    /// @notice Who founded the DAO and spends its treasury.
    address public immutable founder;

    /// @notice What joining costs.
    uint256 public immutable membershipFee;

    /// @notice The name of the DAO.
    string public name;

    /// @notice Fees that are in no project.
    uint256 public treasury;

    /// @notice How many projects there have been; ids count from one.
    uint256 public projectCount;

    /// @notice Who belongs to the DAO.
    mapping(address member => bool joined) public isMember;

    /// @notice A project by its id.
    mapping(uint256 projectId => Project project) public projects;

    /// @notice Who gave how much to a project.
    mapping(uint256 projectId => mapping(address funder => uint256 amount)) public contributions;

    // ------------------------------------------------------------- constructor

    constructor(IERC20 usdc_, address founder_, string memory name_, uint256 membershipFee_) {
        usdc = usdc_;
        founder = founder_;
        name = name_;
        membershipFee = membershipFee_;
        isMember[founder_] = true;
        emit MemberJoined(founder_, 0);
    }

    modifier onlyMember() {
        if (!isMember[msg.sender]) revert NotMember(msg.sender);
        _;
    }

    // ------------------------------------------------------------------- logic

    /// @notice Makes the caller a member for the fee.
    function join() external nonReentrant {
        if (isMember[msg.sender]) revert AlreadyMember(msg.sender);
        isMember[msg.sender] = true;
        treasury += membershipFee;
        emit MemberJoined(msg.sender, membershipFee);
        usdc.safeTransferFrom(msg.sender, address(this), membershipFee);
    }

    /// @notice Ends the caller's membership.
    function resign() external onlyMember {
        isMember[msg.sender] = false;
        emit MemberLeft(msg.sender);
    }

    /// @notice Proposes to raise `goal` for `beneficiary` before `deadline`.
    function proposeProject(string calldata title, uint256 goal, uint64 deadline, address beneficiary)
        external
        onlyMember
        returns (uint256 projectId)
    {
        if (goal == 0) revert ZeroAmount();
        if (beneficiary == address(0)) revert ZeroAddress();
        if (block.timestamp >= deadline) revert DeadlinePassed(deadline);
        projectId = ++projectCount;
        projects[projectId] = Project(beneficiary, deadline, false, goal, 0);
        emit ProjectProposed(projectId, msg.sender, beneficiary, title, goal, deadline);
    }

    /// @notice Gives `amount` to a project, at most what it still needs.
    function fundProject(uint256 projectId, uint256 amount) external onlyMember nonReentrant {
        _fund(projectId, msg.sender, amount);
        usdc.safeTransferFrom(msg.sender, address(this), amount);
    }

    /// @notice Gives `amount` of the treasury to a project.
    function fundFromTreasury(uint256 projectId, uint256 amount) external {
        if (msg.sender != founder) revert NotFounder(msg.sender);
        if (amount > treasury) revert TreasuryTooSmall(treasury, amount);
        treasury -= amount;
        _fund(projectId, address(this), amount);
    }

    /// @notice Pays a project that has reached its goal out to its beneficiary.
    function completeProject(uint256 projectId) external nonReentrant {
        Project storage project = _project(projectId);
        if (project.isCompleted) revert AlreadyCompleted(projectId);
        if (project.raised < project.goal) revert GoalMissed(project.raised, project.goal);
        project.isCompleted = true;
        emit ProjectCompleted(projectId, project.beneficiary, project.raised);
        usdc.safeTransfer(project.beneficiary, project.raised);
    }

    /// @notice Gives `funder` back what a project got that missed its goal.
    function refund(uint256 projectId, address funder) external nonReentrant {
        Project storage project = _project(projectId);
        if (project.raised == project.goal) revert GoalReached(projectId);
        if (block.timestamp < project.deadline) revert DeadlineAhead(project.deadline);
        uint256 amount = contributions[projectId][funder];
        if (amount == 0) revert NothingToRefund(projectId, funder);
        contributions[projectId][funder] = 0;
        project.raised -= amount;
        emit ContributionRefunded(projectId, funder, amount);
        if (funder == address(this)) treasury += amount;
        else usdc.safeTransfer(funder, amount);
    }

    function _fund(uint256 projectId, address funder, uint256 amount) private {
        Project storage project = _project(projectId);
        if (amount == 0) revert ZeroAmount();
        if (block.timestamp >= project.deadline) revert DeadlinePassed(project.deadline);
        uint256 remaining = project.goal - project.raised;
        if (amount > remaining) revert GoalExceeded(remaining);
        project.raised += amount;
        contributions[projectId][funder] += amount;
        emit ProjectFunded(projectId, funder, amount, project.raised);
    }

    function _project(uint256 projectId) private view returns (Project storage project) {
        project = projects[projectId];
        if (project.goal == 0) revert UnknownProject(projectId);
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {StakeDeposits} from "./StakeDeposits.sol";

/// @notice Stakers accuse a credential, vote with their stakes, and slash what is behind it.
/// @dev A proposal freezes the accused pot until it is executed or has lapsed. A pot cannot be accused
/// again before its stakers had as much time to leave. A stake that came with or after a proposal does
/// not vote on it, and one that votes stays until voting ends, so no dollar votes twice.
contract GovernanceSlashing is StakeDeposits {
    // ------------------------------------------------------------------ events

    /// @notice `proposer` wants `amount` taken from what is behind a credential.
    event ProposalCreated(
        uint256 indexed proposalId, address indexed proposer, bytes32 indexed credentialId, uint256 amount
    );

    /// @notice `voter` voted: 0 against, 1 for, 2 abstain.
    event VoteCast(uint256 indexed proposalId, address indexed voter, uint8 support, uint256 weight);

    /// @notice A proposal passed and was carried out; `StakeSlashed` says on whom.
    event ProposalExecuted(uint256 indexed proposalId, uint256 slashed);

    // ------------------------------------------------------------------ errors

    error AccusedBefore(bytes32 credentialId, uint256 until);
    error AlreadyExecuted(uint256 proposalId);
    error AlreadyVoted(uint256 proposalId, address voter);
    error InvalidSupport(uint8 support);
    error NotPassed(uint256 votesFor, uint256 votesAgainst, uint256 quorum);
    error ProposalLapsed(uint256 proposalId, uint256 since);
    error StakeTooYoung(uint256 depositedAt, uint256 proposedAt);
    error UnknownProposal(uint256 proposalId);
    error VotingClosed(uint256 proposalId, uint256 since);
    error VotingOpen(uint256 proposalId, uint256 until);
    error ZeroAddress();

    // ----------------------------------------------------------------- storage

    struct Proposal {
        bytes32 credentialId;
        uint256 amount;
        uint256 quorum;
        uint64 proposedAt;
        uint64 votingEnds;
        bool isExecuted;
        uint256 votesAgainst;
        uint256 votesFor;
        uint256 votesAbstain;
    }

    /// @notice What a proposer must have behind some credential: 100 USDC.
    uint256 public constant PROPOSER_STAKE = 100e6;

    /// @notice Votes a proposal needs, in hundredths of a per cent of all stakes when it was made.
    uint256 public constant QUORUM_BPS = 1000;

    /// @notice Where slashed stakes go.
    address public immutable treasury;

    /// @notice For how many seconds votes are taken, and then for how many the result can be executed.
    uint64 public immutable votingPeriod;

    /// @notice How many proposals there have been; ids count from one.
    uint256 public proposalCount;

    /// @notice A proposal by its id.
    mapping(uint256 proposalId => Proposal proposal) public proposals;

    /// @notice Whether somebody has voted on a proposal.
    mapping(uint256 proposalId => mapping(address voter => bool voted)) public hasVoted;

    // ------------------------------------------------------------- constructor

    constructor(IERC20 usdc_, address treasury_, uint64 votingPeriod_) StakeDeposits(usdc_) {
        if (treasury_ == address(0)) revert ZeroAddress();
        treasury = treasury_;
        votingPeriod = votingPeriod_;
    }

    // ------------------------------------------------------------------- logic

    /// @notice Accuses a credential; the proposer shows a stake behind `ownCredentialId`.
    function propose(bytes32 credentialId, uint256 amount, bytes32 ownCredentialId)
        external
        returns (uint256 proposalId)
    {
        if (amount == 0) revert ZeroAmount();
        _requireStake(ownCredentialId, PROPOSER_STAKE);
        Pot storage pot = pots[credentialId];
        if (pot.amount < 2) revert StakeTooSmall(pot.amount, 2);
        if (block.timestamp < pot.peaceUntil) revert AccusedBefore(credentialId, pot.peaceUntil);
        proposalId = ++proposalCount;
        uint64 time = uint64(block.timestamp);
        Proposal storage proposal = proposals[proposalId];
        proposal.credentialId = credentialId;
        proposal.amount = amount;
        proposal.quorum = Math.mulDiv(totalStaked, QUORUM_BPS, 10_000, Math.Rounding.Ceil);
        proposal.proposedAt = time;
        proposal.votingEnds = time + votingPeriod;
        pot.frozenUntil = time + 2 * votingPeriod;
        pot.peaceUntil = time + 4 * votingPeriod;
        _lock(msg.sender, proposal.votingEnds);
        emit ProposalCreated(proposalId, msg.sender, credentialId, amount);
    }

    /// @notice Votes with all that the caller has behind `ownCredentialId`: 0 against, 1 for, 2 abstain.
    function castVote(uint256 proposalId, uint8 support, bytes32 ownCredentialId) external {
        Proposal storage proposal = _proposal(proposalId);
        if (support > 2) revert InvalidSupport(support);
        if (block.timestamp >= proposal.votingEnds) revert VotingClosed(proposalId, proposal.votingEnds);
        if (hasVoted[proposalId][msg.sender]) revert AlreadyVoted(proposalId, msg.sender);
        uint256 weight = _requireStake(ownCredentialId, 1);
        uint64 depositedAt = stakes[ownCredentialId][msg.sender].depositedAt;
        if (depositedAt >= proposal.proposedAt) revert StakeTooYoung(depositedAt, proposal.proposedAt);
        hasVoted[proposalId][msg.sender] = true;
        _lock(msg.sender, proposal.votingEnds);
        if (support == 0) proposal.votesAgainst += weight;
        else if (support == 1) proposal.votesFor += weight;
        else proposal.votesAbstain += weight;
        emit VoteCast(proposalId, msg.sender, support, weight);
    }

    /// @notice Carries out what has passed: more votes for than against, and enough votes at all.
    function execute(uint256 proposalId) external nonReentrant returns (uint256 slashed) {
        Proposal storage proposal = _proposal(proposalId);
        uint256 lapses = uint256(proposal.votingEnds) + votingPeriod;
        if (proposal.isExecuted) revert AlreadyExecuted(proposalId);
        if (block.timestamp < proposal.votingEnds) revert VotingOpen(proposalId, proposal.votingEnds);
        if (block.timestamp >= lapses) revert ProposalLapsed(proposalId, lapses);
        (uint256 yes, uint256 no) = (proposal.votesFor, proposal.votesAgainst);
        if (yes <= no || yes + no + proposal.votesAbstain < proposal.quorum) {
            revert NotPassed(yes, no, proposal.quorum);
        }
        proposal.isExecuted = true;
        pots[proposal.credentialId].frozenUntil = 0;
        slashed = _slashable(proposal.credentialId, proposal.amount);
        emit ProposalExecuted(proposalId, slashed);
        _slash(proposal.credentialId, proposalId, slashed, treasury);
    }

    function _requireStake(bytes32 credentialId, uint256 needed) private view returns (uint256 stake) {
        stake = stakeOf(credentialId, msg.sender);
        if (stake < needed) revert StakeTooSmall(stake, needed);
    }

    function _proposal(uint256 proposalId) private view returns (Proposal storage proposal) {
        proposal = proposals[proposalId];
        if (proposal.proposedAt == 0) revert UnknownProposal(proposalId);
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";

/// @notice Records each lot of produce on its way from farm to shop.
/// @dev Only the holder of a lot moves, updates or prices it; only others who are trusted verify it.
contract ProduceRegistry is Ownable {
    // ------------------------------------------------------------------- types

    enum Stage {
        Harvested,
        Packed,
        InTransit,
        OnShelf,
        Sold
    }

    // ------------------------------------------------------------------ events

    /// @notice `farmer` harvested a lot.
    event ProduceRegistered(
        bytes32 indexed produceId, address indexed farmer, string kind, uint64 grams, string origin
    );

    /// @notice A lot came to another stage or place.
    event ProduceUpdated(bytes32 indexed produceId, address indexed holder, Stage stage, string place);

    /// @notice A lot changed hands.
    event ProduceTransferred(bytes32 indexed produceId, address indexed from, address indexed to);

    /// @notice `holder` asks `price` for a lot, in units of USDC.
    event PriceSet(bytes32 indexed produceId, address indexed holder, uint256 price);

    /// @notice `verifier` graded a lot from 0 to 100; the report has this hash.
    event QualityVerified(bytes32 indexed produceId, address indexed verifier, uint8 grade, bytes32 reportHash);

    /// @notice `verifier` is trusted with verifying from here on, or no longer.
    event VerifierChanged(address indexed verifier, bool isVerifier);

    // ------------------------------------------------------------------ errors

    error EmptyId();
    error GradeOutOfRange(uint8 grade);
    error NotHolder(bytes32 produceId, address caller);
    error NotVerifier(address caller);
    error OwnProduce(bytes32 produceId);
    error ProduceExists(bytes32 produceId);
    error ProduceSold(bytes32 produceId);
    error StageBackwards(Stage current, Stage asked);
    error UnknownProduce(bytes32 produceId);
    error ZeroAddress();
    error ZeroAmount();

    // ----------------------------------------------------------------- storage

    struct Produce {
        address farmer;
        uint64 grams;
        Stage stage;
        address holder;
        uint256 price;
    }

    /// @notice A lot by its id; its farmer is zero while there is none.
    mapping(bytes32 produceId => Produce produce) public lots;

    /// @notice Who may verify.
    mapping(address verifier => bool trusted) public isVerifier;

    // ------------------------------------------------------------- constructor

    constructor(address owner_) Ownable(owner_) {}

    // ------------------------------------------------------------------- logic

    /// @notice Trusts somebody with verifying, or no longer.
    function setVerifier(address verifier, bool trusted) external onlyOwner {
        isVerifier[verifier] = trusted;
        emit VerifierChanged(verifier, trusted);
    }

    /// @notice Records a new lot, which the caller has harvested.
    function register(bytes32 produceId, string calldata kind, uint64 grams, string calldata origin) external {
        if (produceId == bytes32(0)) revert EmptyId();
        if (grams == 0) revert ZeroAmount();
        if (lots[produceId].farmer != address(0)) revert ProduceExists(produceId);
        lots[produceId] = Produce(msg.sender, grams, Stage.Harvested, msg.sender, 0);
        emit ProduceRegistered(produceId, msg.sender, kind, grams, origin);
    }

    /// @notice Says where an own lot is and how far it has come; stages never go back.
    function update(bytes32 produceId, Stage stage, string calldata place) external {
        Produce storage lot = _ownLot(produceId);
        if (stage < lot.stage) revert StageBackwards(lot.stage, stage);
        lot.stage = stage;
        emit ProduceUpdated(produceId, msg.sender, stage, place);
    }

    /// @notice Hands an own lot to its next holder.
    function transfer(bytes32 produceId, address to) external {
        Produce storage lot = _ownLot(produceId);
        if (to == address(0)) revert ZeroAddress();
        lot.holder = to;
        emit ProduceTransferred(produceId, msg.sender, to);
    }

    /// @notice Asks a price for an own lot.
    function setPrice(bytes32 produceId, uint256 price) external {
        Produce storage lot = _ownLot(produceId);
        lot.price = price;
        emit PriceSet(produceId, msg.sender, price);
    }

    /// @notice Grades somebody else's lot from 0 to 100.
    function verifyQuality(bytes32 produceId, uint8 grade, bytes32 reportHash) external {
        if (!isVerifier[msg.sender]) revert NotVerifier(msg.sender);
        Produce storage lot = _lot(produceId);
        if (lot.holder == msg.sender || lot.farmer == msg.sender) revert OwnProduce(produceId);
        if (grade > 100) revert GradeOutOfRange(grade);
        emit QualityVerified(produceId, msg.sender, grade, reportHash);
    }

    function _ownLot(bytes32 produceId) private view returns (Produce storage lot) {
        lot = _lot(produceId);
        if (lot.holder != msg.sender) revert NotHolder(produceId, msg.sender);
        if (lot.stage == Stage.Sold) revert ProduceSold(produceId);
    }

    function _lot(bytes32 produceId) private view returns (Produce storage lot) {
        lot = lots[produceId];
        if (lot.farmer == address(0)) revert UnknownProduce(produceId);
    }
}

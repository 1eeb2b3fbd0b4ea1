// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ERC1155} from "@openzeppelin/contracts/token/ERC1155/ERC1155.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuard} from "@openzeppelin/contracts/utils/ReentrancyGuard.sol";

/// @notice Copies of what farmers know, sold by their authors for USDC.
/// @dev A copy comes into being when it is bought. Buyers that are contracts are called, hence the guard.
contract KnowledgeTokens is ERC1155, ReentrancyGuard {
    using SafeERC20 for IERC20;

    // ------------------------------------------------------------------ events

    /// @notice `author` offers `supply` copies of some content at `price` each.
    event KnowledgeTokenMinted(
        uint256 indexed tokenId, address indexed author, bytes32 indexed contentHash, uint256 price, uint256 supply
    );

    /// @notice `buyer` paid `cost` to the author for `amount` copies.
    event KnowledgePurchased(uint256 indexed tokenId, address indexed buyer, uint256 amount, uint256 cost);

    /// @notice A copy costs `price` from here on.
    event PriceChanged(uint256 indexed tokenId, uint256 price);

    // ------------------------------------------------------------------ errors

    error ContentExists(bytes32 contentHash, uint256 tokenId);
    error CostExceeded(uint256 cost, uint256 maxCost);
    error EmptyContent();
    error NotAuthor(uint256 tokenId, address caller);
    error SoldOut(uint256 tokenId, uint256 remaining);
    error UnknownToken(uint256 tokenId);
    error ZeroAmount();

    // ----------------------------------------------------------------- storage

    struct Knowledge {
        address author;
        uint96 price;
        uint128 supply;
        uint128 sold;
        string uri;
    }

    /// @notice What copies are paid in.
    IERC20 public immutable usdc;

    /// @notice How many tokens there are; ids count from one.
    uint256 public tokenCount;

    /// @notice A token by its id.
    mapping(uint256 tokenId => Knowledge knowledge) public tokens;

    /// @notice The token of some content, or zero.
    mapping(bytes32 contentHash => uint256 tokenId) public tokenOf;

    // ------------------------------------------------------------- constructor

    constructor(IERC20 usdc_) ERC1155("") {
        usdc = usdc_;
    }

    // ------------------------------------------------------------------- logic

    /// @notice Offers `supply` copies of some content at `price` each; the caller is its author.
    function mintKnowledge(bytes32 contentHash, string calldata uri_, uint96 price, uint128 supply)
        external
        returns (uint256 tokenId)
    {
        if (contentHash == bytes32(0)) revert EmptyContent();
        if (supply == 0) revert ZeroAmount();
        if (tokenOf[contentHash] != 0) revert ContentExists(contentHash, tokenOf[contentHash]);
        tokenId = ++tokenCount;
        tokenOf[contentHash] = tokenId;
        tokens[tokenId] = Knowledge(msg.sender, price, supply, 0, uri_);
        emit KnowledgeTokenMinted(tokenId, msg.sender, contentHash, price, supply);
    }

    /// @notice Changes the price of an own token.
    function setPrice(uint256 tokenId, uint96 price) external {
        Knowledge storage knowledge = _knowledge(tokenId);
        if (msg.sender != knowledge.author) revert NotAuthor(tokenId, msg.sender);
        knowledge.price = price;
        emit PriceChanged(tokenId, price);
    }

    /// @notice Buys `amount` copies for at most `maxCost` together.
    function buy(uint256 tokenId, uint128 amount, uint256 maxCost) external nonReentrant returns (uint256 cost) {
        Knowledge storage knowledge = _knowledge(tokenId);
        if (amount == 0) revert ZeroAmount();
        uint128 remaining = knowledge.supply - knowledge.sold;
        if (amount > remaining) revert SoldOut(tokenId, remaining);
        cost = uint256(amount) * knowledge.price;
        if (cost > maxCost) revert CostExceeded(cost, maxCost);
        knowledge.sold += amount;
        emit KnowledgePurchased(tokenId, msg.sender, amount, cost);
        usdc.safeTransferFrom(msg.sender, knowledge.author, cost);
        _mint(msg.sender, tokenId, amount, "");
    }

    /// @notice Returns where the description of a token is.
    function uri(uint256 tokenId) public view override returns (string memory) {
        return _knowledge(tokenId).uri;
    }

    function _knowledge(uint256 tokenId) private view returns (Knowledge storage knowledge) {
        knowledge = tokens[tokenId];
        if (knowledge.author == address(0)) revert UnknownToken(tokenId);
    }
}

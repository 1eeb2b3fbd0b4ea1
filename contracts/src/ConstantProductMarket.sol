// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuard} from "@openzeppelin/contracts/utils/ReentrancyGuard.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {TokenFactory} from "./TokenFactory.sol";

/// @notice Pools of one token each against USDC, where the product of both reserves never falls by a swap.
/// @dev Every division rounds in favour of the pool. The fee is always taken in USDC and stays in the pool.
/// Tokens come from our own factory only, so none of them takes fees or calls back.
abstract contract ConstantProductMarket is ReentrancyGuard {
    using SafeERC20 for IERC20;

    // ------------------------------------------------------------------ events

    /// @notice `provider` put in both amounts for `shares`.
    event LiquidityAdded(
        bytes32 indexed id, address indexed provider, uint256 tokenAmount, uint256 usdcAmount, uint256 shares
    );

    /// @notice `provider` gave up `shares` for both amounts.
    event LiquidityRemoved(
        bytes32 indexed id, address indexed provider, uint256 tokenAmount, uint256 usdcAmount, uint256 shares
    );

    // ------------------------------------------------------------------ errors

    error AmountOutOfRange(uint256 amount, uint256 max);
    error Expired(uint256 deadline);
    error NotEnoughShares(uint256 held, uint256 asked);
    error NothingOut();
    error PoolExists(bytes32 id);
    error SlippageExceeded(uint256 amount, uint256 bound);
    error TooLittleLiquidity(uint256 shares, uint256 min);
    error UnknownPool(bytes32 id);
    error UnknownToken(bytes32 id);

    // ----------------------------------------------------------------- storage

    struct Pool {
        IERC20 token;
        uint112 tokenReserve;
        uint112 usdcReserve;
        uint256 shares;
    }

    /// @notice The fee in hundredths of a per cent.
    uint256 public constant FEE_BPS = 30;

    /// @notice Shares of every pool that belong to nobody, so that it is never empty again.
    uint256 public constant LOCKED_SHARES = 1000;

    uint256 private constant BPS = 10_000;
    uint256 private constant MAX_AMOUNT = type(uint112).max;

    /// @notice What every token is traded against.
    IERC20 public immutable usdc;

    /// @notice Where tokens are looked up by id.
    TokenFactory public immutable factory;

    /// @notice The pool of an id; its token is zero while there is none.
    mapping(bytes32 id => Pool pool) public pools;

    /// @notice What part of a pool a provider owns.
    mapping(bytes32 id => mapping(address provider => uint256 shares)) public sharesOf;

    // ------------------------------------------------------------- constructor

    constructor(IERC20 usdc_, TokenFactory factory_) {
        usdc = usdc_;
        factory = factory_;
    }

    modifier until(uint256 deadline) {
        if (block.timestamp > deadline) revert Expired(deadline);
        _;
    }

    // ------------------------------------------------------------------- logic

    /// @notice Opens the pool of a token; the two amounts set its first price.
    function createPool(bytes32 id, uint256 tokenAmount, uint256 usdcAmount)
        external
        nonReentrant
        returns (uint256 shares)
    {
        address token = factory.tokenOf(id);
        if (token == address(0)) revert UnknownToken(id);
        Pool storage pool = pools[id];
        if (address(pool.token) != address(0)) revert PoolExists(id);
        shares = Math.sqrt(_bounded(tokenAmount) * _bounded(usdcAmount));
        if (shares <= LOCKED_SHARES) revert TooLittleLiquidity(shares, LOCKED_SHARES + 1);
        pool.token = IERC20(token);
        sharesOf[id][address(0)] = LOCKED_SHARES;
        sharesOf[id][msg.sender] = shares - LOCKED_SHARES;
        _emitPoolCreated(id, token, shares);
        _setReserves(id, pool, tokenAmount, usdcAmount, shares);
        emit LiquidityAdded(id, msg.sender, tokenAmount, usdcAmount, shares - LOCKED_SHARES);
        _take(pool.token, tokenAmount);
        _take(usdc, usdcAmount);
    }

    /// @notice Puts in both currencies at the pool's price, at most the amounts given.
    function addLiquidity(bytes32 id, uint256 maxTokenAmount, uint256 maxUsdcAmount, uint256 minShares, uint256 deadline)
        external
        nonReentrant
        until(deadline)
        returns (uint256 shares)
    {
        Pool storage pool = _pool(id);
        shares = Math.min(
            _bounded(maxTokenAmount) * pool.shares / pool.tokenReserve,
            _bounded(maxUsdcAmount) * pool.shares / pool.usdcReserve
        );
        if (shares == 0) revert NothingOut();
        if (shares < minShares) revert SlippageExceeded(shares, minShares);
        (uint256 tokenAmount, uint256 usdcAmount) = _worth(pool, shares, Math.Rounding.Ceil);
        sharesOf[id][msg.sender] += shares;
        _setReserves(
            id, pool, pool.tokenReserve + tokenAmount, pool.usdcReserve + usdcAmount, pool.shares + shares
        );
        emit LiquidityAdded(id, msg.sender, tokenAmount, usdcAmount, shares);
        _take(pool.token, tokenAmount);
        _take(usdc, usdcAmount);
    }

    /// @notice Takes out what `shares` are worth in both currencies.
    function removeLiquidity(bytes32 id, uint256 shares, uint256 minTokenAmount, uint256 minUsdcAmount, uint256 deadline)
        external
        nonReentrant
        until(deadline)
        returns (uint256 tokenAmount, uint256 usdcAmount)
    {
        Pool storage pool = _pool(id);
        uint256 held = sharesOf[id][msg.sender];
        if (shares > held) revert NotEnoughShares(held, shares);
        (tokenAmount, usdcAmount) = _worth(pool, shares, Math.Rounding.Floor);
        if (tokenAmount == 0 || usdcAmount == 0) revert NothingOut();
        if (tokenAmount < minTokenAmount) revert SlippageExceeded(tokenAmount, minTokenAmount);
        if (usdcAmount < minUsdcAmount) revert SlippageExceeded(usdcAmount, minUsdcAmount);
        sharesOf[id][msg.sender] = held - shares;
        _setReserves(
            id, pool, pool.tokenReserve - tokenAmount, pool.usdcReserve - usdcAmount, pool.shares - shares
        );
        emit LiquidityRemoved(id, msg.sender, tokenAmount, usdcAmount, shares);
        pool.token.safeTransfer(msg.sender, tokenAmount);
        usdc.safeTransfer(msg.sender, usdcAmount);
    }

    /// @notice Pays `usdcIn` for at least `minTokenOut`, not after `deadline`.
    function buy(bytes32 id, uint256 usdcIn, uint256 minTokenOut, uint256 deadline)
        external
        nonReentrant
        until(deadline)
        returns (uint256 tokenOut)
    {
        uint256 fee;
        (tokenOut, fee) = quoteBuy(id, usdcIn);
        if (tokenOut < minTokenOut) revert SlippageExceeded(tokenOut, minTokenOut);
        Pool storage pool = _pool(id);
        _emitSwap(id, -int256(tokenOut), int256(usdcIn), fee);
        _setReserves(id, pool, pool.tokenReserve - tokenOut, pool.usdcReserve + usdcIn, pool.shares);
        _take(usdc, usdcIn);
        pool.token.safeTransfer(msg.sender, tokenOut);
    }

    /// @notice Gives `tokenIn` for at least `minUsdcOut`, not after `deadline`.
    function sell(bytes32 id, uint256 tokenIn, uint256 minUsdcOut, uint256 deadline)
        external
        nonReentrant
        until(deadline)
        returns (uint256 usdcOut)
    {
        uint256 fee;
        (usdcOut, fee) = quoteSell(id, tokenIn);
        if (usdcOut < minUsdcOut) revert SlippageExceeded(usdcOut, minUsdcOut);
        Pool storage pool = _pool(id);
        _emitSwap(id, int256(tokenIn), -int256(usdcOut), fee);
        _setReserves(id, pool, pool.tokenReserve + tokenIn, pool.usdcReserve - usdcOut, pool.shares);
        _take(pool.token, tokenIn);
        usdc.safeTransfer(msg.sender, usdcOut);
    }

    /// @notice Returns what `buy` would give now, and the fee in it, in USDC.
    function quoteBuy(bytes32 id, uint256 usdcIn) public view returns (uint256 tokenOut, uint256 fee) {
        Pool storage pool = _pool(id);
        fee = Math.mulDiv(_bounded(usdcIn), FEE_BPS, BPS, Math.Rounding.Ceil);
        uint256 paid = usdcIn - fee;
        tokenOut = paid * pool.tokenReserve / (pool.usdcReserve + paid);
        if (tokenOut == 0) revert NothingOut();
    }

    /// @notice Returns what `sell` would give now, and the fee already taken from it, in USDC.
    function quoteSell(bytes32 id, uint256 tokenIn) public view returns (uint256 usdcOut, uint256 fee) {
        Pool storage pool = _pool(id);
        uint256 sold = _bounded(tokenIn);
        uint256 worth = sold * pool.usdcReserve / (pool.tokenReserve + sold);
        fee = Math.mulDiv(worth, FEE_BPS, BPS, Math.Rounding.Ceil);
        usdcOut = worth - fee;
        if (usdcOut == 0) revert NothingOut();
    }

    function _emitPoolCreated(bytes32 id, address token, uint256 shares) internal virtual;

    function _emitSwap(bytes32 id, int256 tokenAmount, int256 usdcAmount, uint256 fee) internal virtual;

    function _emitReserves(bytes32 id, uint256 tokenReserve, uint256 usdcReserve) internal virtual;

    function _setReserves(bytes32 id, Pool storage pool, uint256 tokenReserve, uint256 usdcReserve, uint256 shares)
        private
    {
        pool.tokenReserve = uint112(_bounded(tokenReserve));
        pool.usdcReserve = uint112(_bounded(usdcReserve));
        pool.shares = shares;
        _emitReserves(id, tokenReserve, usdcReserve);
    }

    function _take(IERC20 token, uint256 amount) private {
        token.safeTransferFrom(msg.sender, address(this), amount);
    }

    function _worth(Pool storage pool, uint256 shares, Math.Rounding rounding)
        private
        view
        returns (uint256 tokenAmount, uint256 usdcAmount)
    {
        tokenAmount = Math.mulDiv(shares, pool.tokenReserve, pool.shares, rounding);
        usdcAmount = Math.mulDiv(shares, pool.usdcReserve, pool.shares, rounding);
    }

    function _pool(bytes32 id) private view returns (Pool storage pool) {
        pool = pools[id];
        if (address(pool.token) == address(0)) revert UnknownPool(id);
    }

    function _bounded(uint256 amount) private pure returns (uint256) {
        if (amount > MAX_AMOUNT) revert AmountOutOfRange(amount, MAX_AMOUNT);
        return amount;
    }
}

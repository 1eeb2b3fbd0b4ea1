"""Pools as markets: which two tokens a pool trades, read from the chain once for each pool."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError

from chaintide.streams import decimals
from chaintide.streams.chain.keccak import keccak
from chaintide.streams.chain.records import Alias, ChainLog
from chaintide.streams.chain.swaps import Pool, SwapForm
from chaintide.streams.records import Market

MAX_POOLS: Final = 100_000
MAX_TOKENS: Final = 100_000
_SYMBOL: Final = re.compile(r"[^\w.+-]", re.ASCII)
_WORD: Final = 32


@dataclass(frozen=True, slots=True)
class MarketForm:
    """How a kind of pool trades: its swaps, and the calls that name its two tokens.

    A call with an argument is asked for the pool's id. The first of the tokens is the base.
    """

    event: str
    amounts: tuple[tuple[str, ...], tuple[str, ...]]
    trader: str
    calls: tuple[str, str]


OWN: Final = MarketForm(
    "Swap", (("tokenAmount",), ("usdcAmount",)), "user", ("pools(bytes32)", "usdc()")
)
UNISWAP_V2: Final = MarketForm(
    "Swap",
    (("amount0In", "amount0Out"), ("amount1In", "amount1Out")),
    "to",
    ("token0()", "token1()"),
)
UNISWAP_V3: Final = MarketForm(
    "Swap", (("amount0",), ("amount1",)), "recipient", ("token0()", "token1()")
)


@dataclass(frozen=True, slots=True)
class Stranger:
    """A pool that traded in block ``number``, and of which nothing else is known."""

    stream: str
    form: MarketForm
    number: int
    block_hash: str

    def calls(self) -> list[tuple[str, str]]:
        """Return what to ask whom for the pool's tokens: address and input of each call."""
        address, _, pool_id = self.stream.partition("/")
        return [(address, call_of(each, pool_id)) for each in self.form.calls]


@dataclass(frozen=True, slots=True)
class Token:
    """A token of a pool; ``scale`` are its decimals."""

    address: str
    symbol: str
    scale: int


@dataclass(slots=True)
class Pools:
    """The pools of one chain by stream; None is one that cannot be a market.

    What was learned from a block is forgotten when the block is undone. At 100,000 pools no more
    are learned; at 100,000 tokens all are forgotten, and asked for again when needed.
    """

    chain: str = ""
    name: str = ""
    quotes: Sequence[str] = ()
    known: dict[str, Pool | None] = field(default_factory=dict[str, Pool | None])
    tokens: dict[str, Token] = field(default_factory=dict[str, Token])
    _numbers: dict[str, int] = field(default_factory=dict[str, int])
    _token_numbers: dict[str, int] = field(default_factory=dict[str, int])

    def strangers(
        self, records: Iterable[ChainLog], form_of: Callable[[str], MarketForm | None]
    ) -> list[Stranger]:
        """Return the pools that trade in ``records`` and are not known yet."""
        found: dict[str, Stranger] = {}
        for log in records:
            if log.stream in self.known or (form := form_of(log.address)) is None:
                continue
            if log.event != form.event:
                continue
            if len(self.known) + len(found) < MAX_POOLS:
                found.setdefault(log.stream, Stranger(log.stream, form, log.number, log.block_hash))
        return list(found.values())

    def learn(self, stranger: Stranger, tokens: tuple[Token, Token] | None) -> Alias | None:
        """Take note of the tokens of a pool; return what its market is called, if it is one."""
        self._numbers[stranger.stream] = stranger.number
        if tokens is None or max(token.scale for token in tokens) > decimals.MAX_SCALE:
            self.known[stranger.stream] = None
            return None
        names = stranger.form.amounts
        if self._is_quote(tokens[0]) and not self._is_quote(tokens[1]):
            tokens, names = (tokens[1], tokens[0]), (names[1], names[0])
        base, quote = tokens
        market = Market(f"{self.chain}:{stranger.stream}")
        form = SwapForm(stranger.form.event, names[0], names[1], stranger.form.trader)
        self.known[stranger.stream] = Pool(market, base.scale, quote.scale, form)
        return Alias(
            market=market,
            name=f"{self.name}:{base.symbol}-{quote.symbol}",
            base=base.symbol,
            quote=quote.symbol,
            base_token=base.address,
            quote_token=quote.address,
            base_scale=base.scale,
            quote_scale=quote.scale,
        )

    def learn_token(self, stranger: Stranger, token: Token) -> None:
        """Take note of a token that is in a pool."""
        if len(self.tokens) >= MAX_TOKENS:
            self.tokens.clear()
            self._token_numbers.clear()
        self.tokens[token.address] = token
        self._token_numbers[token.address] = stranger.number

    def markets(self, most: int) -> list[Market]:
        """Return the markets that are known, at most so many."""
        return [pool.market for pool in self.known.values() if pool is not None][:most]

    def forget(self, to_number: int) -> None:
        """Forget what was learned above block ``to_number``."""
        for stream in [each for each, number in self._numbers.items() if number > to_number]:
            del self._numbers[stream], self.known[stream]
        for address in [each for each, n in self._token_numbers.items() if n > to_number]:
            del self._token_numbers[address], self.tokens[address]

    def _is_quote(self, token: Token) -> bool:
        return token.address.lower() in self.quotes


def call_of(signature: str, argument: str = "") -> str:
    """Return the input of a call; ``argument`` is a word in hexadecimal if it takes one.

    >>> call_of("decimals()")
    '0x313ce567'
    """
    selector = "0x" + keccak(signature.encode())[:4].hex()
    return selector if signature.endswith("()") else selector + argument.removeprefix("0x")


def address_in(answer: str) -> str | None:
    """Return the address in the first word of an answer, None if it is none.

    >>> address_in("0x" + "00" * 12 + "ab" * 20)
    '0xabababababababababababababababababababab'
    """
    word = _bytes(answer)[:_WORD]
    is_address = len(word) == _WORD and not any(word[:12]) and any(word[12:])
    return "0x" + word[12:].hex() if is_address else None


def scale_in(answer: str) -> int | None:
    """Return the decimals that a token says it has, None if that is no such number.

    >>> scale_in("0x" + "00" * 31 + "12"), scale_in("0x")
    (18, None)
    """
    word = _bytes(answer)[:_WORD]
    scale = int.from_bytes(word)
    return scale if len(word) == _WORD and scale < 256 else None


def symbol_in(answer: str, address: str) -> str:
    """Return what a token calls itself, without odd characters; else the end of its address.

    >>> symbol_in("0x" + b"MKR".ljust(32, bytes(1)).hex(), "0x" + "ab" * 20)
    'MKR'
    >>> symbol_in("0x", "0x" + "ab" * 20)
    '0xababab'
    """
    raw = _bytes(answer)
    if len(raw) == _WORD:  # some old tokens return bytes32
        told = raw.rstrip(b"\0")
    else:
        try:
            [told] = decode(["bytes"], raw)
        except (DecodingError, ValueError, OverflowError):
            told = b""
    return _SYMBOL.sub("", told.decode("ascii", "ignore"))[:20] or f"0x{address[-6:]}"


def _bytes(answer: str) -> bytes:
    try:
        return bytes.fromhex(answer.removeprefix("0x"))
    except ValueError:
        return b""

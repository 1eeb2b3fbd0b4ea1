"""The receipts of a block and the hash its header has of them: no log can be missing or changed."""

from collections.abc import Sequence
from functools import lru_cache

import msgspec

from chaintide.streams.chain.blocks import RawLog
from chaintide.streams.chain.rlp import LIST, STRING, header
from chaintide.streams.chain.trie import trie_root
from chaintide.streams.errors import BadRecordError


class RawReceipt(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """One receipt as a node tells it; ``root`` instead of ``status`` before Byzantium."""

    cumulative_gas_used: str
    logs_bloom: str
    logs: list[RawLog]
    type: str = "0x0"
    status: str | None = None
    root: str | None = None


_Receipts = list[RawReceipt] | None
_receipts: msgspec.json.Decoder[_Receipts] = msgspec.json.Decoder(_Receipts)


def receipts_in(answer: bytes | msgspec.Raw) -> list[RawReceipt] | None:
    """Return the receipts in a node's answer, None if it says null.

    >>> receipts_in(b"[]"), receipts_in(b"null")
    ([], None)

    Raises:
        BadRecordError: If they are none.
    """
    try:
        return _receipts.decode(answer)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRecordError(f"not receipts: {error}") from error


def receipts_root(receipts: Sequence[RawReceipt]) -> str:
    """Return the root of the trie of all receipts of a block.

    >>> receipts_root([])
    '0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421'

    Raises:
        BadRecordError: If a receipt is not hexadecimal.
    """
    try:
        return "0x" + trie_root([_receipt(receipt) for receipt in receipts]).hex()
    except ValueError as error:
        raise BadRecordError(f"not receipts: {error}") from error


# RLP, put together as text so that a receipt is turned into bytes once.


def _receipt(receipt: RawReceipt) -> bytes:
    outcome = _text(receipt.root[2:]) if receipt.root else _number(receipt.status or "0x0")
    logs = "".join([_log(log) for log in receipt.logs])
    body = (
        f"{outcome}{_number(receipt.cumulative_gas_used)}{_text(receipt.logs_bloom[2:])}"
        f"{_header(LIST, len(logs))}{logs}"
    )
    kind = receipt.type[2:].lstrip("0").zfill(2)
    text = f"{kind if kind != '00' else ''}{_header(LIST, len(body))}{body}"
    raw = bytes.fromhex(text)
    if len(raw) * 2 != len(text):
        raise ValueError("not hexadecimal")
    return raw


def _log(log: RawLog) -> str:
    address, data, topics = log.address, log.data, log.topics
    words = [each[2:] for each in topics if len(each) == 66 and each[:2] == "0x"]
    if len(address) == 42 and len(data) != 4 and len(words) == len(topics):
        whole, count, size = _frame(len(words), len(data))
        if address[:2] != "0x" or data[:2] != "0x":
            raise ValueError("not hexadecimal")
        return f"{whole}{address[2:]}{count}{'a0'.join(words)}{size}{data[2:]}"
    about = "".join([_text(_digits(each)) for each in topics])
    body = f"{_text(_digits(address))}{_header(LIST, len(about))}{about}{_text(_digits(data))}"
    return _header(LIST, len(body)) + body


@lru_cache(maxsize=65_536)
def _frame(words: int, data: int) -> tuple[str, str, str]:
    """Return what stands before the address, the topics and the data of a usual log."""
    if data % 2:
        raise ValueError("not hexadecimal")
    topics = _header(LIST, 66 * words) + ("a0" if words else "")
    size = _header(STRING, data - 2)
    length = 42 + len(_header(LIST, 66 * words)) + 66 * words + len(size) + data - 2
    return f"{_header(LIST, length)}94", topics, size


def _digits(text: str) -> str:
    """Return what follows 0x: nothing else may stand there, as nothing is hashed of it."""
    if not text.startswith("0x") or len(text) % 2:
        raise ValueError("not hexadecimal")
    return text[2:]


def _text(digits: str) -> str:
    """Return the RLP of the bytes that ``digits`` write."""
    if len(digits) == 2 and digits < "80":
        return digits
    return _header(STRING, len(digits)) + digits


def _number(text: str) -> str:
    digits = text[2:].lstrip("0")
    return _text(digits if len(digits) % 2 == 0 else f"0{digits}")


@lru_cache(maxsize=65_536)
def _header(kind: int, digits: int) -> str:
    return header(kind, digits // 2).hex()

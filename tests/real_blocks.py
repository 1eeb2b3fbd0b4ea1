"""Two real Ethereum blocks with all of their logs."""

import gzip
import json
from typing import Any

from recordings import recording

from chaintide.streams.chain.blocks import Header, RawLog, header_of, logs_in
from chaintide.streams.chain.receipts import RawReceipt, receipts_in

BLOCKS = (4_369_999, 18_500_000)


def real_block(number: int) -> tuple[Header, list[RawLog], list[dict[str, Any]]]:
    """Return header, logs, and the logs as a node told them."""
    block = _read(f"chain/ethereum_{number}_block.json.gz")
    receipts = _read(f"chain/ethereum_{number}_receipts.json.gz")
    raw = [log for receipt in receipts for log in receipt["logs"]]
    return header_of(block), logs_in(json.dumps(raw).encode()) or [], raw


def real_receipts(number: int) -> list[RawReceipt]:
    """Return the receipts of a block."""
    told = _read(f"chain/ethereum_{number}_receipts.json.gz")
    return receipts_in(json.dumps(told).encode()) or []


def _read(name: str) -> Any:
    return json.loads(gzip.decompress(recording(name).read_bytes()))

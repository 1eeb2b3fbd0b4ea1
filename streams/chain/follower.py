"""Follows one chain: heads in, questions out; answers in, blocks applied, undone and final out."""

from collections.abc import Mapping, Sequence

import msgspec

from chaintide.streams.chain.blocks import Header, RawLog
from chaintide.streams.chain.steps import (
    Apply,
    ApplyRange,
    Ask,
    Finalize,
    Halt,
    HeaderAt,
    HeaderOf,
    LogsOf,
    Reject,
    Retreat,
    Step,
)
from chaintide.streams.chain.verification import fault_of, fault_of_header, fault_of_range
from chaintide.streams.chain.window import Seen, Window

DEPTHS = {1: 96, 10: 1_800, 56: 30, 100: 64, 137: 300, 8453: 1_800, 31337: 64, 42161: 14_400}
DEFAULT_DEPTH = 256
OTHER_RECEIPTS = {10, 137, 8453}  # chains whose receipts do not hash as Ethereum's do
MAX_REJECTS = 5


class ChainRules(msgspec.Struct, frozen=True, kw_only=True):
    """What is particular about a chain, and from which block on it is followed.

    Some leave blooms empty, and of some the receipts root or the hash of a block is not what
    Ethereum's rules make it.
    """

    chain: str
    chain_id: int
    start: int = 0
    has_bloom: bool = True
    has_receipts: bool = True
    has_hashes: bool = True
    finality_depth: int | None = None

    @property
    def depth(self) -> int:
        """How many blocks deep a block counts as final where the chain does not say.

        >>> ChainRules(chain="ethereum", chain_id=1).depth
        96
        """
        return self.finality_depth or DEPTHS.get(self.chain_id, DEFAULT_DEPTH)


class Follower:
    """Keeps one chain's window in step with what nodes say. No clock, no I/O.

    ``on_head`` tells of a head. Then, until ``ask`` returns None, its question is to be answered
    with ``on_header`` or ``on_logs``. A step that was returned has happened in the window: if it
    cannot be carried out, the follower has to be made anew from the block log.
    """

    def __init__(self, rules: ChainRules, window: Window) -> None:
        self.rules = rules
        self.window = window
        self.halted = ""
        self._target: Header | None = None
        self._branch: list[Header] = []  # to be applied, oldest first
        self._is_confirmed = False
        self._rejects = 0

    # ------------------------------------------------------------------- heads

    def on_head(self, header: Header) -> list[Step]:
        """Take note of a head; one that is known already is from a lagging node."""
        if fault := fault_of_header(header):
            return [Reject(fault, _where(header))]
        first = self.window.first
        is_past = first is not None and header.number < first.number
        if not is_past and self.window.number_of(header.hash) is None:
            self._target = header
        return []

    def on_finalized(self, header: Header) -> list[Step]:
        """Make blocks final up to ``header``, if it is one of ours."""
        if fault := fault_of_header(header):
            return [Reject(fault, _where(header))]
        seen = self.window.at(header.number)
        if header.number <= self.window.final or seen is None:
            return []
        if seen.hash != header.hash:
            return [Reject("finalized is not ours", _where(header))]
        return self._finalize(seen)

    def on_no_finalized(self) -> list[Step]:
        """Make blocks final by their depth: no node of this chain knows which are."""
        last = self.window.last
        seen = self.window.at(last.number - self.rules.depth) if last else None
        return self._finalize(seen) if seen and seen.number > self.window.final else []

    def _finalize(self, seen: Seen) -> list[Step]:
        self.window.finalize(seen.number)
        return [Finalize(seen)]

    # --------------------------------------------------------------- questions

    def ask(self) -> Ask | None:
        """Return what has to be known next, None if nothing has."""
        if self.halted:
            return None
        if not self._branch and (number := self._next_number()) is not None:
            return HeaderAt(number)
        if self._branch and self.window.is_full and not self._is_reorg(self._branch[0]):
            self._forget()  # a reorg makes room first
        return self._ask_of_branch() if self._branch else None

    def _ask_of_branch(self) -> Ask:
        """Return what has to be known of the branch: its parent, a second opinion, or its logs."""
        oldest = self._branch[0]
        is_connected = self._is_connected(oldest)
        if not is_connected and not self._is_deep(oldest):
            return HeaderOf(oldest.parent_hash)
        if not is_connected or (self._is_reorg(oldest) and not self._is_confirmed):
            return HeaderAt(self._branch[-1].number, again=True)
        return LogsOf(oldest)

    def _next_number(self) -> int | None:
        """Return which block follows on the way to the target; the target itself is a branch."""
        target, last = self._target, self.window.last
        if target is None:
            return None
        following = self.rules.start if last is None else last.number + 1
        if target.number > following:
            return following
        if target.number >= self.rules.start and self.window.number_of(target.hash) is None:
            self._branch = [target]
        self._target = None
        return None

    def _is_connected(self, header: Header) -> bool:
        if header.number == self.rules.start and self.window.final < 0:
            return True
        return self.window.number_of(header.parent_hash) is not None

    def _is_deep(self, header: Header) -> bool:
        """Return whether the branch leaves the chain below the last final block."""
        first = self.window.first
        return first is not None and header.number <= first.number

    def _is_reorg(self, header: Header) -> bool:
        last = self.window.last
        return last is not None and header.parent_hash != last.hash

    def has_reached(self, head: Header) -> bool:
        """Return whether ``head`` is in the window, or before anything that is."""
        first = self.window.first
        oldest = self.rules.start if first is None else first.number
        return head.number < oldest or self.window.number_of(head.hash) is not None

    @property
    def obstacle(self) -> str:
        """Why no block can be added, "" if one can."""
        if not self.window.is_full:
            return ""
        return f"{len(self.window)} blocks are not final, the last is {self.window.final}"

    # ----------------------------------------------------------------- answers

    def on_header(self, ask: HeaderAt | HeaderOf, header: Header | None) -> list[Step]:
        """Take the answer to ``ask``; None if the node has no such block."""
        if header is None:
            return self._reject("no such block", repr(ask))
        if fault := fault_of_header(header):
            return self._reject(fault, _where(header))
        match ask:
            case HeaderAt(number, again):
                if header.number != number:
                    return self._reject("wrong header", f"asked={number} number={header.number}")
                return self._on_second(header) if again else self._on_first(header)
            case HeaderOf(block_hash):
                number = self._branch[0].number - 1
                if (header.hash, header.number) != (block_hash, number):
                    return self._reject("wrong header", f"asked={block_hash} hash={header.hash}")
                self._branch.insert(0, header)
                return []

    def _on_first(self, header: Header) -> list[Step]:
        self._branch = [header]
        return []

    def _on_second(self, header: Header) -> list[Step]:
        """Believe in a reorg once it was told twice."""
        if header.hash != self._branch[-1].hash:
            return self._give_up("nodes disagree", f"number={header.number}")
        if self._is_deep(self._branch[0]) and not self._is_connected(self._branch[0]):
            self.halted = (
                f"chain {self.rules.chain} took back its final block {self.window.final}: "
                f"{self._branch[0].hash} is now block {self._branch[0].number}"
            )
            return [Halt(self.halted)]
        self._is_confirmed = True
        return []

    def on_logs(self, ask: LogsOf, logs: Sequence[RawLog] | None, root: str = "") -> list[Step]:
        """Take all logs of a block; None if the node has no such block.

        ``root`` is that of the receipts they are from, if the node gave receipts.
        """
        header = ask.header
        if logs is None:
            return self._give_up("no such block", _where(header))
        if fault := fault_of(header, logs, root=root, has_bloom=self.rules.has_bloom):
            return self._reject(fault, _where(header))
        steps: list[Step] = []
        if self._is_reorg(header):
            steps.append(self._retreat(header.number - 1))
        self.window.push(_seen(header))
        self._branch.pop(0)
        self._rejects = 0
        return [*steps, Apply(header, logs)]

    def on_range(
        self, headers: Mapping[int, Header], logs: Sequence[RawLog], end: Header
    ) -> list[Step]:
        """Take the wanted logs of the blocks after the last one up to ``end``, which is final.

        ``headers`` are those of the first of them, and of all blocks with logs.
        """
        last = self.window.last
        if last is not None and (last.number >= end.number or last.number != self.window.final):
            return [Reject("range does not follow", f"end={end.number} last={last.number}")]
        if fault := fault_of_range(headers, logs):
            return [Reject(fault, f"end={end.number}")]
        if last is not None and not _is_joined(last, headers):
            return self._on_seam(last)
        self._rejects = 0
        self._forget()  # what was to follow the blocks before is final now, or never will be
        self.window.restart(_seen(end))
        return [ApplyRange(headers, logs, end), Finalize(_seen(end))]

    def _on_seam(self, last: Seen) -> list[Step]:
        """Believe that the last final block was taken back once it was told again and again."""
        self._rejects += 1
        if self._rejects < MAX_REJECTS:
            return [Reject("headers do not join", f"number={last.number} hash={last.hash}")]
        self.halted = (
            f"chain {self.rules.chain} took back its final block {last.number}: "
            f"block {last.number + 1} has another parent than {last.hash}"
        )
        return [Halt(self.halted)]

    def _retreat(self, to_number: int) -> Retreat:
        self.window.cut(to_number)
        self._is_confirmed = False
        return Retreat(to_number)

    def _reject(self, reason: str, detail: str) -> list[Step]:
        self._rejects += 1
        if self._rejects >= MAX_REJECTS:
            return self._give_up(reason, detail)
        return [Reject(reason, detail)]

    def _give_up(self, reason: str, detail: str) -> list[Step]:
        self._forget()
        return [Reject(reason, detail)]

    def _forget(self) -> None:
        """Forget what the nodes said; the next head begins anew."""
        self._branch, self._target, self._is_confirmed, self._rejects = [], None, False, 0


def _is_joined(last: Seen, headers: Mapping[int, Header]) -> bool:
    following = headers.get(last.number + 1)
    return following is not None and following.parent_hash == last.hash


def _where(header: Header) -> str:
    return f"number={header.number} hash={header.hash}"


def _seen(header: Header) -> Seen:
    return Seen(
        number=header.number,
        hash=header.hash,
        parent_hash=header.parent_hash,
        time_ms=header.time_ms,
    )

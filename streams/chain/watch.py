"""Which contracts of a chain are watched: those that are named, and those their factories make."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from chaintide.streams.chain.abi import Decoded, Events, Undecoded
from chaintide.streams.chain.blocks import Header, RawLog
from chaintide.streams.chain.records import ChainLog
from chaintide.streams.chain.words import Plain
from chaintide.streams.errors import ConfigError

MAX_CONTRACTS: Final = 100_000


@dataclass(frozen=True, slots=True)
class Factory:
    """An event that names a new contract in an argument, and the kind of that contract."""

    event: str
    argument: str
    kind: str


@dataclass(frozen=True, slots=True)
class Kind:
    """What contracts of one kind log; ``stream`` names the argument that tells pools apart."""

    events: Events
    factories: tuple[Factory, ...] = ()
    stream: str = ""


@dataclass(slots=True)
class Watch:
    """The watched contracts of one chain by address, each with its kind.

    Contracts that factories made are known from the block of the event on, for all of that block.
    At 100,000 of them no more are added.
    """

    chain: str
    kinds: Mapping[str, Kind]
    named: Mapping[str, str]
    epoch: int = 0
    children: dict[str, tuple[str, int]] = field(default_factory=dict[str, tuple[str, int]])
    dropped: int = 0

    def __post_init__(self) -> None:
        wanted = {*self.named.values()}
        wanted |= {f.kind for kind in self.kinds.values() for f in kind.factories}
        if missing := sorted(wanted - set(self.kinds)):
            raise ConfigError(f"chain {self.chain} has contracts of unknown kind {missing}")
        self.named = {address.lower(): kind for address, kind in self.named.items()}

    def kind_of(self, address: str) -> Kind | None:
        """Return the kind of the contract at ``address`` if it is watched."""
        name = self.named.get(address)
        if name is None:
            child = self.children.get(address)
            name = child[0] if child else None
        return None if name is None else self.kinds[name]

    @property
    def addresses(self) -> list[str]:
        """Every watched address."""
        return [*self.named, *self.children]

    @property
    def has_factories(self) -> bool:
        """Return whether contracts can be made that are to be watched."""
        return any(kind.factories for kind in self.kinds.values())

    def discover(self, number: int, logs: Sequence[RawLog]) -> dict[str, str]:
        """Watch what factories made in block ``number``; return the new ones with their kinds.

        A contract made by one that was made in the same block is found too.
        """
        found: dict[str, str] = {}
        while fresh := self._children_in(logs):
            for address, kind in fresh.items():
                self.add(address, kind, number)
            found |= fresh
        return found

    def add(self, address: str, kind: str, number: int) -> None:
        """Watch a contract that a factory made in block ``number``."""
        self.children[address] = (kind, number)

    def forget(self, to_number: int) -> None:
        """Watch no longer what was made above block ``to_number``."""
        gone = [a for a, (_, number) in self.children.items() if number > to_number]
        for address in gone:
            del self.children[address]

    def matching(self, header: Header, logs: Sequence[RawLog]) -> list[ChainLog]:
        """Return the logs of watched contracts, decoded where that is possible."""
        return [
            self._record(header, log, kind)
            for log in logs
            if (kind := self.kind_of(log.address.lower())) is not None
        ]

    def _children_in(self, logs: Sequence[RawLog]) -> dict[str, str]:
        fresh: dict[str, str] = {}
        for log in logs:
            kind = self.kind_of(log.address.lower())
            if kind is None or not kind.factories:
                continue
            outcome = kind.events.decode(log.topics, log.data)
            for factory in kind.factories:
                if isinstance(outcome, Decoded) and outcome.event == factory.event:
                    self._find(fresh, str(outcome.args.get(factory.argument, "")), factory.kind)
        return fresh

    def _find(self, fresh: dict[str, str], address: str, kind: str) -> None:
        if len(address) != 42 or self.kind_of(address) is not None:
            return
        if len(self.children) + len(fresh) >= MAX_CONTRACTS:
            self.dropped += 1
        else:
            fresh[address] = kind

    def _record(self, header: Header, log: RawLog, kind: Kind) -> ChainLog:
        outcome = kind.events.decode(log.topics, log.data)
        address = log.address.lower()
        if isinstance(outcome, Undecoded):
            event, args, stream = None, dict[str, Plain](), None
        else:
            event, args, stream = outcome.event, outcome.args, outcome.args.get(kind.stream)
        return ChainLog(
            chain=self.chain,
            number=header.number,
            block_hash=header.hash,
            time_ms=header.time_ms,
            log_index=log.index,
            tx_hash=log.transaction_hash,
            tx_index=int(log.transaction_index, 16),
            address=address,
            stream=address if stream is None else f"{address}/{stream}",
            event=event,
            args=args,
            topics=log.topics if event is None else [],
            data=log.data if event is None else "",
            note=outcome.note if isinstance(outcome, Undecoded) else "",
            epoch=self.epoch,
        )

"""Which contracts of a chain are watched: those that are named, and those their factories make."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Final, NamedTuple

from chaintide.streams.chain.abi import Decoded, Events, Undecoded
from chaintide.streams.chain.blocks import Header, RawLog
from chaintide.streams.chain.pools import MarketForm
from chaintide.streams.chain.records import ChainLog, Family
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
    """What contracts of one kind log, what they make, and how they trade if they do.

    ``streams`` names the arguments that tell apart what one contract holds many of; the first of
    them that an event has counts.
    """

    events: Events
    factories: tuple[Factory, ...] = ()
    streams: tuple[str, ...] = ()
    market: MarketForm | None = None


class Named(NamedTuple):
    """A watched contract: its kind, the first block whose logs are wanted, and what made it."""

    kind: str
    start: int = 0
    maker: str = ""


@dataclass(slots=True)
class Watch:
    """The watched contracts of one chain by address, each with its kind.

    Contracts that factories made are known from the block of the event on, for all of that block.
    At 100,000 of them no more are added.
    """

    chain: str
    kinds: Mapping[str, Kind]
    named: Mapping[str, Named]
    epoch: int = 0
    children: dict[str, Named] = field(default_factory=dict[str, Named])
    dropped: int = 0
    _has_factories: bool = field(init=False)

    def __post_init__(self) -> None:
        wanted = {named.kind for named in self.named.values()}
        wanted |= {f.kind for kind in self.kinds.values() for f in kind.factories}
        if missing := sorted(wanted - set(self.kinds)):
            raise ConfigError(f"chain {self.chain} has contracts of unknown kind {missing}")
        self.named = {address.lower(): kind for address, kind in self.named.items()}
        self._has_factories = any(self.kinds[one.kind].factories for one in self.named.values())

    def kind_of(self, address: str) -> Kind | None:
        """Return the kind of the contract at ``address`` if it is watched."""
        named = self.named.get(address) or self.children.get(address)
        return None if named is None else self.kinds[named.kind]

    @property
    def addresses(self) -> list[str]:
        """Every watched address."""
        return [*self.named, *self.children]

    @property
    def factories(self) -> list[str]:
        """Every watched address where contracts are made that are to be watched."""
        return [each for each in self.addresses if self.is_factory(each)]

    def is_factory(self, address: str) -> bool:
        """Return whether the contract at ``address`` makes others that are to be watched."""
        kind = self.kind_of(address)
        return kind is not None and bool(kind.factories)

    def made_by(self, address: str, to_number: int) -> list[str]:
        """Return what ``address`` made up to block ``to_number``, and what that made, and so on."""
        found, makers = list[str](), {address}
        for child, (_, number, maker) in self.children.items():  # makers come before what they make
            if maker in makers and number <= to_number:
                found.append(child)
                makers.add(child)
        return found

    def made_in(self) -> dict[int, dict[str, str]]:
        """Return by block what factories made there, each with its kind."""
        found: dict[int, dict[str, str]] = {}
        for address, child in self.children.items():
            found.setdefault(child.start, {})[address] = child.kind
        return found

    def family(self, address: str, since: int) -> Family:
        """Return what a named contract makes that is watched from block ``since`` on."""
        found = tuple(sorted(self._digests(self.named[address].kind)))
        return Family(since, found) if found else Family()

    def alone(self, address: str, family: Family) -> "Watch":
        """Return what would be watched of one named contract if it made only ``family``."""
        name = self.named[address].kind
        known = [f for digest, f in self._digests(name).items() if digest in family.factories]
        kinds = {**self.kinds, "": replace(self.kinds[name], factories=tuple(known))}
        return Watch(self.chain, kinds, {address: Named("", family.since)})

    def _digests(self, name: str) -> dict[str, Factory]:
        return {
            _digest(self.kinds, name, factory): factory for factory in self.kinds[name].factories
        }

    def form_of(self, address: str) -> MarketForm | None:
        """Return how the contract at ``address`` trades, if it does and is watched."""
        kind = self.kind_of(address)
        return None if kind is None else kind.market

    def discover(self, number: int, logs: Sequence[RawLog]) -> dict[str, str]:
        """Watch what factories made in block ``number``; return the new ones with their kinds.

        A contract made by one that was made in the same block is found too.
        """
        found: dict[str, str] = {}
        if not self._has_factories:
            return found
        while fresh := self._children_in(number, logs):
            self.children |= fresh
            found |= {address: child.kind for address, child in fresh.items()}
        return found

    def add(self, address: str, kind: str, number: int) -> None:
        """Watch a contract that a factory made in block ``number``."""
        self.children[address] = Named(kind, number)

    def forget(self, to_number: int) -> None:
        """Watch no longer what was made above block ``to_number``."""
        gone = [a for a, child in self.children.items() if child.start > to_number]
        for address in gone:
            del self.children[address]

    def matching(self, header: Header, logs: Sequence[RawLog]) -> list[ChainLog]:
        """Return the logs of watched contracts, decoded where that is possible."""
        records: list[ChainLog] = []
        sought: dict[str, tuple[str, Kind | None]] = {}  # a block has many logs of few contracts
        for log in logs:
            told = log.address
            if told not in sought:
                sought[told] = told.lower(), self._wanted(told.lower(), header.number)
            address, kind = sought[told]
            if kind is not None:
                records.append(self._record(header, log, address, kind))
        return records

    def _wanted(self, address: str, number: int) -> Kind | None:
        named = self.named.get(address) or self.children.get(address)
        return None if named is None or number < named.start else self.kinds[named.kind]

    def _children_in(self, number: int, logs: Sequence[RawLog]) -> dict[str, Named]:
        fresh: dict[str, Named] = {}
        for log in logs:
            maker = log.address.lower()
            kind = self._wanted(maker, number)
            if kind is None or not kind.factories:
                continue
            outcome = kind.events.decode(log.topics, log.data)
            for factory in kind.factories:
                if isinstance(outcome, Decoded) and outcome.event == factory.event:
                    address = str(outcome.args.get(factory.argument, ""))
                    self._find(fresh, address, Named(factory.kind, number, maker))
        return fresh

    def _find(self, fresh: dict[str, Named], address: str, child: Named) -> None:
        if len(address) != 42 or self.kind_of(address) is not None:
            return
        if len(self.children) + len(fresh) >= MAX_CONTRACTS:
            self.dropped += 1
        else:
            fresh[address] = child

    def _record(self, header: Header, log: RawLog, address: str, kind: Kind) -> ChainLog:
        outcome = kind.events.decode(log.topics, log.data)
        if isinstance(outcome, Undecoded):
            return self._undecoded(header, log, address, outcome.note)
        args, stream = outcome.args, address
        for name in kind.streams:
            if name in args:
                stream = f"{address}/{args[name]}"
                break
        return ChainLog(
            chain=self.chain,
            number=header.number,
            block_hash=header.hash,
            time_ms=header.time_ms,
            log_index=int(log.log_index, 16),
            tx_hash=log.transaction_hash,
            tx_index=int(log.transaction_index, 16),
            address=address,
            stream=stream,
            event=outcome.event,
            args=args,
            epoch=self.epoch,
        )

    def _undecoded(self, header: Header, log: RawLog, address: str, note: str) -> ChainLog:
        return ChainLog(
            chain=self.chain,
            number=header.number,
            block_hash=header.hash,
            time_ms=header.time_ms,
            log_index=log.index,
            tx_hash=log.transaction_hash,
            tx_index=int(log.transaction_index, 16),
            address=address,
            stream=address,
            event=None,
            topics=log.topics,
            data=log.data,
            note=note,
            epoch=self.epoch,
        )


def _digest(kinds: Mapping[str, Kind], name: str, factory: Factory) -> str:
    """Return what changes if ``factory``, or one of what it makes, finds other contracts."""
    reached = [factory.kind]
    for kind in reached:  # grows meanwhile
        reached += {each.kind for each in kinds[kind].factories} - {*reached}
    told = [_said(kinds[name], factory)]
    for kind in sorted(reached):
        told += sorted((kind, *_said(kinds[kind], each)) for each in kinds[kind].factories)
    return blake2b(repr(told).encode(), digest_size=8).hexdigest()


def _said(kind: Kind, factory: Factory) -> tuple[str, ...]:
    return factory.event, factory.argument, factory.kind, *kind.events.written(factory.event)

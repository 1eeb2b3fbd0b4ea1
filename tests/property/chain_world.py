"""A chain, followers that die or only seem to, Kafka in memory, and workers that die."""

from collections import defaultdict
from collections.abc import Generator, Sequence
from random import Random

import msgspec
from chains import POOLS, RULES, Block, FakeChain, new_pools, new_watch
from property.recompute import recompute
from property.test_candle_laws import Simulation, numbers

from chaintide.agents.book import Rules
from chaintide.agents.partition import Input
from chaintide.streams import codec
from chaintide.streams.chain.blocklog import BlockLog
from chaintide.streams.chain.blocks import Header, RawLog
from chaintide.streams.chain.follower import Follower
from chaintide.streams.chain.publishing import Outgoing, Plan, Publishing
from chaintide.streams.chain.records import BlockMessage, Owner, Summary
from chaintide.streams.chain.steps import Ask, Halt, HeaderAt, HeaderOf, LogsOf, Reject, Step
from chaintide.streams.chain.takeover import Takeover
from chaintide.streams.chain.verification import fault_of
from chaintide.streams.errors import FatalError
from chaintide.streams.records import Final, Undo
from chaintide.streams.topics import BLOCKS, TRADES

PARTITIONS = 3
NOW_MS = 2**42
_block_message = msgspec.json.Decoder(BlockMessage)


class World:
    def __init__(self, seed: int, rules: Rules) -> None:
        self.random = Random(seed)
        self.chain = FakeChain(self.random)
        self.trades: list[list[Input]] = [[] for _ in range(PARTITIONS)]
        self.block_log: list[bytes] = []
        self.settled = -1
        self.summed = 0  # where the last summary of an owner is
        self.owners = BlockLog()
        self.workers = [Simulation(self.trades[p], rules) for p in range(PARTITIONS)]
        self.hosts: list[Host] = []
        self.replaced: list[list[Block]] = []
        self.lies = 0.05
        self.rejected: dict[str, int] = defaultdict(int)
        self.started = 0
        self.start()

    # --------------------------------------------------------------- followers

    @property
    def host(self) -> "Host":
        return self.hosts[-1]

    def start(self) -> None:
        """Start a follower; those before it may live on."""
        self.started += 1
        self.hosts.append(Host(self, f"writer {self.started}"))

    def kill(self) -> None:
        """Kill every follower between two writes and start another."""
        self.hosts = []
        self.start()

    def write(self, outgoing: Outgoing) -> None:
        value = codec.encode(outgoing.record)
        if outgoing.topic is BLOCKS:
            self.block_log.append(value)
            if outgoing.record.epoch == self.owners.epoch:
                self._note(outgoing.record)
            if isinstance(outgoing.record, Owner):
                self.owners.on_record(outgoing.record)
        elif outgoing.topic is TRADES:
            log = self.trades[outgoing.partition]
            log.append(Input(outgoing.partition, len(log), NOW_MS, b"", value))

    def _note(self, record: object) -> None:
        match record:
            case Summary():
                self.summed = len(self.block_log) - 1
            case Final(number=number):
                self.settled = max(self.settled, number)
            case Undo(to_number=number):
                assert number >= self.settled, "no owner goes back below what it knows is final"

    def forget(self, share: float) -> None:
        """Lose some of the oldest of the block log, none of it from the last summary on."""
        gone = int(self.summed * share)
        del self.block_log[:gone]
        self.summed -= gone

    def read_log(self) -> BlockLog:
        log = BlockLog()
        for value in self.block_log:
            log.on_record(_block_message.decode(value))
        return log

    def run_hosts(self, steps: int) -> None:
        """Let the followers do ``steps`` things, the newest most of them."""
        for _ in range(steps):
            is_old = len(self.hosts) > 1 and self.random.random() < 0.3
            self.step(self.random.choice(self.hosts[:-1]) if is_old else self.host)

    def step(self, host: "Host") -> None:
        """Let ``host`` do one thing; one that finds itself replaced ends."""
        try:
            host.step()
        except FatalError as error:
            if "another follower" not in str(error):
                raise
            self.hosts.remove(host)
            if not self.hosts:
                self.start()

    # ------------------------------------------------------------------- chain

    def reorg(self, depth: int, length: int) -> None:
        if old := self.chain.reorg(depth, length):
            self.replaced.append(old)

    def flap_back(self) -> None:
        if self.replaced:
            self.chain.flap_back(self.random.choice(self.replaced[-4:]))

    # ------------------------------------------------------------------- check

    def finish(self) -> None:
        """Let everything that lives come to rest."""
        self.lies = 0.0
        self.hosts = self.hosts[-1:]
        for _ in range(100_000):
            self.step(self.host)
            if self.host.is_at_rest:
                break
        assert self.host.is_at_rest
        for worker in self.workers:
            while worker.next < len(worker.inputs):
                worker.step()
            worker.flush()

    def check(self) -> None:
        """After ``finish``: the candles are those of the canonical chain, and nothing else."""
        shown = defaultdict(dict)
        final = {}
        for worker in self.workers:
            assert not worker.late
            for batch in worker.published:
                shown[batch.market] |= {(c.interval, c.open_time_ms): c for c in batch.candles}
                for c in batch.candles:
                    if c.status == "final":
                        key = (batch.market, c.interval, c.open_time_ms)
                        assert numbers(final.setdefault(key, c)) == numbers(c)
        trades = self.chain.trades()
        for market in {pool.market for pool in POOLS.values()}:
            traded = {key: numbers(c) for key, c in shown[market].items() if c.trades}
            assert traded == recompute(trades.get(market, []))

    def check_the_block_log(self) -> None:
        """What the log says is finished is the canonical chain, each block in its place."""
        window = self.read_log().window
        assert [s.hash for s in window] == [self.chain.blocks[s.number].header.hash for s in window]
        assert window.last is not None
        assert window.last.number == len(self.chain.blocks) - 1


class Host:
    """One follower process: the product's logic, with a node that sometimes lies."""

    def __init__(self, world: World, writer: str) -> None:
        self.world = world
        self.writer = writer
        self.publishing = Publishing(new_watch(), new_pools(), PARTITIONS)
        self.follower: Follower | None = None
        self.is_at_rest = False
        self.sums_up = False  # as soon as it can
        self._life = self._live()

    def step(self) -> None:
        next(self._life)

    def _live(self) -> Generator[None]:
        takeover = Takeover(RULES, self.publishing, self.writer)
        log = self.world.read_log()
        while (plan := takeover.advance(log)) is not None:
            yield from self._write(plan)
            log = self.world.read_log()
            yield
        self.follower = follower = takeover.follower(log)
        while True:
            self._check_owner()
            if self.sums_up:
                self.sums_up = False
                made = self.publishing.watch.made_in()
                summary = log.summary(self.publishing.chain, made, now_ms=NOW_MS)
                yield from self._write(self.publishing.noting(summary))
            head = self._head()
            follower.on_head(head)
            while (ask := follower.ask()) is not None:
                yield from self._do(self._answer(follower, ask))
            if (final := self.world.chain.finalized) is not None:
                yield from self._do(follower.on_finalized(final))
            last = follower.window.last
            is_done = last is not None and last.hash == self.world.chain.head.hash
            self.is_at_rest = is_done and self._is_owner
            yield
            self.is_at_rest = False

    def _check_owner(self) -> None:
        """End if another has taken over; one that hangs may notice it late."""
        is_late = self.world.lies and self.world.random.random() < 0.7
        if not is_late and not self._is_owner:
            raise FatalError("another follower")

    @property
    def _is_owner(self) -> bool:
        return self.world.owners.is_owned_by(self.publishing.epoch, self.writer)

    def _do(self, steps: Sequence[Step]) -> Generator[None]:
        for step in steps:
            match step:
                case Reject(reason):
                    self.world.rejected[reason] += 1
                    yield
                case Halt(reason):
                    raise AssertionError(reason)
                case _:
                    yield from self._write(self.publishing.plan(step))

    def _write(self, plan: Plan) -> Generator[None]:
        for phase in plan:
            lanes: dict[tuple[str, int], list[Outgoing]] = defaultdict(list)
            for outgoing in phase:
                lanes[outgoing.topic.name, outgoing.partition].append(outgoing)
            while lanes:
                lane = self.world.random.choice(list(lanes))
                yield
                self.world.write(lanes[lane].pop(0))
                if not lanes[lane]:
                    del lanes[lane]

    def _head(self):
        random, chain = self.world.random, self.world.chain
        if random.random() < self.world.lies:
            return random.choice(chain.blocks[-5:]).header
        return chain.head

    def _answer(self, follower: Follower, ask: Ask) -> list[Step]:
        chain, random = self.world.chain, self.world.random
        is_lie = random.random() < self.world.lies
        match ask:
            case HeaderAt(number):
                header = chain.at(number - is_lie)
                return follower.on_header(ask, header)
            case HeaderOf(block_hash):
                block = chain.by_hash.get(block_hash)
                return follower.on_header(ask, None if is_lie or block is None else block.header)
            case LogsOf(header):
                block = chain.by_hash[header.hash]
                if is_lie:
                    return follower.on_logs(ask, self._spoilt(header, list(block.logs)))
                is_gone = block not in chain.blocks and random.random() < 0.5
                return follower.on_logs(ask, None if is_gone else block.logs)

    def _spoilt(self, header: Header, logs: list[RawLog]) -> list[RawLog] | None:
        """A wrong answer. A cut tail that leaves the bloom as it was is the one nobody can see."""
        if not logs:
            return None
        place = self.world.random.randrange(len(logs))
        match self.world.random.choice(["cut", "drop", "twice", "empty"]):
            case "cut":
                del logs[place:]
            case "drop":
                del logs[place]
            case "twice":
                logs.insert(place, logs[place])
            case _:
                logs = []
        return logs if fault_of(header, logs) else None


def run_seed(seed: int) -> World:
    """Live through one random history, with crashes everywhere, and check its end."""
    random = Random(seed)
    rivals = random.choice([0.04, 0.2, 0.28])
    world = World(seed, Rules(horizon_us=random.choice([600, 86_400]) * 1_000_000))
    for _ in range(random.randint(20, 60)):
        match random.random():
            case x if x < 0.5:
                world.chain.grow(random.choice([1, 1, 2, 4]))
            case x if x < 0.62:
                depth = random.randint(1, 8)
                world.reorg(depth, max(1, depth + random.choice([-2, 0, 1, 1])))
            case x if x < 0.67:
                world.flap_back()
            case x if x < 0.72:
                world.kill()
            case x if x < 0.72 + rivals:
                world.start()
            case _:
                pass
        world.run_hosts(random.randint(0, 120))
        for worker in world.workers:
            live(worker, random)
    world.finish()
    world.check()
    world.check_the_block_log()
    return world


def live(worker: Simulation, random: Random) -> None:
    """Let a worker read, write, and die now and then."""
    for _ in range(random.randint(0, 60)):
        worker.step()
    match random.random():
        case x if x < 0.3:
            worker.emit()
        case x if x < 0.6:
            worker.flush()
        case x if x < 0.65:
            worker.tear(random.randint(0, 12))
        case x if x < 0.7:
            worker.crash(random.randint(0, 4))

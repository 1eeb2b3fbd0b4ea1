"""Anomalies of a partition: the same however inputs are cut off and begun again."""

import random
from collections.abc import Iterable

import msgspec
from anomalies import SECOND_US, Street

from chaintide.agents.anomalies import partition
from chaintide.agents.anomalies.changelog import AnomalyRecovery, owner_entry
from chaintide.agents.anomalies.partition import AnomaliesLogic
from chaintide.agents.partition import Input
from chaintide.streams import codec
from chaintide.streams.anomalies import Anomaly, AnomalyBatch
from chaintide.streams.chain.records import ChainLog, Head
from chaintide.streams.records import Final, Heartbeat, Market, Undo
from chaintide.streams.topics import CHAIN, TRADES, Topic

BUDGET = 2.0
POOL = Market("5151:0xa1/0x01")
NOW_MS = 10**13


def message(offset: int, record: object) -> Input:
    return Input(0, offset, NOW_MS, b"k", codec.encode(record))


class Run:
    """A detector with the topics it writes, that can be killed."""

    def __init__(self, source: Topic = TRADES) -> None:
        self.source = source
        self.changelog: dict[bytes, bytes] = {}
        self.written: list[Anomaly] = []
        self.begin()

    def begin(self) -> None:
        recovery = AnomalyRecovery(self.source)
        for key, value in self.changelog.items():
            recovery.on_entry(key, value)
        self.logic = AnomaliesLogic(self.source, BUDGET, recovery)
        key, value = owner_entry(self.source, self.logic.generation)
        assert value is not None
        self.changelog[key] = value

    def feed(self, inputs: Iterable[Input]) -> None:
        for one in inputs:
            self.logic.on_input(one)
            for batch in self.logic.drain():
                self.written += batch.anomalies

    def save(self, entries: int | None = None) -> None:
        """Write down the state; with ``entries`` be killed after so many records."""
        for key, value in list(self.logic.checkpoint())[:entries]:
            assert value is not None
            self.changelog[key] = value

    def state(self) -> dict[str, object]:
        self.save()
        saved = [(k.decode(), msgspec.json.decode(v)) for k, v in self.changelog.items()]
        return {k: v[2:] for k, v in saved if isinstance(v, list)}

    @property
    def told(self) -> dict[str, Anomaly]:
        """The last form of each anomaly, as a reader has it in the end."""
        return {one.anomaly_id: one for one in self.written}


def world() -> list[Input]:
    """Two exchange markets and a pool with reorgs, with strange trades in all of them."""
    rng = random.Random(4)
    streets = [Street(Market(f"kraken:M{n}-USD"), seed=n) for n in range(2)]
    pool = Street(POOL, seed=7)
    records: list[object] = []
    block = 1
    for turn in range(2_200):
        for street in streets:
            is_strange = turn > 1_300 and rng.random() < 0.01
            records.append(street.one(size=900.0) if is_strange else street.message(3))
        block += 1
        is_strange = turn > 1_300 and rng.random() < 0.015
        records.append(
            pool.one(size=900.0, trader=f"0xn{turn}", block=block)
            if is_strange
            else pool.message(3, people=50, block=block)
        )
        if rng.random() < (0.5 if is_strange else 0.05):
            back = rng.randrange(1, 4)
            records.append(Undo(chain="5151", to_number=block - back, epoch=1))
            block -= back
        if turn % 20 == 19:
            number = max(0, block - 8)
            records.append(Final(chain="5151", number=number, block_hash="", time_ms=0, epoch=1))
            records.append(Heartbeat(venue="kraken", time_us=streets[0].time_us))
    return [message(offset, record) for offset, record in enumerate(records)]


def test_fifty_kills_change_neither_what_is_told_nor_what_is_known():
    inputs, chance = world(), random.Random(3)
    clean = Run()
    clean.feed(inputs)
    assert {one.status for one in clean.told.values()} == {"raised", "withdrawn"}
    assert len(clean.told) > 8
    run, saved = Run(), 0
    for cut in sorted(chance.sample(range(1, len(inputs)), 50)):
        begin = max(0, saved - chance.randrange(3))  # redelivery begins anywhere before it
        run.feed(inputs[begin:cut])
        if chance.random() < 0.7:
            is_whole = chance.random() < 0.7
            run.save(None if is_whole else chance.randrange(4))
            saved = cut if is_whole else saved
        run.begin()  # what was in memory is gone
    run.feed(inputs[saved:])
    assert run.told == clean.told
    assert {one.anomaly_id for one in run.written} == {one.anomaly_id for one in clean.written}
    assert run.state() == clean.state()


def test_a_higher_generation_wins_and_the_next_owner_is_above_it():
    run = Run()
    run.feed(world()[:40])
    run.save()
    first = run.logic.generation
    run.begin()
    assert run.logic.generation == first + 1
    recovery = AnomalyRecovery(TRADES)
    newest = dict(run.changelog)
    for key, value in [*newest.items(), *[(k, v) for k, v in newest.items() if b"course" in k]]:
        recovery.on_entry(key, value)
    [saved, *_] = recovery.courses.values()
    stale = msgspec.structs.replace(saved, generation=0)
    of = next(iter(recovery.courses))
    recovery.on_entry(f"trades|course|{of[0]}|".encode(), codec.encode(stale))
    assert recovery.courses[of] == saved


def test_trades_and_events_share_a_topic_without_mixing():
    trades, events = Run(), Run(CHAIN)
    trades.feed(world()[:40])
    events.feed([message(0, log(1, "Deposited", {"amount": "5", "user": "0x1"}))])
    trades.save()
    events.save()
    both = trades.changelog | events.changelog
    for source, known in ((TRADES, trades), (CHAIN, events)):
        recovery = AnomalyRecovery(source)
        for key, value in both.items():
            recovery.on_entry(key, value)
        assert {of for of, _ in recovery.courses.items()} == set(known.logic._markets)


def log(number: int, event: str | None, args: dict[str, object], index: int = 0) -> ChainLog:
    return ChainLog(
        chain="5151",
        number=number,
        block_hash=f"0xb{number}",
        time_ms=number * 2_000,
        log_index=index,
        tx_hash="0x",
        tx_index=0,
        address="0xvault",
        stream="0xvault",
        event=event,
        args=args,
        epoch=1,
    )


def deposits(number: int, seed: int = 1) -> list[ChainLog]:
    rng = random.Random(seed)
    return [
        log(n, "Deposited", {"amount": str(round(rng.lognormvariate(20, 0.7))), "user": "0x1"})
        for n in range(1, number)
    ]


def test_a_strange_event_of_a_contract_is_told_by_its_place_in_the_log():
    run, logs = Run(CHAIN), deposits(3_000)
    odd = log(3_001, "Deposited", {"amount": str(10**15), "user": "0xwhale"}, index=4)
    run.feed(message(n, one) for n, one in enumerate([*logs, odd]))
    found = run.written[-1]
    assert (found.market, found.event, found.kind) == ("5151:0xvault", "Deposited", "size")
    assert (found.log, found.trade_id, found.address) == ("0xb3001:4", None, "0xwhale")
    run.feed([message(4_000, Undo(chain="5151", to_number=3_000, epoch=1))])
    assert run.written[-1] == msgspec.structs.replace(found, status="withdrawn")


def test_a_stream_may_have_any_name():
    run = Run(CHAIN)
    odd = msgspec.structs.replace(log(1, "Deposited", {"amount": 5}), stream="0xvault/a|b|")
    run.feed([message(0, odd)])
    run.save()
    run.begin()
    assert set(run.logic._markets) == {("5151:0xvault/a|b|", "Deposited")}


def test_swaps_and_what_cannot_be_decoded_are_not_events():
    run = Run(CHAIN)
    logs = [log(1, "Swap", {"amount": "5"}), log(1, None, {}), log(1, "Sync", {"reserve0": 1})]
    run.feed(message(n, one) for n, one in enumerate(logs))
    run.feed([message(9, Head(chain="5151", number=1, block_hash="", time_ms=0, epoch=1))])
    run.save()
    assert [key for key in run.changelog if b"course" in key] == []


def test_what_a_replaced_follower_writes_or_comes_after_final_is_left_out():
    run, pool = Run(), Street(POOL)
    final = Final(chain="5151", number=5, block_hash="", time_ms=0, epoch=2)
    old = msgspec.structs.replace(pool.message(1, people=1, block=9), epoch=1)
    below = msgspec.structs.replace(pool.message(1, people=1, block=5), epoch=2)
    run.feed(message(n, one) for n, one in enumerate((final, old, below)))
    run.feed([message(3, Undo(chain="5151", to_number=0, epoch=1))])
    run.save()
    assert [key for key in run.changelog if b"course" in key] == []


def test_what_cannot_be_understood_or_is_impossible_is_left_out():
    run = Run()
    street = Street()
    batch = msgspec.structs.replace(street.message(2), prices=[-1, 10**6])
    every = msgspec.structs.replace(street.message(1), sizes=[0])
    run.feed([Input(0, 0, NOW_MS, b"", b"{broken"), message(1, batch), message(2, every)])
    assert run.logic.unread == 1
    run.save()
    [course] = [v for k, v in run.changelog.items() if b"course" in k]
    assert msgspec.json.decode(course)[2]["cell"][2] == 1
    newer = Run(CHAIN)
    newer.feed([message(0, msgspec.structs.replace(log(1, "Deposited", {}), v=2))])
    assert newer.logic.unread == 1


def test_more_markets_than_fit_are_counted(monkeypatch):
    monkeypatch.setattr(partition, "MAX_MARKETS", 2)
    run = Run()
    run.feed(message(n, Street(Market(f"x:{n}")).message(1)) for n in range(4))
    assert run.logic.unseen == 2


def test_a_topic_that_was_made_anew_is_read_again():
    run = Run()
    run.feed(world()[:40])
    run.save()
    run.begin()
    assert run.logic.applied == 39
    run.logic.restart()
    assert run.logic.applied == -1


def test_what_is_told_at_once_is_one_record_a_market():
    run, street = Run(), Street()
    inputs = [message(n, batch) for n, batch in enumerate(street.trades(12_000))]
    run.feed(inputs)
    for n in range(60):
        run.logic.on_input(message(len(inputs) + n, street.one(after_us=SECOND_US // 1000)))
    [batch] = run.logic.drain()
    assert isinstance(batch, AnomalyBatch)
    assert len(batch.anomalies) == 1
    assert batch.offset == len(inputs) + 59
    assert run.logic.drain() == []

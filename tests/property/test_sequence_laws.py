"""Every trade comes out exactly once, whatever the socket and REST do in between.

What is still a gap in the end are the ids that no answer of REST has listed, and nothing else.
"""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from chaintide.streams.feeds.adapter import Page, VenueTrade
from chaintide.streams.feeds.sequence import (
    HOLD_MS,
    REFUSED_RETRY_MS,
    REORDER_MS,
    RETRY_MS,
    Delivery,
    Fetch,
    SequenceLogic,
)
from chaintide.streams.records import Gap, Market

MARKET = Market("kraken:BTC-USD")
EDGES = [1, REORDER_MS - 1, REORDER_MS, RETRY_MS, HOLD_MS - 1, HOLD_MS, REFUSED_RETRY_MS]


def trade(trade_id: int, time_us: int | None = None) -> VenueTrade:
    return VenueTrade(
        symbol="BTC/USD",
        id=trade_id,
        time_us=trade_id * 1000 if time_us is None else time_us,
        price=(1, 0),
        size=(1, 0),
        side="b",
    )


def inside(gap: Gap) -> range:
    """Return the ids of the trades that happened, if they did, strictly within the gap."""
    return range(gap.from_us // 1000 + 1, gap.to_us // 1000)


class Exchange(RuleBasedStateMachine):
    """A venue that trades, a socket that loses, repeats and reorders, a REST that lags."""

    def __init__(self):
        super().__init__()
        self.logic = SequenceLogic(MARKET)
        self.now_ms = 0
        self.ids = [100]
        self.socket: list[int] | None = None
        self.seen: set[int] = set()
        self.baseline: int | None = None
        self.in_order: list[int] = []
        self.filled_later: list[int] = []
        self.open_gaps: list[Gap] = []
        self.fetch: Fetch | None = None

    def apply(self, outputs, into):
        for output in outputs:
            match output:
                case Delivery(trades):
                    into += [t.id for t in trades]
                case Gap(filled=True):
                    self.open_gaps.remove(
                        Gap(
                            market=output.market,
                            from_us=output.from_us,
                            to_us=output.to_us,
                            reason=output.reason,
                        )
                    )
                case Gap():
                    assert output.from_us < output.to_us
                    self.open_gaps.append(output)
                case Fetch():
                    assert self.fetch is None, "one fetch at a time"
                    self.fetch = output

    def receive(self, ids):
        if ids:
            self.baseline = min(ids) if self.baseline is None else self.baseline
            self.seen.update(ids)
            trades = [trade(i) for i in ids]
            self.apply(self.logic.on_trades(trades, now_ms=self.now_ms), self.in_order)

    @rule(count=st.integers(1, 6), skipped=st.sampled_from([0, 0, 0, 1]))
    def trade(self, count, skipped):
        first = self.ids[-1] + 1 + skipped
        new = range(first, first + count)
        self.ids += new
        if self.socket is not None:
            self.socket += new

    @precondition(lambda self: not self.socket and self.socket is None)
    @rule(replayed=st.integers(0, 5))
    def connect(self, replayed):
        self.socket = []
        self.logic.on_subscribed(now_ms=self.now_ms)
        self.receive(self.ids[len(self.ids) - replayed :])

    @precondition(lambda self: self.socket is not None)
    @rule()
    def disconnect(self):
        self.socket = None
        self.logic.on_disconnect()

    @precondition(lambda self: self.socket)
    @rule(data=st.data())
    def deliver(self, data):
        count = data.draw(st.integers(1, len(self.socket)))
        head, self.socket = self.socket[:count], self.socket[count:]
        repeats = data.draw(st.lists(st.sampled_from(head), max_size=2))
        order = data.draw(st.permutations(head + repeats))
        cut = data.draw(st.integers(0, len(order)))
        self.receive(order[:cut])
        self.receive(order[cut:])

    @precondition(lambda self: self.socket)
    @rule(count=st.integers(1, 3))
    def lose(self, count):
        del self.socket[:count]

    @precondition(lambda self: self.socket is not None)
    @rule(lost=st.integers(1, 3))
    def jump(self, lost):
        self.trade(lost, 0)
        self.lose(len(self.socket))
        self.trade(1, 0)
        self.receive(self.socket)
        self.socket = []
        self.wait(REORDER_MS)

    @rule(ms=st.sampled_from(EDGES))
    def wait(self, ms):
        self.now_ms += ms
        self.apply(self.logic.on_tick(now_ms=self.now_ms), self.in_order)

    @precondition(lambda self: self.fetch is not None)
    @rule(size=st.sampled_from([2, 5]), behind=st.integers(0, 3), overlap=st.integers(0, 2))
    def answer(self, size, behind, overlap):
        fetch, self.fetch = self.fetch, None
        visible = self.ids[: len(self.ids) - behind]
        older = [i for i in visible if i <= fetch.after.id][-overlap:] if overlap else []
        newer = [i for i in visible if i > fetch.after.id]
        page = Page([trade(i) for i in older + newer[:size]], is_full=len(newer) >= size)
        into = self.in_order if fetch.missing is None else self.filled_later
        self.apply(self.logic.on_page(fetch, page, now_ms=self.now_ms), into)

    @precondition(lambda self: self.fetch is not None)
    @rule(retry_ms=st.sampled_from([None, RETRY_MS]))
    def refuse(self, retry_ms):
        fetch, self.fetch = self.fetch, None
        outputs = self.logic.on_failure(fetch, "refused", now_ms=self.now_ms, retry_ms=retry_ms)
        self.apply(outputs, self.in_order)

    @invariant()
    def nothing_comes_twice_and_order_holds(self):
        assert all(a < b for a, b in zip(self.in_order, self.in_order[1:], strict=False))
        delivered = self.in_order + self.filled_later
        assert len(set(delivered)) == len(delivered)
        assert set(delivered) <= set(self.ids)

    @invariant()
    def caught_up_means_that_all_it_saw_is_out(self):
        if self.logic.is_caught_up and self.logic.last is not None:
            assert all(i <= self.logic.last.id for i in self.seen)

    def teardown(self):
        if self.socket is None:
            self.connect(0)
        self.trade(1, 0)
        self.receive(self.socket)
        for _ in range(200):
            self.wait(REFUSED_RETRY_MS)
            if self.fetch is not None:
                self.answer(5, 0, 0)
        expected = {i for i in self.ids if i >= self.baseline}
        assert set(self.in_order + self.filled_later) == expected
        numbered = range(self.baseline, self.ids[-1])
        assert {i for gap in self.open_gaps for i in inside(gap)} == set(numbered) - set(self.ids)
        assert self.logic.is_caught_up


TestExchange = Exchange.TestCase
TestExchange.settings = settings(max_examples=300, stateful_step_count=30, deadline=None)

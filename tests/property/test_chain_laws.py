"""Laws of chains: whatever is taken back or killed, candles are those of the canonical chain.

``CHAIN_HISTORIES=500`` lets the state machine live through 500 histories instead of 150.
"""

import os

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from property.chain_world import PARTITIONS, World, run_seed

from chaintide.agents import bars
from chaintide.agents.book import Rules

STEPS = st.integers(1, 60)
WORKERS = st.integers(0, PARTITIONS - 1)


@pytest.fixture(scope="module", autouse=True)
def few_traders():
    """Let candles have more traders than are counted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bars, "MAX_TRADERS", 3)
        yield


class ChainHistory(RuleBasedStateMachine):
    """Anything may happen after anything; every so often all comes to rest and is compared."""

    @initialize(seed=st.integers(0, 2**32), horizon_s=st.sampled_from([600, 86_400]))
    def begin(self, seed, horizon_s):
        self.world = World(seed, Rules(horizon_us=horizon_s * 1_000_000))

    @rule(count=st.integers(1, 4), steps=STEPS)
    def grow(self, count, steps):
        self.world.chain.grow(count)
        self.world.run_hosts(steps)

    @rule(depth=st.integers(1, 11), longer=st.integers(-2, 2))
    def reorg(self, depth, longer):
        self.world.reorg(depth, max(1, depth + longer))

    @rule()
    def flap_back(self):
        self.world.flap_back()

    @rule(steps=STEPS)
    def follow(self, steps):
        self.world.run_hosts(steps)

    @rule()
    def sum_up(self):
        for host in self.world.hosts:
            host.sums_up = True

    @rule(share=st.sampled_from([0.5, 1]))
    def forget_of_the_block_log(self, share):
        self.world.forget(share)

    @rule()
    def kill_the_followers(self):
        self.world.kill()

    @rule()
    def start_another_follower(self):
        self.world.start()

    @rule(partition=WORKERS, steps=STEPS)
    def work(self, partition, steps):
        for _ in range(steps):
            self.world.workers[partition].step()

    @rule(partition=WORKERS)
    def emit(self, partition):
        self.world.workers[partition].emit()

    @rule(partition=WORKERS)
    def flush(self, partition):
        self.world.workers[partition].flush()

    @rule(partition=WORKERS, records=st.integers(0, 12))
    def tear_a_flush(self, partition, records):
        self.world.workers[partition].tear(records)

    @rule(partition=WORKERS, records=st.integers(0, 4))
    def kill_a_worker(self, partition, records):
        self.world.workers[partition].crash(records)

    @rule()
    def compare(self):
        self.world.finish()
        self.world.check()
        self.world.check_the_block_log()
        self.world.lies = 0.05

    def teardown(self):
        if hasattr(self, "world"):
            self.compare()


TestChainHistory = ChainHistory.TestCase
TestChainHistory.settings = settings(
    max_examples=int(os.environ.get("CHAIN_HISTORIES", "150")),
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 500, 50))
def test_candles_equal_a_recompute_after_any_of_500_random_histories(first):
    rejected, candles = set(), 0
    for seed in range(first, first + 50):
        world = run_seed(seed)
        rejected |= world.rejected.keys()
        candles += sum(len(b.candles) for worker in world.workers for b in worker.published)
    assert candles > 10_000
    assert {"bloom differs", "log index missing", "no such block", "wrong header"} <= rejected

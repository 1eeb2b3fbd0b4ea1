from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given
from hypothesis import strategies as st

from chaintide.streams.partitions import partition_of
from chaintide.streams.records import Market


@given(st.text(min_size=1), st.integers(1, 64))
def test_a_market_lives_where_every_kafka_client_puts_its_key(market, partitions):
    everywhere = list(range(partitions))
    theirs = DefaultPartitioner()(market.encode(), everywhere, everywhere)
    assert partition_of(Market(market), partitions) == theirs

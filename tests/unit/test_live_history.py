from chaintide.api.live.history import History
from chaintide.api.live.limits import Limits
from chaintide.api.live.update import Update

CHANNEL = "candles:kraken:BTC-USD:1m"


def update(seq: int, key: int = 0, published_ms: int = 0, data: bytes = b"{}") -> Update:
    return Update(
        channel=CHANNEL,
        seq=seq,
        key=key,
        type="update",
        event_ms=seq,
        published_ms=published_ms,
        data=data,
    )


def history(*updates: Update, floor: int = 0, **limits: int) -> History:
    made = History(floor, Limits(**limits))
    assert all(made.append(each) for each in updates)
    return made


def test_a_history_without_updates_is_at_its_floor():
    assert history(floor=7).head == 7
    part = history(floor=7).part_after(7, is_buffer=True)
    assert part is not None
    assert (part.data, part.seq, part.has_more) == (b"", 7, False)


def test_a_repeat_changes_nothing():
    held = history(update(5), update(9))
    assert [held.append(update(seq)) for seq in (5, 7, 9)] == [False, False, False]
    assert held.head == 9


def test_at_its_count_the_oldest_goes_and_the_floor_is_its_seq():
    held = history(update(5), update(6), update(7), history_updates=2)
    assert held.floor == 5
    assert [held.has_since(seq) for seq in (4, 5, 6, 7, 8)] == [False, True, True, True, True]
    assert held.part_after(4, is_buffer=True) is None
    assert held.part_after(5, is_buffer=True) is not None


def test_at_its_bytes_the_oldest_go():
    held = history(*(update(seq, data=b"1" * 10) for seq in range(1, 5)), history_bytes=20)
    assert held.floor == 2
    held.append(update(5, data=b"1" * 20))
    assert held.floor == 4


def test_an_update_larger_than_all_the_room_is_forgotten_at_once():
    held = history(update(5, data=b"1" * 21), history_bytes=20)
    assert (held.floor, held.head) == (5, 5)


def test_a_buffer_gets_all_in_a_chain():
    part = history(update(5, data=b"50"), update(9, data=b"90")).part_after(3, is_buffer=True)
    assert part is not None
    assert part.data.decode().splitlines() == [
        (
            '{"ch":"candles:kraken:BTC-USD:1m","type":"update","seq":5,"prev":3,"conflated":0,'
            '"te":5,"tp":0,"data":50}'
        ),
        (
            '{"ch":"candles:kraken:BTC-USD:1m","type":"update","seq":9,"prev":5,"conflated":0,'
            '"te":9,"tp":0,"data":90}'
        ),
    ]
    assert (part.seq, part.has_more, part.is_light) == (9, False, True)


def test_latest_gets_the_newest_of_each_key_in_order_and_counts_the_rest():
    held = history(update(1, 1), update(2, 2), update(3, 1), update(4, 3), update(5, 1))
    part = held.part_after(0, is_buffer=False)
    assert part is not None
    lines = [line.split(b'"seq":')[1].split(b',"te"')[0] for line in part.data.split(b"\n")]
    assert lines == [
        b'2,"prev":0,"conflated":1',
        b'4,"prev":2,"conflated":1',
        b'5,"prev":4,"conflated":0',
    ]


def test_a_part_ends_at_its_bound_and_the_next_goes_on():
    held = history(*(update(seq, seq) for seq in range(1, 4)), part_bytes=1)
    parts = [held.part_after(seq, is_buffer=False) for seq in range(4)]
    assert [(part.seq, part.has_more) for part in parts if part] == [
        (1, True),
        (2, True),
        (3, False),
        (3, False),
    ]


def test_a_client_ahead_is_sent_nothing_and_stays_where_it_is():
    part = history(update(5)).part_after(8, is_buffer=True)
    assert part is not None
    assert (part.data, part.seq, part.has_more) == (b"", 8, False)


def test_time_finds_the_position_before_the_first_update_of_that_time():
    held = history(update(5, published_ms=100), update(6, published_ms=100), floor=3)
    held.append(update(7, published_ms=200))
    held.append(update(8, published_ms=150))
    assert held.position_at(100) is None, "something before the floor may be of the same time"
    assert [held.position_at(ms) for ms in (101, 150, 200, 201)] == [6, 6, 6, 8]


def test_time_below_the_floor_is_not_recovered_even_if_times_go_back():
    times = {4: 100, 5: 300, 6: 200}
    held = history(*(update(seq, published_ms=times[seq]) for seq in times), history_updates=1)
    assert held.floor == 5
    assert [held.position_at(ms) for ms in (200, 300, 301)] == [None, None, 6]


def test_time_is_unknown_before_the_first_update():
    assert history(floor=7).position_at(10**15) is None


def test_half_of_its_room_being_new_is_noticed_until_a_flush():
    held = history(update(1), history_updates=4)
    assert not held.is_half_new
    held.append(update(2))
    assert held.is_half_new
    held.on_flush()
    assert not held.is_half_new
    assert history(update(1, data=b"1" * 10), history_bytes=20).is_half_new

"""Nothing may be missing from a block, be in it twice, or stand in another place."""

import msgspec
import pytest
from real_blocks import BLOCKS, real_block, real_receipts

from chaintide.streams.chain.blocks import Header, RawLog, header_of, logs_in
from chaintide.streams.chain.bloom import AddressFilter, bloom_bits, bloom_of
from chaintide.streams.chain.receipts import RawReceipt, receipts_in, receipts_root
from chaintide.streams.chain.verification import (
    doubtful,
    fault_of,
    fault_of_header,
    fault_of_headers,
    fault_of_range,
    fault_of_told,
)
from chaintide.streams.errors import BadRecordError


@pytest.mark.parametrize("number", BLOCKS)
def test_a_real_block_is_right(number):
    header, logs, _ = real_block(number)
    assert fault_of(header, logs) is None
    assert len(logs) == {4_369_999: 171, 18_500_000: 408}[number]


ANVIL = {  # a block of anvil under the rules of Prague
    "hash": "0x597b0f9539da85b238af3a772a8caa282dcdb57974fb1adc0be47bf8faccd884",
    "parentHash": "0x74c5a4dfe3de554d6a0e60231408c649eca13ba55870775eb48094f151a238cf",
    "sha3Uncles": "0x1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347",
    "miner": "0x0000000000000000000000000000000000000000",
    "stateRoot": "0x66186c4c66db0fcd9e902f8a02ed328903d102e71cb0016d88115f45b71a8b9b",
    "transactionsRoot": "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421",
    "receiptsRoot": "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421",
    "logsBloom": "0x" + "00" * 256,
    "difficulty": "0x0",
    "number": "0x8",
    "gasLimit": "0x1c9c380",
    "gasUsed": "0x0",
    "timestamp": "0x6b028195",
    "extraData": "0x",
    "mixHash": "0xdb56ae33b48859f5cdb5ea337ab88cded367fa1566a0095aed798b746cdd229a",
    "nonce": "0x0000000000000000",
    "baseFeePerGas": "0x11f04376",
    "withdrawalsRoot": "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421",
    "blobGasUsed": "0x0",
    "excessBlobGas": "0x0",
    "parentBeaconBlockRoot": "0x" + "00" * 32,
    "requestsHash": "0xe3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "totalDifficulty": "0x0",
    "size": "0x267",
    "uncles": [],
    "transactions": [],
    "withdrawals": [],
}
BESIDE = {"hash", "totalDifficulty", "size", "uncles", "transactions", "withdrawals"}


@pytest.mark.parametrize("number", BLOCKS)
def test_a_real_block_goes_by_the_hash_of_its_fields(number):
    header, _, _ = real_block(number)
    assert header.sealed == header.hash


@pytest.mark.parametrize("name", sorted({*ANVIL} - BESIDE))
def test_any_field_that_is_changed_or_left_out_changes_the_hash(name):
    header = header_of(ANVIL)
    assert (header.sealed, fault_of_header(header)) == (header.hash, None)
    changed = header_of(ANVIL | {name: ANVIL[name][:-1] + "3" if len(ANVIL[name]) > 3 else "0x33"})
    assert fault_of_header(changed) == "hash differs"
    left_out = {key: value for key, value in ANVIL.items() if key != name}
    if name not in {"number", "parentHash", "timestamp"}:
        assert header_of(left_out).sealed != header.hash


@pytest.mark.parametrize("more", [{"blockAccessListHash": "0x" + "00" * 32}, {"nonce": None}])
def test_a_header_of_another_form_is_not_judged_by_its_hash(more):
    header = header_of(ANVIL | more)
    assert (header.sealed, fault_of_header(header)) == ("", None)


@pytest.mark.parametrize("start", ["0X", "x", ""])
def test_a_field_of_a_header_that_does_not_begin_with_0x_is_refused(start):
    with pytest.raises(BadRecordError, match="not a header: stateRoot"):
        header_of(ANVIL | {"stateRoot": start + ANVIL["stateRoot"][2:]})


@pytest.mark.parametrize("number", BLOCKS)
def test_any_single_log_that_is_dropped_changes_the_receipts(number):
    header, logs, _ = real_block(number)
    receipts = real_receipts(number)
    assert fault_of(header, logs, root=receipts_root(receipts)) is None
    for row, receipt in enumerate(receipts):
        for place in range(len(receipt.logs)):
            kept = [log for n, log in enumerate(receipt.logs) if n != place]
            spoilt = [*receipts]
            spoilt[row] = msgspec.structs.replace(receipt, logs=kept)
            told = [log for one in spoilt for log in one.logs]
            assert fault_of(header, told, root=receipts_root(spoilt))


@pytest.mark.parametrize("number", BLOCKS)
def test_any_cut_tail_changes_the_receipts(number):
    header, logs, _ = real_block(number)
    receipts = real_receipts(number)
    for row, receipt in reversed([*enumerate(receipts)]):
        for left in range(len(receipt.logs)):
            cut = msgspec.structs.replace(receipt, logs=receipt.logs[:left])
            spoilt = [*receipts[:row], cut]
            told = [log for one in spoilt for log in one.logs]
            assert fault_of(header, told, root=receipts_root(spoilt)) == "receipts differ"
    assert len(logs) == sum(len(receipt.logs) for receipt in receipts)


@pytest.mark.parametrize("number", BLOCKS)
def test_any_single_log_that_is_cut_short_changes_the_receipts(number):
    header, _, _ = real_block(number)
    receipts = real_receipts(number)
    for row, receipt in enumerate(receipts):
        for place, log in enumerate(receipt.logs):
            cut = {"data": log.data[:-2]} if len(log.data) > 2 else {"topics": log.topics[:-1]}
            inside = [*receipt.logs]
            inside[place] = msgspec.structs.replace(log, **cut)
            spoilt = [*receipts]
            spoilt[row] = msgspec.structs.replace(receipt, logs=inside)
            told = [log for one in spoilt for log in one.logs]
            assert fault_of(header, told, root=receipts_root(spoilt)) is not None


def test_any_changed_byte_changes_the_receipts():
    header, logs, _ = real_block(18_500_000)
    receipts = real_receipts(18_500_000)
    log = receipts[0].logs[0]
    for change in ({"data": log.data[:-1] + "f"}, {"topics": log.topics[:2]}):
        inside = [msgspec.structs.replace(log, **change), *receipts[0].logs[1:]]
        spoilt = [msgspec.structs.replace(receipts[0], logs=inside), *receipts[1:]]
        assert fault_of(header, logs, root=receipts_root(spoilt)) == "receipts differ"


@pytest.mark.parametrize("start", ["0X", "zz", "x0", ""])
def test_bytes_of_a_log_that_do_not_begin_with_0x_are_refused(start):
    """Nothing is hashed of their beginning, and nobody would know such an address again."""
    receipt = real_receipts(18_500_000)[0]
    log = receipt.logs[0]
    for change in (
        {"address": start + log.address[2:]},
        {"topics": [start + log.topics[0][2:], *log.topics[1:]]},
        {"data": start + log.data[2:]},
    ):
        told = msgspec.structs.replace(receipt, logs=[msgspec.structs.replace(log, **change)])
        with pytest.raises(BadRecordError, match="not receipts"):
            receipts_root([told])


@pytest.mark.parametrize("start", ["0X", "zz", "x0", "0x "])
def test_without_receipts_an_address_that_nobody_would_know_again_is_malformed(start):
    header, logs, _ = real_block(18_500_000)
    spoilt = msgspec.structs.replace(logs[0], address=start + logs[0].address[2:])
    assert fault_of(header, [spoilt, *logs[1:]]) == "malformed log"


@pytest.mark.parametrize("raw", [b"", b"5", b"[{}]", b'[{"logs": []}]', b"\xff"])
def test_what_are_no_receipts_is_refused(raw):
    with pytest.raises(BadRecordError, match="not receipts"):
        receipts_in(raw)
    bad = RawReceipt(cumulative_gas_used="0x1", logs_bloom="0xzz", logs=[])
    with pytest.raises(BadRecordError, match="not receipts"):
        receipts_root([bad])


@pytest.mark.parametrize("number", BLOCKS)
def test_without_receipts_indexes_and_bloom_find_every_drop_but_at_the_end(number):
    header, logs, _ = real_block(number)
    for place in range(len(logs) - 1):
        assert fault_of(header, logs[:place] + logs[place + 1 :]) == "log index missing"


@pytest.mark.parametrize("number", BLOCKS)
def test_any_log_that_is_told_twice_is_found(number):
    header, logs, _ = real_block(number)
    for place, log in enumerate(logs):
        assert fault_of(header, [*logs[:place], log, *logs[place:]]) == "log index twice"


@pytest.mark.parametrize("number", BLOCKS)
def test_any_two_logs_that_changed_places_are_found(number):
    header, logs, _ = real_block(number)
    for place in range(1, len(logs)):
        swapped = [*logs]
        swapped[place - 1], swapped[place] = swapped[place], swapped[place - 1]
        assert fault_of(header, swapped) == "logs out of order"


def test_logs_whose_indexes_were_changed_too_are_found_by_their_transactions():
    header, logs, _ = real_block(18_500_000)
    a, b = logs[2], logs[200]
    logs[2] = msgspec.structs.replace(b, log_index=a.log_index)
    logs[200] = msgspec.structs.replace(a, log_index=b.log_index)
    assert fault_of(header, logs) == "transactions out of order"


def test_without_receipts_the_bloom_finds_most_cut_tails():
    unseen = {}
    for number in BLOCKS:
        header, logs, _ = real_block(number)
        unseen[number] = [n for n in range(len(logs)) if not fault_of(header, logs[:n])]
    assert unseen == {4_369_999: [], 18_500_000: [406, 407]}, "they repeat topics of others"


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"block_hash": "0x" + "11" * 32}, "logs of another block"),
        ({"block_number": "0x1"}, "logs of another block"),
        ({"removed": True}, "removed log"),
        ({"log_index": "0x1000"}, "log index missing"),
        ({"log_index": "five"}, "malformed log"),
        ({"address": "0x" + "12" * 20}, "bloom differs"),
        ({"topics": ["0xzz"]}, "malformed log"),
        ({"transaction_index": "0x500"}, "transactions out of order"),
    ],
)
def test_a_changed_log_is_found_by_name(change, fault):
    header, logs, _ = real_block(18_500_000)
    logs[5] = msgspec.structs.replace(logs[5], **change)
    assert fault_of(header, logs) == fault


def test_a_chain_without_blooms_is_checked_for_the_rest():
    header, logs, _ = real_block(4_369_999)
    header = msgspec.structs.replace(header, bloom=0)
    assert fault_of(header, logs) == "bloom differs"
    assert fault_of(header, logs, has_bloom=False) is None
    assert fault_of(header, logs[1:], has_bloom=False) == "log index missing"


def test_an_empty_block_has_no_logs_and_an_empty_bloom():
    empty = Header(number=1, hash="0x" + "01" * 32, parent_hash="0x" + "00" * 32, time_ms=0)
    assert fault_of(empty, []) is None
    header, _, _ = real_block(4_369_999)
    assert fault_of(header, []) == "bloom differs", "empty logs for a block that has some"


def test_the_bloom_is_that_of_ethereum():
    for number in BLOCKS:
        header, logs, _ = real_block(number)
        assert bloom_of(logs) == header.bloom


def test_some_logs_of_many_blocks_are_checked_for_their_place():
    header, logs, _ = real_block(18_500_000)
    headers = {header.number: header}
    some = logs[3:60:7]
    assert fault_of_range(headers, some) is None
    assert fault_of_range(headers, [*some, some[-1]]) == "log index twice"
    assert fault_of_range(headers, some[::-1]) == "logs out of order"
    assert fault_of_range({}, some) == "logs of another block"
    removed = msgspec.structs.replace(some[0], removed=True)
    assert fault_of_range(headers, [removed]) == "removed log"
    assert fault_of_range(headers, [msgspec.structs.replace(removed, log_index="x")]) == (
        "malformed log"
    )


@pytest.mark.parametrize(
    "raw",
    [
        None,
        {},
        {"number": 7},
        {"number": "0x7", "hash": "0x1", "parentHash": "0x", "timestamp": ""},
    ],
)
def test_what_is_no_header_is_refused(raw):
    with pytest.raises(BadRecordError, match="not a header"):
        header_of(raw)


@pytest.mark.parametrize("raw", [b"", b"[{}]", b'[{"address": 1}]', b'"0x"', b"\xff"])
def test_what_are_no_logs_is_refused(raw):
    with pytest.raises(BadRecordError, match="not logs"):
        logs_in(raw)


def test_a_header_that_cannot_be_is_refused():
    raw = {"number": hex(2**60), "hash": "0x" + "1" * 64, "parentHash": "0x" + "1" * 64}
    with pytest.raises(BadRecordError, match="number"):
        header_of(raw | {"timestamp": "0x1"})


def test_a_log_is_read_as_a_node_tells_it():
    _, logs, raw = real_block(18_500_000)
    assert isinstance(logs[7], RawLog)
    assert logs[7].index == 7
    assert [log.data for log in logs] == [log["data"] for log in raw]


def test_headers_of_a_range_are_all_there_and_join():
    header, _, _ = real_block(BLOCKS[0])
    chain = {0: msgspec.structs.replace(header, number=0)}
    for number in range(1, 5):
        parent = chain[number - 1].hash
        own = f"0x{number:064x}"
        chain[number] = msgspec.structs.replace(header, number=number, hash=own, parent_hash=parent)
    assert fault_of_headers(chain, 0, 4) is None
    assert fault_of_headers(chain, 2, 4) is None
    assert fault_of_headers(chain, 2, 5) == "headers are missing"
    for number in range(5):
        less = {n: each for n, each in chain.items() if n != number}
        assert fault_of_headers(less, 0, 4) == "headers are missing"
        other = chain | {number: msgspec.structs.replace(chain[number], hash="0x" + "66" * 32)}
        assert fault_of_headers(other, 0, 4) == (None if number == 4 else "headers do not join")


def test_logs_that_were_left_out_or_changed_are_told_apart():
    _, logs, _ = real_block(BLOCKS[0])
    louder = [
        msgspec.structs.replace(
            log, address=log.address.upper().replace("X", "x"), log_index=f"0x0{log.index:X}"
        )
        for log in logs
    ]
    assert fault_of_told(louder, logs) is None, "nodes write alike what is the same"
    assert fault_of_told([], logs) == fault_of_told(logs[1:], logs) == "logs are missing"
    assert fault_of_told(logs[:-1], logs) == "logs are missing"
    assert fault_of_told(logs, logs[1:]) == "logs differ", "told of more than there is"
    for name in ("data", "address"):
        changed = msgspec.structs.replace(logs[3], **{name: "0x" + "66" * 20})
        assert fault_of_told([*logs[:3], changed, *logs[4:]], logs) == "logs differ"


@pytest.mark.parametrize("number", BLOCKS)
def test_a_block_that_holds_logs_of_an_address_is_always_doubtful(number):
    header, logs, _ = real_block(number)
    addresses = sorted({log.address for log in logs})
    for address in addresses:
        assert doubtful({number: header}, [], [address]) == [number]
    empty = msgspec.structs.replace(header, bloom=0)
    assert doubtful({number: empty}, [], addresses) == []
    assert doubtful({number: empty}, logs[:1], addresses) == [number], "it says so itself"
    strangers = [f"0x{n:040x}" for n in range(500)]
    asked = [each for each in strangers if header.bloom & bloom_bits(each) == bloom_bits(each)]
    sought = [each for each in strangers if AddressFilter([each]).may_match(header.bloom)]
    assert sought == asked
    assert AddressFilter(strangers).may_match(header.bloom) is bool(asked)

import msgspec
import pytest

from chaintide.api.live.requests import (
    Authenticate,
    ErrorCode,
    ListSubscriptions,
    PingRequest,
    Refusal,
    Resume,
    Subscribe,
    Unsubscribe,
    Wanted,
    parse_request,
)


def subscribe(**fields: object) -> bytes:
    return msgspec.json.encode({"op": "subscribe", "channels": [{"ch": "status", **fields}]})


@pytest.mark.parametrize(
    ("text", "request_"),
    [
        ('{"op":"ping"}', PingRequest()),
        ('{"id":"a","op":"list"}', ListSubscriptions("a")),
        ('{"id":1,"op":"auth","token":"t"}', Authenticate("t", 1)),
        ('{"id":1,"op":"unsubscribe","channels":["status"]}', Unsubscribe(["status"], 1)),
        (
            (
                '{"id":2,"op":"subscribe","channels":[{"ch":"status","snapshot":1,"policy":"buffer",'
                '"max_hz":4,"resume":{"epoch":"k3f9","seq":8812}}]}'
            ),
            Subscribe([Wanted("status", 1, "buffer", 4.0, Resume("k3f9", 8812))], 2),
        ),
        (
            '{\n "op": "subscribe",\n "channels": [{"ch": "status", "resume": {"since_ms": 5}}]}',
            Subscribe([Wanted("status", resume=Resume(since_ms=5))]),
        ),
    ],
)
def test_a_request_is_read(text: str, request_: object):
    assert parse_request(text) == request_


@pytest.mark.parametrize(
    "text",
    ["", "{", "nix", '{"op":"ping"} {"op":"ping"}', "[" * 60_000, '{"id":1e999}', '"\\ud800"'],
    ids=lambda text: text[:12],
)
def test_what_is_not_json_is_none(text: str):
    assert parse_request(text) is None


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"nix": 1}, "nix"),
        ({"ch": 5}, "ch"),
        ({"ch": ""}, "ch"),
        ({"ch": "x" * 193}, "ch"),
        ({"snapshot": -1}, "snapshot"),
        ({"snapshot": 1_001}, "snapshot"),
        ({"snapshot": True}, "snapshot"),
        ({"policy": "all"}, "policy"),
        ({"max_hz": 0}, "max_hz"),
        ({"max_hz": 101}, "max_hz"),
        ({"resume": {}}, "resume"),
        ({"resume": {"seq": 5}}, "resume"),
        ({"resume": {"epoch": "k3f9"}}, "resume"),
        ({"resume": {"epoch": "k3f9", "seq": 5, "since_ms": 5}}, "resume"),
        ({"resume": {"epoch": "k3f9", "seq": -1}}, "seq"),
        ({"resume": {"since_ms": 1.5}}, "since_ms"),
    ],
    ids=str,
)
def test_a_wrong_field_is_named(fields: dict[str, object], named: str):
    refusal = parse_request(subscribe(**fields))
    assert isinstance(refusal, Refusal)
    assert refusal.code is ErrorCode.BAD_REQUEST
    assert f"{named}`" in refusal.message


@pytest.mark.parametrize("op", ["subscribe", "unsubscribe"])
def test_no_channels_at_all_are_refused(op: str):
    refusal = parse_request(msgspec.json.encode({"op": op, "channels": []}))
    assert isinstance(refusal, Refusal)
    assert "channels" in refusal.message


@pytest.mark.parametrize("text", ['{"op":"nix","id":3}', '{"op":7,"id":3}'])
def test_an_unknown_op_has_its_own_code_and_the_id(text: str):
    refusal = parse_request(text)
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.id) == (ErrorCode.UNKNOWN_OP, 3)


@pytest.mark.parametrize(
    ("text", "request_id"),
    [
        ('{"id":"a","nix":1}', "a"),
        ('{"id":5}', 5),
        ('{"nix":1}', None),
        ("5", None),
        ("[1]", None),
        ('"id"', None),
        ("null", None),
        ('{"op":"ping","id":true}', None),
        ('{"op":"ping","id":1.5}', None),
        ('{"op":"ping","id":[]}', None),
        ('{"op":"ping","id":"' + "x" * 65 + '"}', None),
        ('{"op":"ping","id":' + "9" * 400 + "}", None),
    ],
    ids=lambda value: str(value)[:24],
)
def test_a_refusal_has_the_id_if_it_can_be_one(text: str, request_id: object):
    refusal = parse_request(text)
    assert isinstance(refusal, Refusal)
    assert refusal.id == request_id
    assert msgspec.json.encode(refusal.id)

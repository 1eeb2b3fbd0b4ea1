"""The AsyncAPI document says what the hub does: neither more nor less."""

import json
import re
from importlib.metadata import version
from pathlib import Path

import jsonschema
import msgspec
import pytest

from chaintide.api import description
from chaintide.api.live import effects
from chaintide.api.live.directory import Directory
from chaintide.api.live.effects import CLOSES, Send
from chaintide.api.live.hub import Hub
from chaintide.api.live.limits import Limits
from chaintide.api.live.requests import ErrorCode
from chaintide.api.state.view import LogRecord, View
from chaintide.streams import codec, topics
from chaintide.streams.records import Market, TradeBatch

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docs/reference/asyncapi.json"
PAGE = ROOT / "docs/reference/websocket.md"
DOCUMENT = description.describe(version("chaintide"))
TRADES = "trades:kraken:BTC-USD"


def check(name: str, value: object) -> None:
    schema = {"$ref": DOCUMENT["components"]["messages"][name]["payload"]["$ref"]}
    jsonschema.validate(value, schema | {"components": DOCUMENT["components"]})


def trades(*ids: int) -> bytes:
    return codec.encode(
        TradeBatch(
            market=Market("kraken:BTC-USD"),
            price_scale=1,
            size_scale=1,
            ids=list(ids),
            times_us=[n * 1_000_000 for n in ids],
            prices=[100] * len(ids),
            sizes=[1] * len(ids),
            sides="b" * len(ids),
        )
    )


def said(hub: Hub) -> list[tuple[str, dict]]:
    """Return messages of every kind that a hub over a real view says, by their kind."""
    view = View()
    view.on_record(LogRecord(topics.TRADES.name, 1, 10_000, trades(1, 2)))
    hub.directory.snapshots = view
    session = hub.open(now_ms=0)
    requests = [
        {"id": 1, "op": "subscribe", "channels": [{"ch": TRADES, "snapshot": 2}]},
        {"id": "two", "op": "list"},
        {"op": "ping"},
        {"op": "nonsense"},
        {"op": "unsubscribe", "channels": [TRADES]},
        {"op": "subscribe", "channels": [{"ch": TRADES}]},
    ]
    lines = [
        effect.data
        for request in requests
        for effect in session.on_text(msgspec.json.encode(request), now_ms=0)
        if isinstance(effect, Send)
    ]
    hub.publish(view.on_record(LogRecord(topics.TRADES.name, 2, 10_000, trades(3))))
    lines += [frame.data for frame in hub.flush(now_ms=0).frames]
    lines += [e.data for _, e in hub.tick(now_ms=16_000, loop_lag_ms=0) if isinstance(e, Send)]
    lines.append(hub.goaway("shutdown").data)
    return [(kind(message), message) for message in map(json.loads, lines)]


def kind(message: dict) -> str:
    if "type" in message:
        return message["type"]
    return "refused" if not message["ok"] else "pong" if "t" in message else "answer"


def test_the_file_is_what_the_messages_are():
    assert json.loads(FILE.read_text()) == DOCUMENT, (
        "write it anew: python -m chaintide.api.description > docs/reference/asyncapi.json"
    )


def test_every_message_is_as_described():
    found = said(Hub(Directory("k3f9", View(), Limits()), jitter=lambda: 0.5))
    assert {name for name, _ in found} == set(description.ANSWERS) - {"slow"}
    for name, message in found:
        check(name, message)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("update", {"ch": TRADES, "type": "update", "seq": 1}),
        ("answer", {"id": 1, "results": [{"ch": TRADES}], "ok": True}),
        ("subscribe", {"op": "subscribe", "channels": [{"ch": TRADES, "policy": "some"}]}),
    ],
)
def test_what_is_not_as_described_is_told_from_it(name: str, message: dict):
    with pytest.raises(jsonschema.ValidationError):
        check(name, message)


def test_every_code_is_in_use():
    sources = [*(ROOT / "api/live").glob("*.py"), *(ROOT / "api/sockets").glob("*.py")]
    text = "".join(path.read_text() for path in sources if path.name != "effects.py")
    names = [name for name, value in vars(effects).items() if value in CLOSES]
    assert len(names) == len(CLOSES)
    names += [f"ErrorCode.{code.name}" for code in ErrorCode]
    assert [name for name in names if not re.search(rf"\b{name}\b", text)] == []


def test_the_page_names_every_message_code_and_field():
    page = PAGE.read_text()
    names = [*description.REQUESTS, *description.ANSWERS, *(str(c.code) for c in CLOSES)]
    names += [str(int(code)) for code in ErrorCode]
    schemas = DOCUMENT["components"]["schemas"]
    for schema in ("Wanted", "Resume", "Subscribed", "SnapshotMessage", "UpdateMessage"):
        names += schemas[schema]["properties"]
    assert [name for name in names if f"`{name}`" not in page] == []

"""The WebSocket protocol as an AsyncAPI document, made from the messages themselves."""

import inspect
import sys
from importlib.metadata import version as version_of
from typing import Any, Final

import msgspec

from chaintide.api.live import messages, requests
from chaintide.api.live.channels import KINDS
from chaintide.api.live.effects import CLOSES
from chaintide.api.live.requests import ErrorCode
from chaintide.api.state.pools import PoolEntry
from chaintide.api.state.tape import Retraction, TapeTrade
from chaintide.api.state.ticker import TickerFigures
from chaintide.streams.anomalies import Anomaly
from chaintide.streams.probabilities import Prediction
from chaintide.streams.records import Candle, FeedReport

ADDRESS: Final = "/ws/v1"
SCHEMAS: Final = "#/components/schemas/"
MESSAGES: Final = "#/components/messages/"
REQUESTS: Final[dict[str, type[msgspec.Struct]]] = {
    "subscribe": requests.Subscribe,
    "unsubscribe": requests.Unsubscribe,
    "list": requests.ListSubscriptions,
    "ping": requests.PingRequest,
    "auth": requests.Authenticate,
}
RESULTS: Final = (messages.Subscribed, messages.Listed, messages.Left)
ANSWERS: Final[dict[str, type[msgspec.Struct]]] = {
    "answer": messages.Answer,
    "pong": messages.Pong,
    "refused": messages.Refused,
    "snapshot": messages.SnapshotMessage,
    "update": messages.UpdateMessage,
    "hb": messages.Heartbeat,
    "slow": messages.Slow,
    "goaway": messages.Goaway,
}
# What an entry of a snapshot is, and what an update carries: one, or a list of them.
LISTED: Final = ("trades", "prob")
ENTRIES: Final[dict[str, type[msgspec.Struct]]] = {
    "trades": TapeTrade,
    "ticker": TickerFigures,
    "candles": Candle,
    "prob": Prediction,
    "views": PoolEntry,
    "anomalies": Anomaly,
    "status": FeedReport,
}


def describe(version: str) -> dict[str, Any]:
    """Return the AsyncAPI 3.0 document of the protocol of ``version`` of this program."""
    kinds = {**REQUESTS, **ANSWERS, **ENTRIES}.values()
    types = [kind for kind in kinds if kind is not messages.Answer] + [*RESULTS, Retraction]
    _, schemas = msgspec.json.schema_components(types, ref_template=SCHEMAS + "{name}")
    for schema in schemas.values():
        if "description" in schema:
            schema["description"] = inspect.cleandoc(schema["description"])
    entries = [{"$ref": SCHEMAS + entry.__name__} for entry in ENTRIES.values()]
    lists = [
        {"type": "array", "items": {"$ref": SCHEMAS + ENTRIES[kind].__name__}} for kind in LISTED
    ]
    schemas["Answer"] = {
        "title": "Answer",
        "description": messages.Answer.__doc__,
        "type": "object",
        "properties": {
            "id": schemas["Pong"]["properties"]["id"],
            "results": {
                "type": "array",
                "items": {"anyOf": [{"$ref": SCHEMAS + kind.__name__} for kind in RESULTS]},
            },
            "ok": {"enum": [True]},
        },
        "required": ["id", "results", "ok"],
    }
    schemas["SnapshotMessage"]["properties"]["data"] = {
        "type": "array",
        "items": {"anyOf": entries},
    }
    alone = [
        {"$ref": SCHEMAS + entry.__name__} for kind, entry in ENTRIES.items() if kind not in LISTED
    ]
    retraction = {"$ref": SCHEMAS + "Retraction"}
    schemas["UpdateMessage"]["properties"]["data"] = {"anyOf": [*lists, *alone, retraction]}
    every = REQUESTS | ANSWERS
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Chaintide live",
            "version": version,
            "description": "One JSON object a line, one or more lines a text frame.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {
            "live": {
                "address": ADDRESS,
                "description": "Subscriptions: " + ", ".join(k.shape for k in KINDS.values()),
                "messages": {name: {"$ref": MESSAGES + name} for name in every},
            }
        },
        "operations": {
            "request": _operation("receive", REQUESTS),
            "serve": _operation("send", ANSWERS),
        },
        "components": {
            "messages": {
                name: {"name": name, "payload": {"$ref": SCHEMAS + kind.__name__}}
                for name, kind in every.items()
            },
            "schemas": schemas,
        },
        "x-closes": [
            {"code": close.code, "reason": close.reason, "reconnect": close.may_reconnect}
            for close in CLOSES
        ],
        "x-errors": [{"code": int(code), "name": code.name.lower()} for code in ErrorCode],
    }


def _operation(action: str, kinds: dict[str, Any]) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": "#/channels/live"},
        "messages": [{"$ref": f"#/channels/live/messages/{name}"} for name in kinds],
    }


if __name__ == "__main__":
    document = describe(version_of("chaintide"))
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(document), indent=1).decode() + "\n")

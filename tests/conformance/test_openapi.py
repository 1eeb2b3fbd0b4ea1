"""The API against its own description: generated requests, answers as they are documented."""

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from candles import MARKET, batch, candle
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)
from serving import NOW_MS, backend_over

from chaintide.api.loading import load_days
from chaintide.api.rest.app import new_app, with_edge
from chaintide.sinks.memory import MemoryStore
from chaintide.sinks.sqlite import SqliteStore
from chaintide.streams.intervals import MINUTE_MS

CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
)


@pytest.fixture(scope="module")
def app() -> Iterator[Any]:
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteStore(Path(folder) / "test.sqlite")
        backend = backend_over(store)
        first = NOW_MS // MINUTE_MS - 50
        asyncio.run(store.write([batch(*(candle(first + k, status="final") for k in range(50)))]))
        asyncio.run(load_days(backend.view, store))
        yield with_edge(
            new_app(backend),
            per_minute=0,
            origins=frozenset(),
            clock=(lambda: NOW_MS, lambda: 0.0),
        )
        asyncio.run(store.close())


MODES = (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE)
PATHS = sorted(new_app(backend_over(MemoryStore())).openapi()["paths"])


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name.lower())
@pytest.mark.parametrize("path", PATHS)
def test_no_answer_is_a_surprise(app: Any, path: str, mode: Any):
    operation = schemathesis.openapi.from_asgi("/openapi.json", app)[path]["GET"]
    if mode.is_negative and not operation.query:
        return  # nothing can be wrong

    @given(operation.as_strategy(generation_mode=mode), st.booleans())
    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    def ask(case: Any, is_known: bool) -> None:
        for name in {"market", "symbol"} & set(case.query or {}):
            if is_known and mode.is_positive:  # else nearly all would be unknown
                case.query[name] = MARKET
        case.call_and_validate(checks=list(CHECKS))

    ask()


def test_every_route_has_examples_and_documents_its_errors(app: Any):
    document = app._app.openapi()
    assert len(document["paths"]) == 23
    for path, operations in document["paths"].items():
        for operation in operations.values():
            responses = operation["responses"]
            assert {"200", "400", "405", "429", "500"} <= responses.keys(), path
            assert "422" not in responses
            for media in responses["200"]["content"].values():
                assert path == "/metrics" or "example" in media, path

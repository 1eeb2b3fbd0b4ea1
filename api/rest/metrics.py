"""What monitors read, in Prometheus' words."""

from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from chaintide.api.rest.backend import Backend

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)


class Metrics:
    """Counts of one process; ``clients`` is for the sockets that are open."""

    def __init__(self, backend: Backend) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "chaintide_http_requests",
            "Requests by route, method and status.",
            ["route", "method", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "chaintide_http_seconds",
            "Time from a request to its answer.",
            ["route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.clients = Gauge(
            "chaintide_clients", "Open WebSocket connections.", registry=self.registry
        )
        self.registry.register(_State(backend))

    def on_request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one request."""
        self.requests.labels(route, method, status).inc()
        self.seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        """Return everything as it is now."""
        return generate_latest(self.registry)


class _State(Collector):
    """What is known without counting: how far behind, and how the feeds do."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def collect(self) -> Iterator[Metric]:
        backend = self._backend
        behind = GaugeMetricFamily(
            "chaintide_messages_behind", "Messages a role has not read yet.", labels=["role"]
        )
        for role, count in backend.surroundings.messages_behind.items():
            behind.add_metric([role], count)
        yield behind
        ready = GaugeMetricFamily("chaintide_ready", "1 if there is service, else 0.")
        ready.add_metric([], backend.readiness().status != "unready")
        yield ready
        bad = CounterMetricFamily(
            "chaintide_bad_records", "Records this process could not understand."
        )
        bad.add_metric([], backend.view.bad_records)
        yield bad
        yield from self._feeds()

    def _feeds(self) -> Iterator[Metric]:
        alive = GaugeMetricFamily("chaintide_feed_up", "1 if a feed reports.", labels=["venue"])
        silence = GaugeMetricFamily(
            "chaintide_feed_silence_seconds", "Age of the venue's last message.", labels=["venue"]
        )
        lag = GaugeMetricFamily(
            "chaintide_feed_lag_seconds", "From a trade to its arrival.", labels=["venue"]
        )
        gaps = CounterMetricFamily(
            "chaintide_feed_gaps", "Times that trades were missed.", labels=["venue"]
        )
        trades = CounterMetricFamily("chaintide_feed_trades", "Trades read.", labels=["venue"])
        now_ms = self._backend.now_ms()
        for feed in self._backend.view.catalogue.feeds(now_ms=now_ms):
            report = feed.report
            alive.add_metric([report.venue], feed.is_alive)
            gaps.add_metric([report.venue], report.gaps)
            trades.add_metric([report.venue], report.trades)
            if report.last_message_ms is not None:
                silent_s = max(0, now_ms - report.last_message_ms) / 1000
                silence.add_metric([report.venue], silent_s)
            if report.lag_ms is not None:
                lag.add_metric([report.venue], report.lag_ms / 1000)
        yield from (alive, silence, lag, gaps, trades)

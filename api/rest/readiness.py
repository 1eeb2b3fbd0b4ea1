"""What it takes to be ready, each thing by its name and with the reason if it is amiss."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from chaintide.api.rest.answers import Check, ReadyAnswer
from chaintide.api.state.catalogue import FeedEntry

MANY_BEHIND: Final = 10_000


@dataclass(slots=True)
class Surroundings:
    """What was last seen of Kafka, the store, and of how far the other roles are behind.

    A fault is why something cannot be used now; "" means that it can.
    """

    kafka_fault: str = "not looked at yet"
    store_fault: str = "not looked at yet"
    messages_behind: dict[str, int] = field(default_factory=dict[str, int])


def checks(
    surroundings: Surroundings, follower_fault: str, feeds: Iterable[FeedEntry]
) -> list[Check]:
    """Return everything that was looked at."""
    return [
        _check("kafka", surroundings.kafka_fault, is_required=True),
        _check("store", surroundings.store_fault, is_required=True),
        _check("follower", follower_fault, is_required=True),
        *(_behind(role, surroundings.messages_behind) for role in ("worker", "sink")),
        *(_feed(feed) for feed in feeds),
    ]


def readiness(epoch: str, looked_at: list[Check]) -> ReadyAnswer:
    """Return whether there is service.

    >>> readiness("e", [Check("store", True, True, ""), Check("sink", False, False, "late")]).status
    'degraded'
    """
    status = "ready" if all(check.is_ok for check in looked_at) else "degraded"
    if not all(check.is_ok for check in looked_at if check.is_required):
        status = "unready"
    return ReadyAnswer(status=status, epoch=epoch, checks=looked_at)


def _check(name: str, fault: str, *, is_required: bool) -> Check:
    return Check(name, not fault, is_required, fault)


def _behind(role: str, behind: Mapping[str, int]) -> Check:
    count = behind.get(role)
    if count is None:
        return Check(role, is_ok=False, is_required=False, reason="not known how far behind")
    reason = f"{count} messages behind" if count else ""
    return Check(role, is_ok=count < MANY_BEHIND, is_required=False, reason=reason)


def _feed(feed: FeedEntry) -> Check:
    report = feed.report
    fault = report.last_error or "nothing came yet"
    if not feed.is_alive:
        reason = f"no report for {feed.age_ms // 1000} s"
    elif report.state in {"connecting", "standby", "halted"}:
        reason = f"{report.state}: {fault}"
    elif report.breaker == "open":
        reason = f"circuit breaker open: {fault}"
    else:
        reason = ""
    return Check(f"feed:{report.venue}", is_ok=not reason, is_required=False, reason=reason)

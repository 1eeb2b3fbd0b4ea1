"""The clock of what is live."""

import time

import pytest

from chaintide.api import cli


def test_the_steady_clock_says_the_time_and_nobody_can_set_it(monkeypatch: pytest.MonkeyPatch):
    assert abs(cli.steady_ms() - cli.now_ms()) < 60_000
    before_ms = cli.steady_ms()
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    assert cli.now_ms() == 0
    assert before_ms <= cli.steady_ms() < before_ms + 60_000

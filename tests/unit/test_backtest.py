"""Backtests: files in, figures out, and what a leak would look like."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from closed_bars import HOUR_MS, START_MS, paths
from recordings import recording
from typer.testing import CliRunner

from chaintide.agents.learning import backtest
from chaintide.agents.learning.history import of_trades
from chaintide.api import backtest_files
from chaintide.api.cli import app
from chaintide.streams.errors import BadRecordError
from chaintide.streams.recording import Row

HEADER = "market,open_time_ms,open,high,low,close,volume"
FIGURES = [
    "labels",
    "log_loss",
    "log_loss_base",
    "brier",
    "brier_base",
    "ece",
    "ece_floor",
    "coverage_50",
    "coverage_80",
    "coverage_90",
    "gap1_brier",
    "drift_alarms",
]


def lines(prices, market: str = "test:A", width_ms: int = HOUR_MS) -> list[str]:
    return [
        f"{market},{START_MS + place * width_ms},{price},{price},{price},{price},1"
        for place, price in enumerate(np.ravel(prices).tolist())
    ]


def run(path: Path, *options: str):
    return CliRunner().invoke(app, ["backtest", str(path), *options])


def test_a_file_of_candles_gives_every_figure(tmp_path: Path):
    file = tmp_path / "candles.csv"
    rows = lines(paths(300, 1)) + lines(paths(300, 1, seed=2), "test:B")
    file.write_text("\n".join([HEADER, *rows]))
    done = run(file, "--interval", "1h", "--horizon", "3", "--format", "json")
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    assert list(found["markets"]) == ["test:A", "test:B"]
    for figures in found["markets"].values():
        assert figures["labels"] == 297
        assert all(isinstance(figures[name], int | float) for name in FIGURES)
    predictions = found["predictions"]
    assert predictions["issued"] == 600 == predictions["resolved"] + predictions["pending"]


def test_a_file_of_trades_gives_the_labels_of_its_closed_candles():
    done = run(recording("oracle/kraken_trades.csv.gz"), "--interval", "1m", "--format", "json")
    assert done.exit_code == 0
    [figures] = json.loads(done.stdout)["markets"].values()
    assert figures["labels"] > 400
    assert figures["flats"] > 100


def test_candles_of_trades_are_those_of_a_worker():
    text = gzip.decompress(recording("oracle/kraken_trades.csv.gz").read_bytes()).decode()
    history = backtest_files.parsed(text.splitlines(), "1h").history
    assert history.bars.mid.all()
    assert (history.bars.price != history.last).any()
    assert (np.abs(history.bars.price / history.last - 1.0) < 0.01).all()


def test_a_bad_line_is_named_with_its_number(tmp_path: Path):
    file = tmp_path / "candles.csv"
    good = lines(paths(40, 1))
    bad = ["test:A,5", "nonsense,1,1,1,1,1,1", "test:A,x,1,1,1,1,1", good[0],
           "test:A,1,1,1,1,-1,1", "test:A,1,2,1,1,1,1", "test:A,1,nan,1,1,1,1"]  # fmt: skip
    file.write_text("\n".join([HEADER, *good[:10], *bad, *good[10:]]))
    done = run(file, "--format", "json")
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    assert [one["line"] for one in found["bad_lines"]] == list(range(12, 19))
    assert f"{file.name}:12: 2 cells, the header has 7" in done.stderr.replace("\n", "")
    assert found["markets"]["test:A"]["labels"] == 39


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a,b,c\n1,2,3",
        'market,open_time_ms\n"',
        HEADER,
        f"{HEADER},{'x' * 200_000}\nA,0,1,1,1,1,1",
    ],
)
def test_a_file_that_holds_nothing_ends_with_one_line(tmp_path: Path, text: str):
    file = tmp_path / "candles.csv"
    file.write_text(text)
    done = run(file)
    assert done.exit_code == 1
    assert done.stdout == ""
    assert done.stderr


@pytest.mark.parametrize("place", [1, 12, -5])
def test_a_compressed_file_that_is_damaged_anywhere_ends_with_one_line(tmp_path: Path, place: int):
    file = tmp_path / "candles.csv.gz"
    packed = bytearray(gzip.compress("\n".join([HEADER, *lines(paths(30, 1))]).encode()))
    packed[place] ^= 0xFF
    packed[place + 2] ^= 0x77
    file.write_bytes(packed)
    done = run(file)
    assert (done.exit_code, done.stdout) == (1, "")
    assert isinstance(done.exception, SystemExit), done.exception
    assert file.name in done.stderr.replace("\n", "")


def test_a_quote_that_is_not_closed_is_named_with_its_line_and_swallows_nothing(tmp_path: Path):
    file = tmp_path / "candles.csv"
    rows = lines(paths(30, 1))
    file.write_text("\n".join([HEADER, *rows[:5], f'"{rows[5]}', *rows[6:]]))
    done = run(file)
    assert done.exit_code == 1
    assert "line 7: a quote is opened and not closed" in done.stderr


def test_candles_of_another_length_are_suspected_where_no_label_became_known(tmp_path: Path):
    file = tmp_path / "candles.csv"
    file.write_text("\n".join([HEADER, *lines(paths(30, 1), width_ms=24 * HOUR_MS)]))
    assert "longer than 1h?" in run(file, "--interval", "1h").stderr
    assert run(file, "--interval", "1d").stderr == ""


def test_a_picture_that_cannot_be_written_ends_with_one_line(tmp_path: Path):
    file, taken = tmp_path / "candles.csv", tmp_path / "taken.png"
    file.write_text("\n".join([HEADER, *lines(paths(30, 1))]))
    taken.mkdir()
    assert run(file, "--picture", str(tmp_path / "missing" / "picture.png")).exit_code == 2
    done = run(file, "--picture", str(taken))
    assert isinstance(done.exception, SystemExit), done.exception
    assert done.exit_code == 1
    assert "taken.png: Is a directory" in done.stderr.replace("\n", "")


def test_options_that_mean_nothing_are_refused(tmp_path: Path):
    file = tmp_path / "candles.csv"
    file.write_text("\n".join([HEADER, *lines(paths(30, 1))]))
    assert run(file, "--format", "xml").exit_code == 2
    assert run(file, "--picture", "picture.doc").exit_code == 2
    assert run(file, "--horizon", "0").exit_code == 2


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_a_picture_is_drawn(tmp_path: Path, suffix: str):
    file, picture = tmp_path / "candles.csv", tmp_path / f"picture{suffix}"
    file.write_text("\n".join([HEADER, *lines(paths(60, 1))]))
    assert run(file, "--picture", str(picture)).exit_code == 0
    start = {".png": b"\x89PNG", ".svg": b"<?xml"}[suffix]
    assert picture.read_bytes().startswith(start)


def test_words_say_when_there_is_no_skill(tmp_path: Path):
    file = tmp_path / "candles.csv"
    file.write_text("\n".join([HEADER, *lines(paths(200, 1))]))
    assert "no better than the base rate so far" in run(file).stdout


def test_shorter_candles_are_put_together():
    minutes = lines(100.0 + np.arange(180.0) % 7, width_ms=60_000)
    history = backtest_files.parsed([HEADER, *minutes], "1h").history
    assert history.bars.open_time_ms.tolist() == [START_MS + n * HOUR_MS for n in range(3)]
    assert history.bars.high.tolist() == [106.0] * 3
    assert history.bars.volume.tolist() == [60.0] * 3
    assert history.bars.price.tolist() == [100.0 + n % 7 for n in (59, 119, 179)]


def test_a_candle_that_shorter_ones_do_not_fill_to_its_end_has_not_closed():
    minutes = lines(100.0 + np.arange(130.0), width_ms=60_000)
    hours = lines([100.0, 101.0, 102.0], "test:B")
    assert backtest_files.parsed([HEADER, *minutes], "1h").history.last.tolist() == [159.0, 219.0]
    assert backtest_files.parsed([HEADER, *minutes[:60]], "1h").history.last.tolist() == [159.0]
    assert backtest_files.parsed([HEADER, *hours], "1h").history.last.tolist() == [100, 101, 102]
    assert backtest_files.parsed([HEADER, hours[0]], "1h").history.last.tolist() == [100.0]


def test_a_header_that_lacks_a_column_is_named():
    with pytest.raises(BadRecordError, match="lacks volume"):
        list(backtest_files.read_candles(["market,open_time_ms,open,high,low,close"]))


def test_labels_known_at_once_would_look_like_skill():
    """Nothing can be predicted here; a model that is told too early seems to."""
    history = backtest_files.parsed([HEADER, *lines(paths(2_500, 1, seed=5))], "1h").history
    report = backtest.run(history, 15)
    [verdict] = report.markets.values()
    assert verdict.score.brier <= verdict.score.brier_base + 0.001
    assert verdict.immediate.brier < verdict.immediate.brier_base - 0.005


def test_bounce_looks_like_skill_and_a_gap_unmasks_it():
    """The last price is bid or ask by chance: its turning back can be predicted, the market not."""
    rng = np.random.default_rng(6)
    mid = 100.0 * np.exp(np.cumsum(rng.normal(0, 0.0005, 4_000)))
    last = mid * np.exp(rng.choice([-0.001, 0.001], 4_000))
    history = backtest_files.parsed([HEADER, *lines(last)], "1h").history
    [verdict] = backtest.run(history, 1).markets.values()
    score = verdict.score
    assert score.brier < score.brier_base - 0.02
    assert score.gap1_brier > score.gap1_brier_base - 0.002


def bouncing(markets: int, candles: int) -> list[Row]:
    """Return 30 trades in the last of every 15 minutes, each at bid or ask by coin."""
    rng, rows = np.random.default_rng(7), []
    for market in range(markets):
        mids = 100.0 * np.exp(np.cumsum(rng.normal(0, 0.001, candles)))
        is_buy = rng.random((candles, 30)) < 0.5
        prices = np.rint(mids[:, None] * np.where(is_buy, 1.0008, 0.9992) * 10_000).astype(int)
        for place, (price, buys) in enumerate(zip(prices.flat, is_buy.flat, strict=True)):
            time_us = (place // 30 * 900 + 840 + place % 30) * 1_000_000
            side = "b" if buys else "s"
            rows.append(Row(f"test:M{market}", place, time_us, (int(price), 4), (1, 0), side, ""))
    return rows


def test_trades_that_bounce_show_skill_by_last_prices_and_none_by_those_that_labels_are_made_of():
    """The mids are a random walk; whoever is said to predict them was judged by bid and ask."""
    verdicts = backtest.run(of_trades(bouncing(8, 500), "15m"), 1).markets.values()
    score = [verdict.score.brier_base - verdict.score.brier for verdict in verdicts]
    last = [verdict.last_price.brier_base - verdict.last_price.brier for verdict in verdicts]
    assert np.mean(score) < 0.002
    assert np.mean(last) > 0.02

"""Recorded trades through every process, against the candles their exchanges published."""

import csv
import gzip
import random
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from recordings import recording

pytestmark = [pytest.mark.broker, pytest.mark.slow]
HEADER = "market,trade_id,time_us,price,size,side"


def chaintide(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "chaintide.api.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def rows_of(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write(path: Path, trades: list[dict[str, str]], market: str) -> Path:
    lines = [",".join([market, *list(trade.values())[1:]]) for trade in trades]
    path.write_text("\n".join([HEADER, *lines, ""]), "utf-8")
    return path


def stored(market: str, data_dir: Path) -> dict[int, dict[str, str]]:
    done = chaintide("candles", market, "--data-dir", str(data_dir), "--format", "csv")
    assert done.returncode == 0, done.stderr
    return {int(row["open_time_ms"]): row for row in csv.DictReader(done.stdout.splitlines())}


def agree(published: dict[str, str], ours: dict[str, str] | None) -> bool:
    if ours is None:
        return False
    names = ["open", "high", "low", "close", "volume"] + ["trades"] * bool(published["trades"])
    return all(Decimal(published[name]) == Decimal(ours[name]) for name in names)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything below in two runs: the second one finishes and repeats the first."""
    tmp = tmp_path_factory.mktemp("replay")
    kraken, hitbtc = (
        recording("oracle/kraken_trades.csv.gz"),
        recording("oracle/hitbtc_trades.csv.gz"),
    )
    trades = rows_of(kraken)
    jitter = random.Random(7)
    shuffled = sorted(
        trades, key=lambda t: int(t["time_us"]) + jitter.randint(-5_000_000, 5_000_000)
    )
    half = len(trades) // 2
    bad = tmp / "bad.csv"
    bad.write_text(
        f"{HEADER}\nbad:A-B,1,1762795433971744,1.5,2,buy\nbad:A-B,2,x,1,1,buy\n"
        "bad:A-B,3,1762795433971745,-1,1,buy\nshort\n",
        "utf-8",
    )
    first = [
        kraken,
        hitbtc,
        write(tmp / "shuffled.csv", shuffled, "shuffled:BTC-USDT"),
        write(tmp / "cut1.csv", trades[:half], "cut:BTC-USDT"),
        bad,
    ]
    second = [kraken, hitbtc, write(tmp / "cut2.csv", trades[half:], "cut:BTC-USDT")]
    for files in (first, second):
        done = chaintide("replay", *map(str, files), "--data-dir", str(tmp / "data"))
        assert done.returncode == 0, done.stderr
    return tmp / "data"


@pytest.mark.parametrize("market", ["kraken:BTC-USDT", "shuffled:BTC-USDT", "cut:BTC-USDT"])
def test_kraken_candles_are_the_exchanges_own(data_dir: Path, market: str):
    published = rows_of(recording("oracle/kraken_candles.csv.gz"))
    ours = stored(market, data_dir)
    equal = [row for row in published if agree(row, ours.get(int(row["open_time_ms"])))]
    assert (len(equal), len(published)) == (410, 410)
    assert sum(int(row["trades"]) > 0 for row in equal) == 273


def test_hitbtc_candles_are_the_exchanges_own(data_dir: Path):
    published = rows_of(recording("oracle/hitbtc_candles.csv.gz"))
    ours = {market: stored(market, data_dir) for market in {row["market"] for row in published}}
    equal = [r for r in published if agree(r, ours[r["market"]].get(int(r["open_time_ms"])))]
    assert (len(equal), len(published)) == (438, 438)


def test_bad_lines_are_kept_with_number_and_reason(data_dir: Path):
    rejects = (data_dir.parent / "bad.csv.rejects").read_text("utf-8").splitlines()
    assert [line.split("\t")[:2] for line in rejects] == [
        ["3", "time_us 'x' is not a time in microseconds"],
        ["4", "price is not above 0"],
        ["5", "1 cells, the header has 6"],
    ]


def test_a_file_of_bad_lines_alone_fails(tmp_path: Path):
    file = tmp_path / "bad.csv"
    file.write_text(f"{HEADER}\nnothing\n", "utf-8")
    done = chaintide("replay", str(file), "--data-dir", str(tmp_path / "data"))
    assert done.returncode == 1
    assert "1 bad lines" in done.stderr


def test_an_unknown_market_is_named_with_those_there_are(data_dir: Path):
    done = chaintide("candles", "kraken:NO-SUCH", "--data-dir", str(data_dir))
    assert done.returncode == 1
    assert "kraken:BTC-USDT" in done.stderr

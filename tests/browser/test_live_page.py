"""The page as a trader has it: real browser, real processes, a simulated exchange."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from chromium import browsing, chromium
from playwright.sync_api import Browser, Page

from chaintide.contracts.npm import NpmError
from chaintide.streams import codec, topics
from chaintide.streams.partitions import partition_of
from chaintide.streams.records import Market, TradeBatch
from chaintide.streams.topics import DEFAULT_PARTITIONS

pytestmark = [pytest.mark.browser, pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(240)]

MINUTE_MS = 60_000
HISTORY = 1_200  # minutes, more than one page of history
OURS = Market("kraken:PAGE-USD")  # the exchange does not trade it, we do
# A server that is dead refuses or breaks off; one that has just started says 503 until it has read.
IS_OUR_DOING = re.compile(
    r"ERR_CONNECTION_RE|ERR_EMPTY_RESPONSE|ERR_CONTENT_LENGTH_MISMATCH|"
    r"status of 503|WebSocket connection to .* failed"
)

# How high the list of what is unusual is when it is long, and how high two of its entries are.
TWO_ENTRIES = """(() => {
  const list = document.querySelector("#oddities ol"), box = list.parentElement;
  for (let n = 0; n < 8; n++) list.append(list.firstElementChild.cloneNode(true));
  const end = list.children[1].getBoundingClientRect().bottom;
  return [box.clientHeight, end - list.getBoundingClientRect().top];
})()"""


@dataclass
class Demo:
    """`chaintide up --demo`, and trades of our own in a market of our own."""

    process: subprocess.Popen[str]
    started_s: float
    url: str
    kafka: str
    next_id: int = 1

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self.url}{path}", timeout=20) as response:
            return json.load(response)

    def trade(self, *trades: tuple[int, int]) -> None:
        """Write trades (time in ms, price in cents) of our market to the trades topic."""
        ids = list(range(self.next_id, self.next_id + len(trades)))
        self.next_id += len(trades)
        batch = TradeBatch(
            market=OURS,
            price_scale=2,
            size_scale=1,
            ids=ids,
            times_us=[time_ms * 1000 + n for n, (time_ms, _) in enumerate(trades)],
            prices=[price for _, price in trades],
            sizes=[5] * len(trades),
            sides="b" * len(trades),
        )
        # Playwright has a loop in this thread.
        with ThreadPoolExecutor(1) as pool:
            pool.submit(asyncio.run, self._write(batch)).result()

    async def _write(self, batch: TradeBatch) -> None:
        async with AIOKafkaProducer(bootstrap_servers=self.kafka) as producer:
            await producer.send_and_wait(
                topics.TRADES.name,
                codec.encode(batch),
                key=OURS.encode(),
                partition=partition_of(OURS, DEFAULT_PARTITIONS),
            )

    def kill(self, role: str) -> None:
        """Kill the process of a role; the supervisor starts it again."""
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                words = (entry / "cmdline").read_text().split("\0")
                parent = re.search(r"PPid:\t(\d+)", (entry / "status").read_text())
            except OSError:
                continue
            if role in words and parent and int(parent[1]) == self.process.pid:
                os.kill(int(entry.name), signal.SIGKILL)
                return
        raise AssertionError(f"no process of {role}")


@dataclass
class Trader:
    """Somebody who looks at the page, and what the browser complained of meanwhile."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", lambda message: self._note(message.type, message.text))
        self.page.on("pageerror", lambda error: self._note("error", str(error)))

    def _note(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"}:
            self.complaints.append(text)

    def open(self, place: str = "") -> None:
        self.page.goto(f"{self.url}/{place}")
        self.until("chaintide.barCount() > 0 && chaintide.connection() === 'live'")

    def see(self, expression: str) -> Any:
        return self.page.evaluate(expression)

    def until(self, expression: str, seconds: float = 60) -> Any:
        """Return the first true value of ``expression``."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if value := self.see(f"window.chaintide && ({expression})"):
                return value
            self.page.wait_for_timeout(50)
        seen = self.see("document.body.innerText")
        raise AssertionError(f"never: {expression}\n{self.complaints}\n{seen}")


@pytest.fixture(scope="module")
def demo(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    assert browser.is_connected()  # so that no download is timed
    data = tmp_path_factory.mktemp("page") / "data"
    command = [sys.executable, "-m", "chaintide.api.cli", "up", "--demo", "--http-port", "0"]
    started_s = time.monotonic()
    process = subprocess.Popen(
        [*command, "--data-dir", str(data)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    found: dict[str, str] = {}
    for line in process.stdout:
        found |= re.findall(r"(page|Kafka) (?:http://)?(127\.0\.0\.1:\d+)", line)
        if len(found) == 2:
            break
    yield Demo(process, started_s, f"http://{found['page']}", found["Kafka"])
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    try:
        chromium()
    except NpmError as error:
        pytest.skip(str(error))
    with browsing() as opened:
        yield opened


@pytest.fixture
def trader(demo: Demo, browser: Browser, request: pytest.FixtureRequest) -> Iterator[Trader]:
    options = getattr(request, "param", {"viewport": {"width": 1440, "height": 900}})
    context = browser.new_context(**options)
    found = Trader(context.new_page(), demo.url)
    yield found
    context.close()
    assert found.complaints == []


@pytest.fixture(scope="module")
def closed_ms(demo: Demo) -> int:
    """The open time of a closed candle in a market with more history than a page."""
    now_ms = time.time_ns() // 1_000_000
    demo.trade(*[(now_ms - n * MINUTE_MS, 1_000 + n % 50) for n in range(HISTORY, 0, -1)])
    return (now_ms // MINUTE_MS - 3) * MINUTE_MS


def wait_for_server(demo: Demo) -> None:
    while True:
        try:
            demo.get("/v1/markets")
        except OSError:
            time.sleep(0.1)
        else:
            return


def closed(page: dict[str, Any]) -> list[dict[str, Any]]:
    return [candle for candle in page["candles"] if candle["status"] != "open"]


def test_a_chart_moves(demo: Demo, trader: Trader):
    wait_for_server(demo)
    trader.open("#kraken:BTC-USD/1m")
    first = trader.see("chaintide.lastBar()")
    trader.until(f"chaintide.lastBar().trades !== {first['trades']}")
    moving_s = time.monotonic() - demo.started_s
    print(f"a chart moved {moving_s:.1f} s after the start")  # noqa: T201  for -s
    last = trader.see("chaintide.lastBar()")
    trader.until(f"chaintide.drawnBar({last['open_time_ms']}).close === {float(last['close'])}")


@pytest.mark.usefixtures("closed_ms")
def test_closed_candles_on_the_chart_equal_rest(demo: Demo, trader: Trader):
    trader.open(f"#{OURS}/1m")
    trader.until("chaintide.barCount() >= 1000")
    page = demo.get(f"/v1/candles?market={OURS}&interval=1m&limit=100&closed_only=true")
    assert len(closed(page)) >= 90
    for candle in closed(page):
        opened = candle["open_time_ms"]
        assert trader.see(f"chaintide.bar({opened})") == candle
        drawn = trader.see(f"chaintide.drawnBar({opened})")
        for name in ("open", "high", "low", "close"):
            assert drawn[name] == float(candle[name])


@pytest.mark.usefixtures("closed_ms")
def test_probabilities_are_shown_with_what_may_be_luck(demo: Demo, trader: Trader):
    def part(name: str) -> str:
        return f"document.querySelector('#outlook [data-part={name}]')"

    trader.open(f"#{OURS}/1m")
    demo.trade((time.time_ns() // 1_000_000, 1_010))  # an open candle is predicted from
    trader.until(f"!{part('gauge')}.hidden && {part('up-words')}.textContent.includes('higher')")
    trader.until("!document.querySelector('#key-range').hidden")
    trader.until(f"{part('judgement')}.textContent.includes('base rate')", seconds=180)
    trader.until(f"{part('reliability')}.querySelectorAll('circle').length > 1")
    trader.page.focus("#outlook input[name=horizon]")
    trader.page.keyboard.press("ArrowRight")
    trader.until(f"{part('horizons')}.querySelector('input:checked').value === '5'")
    models = demo.get(f"/v1/models?market={OURS}&interval=1m")["models"]
    assert [one["horizon"] for one in models] == [1, 5, 15]
    for one in models:
        assert one["issued"] == one["resolved"] + one["pending"] + one["void"]
        assert one["labels"] > 1_000


@pytest.mark.usefixtures("closed_ms")
def test_what_is_unusual_is_marked_on_the_chart_and_listed_with_its_reason(
    demo: Demo, trader: Trader
):
    trader.open(f"#{OURS}/1m")
    now_ms = time.time_ns() // 1_000_000
    demo.trade(*[(now_ms + n, 1_010) for n in range(200)])  # one a minute is usual
    trader.until("chaintide.oddBars().length > 0")
    open_ms = now_ms - now_ms % MINUTE_MS
    assert open_ms in trader.see("chaintide.oddBars()")
    trader.until("document.querySelector('#oddities li').innerText.includes('within ten seconds')")
    [entry] = demo.get(f"/v1/anomalies?market={OURS}&start={now_ms}")["anomalies"]
    assert (entry["kind"], entry["status"]) == ("pace", "raised")
    assert trader.page.inner_text("#oddities li >> nth=0").startswith("Busy")
    trader.page.set_viewport_size({"width": 1024, "height": 768})
    shown, needed = trader.see(TWO_ENTRIES)
    assert shown >= needed, "two whole entries, however many there are"


@pytest.mark.usefixtures("closed_ms")
def test_scrolling_left_brings_older_candles(trader: Trader):
    trader.open(f"#{OURS}/1m")
    trader.page.focus("#chart")
    for _ in range(40):
        trader.page.keyboard.press("PageUp")
        trader.page.wait_for_timeout(100)
        if trader.see("chaintide.barCount()") >= HISTORY:
            break
    trader.until(f"chaintide.barCount() >= {HISTORY}")


def test_a_correction_redraws_its_candle(demo: Demo, trader: Trader, closed_ms: int):
    trader.open(f"#{OURS}/1m")
    trader.until(f"chaintide.bar({closed_ms}).status === 'closed'")
    drawn = trader.see(f"chaintide.drawnBar({closed_ms})")
    demo.trade((closed_ms + 30_000, 7_777))
    trader.until(f"chaintide.corrections() > 0 && chaintide.drawnBar({closed_ms}).high === 77.77")
    candle = trader.see(f"chaintide.bar({closed_ms})")
    assert (candle["status"], candle["revision"], candle["reason"]) == ("corrected", 2, "late")
    marked = trader.see(f"chaintide.drawnBar({closed_ms})")
    assert marked["borderColor"] != drawn["borderColor"], "a corrected candle is marked"
    later = f"chaintide.drawnBar({closed_ms}).borderColor !== '{marked['borderColor']}'"
    trader.until(later)
    assert demo.get(f"/v1/candles?market={OURS}&start={closed_ms}&limit=1")["candles"] == [candle]


def test_the_page_goes_on_after_its_server_was_killed(demo: Demo, trader: Trader, closed_ms: int):
    trader.open(f"#{OURS}/1m")
    earlier = closed_ms - MINUTE_MS
    demo.kill("serve")
    trader.until("chaintide.connection() === 'reconnecting'")
    assert trader.page.inner_text("#connection-state") == "Reconnecting"
    demo.trade((earlier + 30_000, 8_888))  # what is missed must come
    trader.until("chaintide.connection() === 'live'", seconds=40)
    trader.until(f"chaintide.drawnBar({earlier}).high === 88.88")
    trader.page.click("text=BTC-USD")
    trades = trader.until("chaintide.market() === 'kraken:BTC-USD' && chaintide.lastBar()")[
        "trades"
    ]
    trader.until(f"chaintide.lastBar().trades !== {trades}")
    trader.complaints = [text for text in trader.complaints if not IS_OUR_DOING.search(text)]


@pytest.mark.usefixtures("closed_ms")
def test_everything_can_be_reached_by_keyboard(trader: Trader):
    trader.open("#kraken:BTC-USD/1m")
    press = trader.page.keyboard.press
    press("/")
    trader.page.keyboard.type("eth")
    trader.until("document.querySelectorAll('#market-table tbody tr').length === 1")
    trader.page.fill("#filter", "usd")
    for _ in range(5):  # past the heads of the columns
        press("Tab")
    assert trader.see("document.activeElement.dataset.market") == "kraken:BTC-USD"
    assert trader.see("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    press("ArrowDown")
    chosen = trader.see("document.activeElement.dataset.market")
    assert chosen != "kraken:BTC-USD"
    press("Enter")
    trader.until(f"chaintide.market() === '{chosen}' && chaintide.barCount() > 0")
    trader.page.focus("#interval-1m")
    press("ArrowRight")
    trader.until("chaintide.interval() === '5m' && chaintide.barCount() > 0")
    assert trader.see("location.hash") == f"#{chosen}/5m"


def test_the_link_past_the_chart_leads_to_the_markets_and_changes_nothing(trader: Trader):
    trader.open("#kraken:BTC-USD/1m")
    trader.page.keyboard.press("Tab")
    trader.page.keyboard.press("Enter")
    trader.until("document.activeElement.id === 'markets' && location.hash !== '#markets'")
    for place in ("", "#100%"):
        trader.see(f"void (location.hash = '{place}')")
        trader.until("location.hash === '#kraken:BTC-USD/1m'")
    assert trader.see("chaintide.market()") == "kraken:BTC-USD"
    assert trader.see("chaintide.barCount()") > 0


@pytest.mark.usefixtures("closed_ms")
def test_the_markets_can_be_sorted(trader: Trader):
    trader.open()
    rows = "[...document.querySelectorAll('#market-table tbody tr')]"
    name = "(row) => ['small', 'b'].map((part) => row.querySelector(part).textContent).join(':')"
    names = f"{rows}.map({name})"
    trader.until(f"{names}.length >= 9")
    trader.page.click("button[data-sort=market]")
    shown = trader.see(names)
    assert shown == sorted(shown)
    assert trader.page.get_attribute("th:has([data-sort=market])", "aria-sort") == "ascending"
    trader.page.click("button[data-sort=market]")
    assert trader.see(names) == sorted(shown, reverse=True)


@pytest.mark.parametrize(
    "trader",
    [{"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}],
    indirect=True,
    ids=["phone"],
)
def test_a_phone_needs_no_sideways_scrolling(trader: Trader):
    trader.open("#kraken:BTC-USD/1m")
    assert trader.see("document.documentElement.scrollWidth <= innerWidth")
    chart = trader.page.locator("#chart canvas").first.bounding_box()
    assert chart is not None
    assert chart["width"] > 250
    assert chart["height"] > 250


@pytest.mark.parametrize("trader", [{"color_scheme": "light"}], indirect=True, ids=["light"])
def test_the_theme_is_the_systems_until_it_is_chosen(trader: Trader):
    trader.open()
    theme = "document.documentElement.dataset.theme"
    assert trader.see(theme) == "light"
    trader.page.click("#theme")
    assert trader.see(theme) == "dark"
    trader.page.reload()
    trader.until("chaintide.barCount() > 0")
    assert trader.see(theme) == "dark"


def test_the_foot_says_how_the_feeds_do(trader: Trader):
    trader.open()
    trader.until("/kraken: live/.test(document.querySelector('#feeds').innerText)")

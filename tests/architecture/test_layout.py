"""What the structure of the project promises, and what its reference pages must name."""

import re
from pathlib import Path

import msgspec
import pytest
from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from chaintide.agents.anomalies.changelog import Saved
from chaintide.agents.forecasts.changelog import Mark
from chaintide.api.settings import Settings
from chaintide.streams import codec, topics
from chaintide.streams.anomalies import AnomalyBatch
from chaintide.streams.chain.records import Alias, BlockMessage, ChainMessage
from chaintide.streams.feeds.coingecko import PriceTick, Trending
from chaintide.streams.probabilities import ModelScore, PredictionBatch
from chaintide.streams.records import CandleBatch, DeadLetter, FeedReport, Late
from chaintide.streams.views import PoolView

ROOT = Path(__file__).parents[2]
FOLDERS = ["agents", "api", "contracts", "dashboards", "sinks", "streams"]
MODULES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
REFERENCE = ROOT / "docs/reference"
DECODERS = {
    topics.TRADES.name: codec.decode_trades,
    topics.CANDLES.name: msgspec.json.Decoder(CandleBatch).decode,
    topics.CANDLE_STATE.name: msgspec.json.Decoder(tuple[int, int, list[msgspec.Raw]]).decode,
    topics.CHAIN.name: msgspec.json.Decoder(ChainMessage).decode,
    topics.BLOCKS.name: msgspec.json.Decoder(BlockMessage).decode,
    topics.ALIASES.name: msgspec.json.Decoder(Alias).decode,
    topics.VIEWS.name: msgspec.json.Decoder(PoolView).decode,
    topics.PROBABILITIES.name: msgspec.json.Decoder(PredictionBatch).decode,
    topics.PROBABILITY_STATE.name: msgspec.json.Decoder(Mark).decode,
    topics.SCORES.name: msgspec.json.Decoder(ModelScore).decode,
    topics.ANOMALIES.name: msgspec.json.Decoder(AnomalyBatch).decode,
    topics.ANOMALY_STATE.name: msgspec.json.Decoder(Saved).decode,
    topics.TICKS.name: msgspec.json.Decoder(PriceTick | Trending).decode,
    topics.FEEDS.name: msgspec.json.Decoder(FeedReport).decode,
    topics.LATE.name: msgspec.json.Decoder(Late).decode,
    topics.DEAD_LETTERS.name: msgspec.json.Decoder(DeadLetter).decode,
}


def test_no_module_is_longer_than_300_lines():
    lines = {str(path.relative_to(ROOT)): path.read_text().count("\n") for path in MODULES}
    assert {name: count for name, count in lines.items() if count > 300} == {}


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_folder_is_importable_through_a_relative_link(folder):
    link = ROOT / "src/chaintide" / folder
    assert link.readlink() == Path("../..") / folder
    assert (link / "__init__.py").exists()


def test_nothing_else_is_linked():
    links = sorted(path.name for path in (ROOT / "src/chaintide").iterdir() if path.is_symlink())
    assert links == FOLDERS


def test_an_init_module_holds_one_sentence():
    for path in MODULES:
        if path.name == "__init__.py":
            assert re.fullmatch(r'""".*\."""\n', path.read_text()), path


@pytest.mark.parametrize("topic", topics.ALL, ids=lambda topic: topic.name)
def test_every_topic_is_described_with_examples_that_can_be_read(topic):
    page = (REFERENCE / "topics.md").read_text()
    [row] = [line for line in page.splitlines() if line.startswith(f"| `{topic.name}` |")]
    assert topic.policy in row
    section = page.partition(f"\n## {topic.name}\n")[2].partition("\n## ")[0]
    examples = re.findall(r"```json\n(.*?)\n```", section)
    assert examples
    for example in examples:
        DECODERS[topic.name](example.encode())


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_described_as_in_the_code(name):
    field = Settings.model_fields[name]
    default = field.default
    if isinstance(default, SecretStr) or default in ("", None):
        default = ""
    assert default is not PydanticUndefined
    shown = f"`{default}`" if default != "" else ""
    row = f"| `CHAINTIDE_{name.upper()}` | {shown} | {field.description} |"
    assert row in (REFERENCE / "settings.md").read_text().splitlines(), f"needs: {row}"


def test_contributing_is_one_page():
    assert (ROOT / "CONTRIBUTING.md").read_text().count("\n") <= 80

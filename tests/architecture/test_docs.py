"""What the pages promise: every command is described, every link leads somewhere."""

import re
import subprocess
from pathlib import Path

import pytest
import typer
from serving import backend_over

from chaintide.api.cli import app
from chaintide.api.rest.app import new_app
from chaintide.sinks.memory import MemoryStore

ROOT = Path(__file__).parents[2]
API = new_app(backend_over(MemoryStore()))
COMMANDS = {
    " ".join((name, *inner)): leaf
    for name, command in typer.main.get_command(app).commands.items()
    for inner, leaf in (
        [((each,), leaf) for each, leaf in command.commands.items()]
        if hasattr(command, "commands")
        else [((), command)]
    )
}
CLI_PAGE = (ROOT / "docs/reference/cli.md").read_text()
ADR_HEADINGS = ["Status", "Context", "Decision", "Consequences", "Alternatives measured"]
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def pages() -> list[Path]:
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"]
    done = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=False)
    names = done.stdout.split() or [str(path) for path in ROOT.glob("docs/**/*.md")]
    return sorted(path for name in names if (path := ROOT / name).exists())


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


def is_dead(page: Path, link: str) -> bool:
    name, _, anchor = link.partition("#")
    target = (page.parent / name).resolve() if name else page
    return not target.exists() or bool(anchor and anchor not in anchors(target))


def section(command: str) -> str:
    [found] = re.findall(
        rf"^## chaintide {command}\b.*?(?=^## |\Z)", CLI_PAGE, re.MULTILINE | re.DOTALL
    )
    return found


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_option_of_a_command_is_described_in_its_section(command: str):
    options = [option for param in COMMANDS[command].params for option in param.opts]
    flags = [option for option in options if option.startswith("--") and option != "--help"]
    missing = [flag for flag in flags if f"| `{flag}" not in section(command)]
    assert missing == []


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_no_option_is_described_that_a_command_lacks(command: str):
    known = {option for param in COMMANDS[command].params for option in param.opts}
    assert set(re.findall(r"^\| `(--[\w-]+)", section(command), re.MULTILINE)) <= known


def test_every_route_its_parameters_and_metrics_are_described():
    page = (ROOT / "docs/reference/rest.md").read_text()
    for path, operations in API.openapi()["paths"].items():
        assert f"`{path}`" in page, path
        names = [row["name"] for row in operations["get"].get("parameters", ())]
        missing = [name for name in names if path[:4] == "/v1/" and f"`{name}`" not in page]
        assert missing == [], path
    metrics = {family.name for family in API.state.metrics.registry.collect()}
    assert {name for name in metrics if f"`{name}" not in page} == set()
    assert set(re.findall(r"`(/(?:v1|udf|api)/[^` ]*)`", page)) <= set(API.openapi()["paths"])


def test_no_command_is_described_that_there_is_not():
    assert set(re.findall(r"^## chaintide ([a-z ]*[a-z])", CLI_PAGE, re.MULTILINE)) == set(COMMANDS)


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path):
    links = LINK.findall(FENCED.sub("", page.read_text()))
    relative = [link for link in links if not re.match(r"[a-z]+:", link)]
    assert [link for link in relative if is_dead(page, link)] == []


@pytest.mark.parametrize("page", sorted((ROOT / "docs/adr").glob("*.md")), ids=lambda p: p.stem)
def test_a_decision_has_the_five_headings(page: Path):
    assert re.findall(r"^## (.+)$", page.read_text(), re.MULTILINE) == ADR_HEADINGS


def test_numbers_of_decisions_have_no_holes():
    numbers = [int(path.name[:4]) for path in sorted((ROOT / "docs/adr").glob("*.md"))]
    assert numbers == list(range(1, len(numbers) + 1))

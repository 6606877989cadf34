"""The documentation against the code: what exists is documented, and what is documented works."""

import re
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from prometheus_client import Metric

import logbridge
from logbridge import MemorySink, use_sink
from logbridge.domain import errors
from logbridge.domain.measures import OUTCOMES
from logbridge.entrypoints.cli import app
from logbridge.entrypoints.http.meter import Refusal
from logbridge.entrypoints.http.metrics import families
from logbridge.entrypoints.http.problems import STATUS_OF_CAUSE
from logbridge.entrypoints.http.routes import operations
from logbridge.entrypoints.http.stats import (
    Errors,
    FailureShown,
    InFlight,
    Performance,
    Point,
    SpoolShown,
    Stats,
    Upstream,
    Window,
)
from logbridge.entrypoints.settings import SETTINGS, Settings
from tests.unit.entrypoints.http.looks import WAITING, look

ROOT = Path(__file__).parents[2]
READMES = ("README.md", "README.zh-CN.md")
PAGES = [*READMES, "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"]
PAGES += [str(page.relative_to(ROOT)) for page in sorted((ROOT / "docs").rglob("*.md"))]
_ROW = re.compile(r"^\| `([A-Z_]+)` \| (?:`([^`]*)`|empty|空) \| (.+) \|$", re.MULTILINE)


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks_of(page: str, language: str = r"\w*") -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text_of(page), re.DOTALL | re.MULTILINE)


def python_examples() -> list[Any]:
    pages = ("README.md", "docs/python.md", "docs/testing.md")
    return [
        pytest.param(block, id=f"{page}-{number}")
        for page in pages
        for number, block in enumerate(blocks_of(page, "python"))
    ]


@pytest.mark.parametrize("page", ["README.md", "docs/settings.md"])
def test_every_setting_is_in_the_table(page: str) -> None:
    """Name, default and meaning of every setting, in the code's order and words."""
    assert _ROW.findall(text_of(page)) == [(s.variable, s.default, s.description) for s in SETTINGS]


def test_every_limit_is_in_the_table() -> None:
    """Name, default and what it holds for of every limit are in docs/limits.md as they are in the code."""
    rows = re.findall(
        r"^\| `([A-Z_]+)` \| (?:`([^`]*)`|empty) \| ([^|]+) \| ", text_of("docs/limits.md"), re.M
    )
    assert sorted(rows) == sorted((s.variable, s.default, s.holds_for) for s in SETTINGS if s.holds_for)


def test_both_readmes_say_the_same() -> None:
    """The same headings in the same order of depth, the same code, the same settings and links."""
    english, chinese = (text_of(page) for page in READMES)
    shape = re.compile(r"^#+ ", re.MULTILINE)
    assert shape.findall(english) == shape.findall(chinese)
    assert blocks_of("README.md") == blocks_of("README.zh-CN.md")
    names = [[row[:2] for row in _ROW.findall(text)] for text in (english, chinese)]
    assert names[0] == names[1]
    links = [
        set(re.findall(r"\]\(((?:docs/|[A-Z]+\.md|LICENSE)[^)]*)\)", text)) for text in (english, chinese)
    ]
    assert links[0] - {"README.md"} == links[1] - {"README.md"}


def test_every_route_is_documented() -> None:
    """docs/rest.md names every operation's path, and every status that one answers."""
    page = text_of("docs/rest.md")
    table = operations(Settings().api_prefix)
    assert [each.path for each in table if f"{each.method} {each.path}" not in page] == []
    statuses = {str(status) for each in table for status in each.responses}
    assert statuses - set(re.findall(r"\b\d{3}\b", page)) == set()


def test_every_metric_is_documented() -> None:
    """docs/metrics.md has each metric with its type and labels, and no other."""
    settings = replace(Settings(), spool="sqlite:///spool")
    metrics = list(families(look(waiting=WAITING), settings))
    wanted = {name_of(metric): (metric.type, labels_of(metric)) for metric in metrics}
    rows = re.findall(r"^\| `(logbridge_\w+)` \| (\w+) \|([^|]*)\|", text_of("docs/metrics.md"), re.M)
    assert {name: (kind, set(re.findall(r"\w+", labels))) for name, kind, labels in rows} == wanted
    assert len(rows) == len(metrics)


def name_of(metric: Metric) -> str:
    """As it is asked for: prometheus-client keeps the ends of names apart."""
    return metric.name + {"counter": "_total", "info": "_info"}.get(metric.type, "")


def labels_of(metric: Metric) -> set[str]:
    return {name for sample in metric.samples for name in sample.labels} - {"le"}


def test_every_value_of_a_label_is_documented() -> None:
    """docs/metrics.md explains each cause and each reason, with the status that goes with it."""
    page = text_of("docs/metrics.md")
    causes, _, reasons = page.partition("### Reasons")
    row = re.compile(r"^\| `([^`]+)` \| ([\d, ]+) \|", re.M)
    statuses = {cause.value: str(status) for cause, status in STATUS_OF_CAUSE.items()}
    assert dict(row.findall(causes)) == statuses
    assert [name for name, _ in row.findall(reasons)] == list(Refusal)


def test_every_alert_is_documented() -> None:
    """docs/monitoring.md has a row for each alert that we ship, in its order."""
    rows = re.findall(r"^\| `(Logbridge\w+)` \|", text_of("docs/monitoring.md"), re.M)
    assert rows == re.findall(r"- alert: (\w+)", text_of("deploy/prometheus/alerts.yml"))


def test_every_field_of_the_statistics_is_documented() -> None:
    """docs/stats.md has each field of the answer."""
    page = text_of("docs/stats.md")
    kinds = (Stats, Performance, Window, Point, InFlight, Errors, FailureShown, Upstream, SpoolShown)
    names = (
        {name for kind in kinds for name in kind.__struct_fields__} - set(OUTCOMES) - {"windows", "seconds"}
    )
    assert {name for name in names if not re.search(rf"\b{name}\b", page)} == set()


def test_every_public_name_is_documented() -> None:
    """docs/python.md names whatever the package exports."""
    page = text_of("docs/python.md")
    assert [name for name in logbridge.__all__ if not re.search(rf"\b{name}\b", page)] == []


def test_every_error_is_documented() -> None:
    """docs/errors.md has a row for every error of the domain."""
    names = [name for name, value in vars(errors).items() if isinstance(value, type)]
    assert [name for name in names if f"| `{name}` |" not in text_of("docs/errors.md")] == []


def test_every_command_is_documented() -> None:
    """docs/cli.md has a row for every command."""
    names = [name for name in app if not name.startswith("-")]
    assert "dev" in names
    assert [name for name in names if f"| `logbridge {name}" not in text_of("docs/cli.md")] == []


@pytest.mark.parametrize("code", python_examples())
def test_python_examples_run(code: str) -> None:
    """Each example is a program that runs, here with memory for a log service."""
    with use_sink(MemorySink()):
        exec(compile(code, "example", "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("page", PAGES)
def test_relative_links_lead_somewhere(page: str) -> None:
    """Every link to a file of this repository finds it."""
    prose = re.sub(r"^```.*?^```$", "", text_of(page), flags=re.DOTALL | re.MULTILINE)
    links = re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", prose)
    assert [link for link in links if not ((ROOT / page).parent / link).exists()] == []


@pytest.mark.parametrize("picture", sorted((ROOT / "docs").rglob("*.svg")), ids=lambda path: path.name)
def test_pictures_load_nothing(picture: Path) -> None:
    """A picture asks no other host for fonts, styles or anything, and runs no script of others."""
    text = picture.read_text(encoding="utf-8")
    assert not re.search(r"url\(\s*[\"']?(?!#)|@import|@font-face|(?:href|src)\s*=\s*[\"'](?!#)", text)

"""docs/own-log.md and docs/tracing.md against the code."""

import re
from pathlib import Path

from logbridge.adapters.otel import FLUSH_S_MIN, QUEUE_SPANS_MAX
from logbridge.domain.trace import STATE_CHARACTERS_MAX
from logbridge.entrypoints.own_log import FIELDS, HIDDEN, MORE

DOCS = Path(__file__).parents[2] / "docs"


def test_every_field_is_in_the_table() -> None:
    """Name and meaning of every field of a record, in the code's order and words."""
    page = (DOCS / "own-log.md").read_text()
    _, _, section = page.partition("## Fields")
    assert re.findall(r"^\| `(\w+)` \| (.+) \|$", section, re.M) == list(FIELDS.items())


def test_marks_are_as_documented() -> None:
    """What marks a traceback's lines, and what stands for a secret."""
    page = (DOCS / "own-log.md").read_text()
    assert f"`{MORE}`" in page
    assert f"`{HIDDEN}`" in page


def test_limits_are_as_documented() -> None:
    """The fixed limits of traces are in docs/limits.md and docs/tracing.md."""
    for page in ("limits.md", "tracing.md"):
        text = (DOCS / page).read_text()
        assert str(STATE_CHARACTERS_MAX) in text
        assert str(QUEUE_SPANS_MAX) in text
    assert FLUSH_S_MIN == 0.5

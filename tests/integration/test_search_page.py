"""docs/search.md: each of its examples runs, and finds what it is about."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.processes import DEADLINE_S, Bridge, bridge, read_until

PAGE = (Path(__file__).parents[2] / "docs" / "search.md").read_text(encoding="utf-8")
EXAMPLES = [
    line
    for block in re.findall(r"^```bash\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    for line in block.splitlines()
]
# A tail has no end: curl is told to give up, and says so.
GAVE_UP = 28


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    """A bridge with one log that every example finds."""
    with bridge(tmp_path_factory.mktemp("bridge"), "memory://") as one:
        assert one.write("Card refused", service_name="shop", level="ERROR").status_code == 200
        yield one


NEEDS_CURL = pytest.mark.skipif(shutil.which("curl") is None, reason="the examples need curl")


def environment(running: Bridge) -> dict[str, str]:
    return {"URL": str(running.client.base_url).rstrip("/"), "PATH": "/usr/local/bin:/usr/bin:/bin"}


@NEEDS_CURL
@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_run(tmp_path: Path, running: Bridge, example: str) -> None:
    """It succeeds, and what it prints or saves has the log in it."""
    done = subprocess.run(
        ["bash", "-ec", example],
        cwd=tmp_path,
        env=environment(running),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == (GAVE_UP if "/tail" in example else 0), done.stderr
    found = "".join(file.read_text() for file in tmp_path.iterdir()) or done.stdout
    if "/histogram" in example:
        assert json.loads(found)["total_count"] == 1
    elif "/tail" not in example:
        assert "Card refused" in found


@NEEDS_CURL
@pytest.mark.parametrize("example", [example for example in EXAMPLES if "/tail" in example])
def test_a_tail_begins_with_the_log(tmp_path: Path, running: Bridge, example: str) -> None:
    """With more than its two seconds, in which a busy machine may not have come to the first event."""
    patient = re.sub(r"--max-time \d+", f"--max-time {DEADLINE_S:.0f}", example)
    command = ["bash", "-ec", f"exec {patient}"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment(running), stdout=subprocess.PIPE) as tail:
        assert tail.stdout is not None
        try:
            read_until(tail.stdout, r"\Aid: 1\n")
        finally:
            tail.kill()


def test_every_question_has_an_example() -> None:
    """Query, histogram, export and tail."""
    for name in ("query", "histogram", "export", "tail"):
        assert any(f"/{name}" in example for example in EXAMPLES)

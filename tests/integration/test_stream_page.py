"""docs/stream.md: each of its examples runs, and every line of it is taken."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.processes import DEADLINE_S, Bridge, bridge

PAGE = (Path(__file__).parents[2] / "docs" / "stream.md").read_text(encoding="utf-8")
LINES = re.findall(r"`logs.ndjson`:\n\n```json\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)[0]
EXAMPLES = re.findall(r"^```bash\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)[0].splitlines()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    """A bridge with a log service in memory."""
    with bridge(tmp_path_factory.mktemp("bridge"), "memory://") as one:
        yield one


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_run(tmp_path: Path, running: Bridge, example: str) -> None:
    """Two lines go in, and the answer says so."""
    missing = [name for name in ("curl", "jq", "gzip") if name in example and shutil.which(name) is None]
    if missing:
        pytest.skip(f"the example needs {missing[0]}")
    (tmp_path / "logs.ndjson").write_text(LINES)
    (tmp_path / "plain.log").write_text('one\ntwo "quoted"\n')
    done = subprocess.run(
        ["bash", "-ec", example],
        cwd=tmp_path,
        env={"URL": str(running.client.base_url).rstrip("/"), "PATH": "/usr/local/bin:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["success_count"], told["lines_read"], told["stopped"]) == (2, 2, "")

"""schemathesis asks a running bridge whatever its own OpenAPI document allows, and much that it does not.

Every check, over every operation; the document has no links, so the stateful phase has nothing to do. What is
exempt is listed, with reasons, in schemathesis_hooks.py. The examples are the same in every run.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from logbridge.entrypoints.http.routes import operations
from tests.integration.processes import DEADLINE_S, end, read_until, start, tells_of_a_fault
from tests.integration.served import API

ROOT = Path(__file__).parents[2]
EXAMPLES_MAX = 20
# A stream that ends after its first event: schemathesis reads answers to their end.
_PROGRAM = """
import json, sys
from logbridge.adapters.memory import MemorySink
from logbridge.domain.query import Followed
from logbridge.entrypoints.http.server import serve
from logbridge.entrypoints.settings import Settings
async def follow(self, which, *, after=None):
    yield Followed(after or 0)
MemorySink.follow = follow
sys.exit(serve(Settings(host="127.0.0.1", port=0, sink="memory://", **json.loads(sys.argv[1]))))
"""
# For a whole run, many requests, not for one of them.
RUN_MAX_S = 280.0

_CONFIG = """
seed = 1
request-timeout = 20.0
continue-on-failure = true
{headers}
[generation]
deterministic = true
max-examples = {examples}
[checks]
enabled = true
"""
# A sink in memory keeps 100,000 entries: the concurrent tests of a run must not fill it.
SETTINGS: dict[str, Any] = {"max_concurrent_requests": 20, "max_concurrent_workers": 5, "drain_notice_s": 0.0}


def serving(folder: Path, settings: dict[str, Any]) -> "subprocess.Popen[str]":
    """A bridge in a process of its own."""
    program = folder / "program.py"
    program.write_text(_PROGRAM)
    return subprocess.Popen(
        [sys.executable, program, json.dumps(settings)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def judge(folder: Path, url: str, headers: str) -> tuple[int, str]:
    """Let schemathesis loose: its exit code and what it found."""
    config = folder / "schemathesis.toml"
    config.write_text(_CONFIG.format(headers=headers, examples=EXAMPLES_MAX))
    program = "from schemathesis.cli import schemathesis; schemathesis()"
    done = subprocess.run(
        [sys.executable, "-c", program, "--config-file", config, "--no-color", "run", f"{url}/openapi.json"],
        cwd=folder,
        env={
            **os.environ,
            "SCHEMATHESIS_HOOKS": "tests.integration.schemathesis_hooks",
            "PYTHONPATH": str(ROOT),
        },
        capture_output=True,
        text=True,
        timeout=RUN_MAX_S,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("with_keys", [False, True])
def test_schemathesis_finds_nothing(tmp_path: Path, with_keys: bool) -> None:
    """No 5xx, no answer beside the document, no wrong request accepted, no right one refused."""
    settings, headers = dict(SETTINGS), ""
    if with_keys:
        keys = tmp_path / "keys.json"
        made = start(tmp_path, "key", "create", "a", "--scope", "admin", LOGBRIDGE_KEYS_FILE=str(keys))
        key = made.communicate(timeout=DEADLINE_S)[0].strip()
        settings["keys_file"] = str(keys)
        headers = f'headers = {{ Authorization = "Bearer {key}" }}'
    process = serving(tmp_path, settings)
    try:
        assert process.stdout is not None
        url = read_until(process.stdout, r"listens at (http://[\d.:]+),")[1]
        code, found = judge(tmp_path, url, headers)
    finally:
        ended, err = end(process)
    print(found)
    assert code == 0, found
    assert re.search(rf"Tested: *{len(operations(API))}\b", found)
    assert int(re.search(r"(\d+) generated", found)[1]) > 500  # type: ignore[index]  # it is there
    assert (ended, tells_of_a_fault(err)) == (0, False), err

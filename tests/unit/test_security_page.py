"""SECURITY.md against the code: its table of who may do what is asked of a bridge, cell by cell."""

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from logbridge.adapters.keys.file import KeysFile
from logbridge.adapters.keys.ring import new_key
from logbridge.domain.access import Key, Scope
from logbridge.entrypoints.http.otlp import EXAMPLE, PATH
from logbridge.entrypoints.http.routes import operations
from logbridge.entrypoints.settings import Settings
from tests.integration.schemathesis_hooks import EXEMPT
from tests.unit.entrypoints.http.serving import API, FAST, serving

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "SECURITY.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if line.startswith("| `")
]
SHORT = ("/batch", "/stream", "/histogram", "/export", "/tail", "/stats")
COLUMNS = ("local", "stranger", *Scope)
BODIES: dict[str, Any] = {
    f"{API}/write": {"message": "m"},
    f"{API}/batch": {"log_entries": [{"message": "m"}]},
    f"{API}/stream": {"message": "m"},
    f"{API}/concurrent-test": {"count": 1},
    PATH: EXAMPLE,
}


def asked_of(cell: str) -> list[tuple[str, str]]:
    """Methods and paths of the first cell of a row."""
    spans = re.findall(r"`([^`]+)`", cell)
    method, first = spans[0].split(" ")
    short = [f"{API}{path}" if path in SHORT else path for path in spans[1:]]
    return [(method, path) for path in (first, *short)]


CELLS = [
    pytest.param(method, path, column, cell, id=f"{method} {path} {column}")
    for row in ROWS
    for method, path in asked_of(row[0])
    for column, cell in zip(COLUMNS, row[1:], strict=True)
    if not path.endswith("/tail")  # a stream without end: the same gate as the query
]


@pytest.mark.parametrize(("method", "path", "column", "cell"), CELLS)
async def test_the_table_is_true(tmp_path: Path, method: str, path: str, column: str, cell: str) -> None:
    """Whoever may, may; whoever may not is told so with the status of the table."""
    settings, headers = FAST, {}
    if column in tuple(Scope):
        settings, headers = with_key(tmp_path, Scope(column))
    status = (await ask(settings, column, method, path, headers)).status_code
    wanted = re.match(r"\d{3}", cell)
    assert (status == int(wanted[0])) if wanted else status < 300
    if opened := re.search(r"LOGBRIDGE_OPEN=(\w+)", cell):
        opened_settings = replace(FAST, open=frozenset((opened[1],)))
        assert (await ask(opened_settings, column, method, path, {})).status_code < 300
    if column in tuple(Scope) and any("403" in other for other in row_of(method, path)):
        assert (await ask(settings, column, method, path, {})).status_code == 401


def row_of(method: str, path: str) -> list[str]:
    return next(row[3:] for row in ROWS if (method, path) in asked_of(row[0]))


def with_key(folder: Path, scope: Scope) -> tuple[Settings, dict[str, str]]:
    """Settings of a bridge that knows one key, and the header that shows it."""
    key, key_id, digest = new_key()
    file = folder / "keys.json"
    KeysFile(file).add(
        Key(id=key_id, name="k", hash=digest, scopes=frozenset((scope,)), created_at="2024-08-30T10:30:45Z")
    )
    return replace(FAST, keys_file=str(file)), {"authorization": f"Bearer {key}"}


async def ask(
    settings: Settings, column: str, method: str, path: str, headers: dict[str, str]
) -> httpx.Response:
    peer = "192.0.2.1" if column == "stranger" else "127.0.0.1"
    content = json.dumps(BODIES[path]) if path in BODIES else None
    async with serving(settings=settings, peer=peer) as client:
        kind = "application/x-ndjson" if path.endswith("/stream") else "application/json"
        typed = headers if content is None else {**headers, "content-type": kind}
        return await client.request(method, path, content=content, headers=typed)


def test_every_route_is_in_the_table() -> None:
    """No operation of the API is left out."""
    listed = {each for row in ROWS for each in asked_of(row[0])}
    assert {(each.method, each.path) for each in operations(API)} <= listed


def test_every_exemption_has_its_line() -> None:
    """docs/security-proof.md tells of as many exemptions from schemathesis as there are."""
    page = (ROOT / "docs" / "security-proof.md").read_text()
    section = page.partition("## Exemptions")[2].partition("\n## ")[0]
    assert section.count("\n- ") == len(EXEMPT)

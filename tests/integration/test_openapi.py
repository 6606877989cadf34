"""The OpenAPI document is valid, and every answer that it promises is given and looks as it says."""

import json
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate

from logbridge.adapters.keys.file import KeysFile
from logbridge.adapters.keys.ring import new_key
from logbridge.adapters.memory import MemorySink, Step, fail, hang, lose, refuse
from logbridge.domain.access import Key
from logbridge.domain.errors import QueryNotSupported, QueryRefused, ReaderUnavailable
from logbridge.domain.ports import LogSink
from logbridge.entrypoints.container import Container
from logbridge.entrypoints.http.app import create_app
from logbridge.entrypoints.http.export import NDJSON
from logbridge.entrypoints.http.openapi import openapi_document
from logbridge.entrypoints.http.otlp import EXAMPLE, PATH
from logbridge.entrypoints.http.routes import operations
from logbridge.entrypoints.settings import Settings
from tests.unit.entrypoints.http.serving import API, FAST, UnreadableSink, serving
from tests.unit.entrypoints.http.test_read import Unwell

DOCUMENT = openapi_document(operations(API), Settings())
DOCUMENTED = {
    (method.upper(), path, status)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
    for status in operation["responses"]
    if status != "default"
}
UNREADABLE = {"501": QueryNotSupported("no"), "502": QueryRefused("no"), "503": ReaderUnavailable("no")}
STEPS: dict[str, Step] = {"502": refuse("why"), "503": fail("why"), "504": hang}
ENTRY = {"message": "a", "log_id": "x", "level": "warning", "other": 1}
BODIES: dict[str, Any] = {
    f"{API}/write": ENTRY,
    f"{API}/batch": {"log_entries": [ENTRY]},
    f"{API}/concurrent-test": {"count": 1},
    f"{API}/stream": ENTRY,
    PATH: EXAMPLE,
}
SESSION, STREAM = f"{API}/session", f"{API}/stream"
# A bridge that has not started is asked below; a stream without end is read in test_http.py and test_read.py,
# a download, which is no JSON, in test_export.py, and a client that is too slow in test_stream.py.
ELSEWHERE = {
    ("GET", f"{API}/tail", "200"),
    ("GET", f"{API}/export", "200"),
    ("GET", "/readyz", "503"),
    ("POST", STREAM, "408"),
}


def sink_for(path: str, status: str) -> LogSink:
    """A sink that leads to this answer."""
    if path.endswith("/health"):
        return Unwell() if status == "503" else MemorySink()
    if path not in BODIES and status in UNREADABLE:
        return UnreadableSink(UNREADABLE[status])
    return MemorySink([STEPS[status]] if status in STEPS else [])


def with_keys(folder: Path) -> tuple[Settings, str]:
    """Settings of a bridge that asks for keys, and a key that may do nothing."""
    key, key_id, hashed = new_key()
    path = folder / "keys.json"
    kept = Key(id=key_id, name="none", hash=hashed, scopes=frozenset(), created_at="2024-08-30T10:30:45Z")
    KeysFile(path).add(kept)
    return msgspec.structs.replace(FAST, keys_file=str(path)), key


def content_headers(path: str, status: str) -> dict[str, str]:
    """What the body is said to be."""
    media_type = NDJSON if path == STREAM else "application/json"
    headers = {"content-type": "text/plain" if status == "415" else media_type}
    # A line that is no JSON fails alone: only the whole can be 400.
    return headers | ({"content-encoding": "gzip"} if (path, status) == (STREAM, "400") else {})


async def ask(method: str, path: str, status: str, folder: Path) -> httpx.Response:
    """Bring about the answer that the document promises."""
    content = json.dumps(BODIES[path]) if path in BODIES else ""
    content = {"400": "{", "413": " " * (FAST.body_bytes_max + 1), "422": "{}"}.get(status, content)
    if status == "422" and path.endswith("test"):
        content = '{"count": 0}'
    headers = content_headers(path, status)
    params = {"no": "1"} if status == "422" else None
    settings, key = FAST, ""
    if status in ("401", "403", "429") or (method, path, status) == ("POST", SESSION, "200"):
        settings, key = with_keys(folder)
    if key and status != "401":
        headers["x-api-key"] = key
    if status == "429":
        settings = msgspec.structs.replace(settings, address_rate="1/h")
    if status == "202":
        headers["prefer"] = "respond-async"
        settings = msgspec.structs.replace(FAST, spool=f"sqlite:///{folder}/spool")
    async with serving(sink_for(path, status), settings) as client:
        if status == "409":
            await client.post(path, json=ENTRY | {"message": "other"})
        if status == "429":
            await client.request(method, path, params={"no": "1"})
        return await client.request(method, path, params=params, content=content, headers=headers)


def check(answer: httpx.Response, path: str) -> None:
    """The answer looks as the document says."""
    documented = DOCUMENT["paths"][path][answer.request.method.lower()]["responses"][str(answer.status_code)]
    schema = documented["content"][answer.headers["content-type"]]["schema"]
    is_json = answer.headers["content-type"].endswith("json")
    body = answer.json() if is_json else answer.text
    OAS31Validator(schema | {"components": DOCUMENT["components"]}).validate(body)


def test_the_document_is_openapi() -> None:
    """The document passes the specification's own validator."""
    validate(DOCUMENT)


@pytest.mark.parametrize(("method", "path", "status"), sorted(DOCUMENTED - ELSEWHERE))
async def test_every_documented_answer_is_given(method: str, path: str, status: str, tmp_path: Path) -> None:
    """Each status of each operation can be brought about, and its body fits its schema."""
    answer = await ask(method, path, status, tmp_path)
    assert str(answer.status_code) == status, answer.text
    check(answer, path)


def test_examples_fit_their_schemas() -> None:
    """Every example of the document is one of what it documents."""
    for methods in DOCUMENT["paths"].values():
        for operation in methods.values():
            described = [operation["requestBody"]] if "requestBody" in operation else []
            described += [r for status, r in operation["responses"].items() if status != "default"]
            for content in (one for part in described for one in part["content"].values()):
                schema = content["schema"] | {"components": DOCUMENT["components"]}
                OAS31Validator(schema).validate(content["example"])


async def test_a_lost_connection_is_a_documented_504() -> None:
    """An unknown outcome fits the document as well."""
    async with serving(MemorySink([lose("broke")])) as client:
        check(await client.post(f"{API}/write", json=ENTRY), f"{API}/write")


async def test_a_bridge_that_has_not_started_is_a_documented_503() -> None:
    """Before the application has started, readyz answers as documented."""
    transport = httpx.ASGITransport(create_app(Container(FAST, MemorySink())))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        answer = await client.get("/readyz")
    assert answer.status_code == 503
    check(answer, "/readyz")


async def test_the_served_document_is_this_one() -> None:
    """What /openapi.json answers is made from the same table."""
    async with serving() as client:
        assert (await client.get("/openapi.json")).json() == json.loads(json.dumps(DOCUMENT))

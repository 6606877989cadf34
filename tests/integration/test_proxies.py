"""Behind a reverse proxy, as deploy/ sets it up: the prefix, streams, connections, addresses and limits."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest
from httpx_sse import connect_sse

from logbridge.entrypoints.settings import Settings
from logbridge.http import Client
from tests.integration.browser import HOST, open_chromium
from tests.integration.console import SEND, assert_at_home
from tests.integration.processes import DEADLINE_S, until
from tests.integration.proxies import KINDS, ROOT_PATH, Backend, Front, Kind, backend, front, tcp_connections
from tests.integration.served import API

LIMIT = Settings().body_bytes_max


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """Two bridges."""
    with backend(tmp_path_factory.mktemp("behind")) as running:
        yield running


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.name)
def fronted(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, behind: Backend
) -> Iterator[Front]:
    """A proxy in front of them."""
    kind: Kind = request.param
    with front(kind, tmp_path_factory.mktemp(kind.name), behind) as running:
        yield running


@pytest.fixture
def client(fronted: Front) -> Iterator[httpx.Client]:
    """A client of it."""
    with fronted.client() as client:
        yield client


def test_the_docs_are_under_the_prefix(client: httpx.Client) -> None:
    """The pages, what they load and their document are there, and its server is the prefix."""
    for page in ("/docs", "/redoc", "/console"):
        answer = client.get(page, headers={"Accept": "text/html"})
        assert answer.status_code == 200, page
        assert "text/html" in answer.headers["content-type"]
    document = client.get("/openapi.json").json()
    assert [server["url"] for server in document["servers"]] == [ROOT_PATH]
    assert client.get("/").json()["docs"] == f"{ROOT_PATH}/docs"


def test_the_prefix_alone_leads_to_the_root_under_it(fronted: Front, client: httpx.Client) -> None:
    """A redirect stays under the prefix, at the same host and port."""
    answer = client.get(fronted.url)
    assert answer.status_code == 308
    root = client.get(answer.url.join(answer.headers["location"]))
    assert str(root.url) == f"{fronted.url}/"
    assert root.json()["name"] == "logbridge"


@pytest.mark.browser
async def test_the_console_finds_all_that_it_needs(fronted: Front) -> None:
    """It opens without a complaint of the browser, and a log that it writes is stored."""
    async with open_chromium(any_certificate=True) as visit:
        page = visit.page
        await page.goto(f"https://{HOST}:{fronted.port}{ROOT_PATH}/console#write")
        await page.locator("[name=message]").fill("from the console")
        await page.locator(SEND).click()
        await page.locator(".answer").get_by_text("200").first.wait_for()
        assert_at_home(visit)
    assert "from the console" in fronted.behind.stored()


def test_a_bridge_answers_with_the_prefix_and_without(behind: Backend) -> None:
    """So a proxy may take it off or pass it on, and probes need none; both are counted as the same route."""
    client = behind.bridge(0).client

    def counted() -> float:
        line = r'^logbridge_http_request_duration_seconds_count\{.*route="/livez".*\} (\S+)$'
        return sum(map(float, re.findall(line, client.get("/metrics").text, re.MULTILINE)))

    before = counted()
    for prefix in ("", ROOT_PATH):
        assert client.get(f"{prefix}/livez").json() == {"status": "alive"}
    assert counted() == before + 2
    assert client.get(f"{ROOT_PATH}{ROOT_PATH}/livez").status_code == 404


def test_an_event_arrives_while_the_tail_is_open(client: httpx.Client) -> None:
    """A proxy that held events back would let this wait for ever."""
    log = {"message": "now", "service_name": "tailed"}
    with connect_sse(client, "GET", f"{API}/tail", params={"service_name": "tailed"}) as source:
        assert client.post(f"{API}/write", json=log).status_code == 200
        event = next(event for event in source.iter_sse() if event.data)
        assert json.loads(event.data)["message"] == "now"


def test_a_line_is_stored_while_its_stream_goes_on(fronted: Front, client: httpx.Client) -> None:
    """A proxy that waited for the whole body would let this wait for ever."""

    def lines() -> Iterator[bytes]:
        yield b'{"message": "a line"}\n'
        until(lambda: "a line" in fronted.behind.bridge(0).stored())
        yield b'{"message": "the last line"}\n'

    headers = {"Content-Type": "application/x-ndjson"}
    answer = client.post(f"{API}/stream", content=lines(), headers=headers)
    assert answer.json()["success_count"] == 2


def test_connections_to_the_bridges_are_kept(fronted: Front, client: httpx.Client) -> None:
    """Two hundred requests make a handful of connections."""
    before = sum(map(tcp_connections, fronted.behind.ports))
    for _ in range(200):
        assert client.post(f"{API}/write", json={"message": "a"}).status_code == 200
    assert sum(map(tcp_connections, fronted.behind.ports)) - before < 20


def test_a_body_of_the_limit_passes_and_one_byte_more_does_not(client: httpx.Client) -> None:
    """413 from whoever counts first."""
    body = b'{"message": "whole"}'.ljust(LIMIT)
    headers = {"Content-Type": "application/json"}
    assert client.post(f"{API}/write", content=body, headers=headers).status_code == 200
    assert client.post(f"{API}/write", content=body + b" ", headers=headers).status_code == 413


def test_programs_take_an_address_with_a_prefix(fronted: Front) -> None:
    """``logbridge`` with LOGBRIDGE_URL, and the client over HTTP."""
    variables = {**os.environ, "LOGBRIDGE_URL": fronted.url, "LOGBRIDGE_URL_CA": fronted.behind.authority.ca}

    def said(*arguments: str) -> str:
        command = [sys.executable, "-m", "logbridge", *arguments]
        done = subprocess.run(
            command, env=variables, check=True, stdout=subprocess.PIPE, text=True, timeout=DEADLINE_S
        )
        return done.stdout

    said("write", "from a command")
    assert "from a command" in said("query", "--limit", "1000")
    with Client(fronted.url, ca_file=fronted.behind.authority.ca) as client:
        assert client.write("from a client").log_id

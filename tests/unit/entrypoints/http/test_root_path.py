"""LOGBRIDGE_ROOT_PATH: the prefix comes off where requests come in, and whatever names a path has it."""

import pytest
from msgspec.structs import replace
from starlette.routing import Route

from logbridge.adapters.memory import MemorySink
from logbridge.domain.errors import InvalidSetting
from logbridge.entrypoints.container import Container
from logbridge.entrypoints.http.app import create_app
from logbridge.entrypoints.http.root_path import own_path
from logbridge.entrypoints.settings import Settings, load
from tests.unit.entrypoints.http.serving import API, FAST, serving

ROOT = "/logbridge"
PREFIXED = replace(FAST, root_path=ROOT)


@pytest.mark.parametrize(
    ("sent", "own"),
    [
        (b"/logbridge/api/v1/logs/write", "/api/v1/logs/write"),
        (b"/%6cogbridge/livez", "/livez"),
        (b"/logbridge/", "/"),
        (b"/logbridge/logbridge/livez", "/logbridge/livez"),
        # Asked without it: a probe, or a proxy took it off.
        (b"/livez", "/livez"),
        (b"/logbridges/livez", "/logbridges/livez"),
        (b"/logbridge", "/logbridge"),
    ],
)
def test_the_prefix_comes_off_once(sent: bytes, own: str) -> None:
    """As a whole and at the beginning; what has none stays as it is."""
    assert own_path(sent, ROOT) == own


def test_without_a_prefix_paths_stay() -> None:
    """The default takes nothing off."""
    assert own_path(b"//a%2fb", "") == "//a/b"


@pytest.mark.parametrize("text", ["logbridge", "/logbridge/", "/a//b", "/a/../b", "/", "/a b", "/ä", "/a;b"])
def test_what_is_no_prefix_stops_the_start(text: str) -> None:
    """The line names the setting and what is allowed."""
    with pytest.raises(InvalidSetting, match=r"--root-path=.*such as /docs"):
        load({"root_path": text}, {}, None)


def test_no_path_of_the_bridge_is_a_prefix() -> None:
    """No path of a route, nor what it begins with, nor what is under it, is taken."""
    app = create_app(Container(Settings(), MemorySink()))
    paths = {route.path.partition("/{")[0] for route in app.routes if isinstance(route, Route)} - {"/"}
    assert {f"{API}/write", "/console", "/readyz", "/v1/logs"} <= paths
    for path in paths:
        parts = path.split("/")
        beginnings = ["/".join(parts[:count]) for count in range(2, len(parts) + 1)]
        for root in (*beginnings, f"{path}/x"):
            with pytest.raises(InvalidSetting, match="LOGBRIDGE_ROOT_PATH"):
                load({"root_path": root}, {}, None)
    assert load({"root_path": "/api/logbridge"}, {}, None).root_path == "/api/logbridge"


async def test_what_names_a_path_has_the_prefix() -> None:
    """OpenAPI's server, the root's addresses, reasons, and the way from the prefix to the root."""
    async with serving(settings=PREFIXED, peer="192.0.2.1") as client:
        assert (await client.get("/openapi.json")).json()["servers"][0]["url"] == ROOT
        root = (await client.get("/")).json()
        assert root["docs"] == f"{ROOT}/docs"
        assert f"{ROOT}{API}/write" in [endpoint["path"] for endpoint in root["endpoints"]]
        assert (await client.get("/no")).json()["detail"].startswith(f"there is no {ROOT}/no; GET {ROOT}/ ")
        assert (await client.get(f"{API}/query")).json()["detail"].startswith(f"{ROOT}{API}/query ")
        led = await client.get(ROOT)
        assert (led.status_code, led.headers["location"]) == (308, f"{ROOT}/")


async def test_without_a_prefix_there_is_no_way_to_it() -> None:
    """The default leads nowhere."""
    async with serving() as client:
        assert (await client.get(ROOT)).status_code == 404

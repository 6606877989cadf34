"""A session in a real browser: pages of the bridge write with it, those of other ports of its host do not."""

from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Route

from logbridge.adapters.keys.file import KeysFile
from logbridge.adapters.keys.ring import new_key
from logbridge.domain.access import Key, Scope
from tests.integration.browser import HOST, Visit, open_chromium
from tests.integration.served import API, Served, running
from tests.integration.test_docs_pages import serving

_BEGIN = """
async ([url, key]) => (await fetch(url, {method: "POST", headers: {"x-api-key": key}})).status
"""
_ASK = """
async ([method, url, body]) => {
  const headers = {"content-type": "application/json"};
  const answer = await fetch(url, {method, headers, body});
  return [answer.status, await answer.json()];
}
"""
# What any page may send, and shows what came of it.
_INTRUDE = """
([url]) => {
  const form = document.createElement("form");
  Object.assign(form, {action: url, method: "POST", enctype: "text/plain"});
  form.append(Object.assign(document.createElement("input"), {name: '{"message": "', value: 'intruder"}'}));
  document.body.append(form);
  form.submit();
}
"""


@pytest.mark.browser
@pytest.mark.parametrize(
    ("host", "told"),
    [
        # Browsers send Sec-Fetch-Site to this machine and over TLS, and Origin to everybody.
        ("127.0.0.1", "Sec-Fetch-Site is same-site"),
        (HOST, "Origin is http://"),
    ],
)
async def test_only_pages_of_the_bridge_write_with_a_session(tmp_path: Path, host: str, told: str) -> None:
    """The cookie reaches the bridge from both pages: it is the origin that decides."""
    another = Starlette(routes=[Route("/", lambda _: HTMLResponse("<title>another port</title>"))])
    key, keys_file = _key_in(tmp_path / "keys.json"), str(tmp_path / "keys.json")
    async with (
        running(tmp_path, keys_file=keys_file) as bridge,
        serving(another) as other_port,
        open_chromium() as visit,
    ):
        await _begin(visit, bridge, host, key)
        await visit.page.goto(f"http://{host}:{other_port}/")
        reason = await _intrude(visit, f"http://{host}:{bridge.port}{API}/write")
        # Without the cookie it would ask for a key.
        assert reason.startswith("a session changes things from a page of this bridge only")
        assert told in reason
        await visit.page.goto(f"http://{host}:{bridge.port}/docs")
        write = ["POST", f"{API}/write", '{"message": "ours"}']
        assert (await visit.page.evaluate(_ASK, write))[0] == 200
        _, found = await visit.page.evaluate(_ASK, ["GET", f"{API}/query", None])
        assert [log["message"] for log in found["logs"]] == ["ours"]


def _key_in(file: Path) -> str:
    key, key_id, digest = new_key()
    scopes = frozenset((Scope.READ, Scope.WRITE))
    KeysFile(file).add(
        Key(id=key_id, name="k", hash=digest, scopes=scopes, created_at="2024-08-30T10:30:45Z")
    )
    return key


async def _begin(visit: Visit, bridge: Served, host: str, key: str) -> None:
    await visit.page.goto(f"http://{host}:{bridge.port}/docs")
    assert await visit.page.evaluate(_BEGIN, [f"{API}/session", key]) == 200


async def _intrude(visit: Visit, url: str) -> str:
    """Why the bridge refused what a form of the page sent."""
    async with visit.page.expect_navigation(url=url) as coming:
        await visit.page.evaluate(_INTRUDE, [url])
    answer = await coming.value
    assert answer is not None
    assert answer.status == 401
    return str((await answer.json())["detail"])

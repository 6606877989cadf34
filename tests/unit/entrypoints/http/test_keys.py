"""Keys over HTTP: who is let in, as whom, and what everybody else is told."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from msgspec.structs import replace

from logbridge.adapters.keys.file import KeysFile
from logbridge.adapters.keys.ring import new_key
from logbridge.adapters.memory import MemorySink
from logbridge.domain.access import Key, Scope
from logbridge.domain.timestamp import epoch_us
from logbridge.entrypoints.http.sessions import Sessions
from logbridge.entrypoints.settings import Settings
from tests.factories import make_entry
from tests.unit.entrypoints.http.serving import API, FAST, serving

pytestmark = pytest.mark.usefixtures("each_way")

ROUTES = [
    ("POST", "write", Scope.WRITE, {"message": "m", "service_name": "shop"}),
    ("POST", "batch", Scope.WRITE, {"log_entries": [{"message": "m", "service_name": "shop"}]}),
    ("GET", "query", Scope.READ, None),
    ("GET", "histogram", Scope.READ, None),
    ("GET", "export", Scope.READ, None),
    ("POST", "concurrent-test", Scope.TEST, {"count": 1}),
]


class Keys(NamedTuple):
    """Settings with a keys file, and the keys of callers by name."""

    settings: Settings
    shown: dict[str, str]

    def of(self, name: str) -> dict[str, str]:
        return {"authorization": f"Bearer {self.shown[name]}"}


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    path = tmp_path / "keys.json"
    shown = {}
    wanted: dict[str, dict[str, Any]] = {scope.value: {"scopes": frozenset({scope})} for scope in Scope}
    wanted["shop"] = {"scopes": frozenset({Scope.WRITE, Scope.READ}), "services": frozenset({"shop"})}
    wanted["both"] = {"scopes": frozenset({Scope.READ, Scope.WRITE}), "services": frozenset({"shop", "pay"})}
    wanted["bound-test"] = {"scopes": frozenset({Scope.TEST}), "services": frozenset({"shop"})}
    for name, fields in wanted.items():
        shown[name], key_id, hashed = new_key()
        KeysFile(path).add(
            Key(id=key_id, name=name, hash=hashed, created_at="2024-08-30T10:30:45Z", **fields)
        )
    return Keys(replace(FAST, request_timeout_s=30.0, attempt_timeout_s=30.0, keys_file=str(path)), shown)


@pytest.mark.parametrize(("method", "path", "scope", "body"), ROUTES)
async def test_each_route_needs_its_scope(
    keys: Keys, method: str, path: str, scope: Scope, body: Any
) -> None:
    """With the scope, or admin, a key is let in; else it is 403, and the answer names the scope."""
    async with serving(settings=keys.settings) as client:
        for name in Scope:
            answer = await client.request(method, f"{API}/{path}", json=body, headers=keys.of(name))
            if name in (scope, Scope.ADMIN):
                assert answer.status_code == 200, answer.text
            else:
                assert answer.status_code == 403
                assert f"needs the scope {scope}" in answer.json()["detail"]


@pytest.mark.parametrize(("method", "path", "scope", "body"), [*ROUTES, ("GET", "tail", Scope.READ, None)])
@pytest.mark.parametrize(
    "headers",
    [{}, {"authorization": "Bearer nonsense"}, {"x-api-key": "lbk_0_1"}, {"authorization": "Basic YTpi"},
     {"authorization": "Bearer a", "x-api-key": "b"}, {"cookie": "logbridge_session=x"}],
)  # fmt: skip
async def test_without_a_key_the_door_is_shut(
    keys: Keys, method: str, path: str, scope: Scope, body: Any, headers: dict[str, str]
) -> None:
    """No key, a wrong one, two, or another scheme: 401 with the challenge, on this machine, too."""
    async with serving(settings=keys.settings) as client:
        answer = await client.request(method, f"{API}/{path}", json=body, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer ")


async def test_the_other_header_does_as_well(keys: Keys) -> None:
    """X-API-Key carries a key like Authorization: Bearer."""
    async with serving(settings=keys.settings) as client:
        headers = {"x-api-key": keys.shown["write"]}
        assert (await client.post(f"{API}/write", json={"message": "m"}, headers=headers)).status_code == 200


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/redoc", "/openapi.json", "/livez", "/readyz", f"{API}/health"]
)
async def test_what_shows_no_logs_needs_no_key(keys: Keys, path: str) -> None:
    """Pages and probes answer anybody."""
    async with serving(settings=keys.settings) as client:
        assert (await client.get(path)).status_code == 200


async def test_a_bound_key_writes_as_its_service_only(keys: Keys) -> None:
    """Another service is 403 alone and a failed entry in a batch; a log that names none is the key's."""
    sink = MemorySink()
    async with serving(sink, keys.settings) as client:
        other = {"message": "m", "service_name": "other"}
        refused = await client.post(f"{API}/write", json=other, headers=keys.of("shop"))
        batch = {"log_entries": [other, {"message": "mine"}]}
        written = await client.post(f"{API}/batch", json=batch, headers=keys.of("shop"))
    assert (refused.status_code, refused.json()["success"]) == (403, False)
    assert "this key is for shop, not for other" in refused.json()["detail"]
    assert [result["success"] for result in written.json()["results"]] == [False, True]
    assert [entry.service_name for entry in sink.entries] == ["shop"]


async def test_a_bound_key_of_several_services_names_one(keys: Keys) -> None:
    """A log that names none would be of the bridge's own service, which the key is not for."""
    async with serving(settings=keys.settings) as client:
        answer = await client.post(f"{API}/write", json={"message": "m"}, headers=keys.of("both"))
    assert (answer.status_code, "pay, shop" in answer.json()["detail"]) == (403, True)


@pytest.mark.parametrize(
    ("name", "query", "seen"),
    [("shop", "", ["shop"]), ("both", "", ["pay", "shop"]), ("read", "", ["other", "pay", "shop"]),
     ("both", "?service_name=pay", ["pay"]), ("shop", "?service_name=shop", ["shop"])],
)  # fmt: skip
async def test_what_a_key_sees_is_narrowed(keys: Keys, name: str, query: str, seen: list[str]) -> None:
    """A bound key finds the logs of its services and no others, and their count is its count."""
    sink = MemorySink()
    sink.entries.extend(make_entry(service_name=service) for service in ("shop", "pay", "other"))
    async with serving(sink, keys.settings) as client:
        found = (await client.get(f"{API}/query{query}", headers=keys.of(name))).json()
    assert sorted(log["service_name"] for log in found["logs"]) == seen
    assert found["total_count"] == len(seen)


@pytest.mark.parametrize("path", ["query", "tail"])
async def test_asking_for_anothers_logs_is_forbidden(keys: Keys, path: str) -> None:
    """A bound key that names another service is told whose logs it may see."""
    async with serving(settings=keys.settings) as client:
        answer = await client.get(f"{API}/{path}?service_name=other", headers=keys.of("shop"))
    assert (answer.status_code, "for shop" in answer.json()["detail"]) == (403, True)


async def begin(client: httpx.AsyncClient, keys: Keys, name: str) -> str:
    """The session cookie of a key, as a browser sends it."""
    answer = await client.post(f"{API}/session", headers=keys.of(name))
    assert answer.status_code == 200
    client.cookies.clear()
    return answer.headers["set-cookie"]


async def test_a_session_alone_reads_and_does_not_write(keys: Keys) -> None:
    """The cookie lets a GET in with the rights of its key; what changes things needs our own page."""
    async with serving(settings=keys.settings) as client:
        cookie = {"cookie": (await begin(client, keys, "admin")).partition(";")[0]}
        assert (await client.get(f"{API}/query", headers=cookie)).status_code == 200
        shown = (await client.get(f"{API}/session", headers=cookie)).json()
        for strange in ({}, {"sec-fetch-site": "same-site"}, {"origin": "http://localhost:1"}):
            for path in ("write", "concurrent-test"):
                answer = await client.post(f"{API}/{path}", json={"message": "m"}, headers=cookie | strange)
                assert answer.status_code == 401
                assert "from a page of this bridge only" in answer.json()["detail"]
                assert all(value in answer.json()["detail"] for value in strange.values())
    assert shown == {"keys": True, "name": "admin", "scopes": ["admin"], "services": []}


@pytest.mark.parametrize("vouched", [{"sec-fetch-site": "same-origin"}, {"origin": "http://localhost"}])
async def test_a_session_writes_from_our_own_pages(keys: Keys, vouched: dict[str, str]) -> None:
    """With exactly the rights of its key: its services, its scopes."""
    sink = MemorySink()
    async with serving(sink, keys.settings) as client:
        shop = {"cookie": (await begin(client, keys, "shop")).partition(";")[0]} | vouched
        read = {"cookie": (await begin(client, keys, "read")).partition(";")[0]} | vouched
        assert (await client.post(f"{API}/write", json={"message": "m"}, headers=shop)).status_code == 200
        other = {"message": "m", "service_name": "other"}
        assert (await client.post(f"{API}/write", json=other, headers=shop)).status_code == 403
        for path, cookie in (("concurrent-test", shop), ("write", read)):
            refused = await client.post(f"{API}/{path}", json={"message": "m"}, headers=cookie)
            assert (refused.status_code, "needs the scope" in refused.json()["detail"]) == (403, True)
    assert [entry.service_name for entry in sink.entries] == ["shop"]


@pytest.mark.parametrize("cookie", ["", "logbridge_session=0123456789ab.1.x"])
async def test_a_page_alone_is_no_key(keys: Keys, cookie: str) -> None:
    """Our own page without a session needs a key like everybody."""
    headers = {"sec-fetch-site": "same-origin", "cookie": cookie}
    async with serving(settings=keys.settings) as client:
        answer = await client.post(f"{API}/write", json={"message": "m"}, headers=headers)
    assert (answer.status_code, "needs a key" in answer.json()["detail"]) == (401, True)


async def test_a_session_begins_no_other(keys: Keys) -> None:
    """Twelve hours are its end: to begin the next one takes the key again."""
    async with serving(settings=keys.settings) as client:
        cookie = {"cookie": (await begin(client, keys, "admin")).partition(";")[0]}
        again = await client.post(f"{API}/session", headers=cookie | {"sec-fetch-site": "same-origin"})
    assert (again.status_code, "set-cookie" in again.headers) == (401, False)


async def test_other_cookies_do_not_end_a_session(keys: Keys) -> None:
    """What another program of the same host has set may look like anything."""
    async with serving(settings=keys.settings) as client:
        ours = (await begin(client, keys, "read")).partition(";")[0]
        for others in ('theme={"a":1}', "flag", "x=a b", "foo@x=1"):
            answer = await client.get(f"{API}/query", headers={"cookie": f"{others}; {ours}"})
            assert answer.status_code == 200, others


async def test_a_bound_key_that_cannot_test_is_told_so(keys: Keys) -> None:
    """A concurrent test writes as a service of its own: a key that is not for it gets 403 with the name."""
    async with serving(settings=keys.settings) as client:
        answer = await client.post(f"{API}/concurrent-test", json={"count": 1}, headers=keys.of("bound-test"))
    assert answer.status_code == 403
    assert "logbridge-concurrent-test" in answer.json()["detail"]


@pytest.mark.parametrize(("root_path", "path"), [("", "/"), ("/logbridge", "/logbridge")])
async def test_a_sessions_cookie_has_its_flags(keys: Keys, root_path: str, path: str) -> None:
    """No script reads it, no other site or path sends it, it holds no key; ending it takes it back."""
    async with serving(settings=replace(keys.settings, root_path=root_path)) as client:
        cookie = await begin(client, keys, "read")
        ended = (await client.delete(f"{API}/session")).headers["set-cookie"]
    for flags in (cookie, ended):
        assert {"HttpOnly", "SameSite=Strict", f"Path={path}"} <= set(flags.split("; "))
    assert keys.shown["read"][len("lbk_0123456789ab_") :] not in cookie
    assert "Max-Age=0" in ended


async def test_a_session_ends_with_its_key(keys: Keys) -> None:
    """The cookie of a revoked key opens nothing."""
    async with serving(settings=keys.settings) as client:
        cookie = {"cookie": (await begin(client, keys, "read")).partition(";")[0]}
    KeysFile(Path(keys.settings.keys_file)).revoke("read", "2024-08-30T10:30:45Z")
    async with serving(settings=keys.settings) as client:
        assert (await client.get(f"{API}/query", headers=cookie)).status_code == 401


def test_a_cookie_of_others_is_none() -> None:
    """Forged, changed, ended or of another start: no session."""
    ours, theirs = Sessions(b"a" * 32), Sessions(b"b" * 32)
    cookie = ours.cookie_for("0123456789ab", secure=True).partition(";")[0].partition("=")[2]
    assert ours.key_id_of(cookie) == "0123456789ab"
    key_id, ends_s, signature = cookie.split(".")
    later = str(int(ends_s) + 1)
    for wrong in (
        "",
        "x",
        f"{key_id}.{later}.{signature}",
        f"ffffffffffff.{ends_s}.{signature}",
        cookie[:-1] + "g",
    ):
        assert ours.key_id_of(wrong) is None
    assert theirs.key_id_of(cookie) is None
    past = f"{key_id}.1.{ours._signature(key_id, '1')}"
    assert ours.key_id_of(past) is None


async def test_without_keys_there_is_nothing_to_log_in_to() -> None:
    """The session says what such a caller may do; one cannot be begun."""
    async with serving() as client:
        assert (await client.get(f"{API}/session")).json()["scopes"] == ["read", "test", "write"]
        assert (await client.post(f"{API}/session")).status_code == 400
    async with serving(peer="192.0.2.1") as client:
        assert (await client.get(f"{API}/session")).json()["scopes"] == ["write"]


async def test_the_document_says_which_operations_need_a_key(keys: Keys) -> None:
    """With keys the security is required, without them it may be left out; pages and probes have none."""
    for settings, optional in ((keys.settings, False), (FAST, True)):
        async with serving(settings=settings) as client:
            document = (await client.get("/openapi.json")).json()
        security = document["paths"][f"{API}/query"]["get"]["security"]
        assert ({} in security) is optional
        assert {name for each in security for name in each} == set(document["components"]["securitySchemes"])
        assert "security" not in document["paths"]["/livez"]["get"]


async def test_a_stream_needs_the_scope_to_write(keys: Keys) -> None:
    """Another scope is 403, no key 401, before a byte of it is read."""
    async with serving(settings=keys.settings) as client:
        for headers, status in (({}, 401), (keys.of("read"), 403), (keys.of("write"), 200)):
            answer = await client.post(f"{API}/stream", content=b'{"message":"m"}\n', headers=headers)
            assert answer.status_code == status


async def test_a_bound_key_streams_as_its_service_only(keys: Keys) -> None:
    """A line of another service fails alone; one that names none is the key's."""
    sink = MemorySink()
    body = b'{"message":"m","service_name":"other"}\n{"message":"mine"}\n'
    async with serving(sink, keys.settings) as client:
        told = (await client.post(f"{API}/stream", content=body, headers=keys.of("shop"))).json()
    assert [(error["line"], "for shop" in error["error_message"]) for error in told["errors"]] == [(1, True)]
    assert [entry.service_name for entry in sink.entries] == ["shop"]


async def test_a_stream_ends_with_its_key(keys: Keys) -> None:
    """Once the key is revoked no batch is begun: 401, which counts what was written before."""
    sink = MemorySink()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b'{"message":"m"}\n'
            await asyncio.sleep(0.01)
            if sink.entries and not revoked:
                revoked.append(
                    KeysFile(Path(keys.settings.keys_file)).revoke("write", "2024-08-30T10:30:45Z")
                )

    revoked: list[Any] = []
    async with serving(sink, keys.settings) as client:
        answer = await client.post(f"{API}/stream", content=endless(), headers=keys.of("write"))
    told = answer.json()
    assert (answer.status_code, "revoked" in told["stopped"]) == (401, True)
    assert answer.headers["www-authenticate"]
    assert told["success_count"] == told["lines_read"] == len(sink.entries) > 0


async def test_a_stream_keeps_its_rate(keys: Keys) -> None:
    """Each batch counts as a request: beyond the rate the stream waits, and loses no line."""
    sink = MemorySink()
    settings = replace(keys.settings, key_rate="2/s", max_batch_size=1)
    async with serving(sink, settings) as client:
        body = b'{"message":"m"}\n' * 5
        answer = await client.post(f"{API}/stream", content=body, headers=keys.of("write"))
    assert answer.json()["success_count"] == len(sink.entries) == 5
    began, *_, ended = (entry.timestamp for entry in sink.entries)
    assert epoch_us(ended) - epoch_us(began) >= 1_000_000

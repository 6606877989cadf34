"""Who may ask for statistics and metrics, for what, and what they look like over HTTP."""

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from logbridge.adapters.keys.file import KeysFile
from logbridge.adapters.keys.ring import new_key
from logbridge.adapters.memory import MemorySink, refuse
from logbridge.domain.access import Key, Scope
from logbridge.entrypoints.http.metrics import OPEN_METRICS, PLAIN
from logbridge.entrypoints.settings import Settings
from tests.unit.entrypoints.http.serving import API, FAST, serving

BOTH = (f"{API}/stats", "/metrics")


def keyed(folder: Path, **fields: Any) -> tuple[Settings, dict[str, str]]:
    """Settings with one more key, and the header that shows it."""
    key, key_id, hashed = new_key()
    path = folder / "keys.json"
    KeysFile(path).add(Key(id=key_id, name=key_id, hash=hashed, created_at="2024-08-30T10:30:45Z", **fields))
    return replace(FAST, keys_file=str(path)), {"x-api-key": key}


@pytest.mark.parametrize("path", BOTH)
async def test_without_keys_only_this_machine_is_told(path: str) -> None:
    """A stranger is told 403 and the setting that opens it; with that setting it is told everything."""
    async with serving() as client:
        assert (await client.get(path)).status_code == 200
    async with serving(peer="192.0.2.1") as client:
        answer = await client.get(path)
        assert answer.status_code == 403
        assert "LOGBRIDGE_OPEN=read" in answer.json()["detail"]
    async with serving(settings=replace(FAST, open=frozenset({"read"})), peer="192.0.2.1") as client:
        assert (await client.get(path)).status_code == 200


@pytest.mark.parametrize("path", BOTH)
async def test_with_keys_one_that_may_read_is_told(path: str, tmp_path: Path) -> None:
    """read and admin may, others are 403, and without a key it is 401, on this machine, too."""
    keys = {scope: keyed(tmp_path, scopes=frozenset({scope}))[1] for scope in Scope}
    async with serving(settings=replace(FAST, keys_file=str(tmp_path / "keys.json"))) as client:
        assert (await client.get(path)).status_code == 401
        statuses = {
            scope: (await client.get(path, headers=header)).status_code for scope, header in keys.items()
        }
    assert statuses == {Scope.READ: 200, Scope.ADMIN: 200, Scope.WRITE: 403, Scope.TEST: 403}


@pytest.mark.parametrize("path", BOTH)
async def test_head_is_answered_like_get(path: str) -> None:
    """The same head without a body, also for whoever accepts events; nothing of it is to be kept."""
    async with serving() as client:
        for headers in ({}, {"accept": "text/event-stream"}):
            answer = await client.head(path, headers=headers)
            assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
            assert answer.headers["content-type"] == (PLAIN if path == "/metrics" else "application/json")


@pytest.mark.parametrize(
    ("path", "query", "told"),
    [
        ("/metrics", "a=1", "a: no such parameter"),
        ("/metrics", "name[]=logbridge_workers", "name[]: no such parameter"),
        (BOTH[0], "history=301", "history: expected 0 to 300, got '301'"),
        (BOTH[0], "history=-1", "history: expected"),
        (BOTH[0], "history=1.5", "history: expected"),
        (BOTH[0], "history=", "history: expected"),
        (BOTH[0], "history=٣", "history: expected"),
        (BOTH[0], "history=1&history=1", "history: given more than once"),
        (BOTH[0], "history=1&other=1", "other: no such parameter"),
    ],
)  # fmt: skip
async def test_a_wrong_parameter_is_named(path: str, query: str, told: str) -> None:
    """422 and a reason; nothing is passed over."""
    async with serving() as client:
        answer = await client.get(f"{path}?{query}")
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(told)


@pytest.mark.parametrize("history", [0, 1, 300])
async def test_the_past_may_be_asked_for(history: int) -> None:
    """Up to five minutes of it; a bridge that has just begun has none."""
    async with serving() as client:
        answer = await client.get(f"{API}/stats", params={"history": history})
    assert answer.json()["performance"]["history"] == []


async def test_metrics_come_in_the_accepted_format() -> None:
    """OpenMetrics for whoever accepts it, in one header or in several."""
    async with serving() as client:
        assert (await client.get("/metrics")).headers["content-type"] == PLAIN
        accept = [("accept", "text/plain"), ("accept", "application/openmetrics-text")]
        answer = await client.get("/metrics", headers=accept)
    assert answer.headers["content-type"] == OPEN_METRICS
    assert answer.text.endswith("# EOF\n")


async def test_what_became_of_logs_is_told() -> None:
    """Accepted ones, refused ones and those that break a rule, of single writes and of batches."""
    async with serving(MemorySink([refuse("too late")])) as client:
        await client.post(f"{API}/write", json={"message": "m", "service_name": "shop"})
        await client.post(f"{API}/batch", json={"log_entries": [{"message": "m"}, {"message": ""}]})
        stats = (await client.get(f"{API}/stats")).json()
        metrics = (await client.get("/metrics")).text
    assert stats["performance"]["logs"] == {
        "accepted": 1, "spooled": 0, "refused": 2, "failed": 0, "unknown": 0,
    }  # fmt: skip
    assert stats["errors"]["by_cause"] == {"refused by the log service": 1, "invalid": 1}
    assert {each["service_name"] for each in stats["errors"]["last"]} == {"shop", ""}
    assert stats["performance"]["logs_per_batch"] == 2
    assert 'logbridge_logs_total{outcome="refused"} 2.0' in metrics


async def test_a_bound_key_sees_its_own_failures_only(tmp_path: Path) -> None:
    """Also of logs that name no service, which are of the key's; not of others, nor what named others."""
    everything = frozenset(Scope)
    shop = keyed(tmp_path, scopes=everything, services=frozenset({"shop"}))[1]
    settings, pay = keyed(tmp_path, scopes=everything, services=frozenset({"pay"}))
    sink = MemorySink([refuse("no"), refuse("no"), refuse("no")])
    async with serving(sink, settings) as client:
        await client.post(f"{API}/write", json={"message": "m"}, headers=shop)
        await client.post(f"{API}/batch", json={"log_entries": [{"message": "m"}]}, headers=shop)
        await client.post(f"{API}/write", json={"message": "m"}, headers=pay)
        await client.post(f"{API}/write", json={"message": "m", "service_name": "pay"}, headers=shop)
        shown = [(await client.get(f"{API}/stats", headers=key)).json()["errors"] for key in (shop, pay)]
    assert [errors["count"] for errors in shown] == [4, 4]
    seen = [[(each["service_name"], each["count"]) for each in errors["last"]] for errors in shown]
    assert seen == [[("shop", 2)], [("pay", 1)]]

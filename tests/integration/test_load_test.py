"""The concurrent test as events from a bridge of its own: a stop and a hang-up in the middle."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from httpx_sse import ServerSentEvent, connect_sse

from tests.integration.processes import DEADLINE_S, Bridge, bridge, free_port, log_service, until
from tests.integration.served import API

EVENTS = {"accept": "text/event-stream"}


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Bridge]:
    """A bridge before a log service with a real store: each write waits for the disk."""
    port = free_port()
    with log_service(tmp_path, port), bridge(tmp_path, f"grpc://127.0.0.1:{port}") as one:
        yield one


def progress_of(event: ServerSentEvent) -> Any:
    assert event.event == "progress"
    return json.loads(event.data)


def begun(running: Bridge, count: int) -> Any:
    """The connection of a test that takes long: one write at a time."""
    plan = {"count": count, "max_workers": 1}
    return connect_sse(running.client, "POST", f"{API}/concurrent-test", json=plan)


def test_progress_grows_to_the_result(running: Bridge) -> None:
    """Each event knows no less than the one before, ten a second come at the most, the result has all."""
    with connect_sse(
        running.client, "POST", f"{API}/concurrent-test", json={"count": 2000, "max_workers": 20}
    ) as source:
        *events, last = source.iter_sse()
    seen = [progress_of(event) for event in events]
    assert [each["done"] for each in seen] == sorted(each["done"] for each in seen)
    result = json.loads(last.data)
    assert (last.event, result["success_count"]) == ("result", 2000)
    # The first one comes at once.
    assert len(seen) <= 2 + 10 * result["duration_seconds"]


def test_a_stop_is_told(running: Bridge) -> None:
    """The last event of a test that a stop cuts off is a problem, and the bridge ends with 0."""
    with begun(running, 10_000) as source:
        events = source.iter_sse()
        progress_of(next(events))
        running.process.send_signal(signal.SIGTERM)
        last = [*events][-1]
    assert (last.event, json.loads(last.data)["status"]) == ("problem", 503)
    assert running.process.wait(DEADLINE_S) == 0


def test_hanging_up_ends_it(running: Bridge) -> None:
    """After the client has left, nothing more is written."""
    with begun(running, 10_000) as source:
        progress_of(next(source.iter_sse()))
    with httpx.Client(base_url=running.client.base_url, timeout=DEADLINE_S) as other:

        def in_flight() -> int:
            entries: int = other.get(f"{API}/stats").json()["performance"]["in_flight"]["entries"]
            return entries

        def stored() -> int:
            total: int = other.get(f"{API}/query", params={"limit": 1}).json()["total_count"]
            return total

        until(lambda: in_flight() == 0 and stored() == stored())
        assert stored() < 10_000

"""LogServiceClient, and log() of both clients, over the scripted fake."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from logbridge import (
    AsyncLogServiceClient,
    InvalidSetting,
    LogLevel,
    LogServiceClient,
    MemorySink,
    batch_write_logs,
    fail,
    hang,
    refuse,
    use_sink,
    write_log,
)
from logbridge.domain.outcome import Outcome
from logbridge.domain.ports import Deadline
from logbridge.entrypoints.background.background import Counts
from logbridge.entrypoints.python.private_loop import private_loop

WAIT_S = 30.0
BAD: list[dict[str, Any]] = [
    {"message": ""},
    {"message": "m", "adv_id": "seven"},
    {"message": "m", "log_id": "mine", "level": "LOUD"},
]


@pytest.fixture
def sink() -> Iterator[MemorySink]:
    with use_sink(MemorySink()) as sink:
        yield sink


def test_a_write_answers_as_the_async_one(sink: MemorySink) -> None:
    """The dict of the contract, with the id that the entry is stored under."""
    with LogServiceClient() as client:
        result = client.write_log(
            "message", service_name="my-service", level=LogLevel.WARN, user_id="user123"
        )
    (entry,) = sink.entries
    assert result == {"success": True, "log_id": entry.id, "error_message": ""}
    assert (entry.service_name, entry.level, entry.metadata) == (
        "my-service",
        LogLevel.WARN,
        {"user_id": "user123"},
    )


def test_what_is_wrong_is_answered_as_in_async(sink: MemorySink) -> None:
    """Each bad write, each bad batch: the same dict from both clients."""
    client = LogServiceClient()
    for fields in BAD:
        assert client.write_log(**fields) == asyncio.run(write_log(**fields))
    batches: list[Any] = [BAD, [], [{"message": "m"}] * 1001, 7, [7]]
    for batch in batches:
        assert client.batch_write_logs(batch) == asyncio.run(batch_write_logs(batch))
    assert sink.entries == []


def test_a_batch_is_gone_through_in_the_callers_thread(sink: MemorySink) -> None:
    """A generator and a __str__ of the caller's may themselves write, and see the caller's thread."""
    client = LogServiceClient()
    threads: list[threading.Thread] = []

    class Asked:
        def __str__(self) -> str:
            threads.append(threading.current_thread())
            assert client.write_log("inner")["success"]
            return "asked"

    batch = client.batch_write_logs({"message": "outer", "x": Asked()} for _ in range(2))
    assert batch["success_count"] == 2
    assert client.write_log("outer", x=Asked())["success"]
    assert threads == [threading.current_thread()] * 3
    assert len(sink.entries) == 6


async def test_it_works_inside_a_running_loop(sink: MemorySink) -> None:
    """It blocks the caller, and writes all the same."""
    with LogServiceClient() as client:
        assert client.write_log("m")["success"]
        assert client.log("m")
        assert client.flush(WAIT_S)
    assert len(sink.entries) == 2


def test_many_threads_write_at_once(sink: MemorySink) -> None:
    """Nothing is lost or doubled among threads."""
    with LogServiceClient() as client:

        def work() -> None:
            for _ in range(20):
                assert client.write_log("m")["success"]
                assert client.log("m")

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert client.flush(WAIT_S)
    assert len(sink.entries) == len({entry.id for entry in sink.entries}) == 320


class Seen(MemorySink):
    """Notes the threads that it is used in."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: set[str] = set()

    async def write(self, entries: Any, *, deadline: Deadline) -> Sequence[Outcome]:
        self.threads.add(threading.current_thread().name)
        return await super().write(entries, deadline=deadline)


def test_a_given_sink_runs_in_the_private_loop() -> None:
    """All that a sync client does, and log() of both, happens in one loop; the sink stays open."""
    sink = Seen()
    with LogServiceClient(sink=sink) as client:
        client.write_log("m")
        client.log("m")
    asyncio.run(log_in_async(AsyncLogServiceClient(sink=sink)))
    assert sink.threads == {"logbridge"}
    assert len(sink.entries) == 3
    assert not sink.closed


async def log_in_async(client: AsyncLogServiceClient) -> None:
    async with client:
        assert client.log("m")
        assert await client.flush(WAIT_S)
        assert client.counts == Counts(sent=1)


async def test_closing_an_async_client_sends_what_was_logged() -> None:
    """aclose waits for the background without blocking the loop."""
    sink = MemorySink()
    async with AsyncLogServiceClient(sink=sink, linger_ms=3_600_000) as client:
        assert client.log("m")
    assert len(sink.entries) == 1
    assert not client.log("late")
    assert client.counts.dropped == 1


def test_a_closed_client_says_so(sink: MemorySink) -> None:
    """After close a write is a failed answer; a second close does nothing."""
    client = LogServiceClient()
    client.close()
    client.close()
    assert client.write_log("m", log_id="i") == {
        "success": False,
        "log_id": "i",
        "error_message": "this client is closed",
    }
    assert client.batch_write_logs([{"message": "m"}])["errors"] == ["this client is closed"]
    assert sink.entries == []


def test_a_sink_that_blocks_on_a_client_is_told_so() -> None:
    """The private loop cannot wait for itself: the answer says it, and nothing hangs."""
    with LogServiceClient(sink=MemorySink()) as client:

        async def block() -> tuple[dict[str, Any], dict[str, Any]]:
            return client.write_log("m"), client.batch_write_logs([{"message": "m"}])

        one, batch = private_loop().wait_for(block())
    assert "cannot wait for itself" in one["error_message"]
    assert "cannot wait for itself" in batch["errors"][0]


def test_a_write_takes_timeout_s_at_most() -> None:
    """timeout_s is the deadline of a write, of both clients, in place of the setting."""
    with LogServiceClient(sink=MemorySink([hang]), timeout_s=0.01) as client:
        assert not client.write_log("m")["success"]
    waiting = AsyncLogServiceClient(sink=MemorySink([hang]), timeout_s=0.01)
    assert not asyncio.run(waiting.write_log("m"))["success"]


@pytest.mark.parametrize("client", [LogServiceClient, AsyncLogServiceClient])
@pytest.mark.parametrize("wrong", [{"timeout_s": 0}, {"queue_entries_max": 0}, {"retry_s": -1}])
def test_a_number_that_makes_no_sense_is_refused(client: Any, wrong: dict[str, Any]) -> None:
    """It is named when the client is made."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        client(**wrong)


def test_a_wrong_address_is_refused_at_once() -> None:
    """As by the async client."""
    with pytest.raises(InvalidSetting, match="expected host:port"):
        LogServiceClient("localhost")
    with pytest.raises(ValueError, match="not both"):
        LogServiceClient("localhost:1", sink=MemorySink())


def test_a_batch_beyond_the_limit_goes_in_pieces(sink: MemorySink, monkeypatch: pytest.MonkeyPatch) -> None:
    """What log() took is never refused for MAX_BATCH_SIZE."""
    monkeypatch.setenv("MAX_BATCH_SIZE", "2")
    with LogServiceClient(linger_ms=3_600_000) as client:
        assert all(client.log("m") for _ in range(5))
    assert client.counts == Counts(sent=5)


def test_what_failed_goes_again_and_what_is_refused_does_not() -> None:
    """Both are in the counts; nothing is stored twice."""
    sink = MemorySink([fail("busy"), refuse("never")])
    with LogServiceClient(sink=sink, linger_ms=3_600_000) as client:
        for message in ("busy", "never", "good"):
            client.log(message)
        client.flush(WAIT_S)
        assert client.counts == Counts(0, 2, 1, 0, "never")
    assert [entry.message for entry in sink.entries] == ["good", "busy"]


def test_a_wrong_setting_drops_with_its_name(sink: MemorySink, monkeypatch: pytest.MonkeyPatch) -> None:
    """write_log raises it, log() never does: the logs are dropped, and the reason names the setting."""
    monkeypatch.setenv("MAX_BATCH_SIZE", "none")
    with LogServiceClient() as client:
        with pytest.raises(InvalidSetting, match="MAX_BATCH_SIZE=none"):
            client.write_log("m")
        assert client.log("m")
        assert client.flush(WAIT_S)
        assert client.counts.dropped == 1
        assert "MAX_BATCH_SIZE=none" in client.counts.last_error

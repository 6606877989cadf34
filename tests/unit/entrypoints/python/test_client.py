"""The Python surface over the scripted fake: what callers give, and what they are answered."""

import asyncio
import threading
from collections.abc import Iterator
from copy import deepcopy
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest

import logbridge
from logbridge import (
    AsyncLogServiceClient,
    InvalidSetting,
    LogLevel,
    MemorySink,
    accept,
    batch_write_logs,
    fail,
    hang,
    lose,
    refuse,
    use_sink,
    write_log,
)


@pytest.fixture
def sink() -> Iterator[MemorySink]:
    with use_sink(MemorySink()) as sink:
        yield sink


class Unprintable:
    def __str__(self) -> str:
        raise ZeroDivisionError("no text today")


async def test_a_write_answers_the_id_it_is_stored_under(sink: MemorySink) -> None:
    """write_log answers the dict of the contract, and the entry is in the sink."""
    result = await write_log("message", service_name="my-service", trace_id="t", span_id="s")
    (entry,) = sink.entries
    assert result == {"success": True, "log_id": entry.id, "error_message": ""}
    assert (entry.message, entry.service_name, entry.trace_id, entry.span_id) == (
        "message",
        "my-service",
        "t",
        "s",
    )
    assert entry.level is LogLevel.INFO


async def test_other_keywords_become_metadata(sink: MemorySink) -> None:
    """Business fields, unknown keywords and the metadata dict all end in metadata, as in REST."""
    await write_log("m", adv_id=1234567, user_id="user123", flag=True, metadata={"a": [1, None]}, gone=None)
    assert sink.entries[0].metadata == {
        "a": "[1,null]",
        "adv_id": "1234567",
        "user_id": "user123",
        "flag": "true",
    }


async def test_python_values_have_a_text(sink: MemorySink) -> None:
    """Times become RFC 3339, mappings objects, whatever JSON does not know its str()."""
    moment = datetime(2024, 8, 30, 10, 30, 45, 123456, tzinfo=UTC)
    user = UUID("12345678-1234-5678-1234-567812345678")
    await write_log(
        "m",
        timestamp=moment,
        level=LogLevel.WARN,
        at=moment,
        user=user,
        inner=[moment],
        m=MappingProxyType({"k": 1}),
    )
    (entry,) = sink.entries
    assert (entry.timestamp, entry.level) == ("2024-08-30T10:30:45.123456+00:00", LogLevel.WARN)
    assert entry.metadata == {
        "at": "2024-08-30T10:30:45.123456+00:00",
        "user": "12345678-1234-5678-1234-567812345678",
        "inner": '["2024-08-30T10:30:45.123456+00:00"]',
        "m": '{"k":1}',
    }


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"message": ""}, "$.message"),
        ({"message": None}, "$.message"),
        ({"message": "m", "level": "LOUD"}, "$.level"),
        ({"message": "m", "level": 20}, "$.level"),
        ({"message": "m", "adv_id": "many"}, "$.adv_id"),
        ({"message": "m", "timestamp": "yesterday"}, "$.timestamp"),
        ({"message": "m", "metadata": {"a": Unprintable()}}, "$.metadata: cannot be written"),
        ({"message": "m", "x": Unprintable()}, "$.x: cannot be written as JSON: ZeroDivisionError: no text"),
        ({"message": "m", "adv_id": 10**5000}, "$.adv_id: cannot be written as JSON"),
        ({"message": "\ud800"}, "$.message"),
        ({"message": "m" * 300_000}, "LOGBRIDGE_ENTRY_BYTES_MAX=262144"),
    ],
)
async def test_bad_input_is_an_answer(sink: MemorySink, fields: dict[str, Any], said: str) -> None:
    """What can never be written is answered with the field and the reason; nothing is raised or stored."""
    result = await write_log(**fields, log_id="mine")
    assert result["success"] is False
    assert result["log_id"] == "mine"
    assert said in result["error_message"]
    assert sink.entries == []


async def test_an_id_that_is_no_text_is_an_answer(sink: MemorySink) -> None:
    """A log_id of the wrong type is bad input like any other."""
    result = await write_log("m", log_id=7)
    assert result == {"success": False, "log_id": "", "error_message": result["error_message"]}
    assert "$.log_id" in result["error_message"]


async def test_cyclic_and_deep_values_are_an_answer(sink: MemorySink) -> None:
    """A value that never ends, or is nested too deep, is refused with its name."""
    cycle: list[Any] = []
    cycle.append(cycle)
    deep: list[Any] = []
    for _ in range(100):
        deep = [deep]
    assert "$.cycle" in (await write_log("m", cycle=cycle))["error_message"]
    assert "LOGBRIDGE_METADATA_DEPTH_MAX=64" in (await write_log("m", deep=deep))["error_message"]


async def test_a_batch_answers_every_entry_in_order(sink: MemorySink) -> None:
    """One bad entry, even one that is no dict, fails alone and is named by its index."""
    result = await batch_write_logs([{"message": "one"}, {"message": ""}, 7, {"message": "two"}])  # type: ignore[list-item]  # bad input is the point
    assert (result["total_count"], result["success_count"], result["error_count"]) == (4, 2, 2)
    assert [r["success"] for r in result["results"]] == [True, False, False, True]
    assert result["errors"][0].startswith("Entry 1: $.message")
    assert result["errors"][1].startswith("Entry 2: $: expected an object")
    assert [entry.message for entry in sink.entries] == ["one", "two"]


async def test_the_callers_dicts_are_not_changed(sink: MemorySink) -> None:
    """What the caller gave stays as it was, and what it changes later is not written."""
    entries = [{"message": "m", "metadata": {"a": {"b": 1}}, "level": "warn", "x": None}]
    before = deepcopy(entries)
    await batch_write_logs(entries)
    assert entries == before
    assert sink.entries[0].level is LogLevel.WARN


async def test_an_empty_batch_says_so(sink: MemorySink) -> None:
    """An empty batch is a failed call with zero counts and the reason in errors."""
    result = await batch_write_logs([])
    assert result == {
        "total_count": 0,
        "success_count": 0,
        "error_count": 0,
        "errors": ["$.log_entries: expected 1 entry or more, got none"],
        "results": [],
    }


async def test_a_batch_over_the_limit_names_the_setting(
    sink: MemorySink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of it is written, every entry counts as failed, and the reason is said once."""
    monkeypatch.setenv("MAX_BATCH_SIZE", "2")
    result = await batch_write_logs([{"message": "m"}] * 3)
    assert (result["total_count"], result["success_count"], result["error_count"]) == (3, 0, 3)
    (reason,) = result["errors"]
    assert "MAX_BATCH_SIZE=2" in reason
    assert [r["success"] for r in result["results"]] == [False] * 3
    assert sink.entries == []


async def test_what_is_no_list_says_so(sink: MemorySink) -> None:
    """Something that cannot be gone through is bad input, not a TypeError."""
    result = await batch_write_logs(7)  # type: ignore[arg-type]  # bad input is the point
    assert result["errors"][0].startswith("$.log_entries: expected a list of dicts")


async def test_the_script_of_the_fake_shows_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """accept, refuse, fail, lose and hang come back as the answers that a real service would cause."""
    monkeypatch.setenv("LOGBRIDGE_REQUEST_TIMEOUT_S", "0.01")
    script = [accept, refuse("no"), fail("away"), lose("broke"), hang]
    with use_sink(MemorySink(script)) as sink:
        results = [await write_log(f"m{number}") for number in range(6)]
    assert [r["success"] for r in results] == [True, False, False, False, False, True]
    assert [r["error_message"] for r in results[1:4]] == ["no", "away", "broke"]
    assert all(r["log_id"] for r in results)
    assert len(sink.entries) == 2


async def test_use_sink_nests_and_ends() -> None:
    """The inner sink is used inside the inner block only."""
    with use_sink(MemorySink()) as outer:
        with use_sink(MemorySink()) as inner:
            await write_log("inner")
        await write_log("outer")
    assert [entry.message for entry in inner.entries] == ["inner"]
    assert [entry.message for entry in outer.entries] == ["outer"]


async def test_a_client_with_its_own_sink_keeps_it(sink: MemorySink) -> None:
    """A sink given to a client wins over use_sink; an address does not."""
    own = MemorySink()
    await AsyncLogServiceClient(sink=own).write_log("own")
    await AsyncLogServiceClient("nowhere.invalid:1").write_log("swapped")
    assert [entry.message for entry in own.entries] == ["own"]
    assert [entry.message for entry in sink.entries] == ["swapped"]


async def test_a_closed_client_says_so() -> None:
    """After aclose a write is a failed answer; the sink that was handed in stays open."""
    own = MemorySink()
    async with AsyncLogServiceClient(sink=own) as client:
        await client.write_log("m")
    await client.aclose()
    assert (await client.write_log("m", log_id="i"))["error_message"] == "this client is closed"
    assert (await client.batch_write_logs([{"message": "m"}]))["errors"] == ["this client is closed"]
    assert len(own.entries) == 1
    assert not own.closed


@pytest.mark.parametrize(
    "address",
    [
        "",
        "localhost",
        "localhost:",
        "localhost:http",
        "localhost:99999",
        "http://localhost:50051",
        "memory://",
        "a:1/b",
        50051,
    ],
)
def test_a_wrong_address_is_refused_at_once(address: Any) -> None:
    """The client is not made, and the error says what is allowed; of a port alone, too."""
    with pytest.raises(InvalidSetting, match=r"expected host:port or grpc://host:port"):
        AsyncLogServiceClient(address)


@pytest.mark.parametrize(
    "address",
    ["custom-server:50051", "grpc://custom-server:50051", "[::1]:50051", "grpcs://custom-server:50051"],
)
def test_every_form_of_an_address_is_taken(address: str) -> None:
    """host:port, grpc://host:port and grpcs://host:port make a client; nothing is connected yet."""
    AsyncLogServiceClient(address)


def test_an_address_and_a_sink_are_one_too_many() -> None:
    """Both together make no sense."""
    with pytest.raises(ValueError, match="not both"):
        AsyncLogServiceClient("localhost:1", sink=MemorySink())


def test_many_loops_and_threads_share_a_sink(sink: MemorySink) -> None:
    """Every thread runs loops of its own, one after another, and no log is lost."""

    def work() -> None:
        for _ in range(3):
            assert asyncio.run(write_log("m"))["success"]

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(sink.entries) == 12


class SlowSink(MemorySink):
    """Stores once it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.go, self.stored = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def write(self, entries: Any, *, deadline: Any) -> Any:
        self.begun.set()
        await self.go.wait()
        outcomes = await super().write(entries, deadline=deadline)
        self.stored.set()
        return outcomes


async def test_cancelling_does_not_take_back_a_write() -> None:
    """A write that has begun is finished although its caller gave up; the sink runs in the caller's loop."""
    sink = SlowSink()
    caller = asyncio.create_task(AsyncLogServiceClient(sink=sink).write_log("kept"))
    await sink.begun.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    sink.go.set()
    await asyncio.wait_for(sink.stored.wait(), 30)
    assert [entry.message for entry in sink.entries] == ["kept"]


async def test_a_wrong_setting_is_raised_with_the_first_write(
    sink: MemorySink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings are read at first use: a wrong one names itself there, not at import."""
    monkeypatch.setenv("MAX_BATCH_SIZE", "none")
    client = AsyncLogServiceClient()
    with pytest.raises(InvalidSetting, match="MAX_BATCH_SIZE=none"):
        await client.write_log("m")


def test_the_public_names_are_sorted_and_there() -> None:
    """Every name of __all__ can be imported, and dir() shows it; another one is an AttributeError."""
    assert logbridge.__all__ == sorted(logbridge.__all__)
    assert all(getattr(logbridge, name) is not None for name in logbridge.__all__)
    assert set(logbridge.__all__) <= set(dir(logbridge))
    with pytest.raises(AttributeError, match="nothing_here"):
        _ = logbridge.nothing_here

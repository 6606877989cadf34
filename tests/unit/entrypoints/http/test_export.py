"""Histogram and export over HTTP: what is asked, and how the answers look."""

import asyncio
import csv
import io
import json
from typing import Any

import pytest

from logbridge.adapters.memory import MemorySink
from logbridge.domain.entry import LogLevel
from logbridge.domain.errors import ReaderUnavailable
from logbridge.domain.ports import Deadline
from logbridge.domain.query import LogPage, LogQuery
from logbridge.entrypoints.container import Container
from logbridge.entrypoints.http.access import Gate
from logbridge.entrypoints.http.export import COLUMNS, Export
from logbridge.entrypoints.http.lifecycle import Lifecycle
from logbridge.entrypoints.http.sessions import Sessions
from logbridge.entrypoints.rates import Rates
from tests.factories import make_entry
from tests.unit.entrypoints.http.serving import API, FAST, serving
from tests.unit.entrypoints.http.test_read import Wire

NAMES = [level.name for level in LogLevel]


def filled(count: int, **fields: Any) -> MemorySink:
    """A sink with so many logs, one each second; the last one is the newest."""
    sink = MemorySink()
    for number in range(count):
        moment = f"2024-08-30T10:{number // 60:02}:{number % 60:02}Z"
        sink.entries.append(make_entry(message=f"log {number}", timestamp=moment, **fields))
    return sink


async def test_a_histogram_by_level_and_time() -> None:
    """Every bucket is there, with every level; the range is that of the logs, and the sum is told."""
    sink = filled(90, level=LogLevel.WARN)
    async with serving(sink) as client:
        answer = (await client.get(f"{API}/histogram?buckets=10")).json()
    assert (answer["success"], answer["error_message"], answer["total_count"]) == (True, "", 90)
    assert (answer["start_time"], answer["end_time"], answer["bucket_seconds"]) == (
        "2024-08-30T10:00:00.000000+00:00", "2024-08-30T10:01:29.000000+00:00", 10.0,
    )  # fmt: skip
    assert [list(bucket) for bucket in answer["buckets"]] == [["time", *NAMES]] * 9
    assert [bucket["WARN"] for bucket in answer["buckets"]] == [10] * 9
    assert answer["buckets"][1]["time"] == "2024-08-30T10:00:10.000000+00:00"


async def test_a_histogram_of_the_first_and_the_last_time() -> None:
    """Times whose offset takes them beyond what RFC 3339 can write are shown as the last that it can."""
    sink = MemorySink()
    for moment in ("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"):
        sink.entries.append(make_entry(timestamp=moment))
    async with serving(sink) as client:
        answer = (await client.get(f"{API}/histogram")).json()
    assert (answer["start_time"][:4], answer["end_time"][:4]) == ("0001", "9999")
    assert answer["total_count"] == 2


async def test_the_names_of_levels_are_those_of_the_buckets() -> None:
    """The order of the counts is the order of the members."""
    sink = filled(1, level=LogLevel.FATAL)
    async with serving(sink) as client:
        (bucket,) = (await client.get(f"{API}/histogram")).json()["buckets"]
    assert {name: count for name, count in bucket.items() if count and name != "time"} == {"FATAL": 1}


@pytest.mark.parametrize(
    "query", ["buckets=0", "buckets=201", "buckets=", "limit=1", "offset=1", "format=csv"]
)
async def test_a_wrong_parameter_of_a_histogram_is_named(query: str) -> None:
    """Only filters and buckets, within their limits."""
    async with serving() as client:
        answer = await client.get(f"{API}/histogram?{query}")
    assert (answer.status_code, answer.json()["success"]) == (422, False)
    assert query.partition("=")[0] in answer.json()["detail"]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1000001", "format=xml", "format=", "offset=1", "buckets=1"]
)
async def test_a_wrong_parameter_of_an_export_is_named(query: str) -> None:
    """Only filters, format and limit, and no byte of a download before that is checked."""
    async with serving() as client:
        answer = await client.get(f"{API}/export?{query}")
    assert answer.status_code == 422
    assert query.partition("=")[0] in answer.json()["detail"]


async def test_an_export_is_the_query_in_lines() -> None:
    """Each line is a log as query shows it, newest first, beyond what one page holds; it is a file."""
    async with serving(filled(2500)) as client:
        logs = (await client.get(f"{API}/query?limit=1000&q=log")).json()["logs"]
        answer = await client.get(f"{API}/export?q=log")
        some = await client.get(f"{API}/export?limit=3&format=ndjson")
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert lines[:1000] == logs
    assert [line["message"] for line in lines] == [f"log {number}" for number in reversed(range(2500))]
    assert len(some.text.splitlines()) == 3
    assert (some.headers["x-total-count"], answer.headers["cache-control"]) == ("2500", "no-store")
    assert answer.headers["content-type"] == "application/x-ndjson"
    kind, _, name = answer.headers["content-disposition"].partition("; ")
    assert kind == "attachment"
    assert name.startswith('filename="logs-2')
    assert name.endswith('Z.ndjson"')


async def test_csv_is_read_back_as_it_was() -> None:
    """Quotes, commas, line ends and any script survive RFC 4180; metadata is JSON; lines end in CRLF."""
    sink = MemorySink()
    entry = make_entry(message='say "hi", 日志\r\nnext\nline\x00', metadata={"k": 'v"'}, level=LogLevel.ERROR)
    sink.entries.append(entry)
    async with serving(sink) as client:
        answer = await client.get(f"{API}/export?format=csv")
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.headers["content-disposition"].endswith('.csv"')
    head, row = csv.reader(io.StringIO(answer.text, newline=""))
    assert tuple(head) == COLUMNS
    assert row == [
        entry.id, entry.timestamp, "ERROR", entry.service_name, entry.message, entry.trace_id, entry.span_id,
        '{"k":"v\\""}',
    ]  # fmt: skip
    assert answer.text.endswith("\r\n")


@pytest.mark.parametrize("message", ["=1+1", "+1", "-1", "@x", "\tx", "\rx"])
async def test_no_cell_is_a_formula(message: str) -> None:
    """What a spreadsheet would run has ' before it, in CSV only."""
    sink = MemorySink()
    sink.entries.append(make_entry(message=message, trace_id=message))
    async with serving(sink) as client:
        rows = (await client.get(f"{API}/export?format=csv")).text
        line = (await client.get(f"{API}/export")).json()
    cells = list(csv.reader(io.StringIO(rows, newline="")))[1]
    assert (cells[4], cells[5]) == (f"'{message}", f"'{message}")
    assert line["message"] == message


async def test_nothing_is_a_file_too() -> None:
    """Where nothing matches, NDJSON is empty and CSV has its header row."""
    async with serving() as client:
        empty = await client.get(f"{API}/export")
        head = await client.get(f"{API}/export?format=csv")
        asked = await client.head(f"{API}/export?format=csv")
    assert (empty.status_code, empty.content) == (200, b"")
    assert head.text == ",".join(COLUMNS) + "\r\n"
    assert (asked.status_code, asked.content) == (200, b"")


class BreaksOff(MemorySink):
    """Gives one page, and is away for the next."""

    async def query(self, query: LogQuery, *, deadline: Deadline) -> LogPage:
        if query.end_time:
            raise ReaderUnavailable("gone")
        return await super().query(query, deadline=deadline)


def export_of(sink: MemorySink, lifecycle: Lifecycle) -> Export:
    gate = Gate(FAST, None, Sessions(b""), Rates())
    return Export(Container(FAST, sink).bridge, gate, lifecycle, lambda: "2024-08-30T10:30:45Z")


def broken() -> MemorySink:
    sink = BreaksOff()
    sink.entries += filled(1500).entries
    return sink


async def test_an_error_on_the_way_is_no_end() -> None:
    """When the log service fails after the first page, the answer has no last message: it breaks off."""
    wire = Wire()
    await asyncio.wait_for(export_of(broken(), Lifecycle())(wire.scope, wire.receive, wire.send), 30)
    messages = [wire.sent.get_nowait() for _ in range(wire.sent.qsize())]
    assert messages[0]["status"] == 200
    assert all(message["more_body"] for message in messages[1:])
    assert len(b"".join(message["body"] for message in messages[1:]).splitlines()) == 1000


@pytest.mark.parametrize("left", [True, False])
async def test_who_leaves_and_a_stop_end_it(left: bool) -> None:
    """An export to a client that does not read ends with the client, and with the server: without an end."""
    lifecycle, wire, full = Lifecycle(), Wire(), asyncio.Event()
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)
        if message["type"] == "http.response.body":
            full.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(export_of(filled(10), lifecycle)(wire.scope, wire.receive, send))
    await asyncio.wait_for(full.wait(), 30)
    if left:
        wire.left.set()
    else:
        await lifecycle.drain(0)
    await asyncio.wait_for(task, 30)
    assert all(message["more_body"] for message in sent[1:])

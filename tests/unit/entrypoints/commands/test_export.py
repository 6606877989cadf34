"""export and check http through the command line, against scripted answers."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import respx
from hypothesis import given
from hypothesis import strategies as st

from logbridge.entrypoints.cli import run
from logbridge.entrypoints.commands import check
from logbridge.entrypoints.commands.export import LogCounter

URL = "http://127.0.0.1:8001"
API = f"{URL}/api/v1/logs"
ROWS = st.lists(st.lists(st.text('a,"\r\n日=', max_size=4), min_size=2, max_size=2), max_size=6)


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("LOGBRIDGE_URL", "PORT"):
        monkeypatch.delenv(name, raising=False)


@given(rows=ROWS, size_bytes=st.integers(1, 20))
def test_logs_of_csv_are_counted_in_any_pieces(rows: list[list[str]], size_bytes: int) -> None:
    """Line ends within quotes are text, wherever the pieces begin and end; the header row is no log."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows([["id", "message"], *rows])
    content, counter = text.getvalue().encode(), LogCounter("csv")
    for begin in range(0, len(content), size_bytes):
        counter.feed(content[begin : begin + size_bytes])
    assert counter.count == len(rows)


def test_logs_of_ndjson_are_its_lines() -> None:
    """Quotes mean nothing there."""
    counter = LogCounter("ndjson")
    for piece in (b'{"message":"a', b'\\""}\n{"mess', b'age":"b"}\n'):
        counter.feed(piece)
    assert counter.count == 2


def test_it_asks_in_the_contracts_names(
    respx_mock: respx.MockRouter, capsys: pytest.CaptureFixture[str]
) -> None:
    """Filters, format and limit are parameters; logs are the output, and what is left out is told."""
    route = respx_mock.get(f"{API}/export").respond(content=b"id\r\n1\r\n", headers={"x-total-count": "3"})
    assert run(["export", "--format", "csv", "--limit", "1", "--level", "ERROR"]) == 0
    assert dict(route.calls.last.request.url.params) == {"level": "ERROR", "format": "csv", "limit": "1"}
    shown = capsys.readouterr()
    assert shown.out == "id\r\n1\r\n"
    assert "the newest 1 of 3 logs" in shown.err


def cut() -> Iterator[bytes]:
    yield b'{"id":"1"}\n'
    raise httpx.ReadError("cut")


def test_a_part_is_no_file(
    tmp_path: Path, respx_mock: respx.MockRouter, capsys: pytest.CaptureFixture[str]
) -> None:
    """An export that breaks off is exit code 1 with how far it came, and leaves nothing."""
    respx_mock.get(f"{API}/export").respond(stream=Cut(), headers={"x-total-count": "2"})
    assert run(["export", "--output", "a.ndjson"]) == 1
    assert "broke off after 1 logs: cut" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


class Cut(httpx.SyncByteStream):
    def __iter__(self) -> Iterator[bytes]:
        return cut()


@pytest.mark.parametrize(
    ("status", "code"), [(422, 2), (403, 1), (501, 1)]
)  # fmt: skip
def test_a_refused_question_makes_no_file(
    tmp_path: Path, respx_mock: respx.MockRouter, capsys: pytest.CaptureFixture[str], status: int, code: int
) -> None:
    """The bridge's reason is the line, a wrong question is a usage error, and no file is begun."""
    respx_mock.get(f"{API}/export").respond(status, json={"detail": "because"})
    assert run(["export", "--output", "a.ndjson"]) == code
    assert capsys.readouterr().err == "logbridge: because\n"
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is replaced, and nobody is asked."""
    (tmp_path / "a").write_text("mine")
    assert run(["export", "--output", "a"]) == 2
    assert (tmp_path / "a").read_text() == "mine"
    assert "exists already" in capsys.readouterr().err


def test_a_folder_that_is_not_there_is_one_line(
    respx_mock: respx.MockRouter, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that cannot be made names itself."""
    respx_mock.get(f"{API}/export").respond(content=b"", headers={"x-total-count": "0"})
    assert run(["export", "--output", "nowhere/a"]) == 1
    assert "nowhere/a" in capsys.readouterr().err


EVENTS = (
    b'event: progress\ndata: {"done":0}\n\nevent: progress\ndata: {"done":300}\n\n'
    b'event: progress\ndata: {"done":450}\n\n'
)
RESULT = (
    b'event: result\ndata: {"success_count":500,"failed_count":0,"logs_per_second":10.0,'
    b'"error_summary":{"sample_errors":[]},"latency_ms":{"p50":1.0,"p99":2.5}}\n\n'
)
PROBLEM = b'event: problem\ndata: {"status":503,"detail":"stopping"}\n\n'


async def outcome_of(respx_mock: respx.MockRouter, content: bytes, ticks: list[int]) -> str:
    respx_mock.post(f"{API}/concurrent-test").respond(
        content=content, headers={"content-type": "text/event-stream; charset=utf-8"}
    )
    async with httpx.AsyncClient(base_url=URL) as client:
        return await check._concurrent_test(client, 500, 5, ticks.append)


async def test_a_concurrent_test_ticks_as_it_goes(respx_mock: respx.MockRouter) -> None:
    """The bar moves by what each event says is done, and the line has rate and latencies."""
    ticks: list[int] = []
    line = await outcome_of(respx_mock, EVENTS + RESULT, ticks)
    assert ticks == [0, 300, 150]
    assert line == "10 logs a second, p50 1.0 ms, p99 2.5 ms"


@pytest.mark.parametrize(("last", "reason"), [(PROBLEM, "stopping"), (b"", "without a result")])
async def test_a_concurrent_test_that_was_cut_off_failed(
    respx_mock: respx.MockRouter, last: bytes, reason: str
) -> None:
    """A problem, or no end at all, is a failed check with its reason."""
    with pytest.raises(check.CheckFailed, match=reason):
        await outcome_of(respx_mock, EVENTS + last, [])

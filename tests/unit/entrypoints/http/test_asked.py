"""What the headers of a write ask, and how it shows in the answer: 202, Preference-Applied, Retry-After."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbridge.adapters.memory import MemorySink
from logbridge.domain.entry import LogEntry
from logbridge.domain.errors import InvalidRequest
from logbridge.domain.outcome import Accepted, Cause, Failed, Outcome, Unknown
from logbridge.domain.policy import Asked
from logbridge.domain.ports import Deadline
from logbridge.entrypoints.http.parameters import REQUEST_TIMEOUT_S_MAX, read_asked
from logbridge.entrypoints.http.problems import gravest_problem, outcome_problem
from logbridge.entrypoints.settings import Settings
from tests.unit.entrypoints.http.serving import API, serving

pytestmark = pytest.mark.usefixtures("each_way")

RESPOND_ASYNC = {"Prefer": "respond-async"}


def asked(*headers: tuple[str, str]) -> Asked:
    """What these headers ask."""
    scope = {"headers": [(name.encode(), value.encode("latin-1")) for name, value in headers]}
    return read_asked(scope, frozenset())


@pytest.mark.parametrize(
    ("values", "durable"),
    [
        ((), False),
        (("respond-async",), True),
        (("RESPOND-Async",), True),
        ((" respond-async ",), True),
        (("respond-async, wait=10",), True),
        (("wait=10,respond-async",), True),
        (("wait=10 , respond-async ; foo=bar",), True),
        (('handling=lenient; note="a", respond-async',), True),
        (("return=minimal", "respond-async"), True),
        (("respond-async", "return=minimal"), True),
        (("",), False),
        (("wait=10",), False),
        (("respond-asynchronously",), False),
        (("no-respond-async",), False),
        (("wait; respond-async",), False),
    ],
)
def test_prefer(values: Sequence[str], durable: bool) -> None:
    """respond-async is found among other preferences, with parameters, in any letter case, in any header."""
    assert asked(*(("prefer", value) for value in values)) == Asked(durable)


@pytest.mark.parametrize(
    ("value", "timeout_s"),
    [("1", 1.0), ("0.25", 0.25), (" 30 ", 30.0), ("3600", 3600.0), ("3600.0", 3600.0), ("0.001", 0.001)],
)
def test_a_time(value: str, timeout_s: float) -> None:
    """Request-Timeout is seconds, with or without a fraction."""
    assert asked(("request-timeout", value)) == Asked(timeout_s=timeout_s)


BAD_TIMES = [
    "", "0", "0.0", "0.0009", "-1", "+1", "1e3", ".5", "5.", "3600.1", "3601", "9" * 400, "nan", "inf",
    "soon", "1 s", "1,5", "0x10", "1_0", "\xb2", "PT5S",
]  # fmt: skip


@pytest.mark.parametrize("value", BAD_TIMES)
def test_what_is_no_time(value: str) -> None:
    """Anything else is refused, with the header's name and what is allowed."""
    with pytest.raises(InvalidRequest, match=r"^Request-Timeout: expected 0.001 to 3600 seconds"):
        asked(("request-timeout", value))


@given(value=st.text(st.characters(max_codepoint=255), max_size=30))
def test_no_header_breaks_it(value: str) -> None:
    """Any bytes are a time within the bounds, or refused; any bytes are a preference or none."""
    asked(("prefer", value))
    with contextlib.suppress(InvalidRequest):
        timeout_s = asked(("request-timeout", value)).timeout_s
        assert timeout_s is not None
        assert 0 < timeout_s <= REQUEST_TIMEOUT_S_MAX


ENTRY = {"message": "a", "log_id": "x"}
PATHS: list[tuple[str, Any]] = [("write", ENTRY), ("batch", {"log_entries": [ENTRY, {"message": ""}]})]


@pytest.mark.parametrize(("path", "body"), PATHS)
@pytest.mark.parametrize(
    ("ack", "headers", "status", "applied"),
    [
        ("delivered", {}, 200, None),
        ("delivered", RESPOND_ASYNC, 202, "respond-async"),
        ("durable", {}, 202, None),
        ("durable", RESPOND_ASYNC, 202, "respond-async"),
    ],
)
async def test_accepted_from_the_disk(
    tmp_path: Path, ack: Any, headers: dict[str, str], status: int, applied: str | None, path: str, body: Any
) -> None:
    """With a spool a write is 202 where it was asked for or set so; only what was asked for was applied."""
    settings = Settings(ack=ack, spool=f"sqlite:///{tmp_path}/spool")
    async with serving(settings=settings) as client:
        answer = await client.post(f"{API}/{path}", json=body, headers=headers)
    assert (answer.status_code, answer.headers.get("preference-applied")) == (status, applied)
    result = answer.json() if path == "write" else answer.json()["results"][0]
    assert result == {"success": True, "log_id": "x", "error_message": ""}


@pytest.mark.parametrize(("path", "body"), PATHS)
async def test_without_a_spool_nothing_is_applied(path: str, body: Any) -> None:
    """A preference that cannot be met is passed over: the log service has acknowledged the write."""
    sink = MemorySink()
    async with serving(sink) as client:
        answer = await client.post(f"{API}/{path}", json=body, headers=RESPOND_ASYNC)
    assert (answer.status_code, answer.headers.get("preference-applied")) == (200, None)
    assert [entry.id for entry in sink.entries] == ["x"]


@pytest.mark.parametrize("path", ["write", "batch"])
async def test_a_wrong_time_is_told_with_the_result(path: str) -> None:
    """422 that names the header, with the members of a result, and nothing is written."""
    sink = MemorySink()
    async with serving(sink) as client:
        headers = {"Request-Timeout": "soon"}
        answer = await client.post(f"{API}/{path}", json={"message": "a"}, headers=headers)
    body = answer.json()
    assert (answer.status_code, "Request-Timeout" in body["detail"]) == (422, True)
    assert body["detail"] in (body.get("error_message"), *body.get("errors", []))
    assert sink.entries == []


class AwaySink(MemorySink):
    """Takes nothing."""

    async def write(self, entries: Sequence[LogEntry], *, deadline: Deadline) -> Sequence[Outcome]:
        return [Failed(entry.id, "away", Cause.UNAVAILABLE) for entry in entries]


async def test_a_full_spool_is_not_ready(tmp_path: Path) -> None:
    """Where every write is durable, /readyz tells what the writes are told; the process is still alive."""
    spool = f"sqlite:///{tmp_path}/spool"
    settings = Settings(ack="durable", spool=spool, spool_bytes_max=65_536)
    async with serving(AwaySink(), settings) as client:
        assert (await client.get("/readyz")).status_code == 200
        written = await client.post(f"{API}/write", json={"message": "x" * 70_000})
        refused = await client.post(f"{API}/write", json={"message": "one more"})
        ready, alive = await client.get("/readyz"), await client.get("/livez")
    assert [answer.status_code for answer in (written, refused, ready, alive)] == [202, 503, 503, 200]
    assert "LOGBRIDGE_SPOOL_BYTES_MAX=65536" in refused.json()["detail"]
    assert ready.json()["detail"] == refused.json()["detail"]
    assert refused.headers["retry-after"] == "5"
    assert ready.headers["retry-after"]


async def test_a_full_spool_beside_delivered_writes_is_ready(tmp_path: Path) -> None:
    """Where a durable write is the exception, the others are welcome."""
    sink = MemorySink()
    settings = Settings(spool=f"sqlite:///{tmp_path}/spool", spool_disk_free_bytes_min=2**50)
    async with serving(sink, settings) as client:
        refused = await client.post(f"{API}/write", json=ENTRY, headers=RESPOND_ASYNC)
        written = await client.post(f"{API}/write", json=ENTRY)
        ready = await client.get("/readyz")
    assert [answer.status_code for answer in (refused, written, ready)] == [503, 200, 200]


@pytest.mark.parametrize(
    ("asked_s", "header"),
    [(None, "1"), (0.0, "1"), (0.2, "1"), (1.0, "1"), (1.001, "2"), (29.5, "30"), (3600.0, "3600")],
)
def test_retry_after_is_whole_seconds(asked_s: float | None, header: str) -> None:
    """It is rounded up, so that nobody comes too early, and is never 0."""
    failed = Failed("x", "away", Cause.UNAVAILABLE, asked_s)
    assert outcome_problem(failed, {}).headers["Retry-After"] == header


def test_of_a_batch_the_longest_pause_counts() -> None:
    """Coming back earlier would fail again for some; where nothing is to wait for, there is no header."""
    failures = [
        Failed("a", "away", Cause.UNAVAILABLE, 2.5),
        Unknown("b", "lost", Cause.NO_ANSWER, 7.0),
        Failed("c", "away"),
        Accepted("d"),
    ]
    assert gravest_problem(failures, "why", {}).headers["Retry-After"] == "7"
    assert "Retry-After" not in gravest_problem([Unknown("b", "lost")], "why", {}).headers

"""`logbridge top` against scripted answers: what it asks, prints and says of a bridge that refuses."""

import json
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import respx

from logbridge.entrypoints.cli import run
from logbridge.entrypoints.commands.ending import BridgeNotReached, CommandFailed
from logbridge.entrypoints.commands.top_feed import Lost, Watched, decoded, follow
from tests.unit.entrypoints.commands.looks import NEWEST_S, point, stats, watched

URL = "http://127.0.0.1:8001"
STATS = f"{URL}/api/v1/logs/stats"
EVENTS = {"content-type": "text/event-stream"}


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("LOGBRIDGE_URL", "PORT", "LOGBRIDGE_KEY"):
        monkeypatch.delenv(name, raising=False)


def event(**changed: Any) -> bytes:
    return b"data: " + msgspec.json.encode(stats(**changed)) + b"\n\n"


def test_once_prints_text(respx_mock: respx.MockRouter, capsys: pytest.CaptureFixture[str]) -> None:
    """One look, with its past, asked for once; the same without --once where there is no terminal."""
    route = respx_mock.get(STATS, params={"history": "300"}).respond(json=stats())
    for arguments in (["top", "--once"], ["top"]):
        assert run(arguments) == 0
        assert "logs/s" in capsys.readouterr().out
    assert route.call_count == 2
    assert "text/event-stream" not in route.calls.last.request.headers["accept"]


def test_once_as_json_is_one_line(respx_mock: respx.MockRouter, capsys: pytest.CaptureFixture[str]) -> None:
    """--once --json prints the look as the bridge gave it."""
    respx_mock.get(STATS).respond(json=stats())
    assert run(["top", "--once", "--json"]) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert json.loads(out) == stats()


@pytest.mark.parametrize("arguments", [["top", "--once"], ["top", "--json"], ["top", "--json", "--once"]])
@pytest.mark.parametrize(
    ("status", "detail", "told"),
    [
        (401, "/stats needs a key", "LOGBRIDGE_KEY); statistics need the scope read"),
        (403, "/stats needs the scope read", "set LOGBRIDGE_KEY to one that has it"),
        (429, "too many", "too many"),
        (404, "there is no /stats", "older than `logbridge top`"),
        (200, "no statistics", "of another version?"),
    ],
)
def test_what_it_is_refused_is_one_line(
    respx_mock: respx.MockRouter,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    status: int,
    detail: str,
    told: str,
) -> None:
    """The line says what to do, and the exit code is that of a failure."""
    monkeypatch.setenv("LOGBRIDGE_KEY", "lbk_0_1")
    answer = {"status": status, "detail": detail}
    body = b"data: " + msgspec.json.encode(answer) + b"\n\n"
    if status == 200 and arguments == ["top", "--json"]:
        respx_mock.get(STATS).respond(200, headers=EVENTS, content=body)
    else:
        respx_mock.get(STATS).respond(status, json=answer)
    assert run(arguments) == 1
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    assert told in captured.err


@pytest.mark.parametrize("arguments", [["top", "--once"], ["top", "--json"]])
def test_no_bridge_is_another_exit_code(
    respx_mock: respx.MockRouter, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    """Where nothing ever answered there is nothing to wait for: 3, as of all commands."""
    respx_mock.get(STATS).mock(side_effect=httpx.ConnectError("refused"))
    assert run(arguments) == 3
    assert "no bridge answers at" in capsys.readouterr().err


async def test_a_lost_bridge_is_asked_again(respx_mock: respx.MockRouter) -> None:
    """Hung up, away, refused and answered again: each loss is told with its reason, longer each time."""
    route = respx_mock.get(STATS)
    route.side_effect = [
        httpx.Response(200, headers=EVENTS, content=event(workers=1)),
        httpx.Response(503, json={"detail": "stopping"}),
        httpx.ConnectError("connection refused"),
        httpx.Response(200, headers=EVENTS, content=event(workers=2)),
        httpx.Response(401, json={"detail": "this key is revoked"}),
    ]
    seen: list[Any] = []

    async def listen() -> None:
        async for one in follow(URL, (0.001, 0.002)):
            seen.append(one if isinstance(one, Lost) else decoded(one).workers)

    with pytest.raises(CommandFailed, match="this key is revoked"):
        await listen()
    assert seen == [
        1,
        Lost("it ended the connection", 0.001),
        Lost("HTTP 503", 0.002),
        Lost("connection refused", 0.002),
        2,
        Lost("it ended the connection", 0.001),
    ]
    assert {call.request.url.params["history"] for call in route.calls} == {"300"}


async def test_what_is_no_stream_is_not_reached(respx_mock: respx.MockRouter) -> None:
    """Another server at that address is told at once, not asked for ever."""
    respx_mock.get(STATS).respond(200, html="<p>hello</p>")
    with pytest.raises(BridgeNotReached):
        await anext(follow(URL))


def test_the_past_is_kept() -> None:
    """Each look brings the second that has just ended; 300 of them are kept, and a later word counts."""
    seen: Watched = watched()
    for later in range(1, 11):
        news = [point(NEWEST_S + later - 1, accepted=5), point(NEWEST_S + later, accepted=7)]
        seen.see(decoded(msgspec.json.encode(stats(performance__history=news))))
    assert sorted(seen.points) == list(range(NEWEST_S - 289, NEWEST_S + 11))
    assert [seen.points[NEWEST_S + later].accepted for later in (1, 9, 10)] == [5, 5, 7]


def test_a_clock_that_is_set_back_does_not_stop_the_charts() -> None:
    """What the bridge says now counts, and seconds that are to come are forgotten."""
    seen = watched()
    back = [point(NEWEST_S - 3600, accepted=1)]
    seen.see(decoded(msgspec.json.encode(stats(performance__history=back))))
    assert list(seen.points) == [NEWEST_S - 3600]


def test_what_is_frozen_stays() -> None:
    """A pause shows what was known when it began."""
    seen = watched()
    frozen = seen.copy()
    seen.see(decoded(msgspec.json.encode(stats(workers=9, performance__history=[point(NEWEST_S + 1)]))))
    assert (frozen.look.workers, max(frozen.points)) == (2, NEWEST_S)

"""write, query, tail, check, config and serve through the command line, against scripted answers."""

import io
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
import respx

from logbridge import __version__
from logbridge.entrypoints.cli import run
from logbridge.entrypoints.commands import tail as tail_command
from logbridge.entrypoints.commands import terminal

URL = "http://127.0.0.1:8001"
API = f"{URL}/api/v1/logs"
LOG = {
    "id": "i", "service_name": "shop", "level": "ERROR", "message": "no\x1b[31m",
    "timestamp": "2024-08-30T10:30:45Z",
    "metadata": {"note": "two words"}, "trace_id": "t", "span_id": "",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for name in ("LOGBRIDGE_URL", "PORT"):
        monkeypatch.delenv(name, raising=False)


def test_write_sends_fields_and_prints_the_id(
    respx_mock: respx.MockRouter, capsys: pytest.CaptureFixture[str]
) -> None:
    """Business numbers are sent as integers, everything else as text, and the id is the output."""
    route = respx_mock.post(f"{API}/write").respond(
        json={"success": True, "log_id": "id-1", "error_message": ""}
    )
    assert run(["write", "hi", "adv_id=7", "user=8=9", "--service", "shop", "--level", "WARN"]) == 0
    sent = {"message": "hi", "level": "WARN", "service_name": "shop", "adv_id": 7, "user": "8=9"}
    assert json.loads(route.calls.last.request.content) == sent
    assert capsys.readouterr().out == "id-1\n"


def test_write_that_fails_exits_with_1(
    respx_mock: respx.MockRouter, capsys: pytest.CaptureFixture[str]
) -> None:
    """A log that was not accepted is one line on stderr; --json still prints the answer."""
    respx_mock.post(f"{API}/write").respond(
        503, json={"success": False, "log_id": "i", "error_message": "away"}
    )
    assert run(["write", "hi", "--json"]) == 1
    captured = capsys.readouterr()
    assert captured.err == "logbridge: not written: away\n"
    assert json.loads(captured.out)["log_id"] == "i"


@pytest.mark.parametrize(
    "arguments",
    [
        ["write", "m", "adv_id=x"],
        ["write", "m", "level=INFO"],
        ["write", "m", "word"],
        ["write"],
        ["nonsense"],
        ["query", "--metadata", "x"],
        ["query", "--url", "ftp://x"],
        ["query", "--url", "http://x:12,"],
        ["config", "--port", "x"],
        ["serve", "--workers", "0"],
        ["serve", "--workers", "2", "--sink", "memory://"],
        ["import"],
        ["import", "--nonsense"],
        ["import", "missing.log"],
        ["dev", "--host", "host.invalid"],
    ],
)
def test_wrong_arguments_exit_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong argument or setting is one line on stderr and exit code 2."""
    assert run(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("logbridge: ")
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize("arguments", [["write", "m"], ["query"], ["tail"], ["check", "http"]])
def test_bridge_not_reached_exits_with_3(
    arguments: list[str], respx_mock: respx.MockRouter, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a bridge the line names the address and what to do."""
    respx_mock.route().mock(side_effect=httpx.ConnectError("refused"))
    assert run(arguments) == 3
    assert f"no bridge answers at {URL}: refused" in capsys.readouterr().err


def test_query_asks_in_the_contracts_names(
    respx_mock: respx.MockRouter, capsys: pytest.CaptureFixture[str]
) -> None:
    """Options become the contract's parameters, and a message cannot steer the terminal."""
    route = respx_mock.get(f"{API}/query").respond(json={"success": True, "logs": [LOG], "total_count": 1})
    assert run(["query", "--service", "shop", "--text", "no", "--metadata", "a=b", "--metadata", "c=d"]) == 0
    asked = dict(route.calls.last.request.url.params)
    expected = {
        "service_name": "shop",
        "q": "no",
        "metadata.a": "b",
        "metadata.c": "d",
        "limit": "100",
        "offset": "0",
    }
    assert asked == expected
    out = capsys.readouterr().out
    assert "1 to 1 of 1" in out
    assert "\x1b" not in out


@pytest.mark.parametrize(("status", "code"), [(422, 2), (503, 1)])
def test_query_without_an_answer(status: int, code: int, respx_mock: respx.MockRouter) -> None:
    """A wrong question is a usage error, a missing log service a failure."""
    respx_mock.get(f"{API}/query").respond(status, json={"detail": "why"})
    assert run(["query", "--json"]) == code


def test_answer_that_is_no_json(respx_mock: respx.MockRouter, capsys: pytest.CaptureFixture[str]) -> None:
    """Something else at the address is named, without a traceback."""
    respx_mock.get(f"{API}/query").respond(200, text="<html>")
    assert run(["query"]) == 1
    assert "without JSON" in capsys.readouterr().err


def test_tail_takes_a_lost_connection_up_again(
    respx_mock: respx.MockRouter, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an end or a short absence it goes on after the last id; --count ends it."""
    monkeypatch.setattr(tail_command, "_RECONNECT_S", 0.0)
    monkeypatch.setattr("time.sleep", lambda _: None)
    stream = {"content-type": "text/event-stream"}
    event = f"data: {json.dumps(LOG)}\n\n"
    route = respx_mock.get(f"{API}/tail").mock(
        side_effect=[
            httpx.Response(200, headers=stream, text=f"id: 4\n: following\n\nid: 5\n{event}"),
            httpx.Response(503, json={"detail": "away"}),
            httpx.ReadError("lost"),
            httpx.Response(200, headers=stream, text=f"id: 6\n{event}"),
        ]
    )
    assert run(["tail", "--json", "--count", "2"]) == 0
    assert [call.request.headers.get("last-event-id") for call in route.calls] == [None, "5", "5", "5"]
    assert capsys.readouterr().out.count('"shop"') == 2


def test_tail_in_lines(respx_mock: respx.MockRouter, capsys: pytest.CaptureFixture[str]) -> None:
    """A log is one line for people."""
    text = f"data: {json.dumps(LOG)}\n\n"
    respx_mock.get(f"{API}/tail").respond(200, headers={"content-type": "text/event-stream"}, text=text)
    assert run(["tail", "--count", "1"]) == 0
    line = capsys.readouterr().out
    assert line == '2024-08-30T10:30:45Z ERROR shop no\\x1b[31m trace_id=t note="two words"\n'


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (httpx.Response(422, json={"detail": "why"}), 2),
        (httpx.Response(200, headers={"content-type": "text/event-stream"}, text="data: {\n\n"), 1),
    ],
)
def test_tail_refused(answer: httpx.Response, code: int, respx_mock: respx.MockRouter) -> None:
    """A refused question, or an event that is no JSON, ends it with a line."""
    respx_mock.get(f"{API}/tail").mock(return_value=answer)
    assert run(["tail"]) == code


def _ctrl_c(_: httpx.Request) -> httpx.Response:
    raise KeyboardInterrupt


def test_tail_ends_well_by_ctrl_c(respx_mock: respx.MockRouter) -> None:
    """Ctrl-C is the normal end of following."""
    respx_mock.get(f"{API}/tail").mock(side_effect=_ctrl_c)
    assert run(["tail"]) == 0


def test_interrupted_command(respx_mock: respx.MockRouter) -> None:
    """Ctrl-C elsewhere ends without a traceback, with the code of shells."""
    respx_mock.get(f"{API}/query").mock(side_effect=_ctrl_c)
    assert run(["query"]) == 130


def test_check_http_reports_what_failed(
    respx_mock: respx.MockRouter, capsys: pytest.CaptureFixture[str]
) -> None:
    """Failed checks are in the table with their reason, and the exit code is 1."""
    respx_mock.get(f"{API}/health").respond(503, json={"status": "unhealthy", "detail": "away"})
    respx_mock.post(f"{API}/write").mock(side_effect=httpx.ReadError("cut"))
    respx_mock.post(f"{API}/batch").respond(
        json={"success_count": 0, "error_count": 50, "errors": ["Entry 0: no"]}
    )
    respx_mock.post(f"{API}/concurrent-test").respond(403, json={"detail": "closed"})
    assert run(["check", "http", "--json", "--full"]) == 1
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (report["passed"], report["failed"]) == (0, 6)
    assert {"closed", "away"} <= {check["detail"] for check in report["checks"]}


def test_config_tells_where_each_value_comes_from(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flag wins over a variable, and the origin is shown."""
    monkeypatch.setenv("HOST", "127.0.0.1")
    assert run(["config", "--port", "9", "--json"]) == 0
    shown = {
        each["variable"]: (each["value"], each["origin"]) for each in json.loads(capsys.readouterr().out)
    }
    assert shown["PORT"] == ("9", "flag")
    assert shown["HOST"] == ("127.0.0.1", "environment")
    assert run(["config", "--json"]) == 0
    holds = {each["variable"]: each["holds_for"] for each in json.loads(capsys.readouterr().out)}
    assert (holds["LOGBRIDGE_CONNECTIONS_MAX"], holds["HOST"]) == ("each worker", "")
    assert run(["config"]) == 0
    assert "LOGBRIDGE_STORE" in capsys.readouterr().out


def test_openapi_is_the_servers_own(capsys: pytest.CaptureFixture[str]) -> None:
    """The printed document is OpenAPI 3.1 with the endpoints of the contract."""
    assert run(["openapi"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["openapi"].startswith("3.1")
    assert "/api/v1/logs/write" in document["paths"]


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    """--version prints the version; --help tells the exit codes; both are fine."""
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.strip() == __version__
    assert run(["--help"]) == 0
    assert "Exit codes" in capsys.readouterr().out


def test_import_reads_standard_input(
    respx_mock: respx.MockRouter, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Empty lines are skipped, a line that fails is reported with its number, and the exit code is 1."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"one\n\ntwo\n")))
    respx_mock.get(f"{API}/health").respond(json={"service_info": {"max_batch_size": 1}})
    good = {"success": True, "log_id": "i", "error_message": ""}
    bad = {"success": False, "log_id": "i", "error_message": "no"}
    respx_mock.post(f"{API}/batch").mock(
        side_effect=[
            httpx.Response(200, json={"results": [good]}),
            httpx.Response(422, json={"results": [bad]}),
        ]
    )
    assert run(["import", "-"]) == 1
    captured = capsys.readouterr()
    assert captured.err == "logbridge: -:3: no\n"
    assert captured.out == "1 imported, 1 failed, 1 empty skipped\n"


def test_progress_bar_stays_away_from_pipes() -> None:
    """Without a terminal on stderr there is no progress bar."""
    assert terminal.progress_bar(in_bytes=True).disable

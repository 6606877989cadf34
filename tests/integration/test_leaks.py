"""What a running bridge tells of itself: no secret, no stack trace to callers, no line that input forged."""

import contextlib
import json
import os
import pty
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO

import httpx
import pytest

from logbridge.adapters.keys.ring import new_key
from logbridge.entrypoints.own_log import MORE, SHORTENED
from tests.integration.processes import DEADLINE_S, bridge, end, free_port, read_until, records_of, start
from tests.integration.served import API

KEY = new_key()[0]
# A line of text; of JSON every line is one object.
_RECORD = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00 (DEBUG|INFO|WARNING|ERROR) +\S")
FORGED = "2024-01-01T00:00:00.000000+00:00 INFO     all is well"
FORMS = ("json", "text")
_BROKEN = """
import sys
from logbridge.entrypoints.http import endpoints
from logbridge.entrypoints.cli import main
_, key, forged = sys.argv
def broken(*_):
    raise ZeroDivisionError(key + "\\nAuthorization: Bearer " + key + "\\n" + forged)
endpoints.decode_entry = broken
sys.argv[1:] = ["serve", "--port", "0"]
main()
"""


def raw(port: int, data: bytes) -> bytes:
    """The bytes that answer these bytes, until the connection ends."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def strangers_in(err: str, form: str) -> list[str]:
    """The lines of a log that are neither a record of this form nor marked as the rest of one."""
    lines = [line for line in err.splitlines() if not line.isprintable()]
    if form == "json":
        return lines + [line for line in err.splitlines() if not isinstance(json.loads(line), dict)]
    return lines + [
        line for line in err.splitlines() if not line.startswith(MORE) and not _RECORD.match(line)
    ]


@pytest.mark.parametrize("form", FORMS)
def test_no_secret_in_the_log_of_a_talkative_bridge(tmp_path: Path, form: str) -> None:
    """With DEBUG every request is logged, each in one line, and none shows a key, wherever it was sent."""
    settings = {"DEBUG": "true", "LOG_LEVEL": "DEBUG", "HOST": "127.0.0.1", "LOGBRIDGE_SINK": "memory://"}
    settings["LOGBRIDGE_LOG_FORMAT"] = form
    process = start(tmp_path, "serve", "--port", "0", LOGBRIDGE_SINK_KEY=KEY, **settings)
    assert process.stdout is not None
    port = int(read_until(process.stdout, r"listens at http://127.0.0.1:(\d+),")[1])
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=DEADLINE_S) as client:
        for headers in ({"authorization": f"Bearer {KEY}"}, {"x-api-key": KEY}, {"cookie": f"a={KEY}"}):
            client.get(f"/{KEY}?key={KEY}&b=%0a{FORGED}", headers=headers)
            client.post(f"{API}/write", json={"message": f"\n{FORGED}"}, headers=headers)
            client.get(f"{API}/query", params={"level": f"\n{FORGED}\x1b[2J"}, headers=headers)
    for data in (
        b"GET /\n%b HTTP/1.1\r\n\r\n",
        b"GET /%%0d%%0a%b HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x1b[2J\n%b\n",
    ):
        raw(port, data % FORGED.replace(" ", "%20").encode())
    code, err = end(process)
    assert code == 0
    lines = err.splitlines()
    assert KEY.encode() not in err.encode()
    assert KEY[17:] not in err
    assert strangers_in(err, form) == []
    assert not any(line.startswith(MORE) for line in lines)
    assert sum("uvicorn.access" in line for line in lines) >= 9


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("debug", ["true", "false"])
def test_a_fault_is_told_to_the_log_only(tmp_path: Path, debug: str, form: str) -> None:
    """The caller of a bridge that breaks gets a problem; its log has the error, the trace only with DEBUG."""
    program = tmp_path / "program.py"
    program.write_text(_BROKEN)
    settings = {"HOST": "127.0.0.1", "LOGBRIDGE_SINK": "memory://", "DEBUG": debug}
    settings["LOGBRIDGE_LOG_FORMAT"] = form
    process = subprocess.Popen(
        [sys.executable, program, KEY, FORGED],
        env={**os.environ, **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    url = read_until(process.stdout, r"listens at (http://[\d.:]+),")[1]
    answer = httpx.post(f"{url}{API}/write", json={"message": "m"}, timeout=DEADLINE_S)
    assert answer.status_code == 500
    assert answer.json()["detail"] == "a fault of the bridge; its own log says more"
    assert not re.search(r"Traceback|ZeroDivision|\.py|lbk_", answer.text)
    code, err = end(process)
    assert code == 0
    assert KEY not in err
    assert "write failed" in err
    assert strangers_in(err, form) == []
    # The caller has what finds the record.
    assert answer.headers["x-request-id"] == answer.json()["request_id"]
    assert answer.json()["request_id"] in err
    if form == "text":
        assert (f"\n{MORE}Traceback (most recent call last):" in err) == (debug == "true")
        assert (f"\n{MORE}{FORGED}" in err) == (debug == "true")
        assert (SHORTENED in err) == (debug == "false")
    else:
        (record,) = [record for record in records_of(err) if "error" in record]
        assert record["request_id"] == answer.json()["request_id"]
        assert record["error"].startswith("ZeroDivisionError: lbk_")
        assert record["error_at"].startswith("program.py:")
        assert ("traceback" in record) == (debug == "true")


@pytest.mark.parametrize("arguments", [["config"], ["config", "--json"]])
def test_config_shows_no_secret(tmp_path: Path, arguments: list[str]) -> None:
    """`logbridge config` says of keys only that they are set, as a table and as JSON."""
    process = start(tmp_path, *arguments, LOGBRIDGE_KEY=KEY, LOGBRIDGE_SINK_KEY=KEY)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert KEY not in out + err
    assert "(set)" in out
    if "--json" in arguments:
        assert [row["value"] for row in json.loads(out) if row["variable"].endswith("_KEY")].count(
            "(set)"
        ) == 2


def test_every_answer_forbids_sniffing(tmp_path: Path) -> None:
    """Answers of every kind say nosniff, once: writes, problems, pages, files, what has no route."""
    with bridge(tmp_path, "memory://") as running:
        page = running.client.get("/docs")
        asset = re.search(r'src="([^"]+)"', page.text)
        assert asset
        answers = [page, running.client.get(f"/{asset[1]}"), running.write("m"), running.write("")]
        answers += [
            running.client.get(path) for path in ("/", "/openapi.json", "/livez", "/no", f"{API}/query")
        ]
        answers += [running.client.put(f"{API}/write")]
    for answer in answers:
        assert answer.headers.get_list("x-content-type-options") == ["nosniff"], answer.url


@pytest.mark.parametrize("with_keys", [False, True])
def test_open_doors_are_warned_of(tmp_path: Path, with_keys: bool) -> None:
    """Bridge and log service that others can reach without keys say so in one line each, else in none."""
    keys = {"LOGBRIDGE_KEYS_FILE": str(tmp_path / "keys.json")} if with_keys else {}
    if with_keys:
        start(tmp_path, "key", "create", "a", "--scope", "write", **keys).communicate(timeout=60)
    process = start(tmp_path, "serve", "--port", "0", LOGBRIDGE_SINK="memory://", HOST="0.0.0.0", **keys)
    assert process.stdout is not None
    read_until(process.stdout, "listens at")
    assert end(process)[1].count("LOGBRIDGE_KEYS_FILE") == (not with_keys)
    variables = {"LOGBRIDGE_SERVICE_HOST": "0.0.0.0", "LOGBRIDGE_STORE": "memory://", **keys}
    service = start(tmp_path, "service", "--grpc-server-port", str(free_port()), **variables)
    assert service.stderr is not None
    told = read_until(service.stderr, r"(?s)(.*)log service listens on")[1] + end(service)[1]
    assert told.count("LOGBRIDGE_KEYS_FILE") == (not with_keys)


def test_a_terminal_gets_text_in_colours(tmp_path: Path) -> None:
    """The two processes of dev see its terminal, and write for people; what is no terminal gets JSON."""
    ours, theirs = pty.openpty()
    variables = {"HOST": "127.0.0.1", "PORT": "0", "GRPC_SERVER_PORT": "0", "DEBUG": "true"}
    with open(ours, "rb", buffering=0) as terminal:
        process = subprocess.Popen(
            [sys.executable, "-m", "logbridge", "dev"],
            cwd=tmp_path,
            env={**os.environ, "LOGBRIDGE_STORE": "memory://", **variables},
            stdout=subprocess.PIPE,
            stderr=theirs,
            text=True,
        )
        os.close(theirs)
        assert process.stdout is not None
        read_until(process.stdout, "logbridge is ready")
        # dev has asked for the bridge's health by now.
        line = read_until(terminal, r"(?m)^.*GET /api/v1/logs/health.*uvicorn\.access.*$")[0]
        drained = threading.Thread(target=lambda: _read_to_the_end(terminal))
        drained.start()
        assert end(process)[0] == 0
        drained.join()
    assert "\x1b[" in line
    assert _RECORD.match(re.sub(r"\x1b\[\d*m", "", line))


def _read_to_the_end(terminal: IO[bytes]) -> None:
    with contextlib.suppress(OSError):  # how a terminal says that the other end is closed
        while terminal.read(65536):
            pass

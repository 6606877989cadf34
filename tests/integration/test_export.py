"""An export from a real log service with a real store: whole while others write, or visibly broken off."""

import asyncio
import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from logbridge.adapters.sqlite.store import SqliteStore
from tests.factories import make_entry, soon
from tests.integration.processes import (
    DEADLINE_S,
    Bridge,
    bridge,
    free_port,
    log_service,
    read_until,
    start,
    tells_of_a_fault,
    until,
)
from tests.integration.served import API

# More than what lies in the sockets between two processes: the end is not under way while nobody reads.
MANY, TEXT = 20_000, "x" * 1000


async def fill(folder: Path, count: int, text: str = "") -> list[str]:
    """A store with so many logs, several of each time; gives their ids."""
    store = SqliteStore(folder / "logs.db")
    ids = [f"id-{number}" for number in range(count)]
    for begin in range(0, count, 1000):
        entries = [
            make_entry(id=ids[number], message=f"log {number} {text}", timestamp=moment(number))
            for number in range(begin, min(begin + 1000, count))
        ]
        await store.write(entries, deadline=soon(60))
    await store.aclose()
    return ids


def moment(number: int) -> str:
    # 3,000 logs of one time: more than a page.
    return f"2024-08-30T10:{number // 3000:02}:00Z"


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int]]:
    """A log service with many logs: its folder and port."""
    folder, port = tmp_path_factory.mktemp("many"), free_port()
    asyncio.run(fill(folder, MANY, TEXT))
    with log_service(folder, port):
        yield folder, port


@pytest.fixture
def many_behind(tmp_path: Path, many: tuple[Path, int]) -> Iterator[Bridge]:
    """A bridge in front of it."""
    with bridge(tmp_path, f"grpc://127.0.0.1:{many[1]}") as running:
        yield running


def ids_of(lines: Iterator[str] | list[str]) -> list[str]:
    return [json.loads(line)["id"] for line in lines]


def test_each_once_while_others_write(tmp_path: Path) -> None:
    """While clients write logs of old and new times, an export has every log that was there, each once."""
    before = asyncio.run(fill(tmp_path, 9_500))
    port, stop = free_port(), threading.Event()
    with log_service(tmp_path, port), bridge(tmp_path, f"grpc://127.0.0.1:{port}") as running:

        def write() -> None:
            with httpx.Client(base_url=running.client.base_url, timeout=30) as client:
                number = 0
                while not stop.is_set():
                    entries = [{"message": "new", "timestamp": moment(number % 9500)}, {"message": "now"}]
                    assert client.post(f"{API}/batch", json={"log_entries": entries}).status_code == 200
                    number += 777

        writer = threading.Thread(target=write)
        writer.start()
        try:
            with running.client.stream("GET", f"{API}/export") as answer:
                found = ids_of(answer.iter_lines())
        finally:
            stop.set()
            writer.join()
    assert len(found) == len(set(found))
    assert set(before) <= set(found)


def test_a_histogram_of_a_real_store(many_behind: Bridge) -> None:
    """Asked over gRPC, it counts what is stored, and every bucket is there."""
    asked = {"buckets": "10", "metadata.user_id": "user123"}
    found = many_behind.client.get(f"{API}/histogram", params=asked).json()
    assert (found["total_count"], found["bucket_seconds"]) == (MANY, 60.0)
    assert [bucket["INFO"] for bucket in found["buckets"]] == [3000] * 6 + [2000]


class Reader:
    """An export that somebody reads by hand: the first bytes, and the rest when they want."""

    def __init__(self, running: Bridge, version: str = "1.1", **headers: str) -> None:
        self.socket = socket.create_connection(
            ("127.0.0.1", running.client.base_url.port), timeout=DEADLINE_S
        )
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.socket.sendall(
            f"GET {API}/export HTTP/{version}\r\nHost: localhost\r\nConnection: close\r\n{lines}\r\n".encode()
        )
        self.data = self.socket.recv(4096)

    def rest(self) -> bytes:
        """All that still comes. Raises ConnectionResetError."""
        while piece := self.socket.recv(1 << 20):
            self.data = (self.data + piece)[-4096:] if len(self.data) > 8192 else self.data + piece
        return self.data

    def close(self) -> None:
        self.socket.close()


@pytest.fixture
def reading(many_behind: Bridge) -> Iterator[Reader]:
    """A reader who has seen the beginning."""
    reader = Reader(many_behind)
    assert reader.data.startswith(b"HTTP/1.1 200 ")
    yield reader
    reader.close()


LAST_CHUNK = b"\r\n0\r\n\r\n"


def test_it_ends_properly(reading: Reader) -> None:
    """A whole export has the last chunk that says so."""
    assert reading.rest().endswith(LAST_CHUNK)


def test_a_stop_breaks_it_off(reading: Reader, many_behind: Bridge) -> None:
    """A bridge that stops waits for no export; its client sees that the answer is not complete."""
    many_behind.process.send_signal(signal.SIGTERM)
    assert not reading.rest().endswith(LAST_CHUNK)
    assert many_behind.process.wait(DEADLINE_S) == 0


def test_a_lost_log_service_breaks_it_off(tmp_path: Path) -> None:
    """When the log service dies, the answer is cut, and the bridge's own log has one line about it."""
    asyncio.run(fill(tmp_path, MANY, TEXT))
    port = free_port()
    with (
        log_service(tmp_path, port) as service,
        bridge(tmp_path, f"grpc://127.0.0.1:{port}", LOGBRIDGE_REQUEST_TIMEOUT_S="30") as running,
    ):
        reader = Reader(running)
        assert reader.data.startswith(b"HTTP/1.1 200 ")
        service.kill()
        service.wait()
        assert not reader.rest().endswith(LAST_CHUNK)
        reader.close()
        assert running.process.stderr is not None
        read_until(running.process.stderr, "an export broke off: ")


def test_http_1_0_sees_it_too(many_behind: Bridge) -> None:
    """Where the end of the connection is the end of the answer, a broken one is reset."""
    reader = Reader(many_behind, version="1.0")
    many_behind.process.send_signal(signal.SIGTERM)
    with pytest.raises(ConnectionResetError):
        reader.rest()
    reader.close()
    assert many_behind.process.wait(DEADLINE_S) == 0


def test_who_hangs_up_leaves_nothing_behind(many_behind: Bridge) -> None:
    """The bridge asks for no further page, and says nothing of a fault (see the fixture)."""
    reader = Reader(many_behind)
    reader.close()
    until(lambda: many_behind.client.get(f"{API}/stats").json()["performance"]["connections"] == 1)


def test_a_revoked_key_ends_it(tmp_path: Path, many: tuple[Path, int]) -> None:
    """Whose key is revoked sees no more than the page that is under way, and a broken answer."""
    variables = {"LOGBRIDGE_KEYS_FILE": str(tmp_path / "keys.json")}

    def key(*arguments: str) -> str:
        out, _ = start(tmp_path, "key", *arguments, **variables).communicate(timeout=DEADLINE_S)
        return out.strip()

    shown = {"X-API-Key": key("create", "me", "--scope", "read")}
    other = {"X-API-Key": key("create", "other", "--scope", "read")}
    with bridge(tmp_path, f"grpc://127.0.0.1:{many[1]}", **variables) as running:
        reader = Reader(running, **shown)
        key("revoke", "me")
        until(lambda: running.client.get(f"{API}/query", headers=shown).status_code == 401)
        assert not reader.rest().endswith(LAST_CHUNK)
        reader.close()
        assert running.client.get(f"{API}/export?limit=1", headers=other).status_code == 200


def export(folder: Path, running: Bridge, *arguments: str) -> tuple[int, str, str]:
    process = start(folder, "export", *arguments, "--url", str(running.client.base_url))
    out, err = process.communicate(timeout=DEADLINE_S)
    return process.returncode, out, err


@pytest.mark.parametrize("form", ["ndjson", "csv"])
def test_the_command_saves_a_file(tmp_path: Path, many_behind: Bridge, form: str) -> None:
    """It has all logs, its name only once it is whole, and never takes the place of another file."""
    file = tmp_path / f"logs.{form}"
    arguments = ("--format", form, "--output", str(file), "--text", "log 1")
    code, out, err = export(tmp_path, many_behind, *arguments)
    assert (code, err) == (0, "")
    count = sum(str(number).startswith("1") for number in range(MANY))
    assert out == f"{count} logs in {file}\n"
    assert len(file.read_bytes().splitlines()) == count + (form == "csv")
    assert export(tmp_path, many_behind, *arguments)[0] == 2
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("logs")] == [file.name]


def test_the_command_writes_what_import_reads(tmp_path: Path, many_behind: Bridge) -> None:
    """Without a file the logs are on standard output; what the limit leaves out is told."""
    code, out, err = export(tmp_path, many_behind, "--limit", "1500")
    assert code == 0
    assert len(set(ids_of(out.splitlines()))) == 1500
    assert f"the newest 1500 of {MANY} logs" in err


@pytest.mark.parametrize("cancelled", [True, False])
def test_an_export_that_ends_early_leaves_no_file(
    tmp_path: Path, many_behind: Bridge, cancelled: bool
) -> None:
    """Ctrl-C in the middle is 130, a bridge that dies is 1 and a line; no part of a file stays."""
    file, part = tmp_path / "logs.ndjson", tmp_path / "logs.ndjson.part"
    # A pipe of which only the beginning is read: no export is complete before it is ended.
    os.mkfifo(part)
    with os.fdopen(os.open(part, os.O_RDONLY | os.O_NONBLOCK), "rb") as saved:
        url = str(many_behind.client.base_url)
        process = start(tmp_path, "export", "--output", str(file), "--url", url)
        read_until(saved, '"log ')
        if cancelled:
            process.send_signal(signal.SIGINT)
        else:
            many_behind.process.send_signal(signal.SIGKILL)
        until(lambda: saved.read() == b"")
        err = process.communicate(timeout=DEADLINE_S)[1]
    assert (process.returncode, "broke off" in err) == ((130, False) if cancelled else (1, True))
    assert not tells_of_a_fault(err)
    assert list(tmp_path.glob("logs*")) == []


def test_a_bound_key_exports_its_own(tmp_path: Path) -> None:
    """What a key that is bound to services exports and counts is narrowed to these; another one is 403."""
    variables = {"LOGBRIDGE_KEYS_FILE": str(tmp_path / "keys.json")}
    made: list[Any] = []
    for arguments in (["all", "--scope", "admin"], ["shop", "--scope", "read", "--service", "shop"]):
        out, _ = start(tmp_path, "key", "create", *arguments, **variables).communicate(timeout=DEADLINE_S)
        made.append({"X-API-Key": out.strip()})
    port = free_port()
    with log_service(tmp_path, port), bridge(tmp_path, f"grpc://127.0.0.1:{port}", **variables) as running:
        for name in ("shop", "pay", "shop"):
            running.write("m", made[0], service_name=name)
        for key, count in zip(made, (3, 2), strict=True):
            export_answer = running.client.get(f"{API}/export", headers=key)
            assert len(export_answer.text.splitlines()) == count
            assert running.client.get(f"{API}/histogram", headers=key).json()["total_count"] == count
        for path in ("export", "histogram"):
            asked = running.client.get(f"{API}/{path}", params={"service_name": "pay"}, headers=made[1])
            assert asked.status_code == 403

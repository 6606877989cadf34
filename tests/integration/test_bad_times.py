"""The bridge as a real process in bad times: its log service, its spool, or a part of itself is gone."""

import contextlib
import os
import shutil
import signal
import socketserver
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from logbridge.adapters.spool.file import DATABASE_NAME, SpoolFile, connect_to_read
from logbridge.adapters.spool.folders import DAMAGED_NAME, worker_folders
from tests.factories import make_entry
from tests.integration.processes import (
    ALONE,
    DEADLINE_S,
    Bridge,
    bridge,
    held_port,
    log_service,
    start,
    until,
)
from tests.integration.workers import gone, workers_of

pytestmark = pytest.mark.usefixtures("each_way")

LONG = "3600"
PATIENT = {
    "LOGBRIDGE_REQUEST_TIMEOUT_S": LONG,
    "LOGBRIDGE_ATTEMPT_TIMEOUT_S": LONG,
    "LOGBRIDGE_RETRY_BUDGET_S": LONG,
}
SPOOL = "sqlite:///spool"


def not_here(why: object) -> None:
    """Leave out a test that this machine does not allow; where tests must be complete, that is a failure."""
    if os.environ.get("CI") == "true":
        raise AssertionError(why)
    pytest.skip(str(why))


def outcome(answer: httpx.Response) -> tuple[int, str]:
    """The status, and the reason if there is one."""
    return answer.status_code, answer.json()["error_message"]


def assert_told(answer: httpx.Response, status: int, reason: str) -> None:
    """The answer to a write has this status and reason, and the id to send it again with."""
    body = answer.json()
    assert (answer.status_code, body["success"]) == (status, False)
    assert reason in body["detail"] == body["error_message"]
    assert body["log_id"]
    assert ("retry-after" in answer.headers) == (status == 503)


class TestTheLogService:
    """It is not there, somewhere else, or not what it should be."""

    def test_was_never_there(self, tmp_path: Path) -> None:
        """Delivered writes get 503 with its address, at once when it is known to be away; durable ones 202.

        When it comes, it gets what was durable. The directory of the spool is made.
        """
        spool = "sqlite:///not/there/yet"
        with (
            held_port() as port,
            bridge(tmp_path, f"grpc://127.0.0.1:{port}", LOGBRIDGE_SPOOL=spool, **PATIENT) as logbridge,
        ):
            reason = f"127.0.0.1:{port}: nothing listens there"
            logbridge.learn_that_it_is_away()
            # An hour is far more than this client waits.
            assert_told(logbridge.write("two", {"Request-Timeout": LONG}), 503, reason)
            kept = logbridge.write_durably("kept")
            assert outcome(kept) == (202, "")
            assert kept.headers["preference-applied"] == "respond-async"
            assert logbridge.client.get("/readyz").status_code == 200
            with log_service(tmp_path, port):
                until(lambda: logbridge.stored() == ["kept"])
                until(lambda: logbridge.write("three").status_code == 200)
                assert logbridge.stored() == ["three", "kept"]
        assert (tmp_path / "not/there/yet").is_dir()

    def test_has_a_name_that_leads_nowhere(self, tmp_path: Path) -> None:
        """503 with the name and what is wrong with it."""
        with bridge(tmp_path, "grpc://nowhere.invalid:50051") as logbridge:
            logbridge.learn_that_it_is_away()
            answer = logbridge.write("one")
            assert_told(answer, 503, "nowhere.invalid:50051: this name leads to no address")

    def test_moves_to_another_address(self, tmp_path: Path) -> None:
        """A name that leads somewhere else from now on is followed, without a restart."""
        with held_port("127.0.0.2") as port, own_hosts(tmp_path) as (hosts, before):
            hosts("127.0.0.2 logs.test")
            here, there = tmp_path / "here", tmp_path / "there"
            here.mkdir()
            there.mkdir()
            with bridge(tmp_path, f"grpc://logs.test:{port}", before=before) as logbridge:
                with log_service(here, port, "127.0.0.2"):
                    until(lambda: logbridge.write("here").status_code == 200)
                hosts("127.0.0.3 logs.test")
                with log_service(there, port, "127.0.0.3"):
                    until(lambda: logbridge.write("there").status_code == 200)
                    assert set(logbridge.stored()) == {"there"}

    @pytest.mark.parametrize("kind", ["grpc", "http"])
    def test_answers_garbage(self, tmp_path: Path, kind: str) -> None:
        """The reason is told, nothing breaks, and what is durable goes to the good one that comes."""
        with (
            held_port() as port,
            bridge(tmp_path, f"grpc://127.0.0.1:{port}", LOGBRIDGE_SPOOL=SPOOL) as logbridge,
        ):
            with garbage_grpc(port) if kind == "grpc" else garbage_http(port):
                told = (504, "is not one of a log service")
                if kind == "http":
                    logbridge.learn_that_it_is_away()
                    told = (503, "no connection")
                assert_told(logbridge.write("lost"), *told)
                assert logbridge.write_durably("kept").status_code == 202
                until(lambda: logbridge.client.get("/livez").status_code == 200)
            with log_service(tmp_path, port):
                until(lambda: logbridge.stored() == ["kept"])

    def test_hangs(self, tmp_path: Path) -> None:
        """Request-Timeout ends a write early: 504 with the id, under which it is stored once in the end."""
        with (
            held_port() as port,
            log_service(tmp_path, port) as service,
            bridge(tmp_path, f"grpc://127.0.0.1:{port}", **PATIENT) as logbridge,
        ):
            assert logbridge.write("before").status_code == 200
            service.send_signal(signal.SIGSTOP)
            answer = logbridge.write("hanging", {"Request-Timeout": "5"}, log_id="mine")
            service.send_signal(signal.SIGCONT)
            assert_told(answer, 504, "did not answer in time")
            assert answer.json()["log_id"] == "mine"
            assert logbridge.write("hanging", log_id="mine").status_code == 200
            assert logbridge.stored() == ["hanging", "before"]


@contextlib.contextmanager
def own_hosts(folder: Path) -> Iterator[tuple[Callable[[str], object], list[str]]]:
    """A hosts file for one process: how to write it, and the command that runs the process with it."""
    file = folder / "hosts"
    file.write_text("")
    before = ["unshare", "--mount", "sh", "-c", f'mount --bind {file} /etc/hosts && exec "$@"', "sh"]
    try:
        subprocess.run([*before, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        not_here(f"a process may not have a hosts file of its own here: {error}")
    yield (lambda line: file.write_text(f"127.0.0.1 localhost\n{line}\n")), before


@contextlib.contextmanager
def garbage_grpc(port: int) -> Iterator[None]:
    """A gRPC server that answers each call with bytes that are no message."""

    class Anything(grpc.GenericRpcHandler):
        def service(self, _details: Any) -> Any:
            return grpc.unary_unary_rpc_method_handler(lambda _request, _context: b"\xff\xff\xff")

    server = grpc.server(ThreadPoolExecutor(2), options=(("grpc.so_reuseport", 0),))
    server.add_generic_rpc_handlers((Anything(),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    yield
    server.stop(None).wait()


@contextlib.contextmanager
def garbage_http(port: int) -> Iterator[None]:
    """A server that speaks HTTP/1."""

    class Answer(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True

    with Server(("127.0.0.1", port), Answer) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        yield
        server.shutdown()
        serving.join()


@contextlib.contextmanager
def small_disk(path: Path) -> Iterator[Path]:
    """A disk of 8 MiB of its own."""
    path.mkdir()
    try:
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(path)], check=True, capture_output=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        not_here(f"a small disk may not be mounted here: {error}")
    try:
        yield path
    finally:
        subprocess.run(["umount", str(path)], check=True)


def assert_one_line(process: subprocess.Popen[str], *parts: str) -> None:
    """The process ends with 1, and says why in one line."""
    _, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 1, err
    assert err.startswith("logbridge: "), err
    assert err.count("\n") == 1, err
    for part in parts:
        assert part in err


class TestTheSpool:
    """It cannot be used, from the start or for a time."""

    def test_below_a_file(self, tmp_path: Path) -> None:
        """One line that names the directory and the setting, exit code 1."""
        (tmp_path / "file").write_text("")
        process = start(tmp_path, "serve", "--port", "0", LOGBRIDGE_SPOOL="sqlite:///file/spool")
        assert_one_line(process, "file/spool", "Not a directory", "LOGBRIDGE_SPOOL")

    def test_read_only(self, tmp_path: Path) -> None:
        """The same on a disk that cannot be written."""
        with small_disk(tmp_path / "disk") as disk:
            (disk / "spool").mkdir()
            subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
            process = start(tmp_path, "serve", "--port", "0", LOGBRIDGE_SPOOL="sqlite:///disk/spool")
            assert_one_line(process, "disk/spool", "Read-only file system", "LOGBRIDGE_SPOOL")

    def test_from_a_newer_version(self, tmp_path: Path) -> None:
        """The same for a file that this version does not know; nothing in it is touched."""
        folder = tmp_path / "spool" / "worker"
        SpoolFile(folder).close()
        with contextlib.closing(sqlite3.connect(folder / DATABASE_NAME)) as connection:
            connection.execute("PRAGMA user_version = 99")
        process = start(tmp_path, "serve", "--port", "0", LOGBRIDGE_SPOOL=SPOOL)
        assert_one_line(process, "spool/worker", "newer logbridge")
        with contextlib.closing(sqlite3.connect(folder / DATABASE_NAME)) as connection:
            assert connection.execute("PRAGMA user_version").fetchone() == (99,)

    def test_held_by_another_bridge(self, tmp_path: Path) -> None:
        """The second bridge names the process of the first, which is not disturbed."""
        with bridge(tmp_path, "memory://", LOGBRIDGE_SPOOL=SPOOL) as first:
            process = start(tmp_path, "serve", "--port", "0", LOGBRIDGE_SPOOL=SPOOL)
            assert_one_line(process, f"process {first.process.pid} on ", "stop it or choose another")
            assert first.write_durably("one").status_code == 202

    def test_on_a_full_disk(self, tmp_path: Path) -> None:
        """Durable writes get 503 with the reason until there is room, and /readyz says so where all are.

        Where they are the exception, the bridge is ready, and delivered ones pass.
        """
        free = {"LOGBRIDGE_SPOOL_DISK_FREE_BYTES_MIN": str(1024 * 1024)}
        with (
            small_disk(tmp_path / "disk") as disk,
            bridge(
                tmp_path, "memory://", LOGBRIDGE_ACK="durable", LOGBRIDGE_SPOOL="sqlite:///disk/a", **free
            ) as durable,
            bridge(tmp_path, "memory://", LOGBRIDGE_SPOOL="sqlite:///disk/b", **free) as delivered,
        ):
            assert durable.client.get("/readyz").status_code == 200
            assert durable.write("before").status_code == 202
            fill(disk)
            assert_told(durable.write("full"), 503, "LOGBRIDGE_SPOOL_DISK_FREE_BYTES_MIN=1048576")
            ready = durable.client.get("/readyz")
            assert (ready.status_code, "bytes free" in ready.json()["detail"]) == (503, True)
            assert_told(delivered.write_durably("full"), 503, "bytes free")
            assert delivered.write("passes").status_code == 200
            assert delivered.client.get("/readyz").status_code == 200
            (disk / "ballast").unlink()
            assert durable.write("after").status_code == 202
            assert durable.client.get("/readyz").status_code == 200
            until(lambda: durable.stored() == ["after", "before"])

    def test_on_a_disk_without_a_free_byte(self, tmp_path: Path) -> None:
        """With no reserve asked for, the disk itself ends it: 503, and nothing acknowledged is lost."""
        with (
            small_disk(tmp_path / "disk") as disk,
            held_port() as port,
            bridge(
                tmp_path,
                f"grpc://127.0.0.1:{port}",
                LOGBRIDGE_ACK="durable",
                LOGBRIDGE_SPOOL="sqlite:///disk/spool",
                LOGBRIDGE_SPOOL_DISK_FREE_BYTES_MIN="0",
            ) as logbridge,
        ):
            fill(disk)
            kept = ["first"]
            answer = logbridge.write("first")
            while answer.status_code == 202 and len(kept) < 1000:
                kept.append(f"{len(kept)} " + "x" * 10_000)
                answer = logbridge.write(kept[-1])
            assert_told(answer, 503, "the spool could not be written")
            kept.pop()
            (disk / "ballast").unlink()
            assert logbridge.write("after").status_code == 202
            (folder,) = worker_folders(disk / "spool")
            assert waiting(folder) == len(kept) + 1

    def test_starts_on_a_full_disk(self, tmp_path: Path) -> None:
        """It does not start, and says to make room; what was kept there is not taken for damaged.

        With room it starts, and delivers that.
        """
        folder = tmp_path / "disk/old/worker"
        with small_disk(tmp_path / "disk") as disk:
            SpoolFile(folder).close()
            # As a killed worker leaves it: with a write-ahead log, and without its index.
            with contextlib.closing(SpoolFile(folder)) as file:
                file.append([make_entry(message="kept")], "2024-08-30T10:30:45Z")
                shutil.copytree(folder, tmp_path / "killed", ignore=shutil.ignore_patterns("*-shm"))
            shutil.rmtree(folder)
            shutil.copytree(tmp_path / "killed", folder)
            fill(disk)
            new = start(tmp_path, "serve", "--port", "0", LOGBRIDGE_SPOOL="sqlite:///disk/new")
            assert_one_line(new, "disk/new", "make room on its disk")
            old = start(tmp_path, "serve", "--port", "0", LOGBRIDGE_SPOOL="sqlite:///disk/old")
            _, err = old.communicate(timeout=DEADLINE_S)
            assert (old.returncode, "make room" in err.splitlines()[-1]) == (1, True), err
            assert worker_folders(disk / "old") == [folder]
            (disk / "ballast").unlink()
            with bridge(tmp_path, "memory://", LOGBRIDGE_SPOOL="sqlite:///disk/old") as logbridge:
                until(lambda: logbridge.stored() == ["kept"])
            assert not (disk / "old" / DAMAGED_NAME).exists()


def fill(disk: Path) -> None:
    """Take every byte that is left."""
    with contextlib.suppress(OSError), (disk / "ballast").open("wb", buffering=0) as ballast:
        while True:
            ballast.write(b"x" * 4096)


def test_headers_of_a_write(tmp_path: Path) -> None:
    """A Request-Timeout that is no time is named; without a spool no 202 can be had."""
    with bridge(tmp_path, "memory://") as logbridge:
        for value in ("0", "-1", "soon", "1e3", "3601", ""):
            answer = logbridge.write("one", {"Request-Timeout": value})
            assert (answer.status_code, "Request-Timeout" in answer.json()["detail"]) == (422, True), value
        answer = logbridge.write_durably("two")
        assert outcome(answer) == (200, "")
        assert "preference-applied" not in answer.headers
        assert logbridge.stored() == ["two"]


class TestKilledProcesses:
    """kill -9, with entries that were acknowledged and not delivered."""

    def test_a_bridge_and_all_its_workers(self, tmp_path: Path) -> None:
        """After a restart everything that was acknowledged is delivered, once."""
        with held_port() as port:
            sink = f"grpc://127.0.0.1:{port}"
            with bridge(tmp_path, sink, "--workers", "2", LOGBRIDGE_ACK="durable") as logbridge:
                sent = self._fill_both(logbridge, tmp_path / "data/spool")
                pids = [logbridge.process.pid, *workers_of(logbridge.process.pid)]
                for pid in pids:
                    with contextlib.suppress(ProcessLookupError):  # a worker ends without its supervisor
                        os.kill(pid, signal.SIGKILL)
                until(lambda: gone(pids[1:]))
            with (
                bridge(tmp_path, sink, "--workers", "2", LOGBRIDGE_ACK="durable") as logbridge,
                log_service(tmp_path, port),
            ):
                until(lambda: len(logbridge.stored()) >= len(sent))
                assert sorted(logbridge.stored()) == sorted(sent)

    def test_one_worker_of_two(self, tmp_path: Path) -> None:
        """What it had not delivered is delivered by those that live."""
        with (
            held_port() as port,
            bridge(
                tmp_path, f"grpc://127.0.0.1:{port}", "--workers", "2", LOGBRIDGE_ACK="durable"
            ) as logbridge,
        ):
            sent = self._fill_both(logbridge, tmp_path / "data/spool")
            killed = workers_of(logbridge.process.pid)[0]
            os.kill(killed, signal.SIGKILL)
            until(lambda: gone([killed]))
            with log_service(tmp_path, port):
                until(lambda: len(logbridge.stored()) >= len(sent))
                assert sorted(logbridge.stored()) == sorted(sent)

    def _fill_both(self, logbridge: Bridge, spool: Path) -> list[str]:
        """Write durably, a connection for each, until both workers have something; gives what was written."""
        sent: list[str] = []
        until(lambda: len(workers_of(logbridge.process.pid)) == 2)

        def written() -> bool:
            message = f"log {len(sent)}"
            assert logbridge.write(message, ALONE).status_code == 202
            sent.append(message)
            folders = worker_folders(spool)
            return len(folders) == 2 and all(map(waiting, folders))

        until(written)
        return sent


def waiting(folder: Path) -> int:
    """How many entries wait in a spool file, 0 while its worker still makes it."""
    try:
        with contextlib.closing(connect_to_read(folder)) as connection:
            return int(connection.execute("SELECT count(*) FROM entries WHERE dead = 0").fetchone()[0])
    except sqlite3.OperationalError:
        return 0

"""Processes of the benchmark: started on a core of their own, watched through /proc, ended by their id."""

import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

READY_S = 30.0
TICKS_PER_S = os.sysconf("SC_CLK_TCK")

# The gateway has one core for itself; load and sink share another one.
CORES = sorted(os.sched_getaffinity(0))
GATEWAY_CORE = CORES[0]
OTHER_CORE = CORES[-1]


def free_port() -> int:
    """A port that nobody listens at now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Counts(NamedTuple):
    """What a log service has counted. distinct: ids, where it was asked to tell them apart."""

    calls: int
    entries: int
    distinct: int


@contextmanager
def sink(
    delay_ms: float = 0.0, *, stall: bool = False, distinct: bool = False
) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The counting log service, and its port. stall: answer nothing. distinct: tell ids apart."""
    command = [sys.executable, "-m", "benchmarks.sink", "--core", str(OTHER_CORE)]
    command += ["--delay-ms", str(delay_ms)] + (["--stall"] if stall else [])
    command += ["--distinct"] if distinct else []
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process, int(process.stdout.readline())
        finally:
            process.stdin.close()
            process.wait(10)


def counted(process: subprocess.Popen[str], order: str = "") -> Counts:
    """What a sink has counted so far. order: "stall" makes it answer nothing from now on."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{order}\n")
    process.stdin.flush()
    return Counts(*map(int, process.stdout.readline().split()))


@contextmanager
def running(
    command: Sequence[str], port: int, environ: Mapping[str, str], log: Path, cores: Sequence[int]
) -> Iterator[int]:
    """A server on these cores until the end of the block, once it listens; its process id."""
    files_max = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (files_max, files_max))
    with log.open("ab") as out:
        process = subprocess.Popen(
            command,
            env={**os.environ, **environ},
            stdout=out,
            stderr=out,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),  # noqa: PLW1509 (no threads here)
        )
    try:
        _wait_until_listening(process, port, log)
        yield process.pid
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def busy_core() -> Iterator[None]:
    """Something that never rests on the other core, and makes room for whoever has work to do there."""
    core = str(OTHER_CORE)
    program = f"import os; os.sched_setaffinity(0, [{core}]); os.nice(19)\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", program]) as process:
        try:
            yield
        finally:
            process.kill()


def _wait_until_listening(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until_s = time.monotonic() + READY_S
    while time.monotonic() < until_s:
        if process.poll() is not None:
            break
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"{process.args!r} does not listen at {port}: {log.read_text()[-2000:]}")


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found


def cpu_s(pids: Sequence[int]) -> float:
    """Seconds of processor, user and system, that these processes have used so far."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / TICKS_PER_S


def core_busy_s(core: int) -> float:
    """Seconds that a core has worked so far, for anybody; what its host took from it counts, too."""
    for line in Path("/proc/stat").read_text().splitlines():
        if line.startswith(f"cpu{core} "):
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, line.split()[1:9])
            return (user + nice + system + irq + softirq + steal) / TICKS_PER_S
    raise RuntimeError(f"no core {core}")


def memory_kib(pid: int, name: str) -> int:
    """VmRSS or VmHWM (the peak) of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise RuntimeError(f"no {name} of {pid}")

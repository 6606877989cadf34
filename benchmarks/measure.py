"""One measurement: start a log service, a gateway and the load, watch them for some seconds, end them."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import Struct

from benchmarks import processes
from benchmarks.contenders import CONTENDERS, Contender
from benchmarks.scenarios import ALONE, SLOW_MS, TEST_COUNT, TEST_WORKERS, Kind, Peer, Scenario

PATHS = {True: "/api/v1/logs/write", False: "/api/v1/logs/batch"}
STILL_S = 0.5


class MeasurementFailed(Exception):
    """A request failed, or the log service counted less than was acknowledged: there is no figure."""


class Times(Struct, frozen=True):
    """Seconds before measuring, and of it."""

    warmup_s: float = 0.6
    measured_s: float = 1.5


class Figures(Struct, frozen=True):
    """What one measurement saw. cpu_us: of the gateway for each log; busy: part of its cores that it used.

    others: part of the gateway's core that went to other processes. rpcs: calls to the log service for a log.
    memory_kib: the peak; of a memory scenario, for each write in flight.
    """

    logs_per_s: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    cpu_us: float = 0.0
    memory_kib: float = 0.0
    busy: float = 0.0
    others: float = 0.0
    rpcs: float = 0.0
    logs: float = 0.0


class Setting(Struct, frozen=True):
    """A gateway that runs in front of a log service."""

    pid: int
    port: int
    folder: Path
    sink: "subprocess.Popen[str] | None"


@contextmanager
def set_up(contender: Contender, peer: Peer, *, distinct: bool = False) -> Iterator[Setting]:
    """The log service and the gateway, until the end of the block. distinct: count distinct ids as well."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="logbridge-bench-")))
        sink, sink_port = None, 0
        if peer is Peer.STORE:
            sink_port = stack.enter_context(_log_service(folder))
        else:
            delay_ms = SLOW_MS if peer is Peer.SLOW else 0.0
            sink, sink_port = stack.enter_context(processes.sink(delay_ms, distinct=distinct))
        port = processes.free_port()
        environ = {
            name: value.format(sink=sink_port, folder=folder) for name, value in contender.environ.items()
        }
        cores = [processes.GATEWAY_CORE] if contender.cores == 1 else processes.CORES
        command = contender.command(port, sink_port, folder)
        pid = stack.enter_context(processes.running(command, port, environ, folder / "gateway.log", cores))
        setting = Setting(pid, port, folder, sink)
        _get_ready(setting, contender)
        if contender.other_core_busy:
            stack.enter_context(processes.busy_core())
        yield setting


def _get_ready(setting: Setting, contender: Contender) -> None:
    """Until the gateway has taken a write; of several processes the others are still starting then."""
    body = contender.body(1, 0)
    until_s = time.monotonic() + processes.READY_S
    while not _write_once(setting, body, contender):
        if time.monotonic() > until_s:
            raise MeasurementFailed(f"{contender.name} takes no write\n{_log_of(setting)}")
        time.sleep(0.05)
    if contender.cores > 1:
        _wait_until_still(setting.pid)


@contextmanager
def _log_service(folder: Path) -> Iterator[int]:
    port = processes.free_port()
    command = [sys.executable, "-m", "logbridge", "service", "--grpc-server-port", str(port)]
    command += ["--store", f"sqlite:///{folder}/logs.db"]
    with processes.running(command, port, {}, folder / "service.log", processes.CORES):
        yield port


class _Moment(NamedTuple):
    at_s: float
    cpu_s: float
    core_s: float
    counts: processes.Counts


class Watch:
    """Processor time of a gateway and of its core, and the calls of its log service, between two moments."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._pids = processes.family(setting.pid)
        self.seconds = self.cpu_s = self.core_s = 0.0
        self.calls = self.entries = self.distinct = 0

    def begin(self) -> None:
        """The first moment."""
        self._from = self._now()

    def end(self) -> None:
        """The second one."""
        before, now = self._from, self._now()
        self.seconds, self.cpu_s, self.core_s = now[0] - before[0], now[1] - before[1], now[2] - before[2]
        self.calls = now.counts.calls - before.counts.calls
        self.entries = now.counts.entries - before.counts.entries
        self.distinct = now.counts.distinct - before.counts.distinct

    def _now(self) -> _Moment:
        sink = self._setting.sink
        counts = processes.counted(sink) if sink else processes.Counts(0, 0, 0)
        core_s = processes.core_busy_s(processes.GATEWAY_CORE)
        return _Moment(time.perf_counter(), processes.cpu_s(self._pids), core_s, counts)

    @property
    def others(self) -> float:
        """Part of the gateway's core that went to others."""
        return max(0.0, self.core_s - self.cpu_s) / self.seconds


def measure(name: str, scenario: Scenario, times: Times) -> Figures:
    """What a contender of a scenario does. Raises MeasurementFailed."""
    if name in ALONE:
        return measure_alone(ALONE[name], times)
    if scenario.kind is Kind.TEST:
        return measure_test(CONTENDERS[name], scenario)
    if scenario.kind is Kind.MEMORY:
        return measure_memory(CONTENDERS[name], scenario)
    return measure_load(CONTENDERS[name], scenario, times)


def measure_alone(module: Sequence[str], times: Times) -> Figures:
    """A part in a process of its own, on the gateway's core."""
    command = [sys.executable, "-m", *module, "--measured-s", str(times.measured_s)]
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, [processes.GATEWAY_CORE]),
    )
    return msgspec.json.decode(done.stdout, type=Figures)


def measure_load(contender: Contender, scenario: Scenario, times: Times) -> Figures:
    """Connections that each send their next request when the last one is answered."""
    with set_up(contender, scenario.peer) as setting:
        watch = Watch(setting)
        came_before = _came(setting)
        result = _run_load(setting, contender, scenario, times, watch)
        logs = result["requests"] * scenario.entries
        peak_kib = sum(processes.memory_kib(pid, "VmHWM") for pid in processes.family(setting.pid))
        if contender.calls_sink and setting.sink:
            _check_counts(result["answered"] * scenario.entries, _came(setting) - came_before, scenario)
    return Figures(
        logs_per_s=logs / result["seconds"],
        p50_ms=result["p50_ms"],
        p99_ms=result["p99_ms"],
        cpu_us=1e6 * watch.cpu_s / logs,
        memory_kib=peak_kib,
        busy=watch.cpu_s / watch.seconds / contender.cores,
        others=watch.others if contender.cores == 1 and setting.sink else 0.0,
        rpcs=watch.calls / watch.entries if watch.entries else 0.0,
        logs=logs,
    )


def _run_load(
    setting: Setting, contender: Contender, scenario: Scenario, times: Times, watch: Watch
) -> dict[str, float]:
    body = setting.folder / "body"
    body.write_bytes(contender.body(scenario.entries, scenario.entry_bytes))
    single = scenario.entries == 1
    expect = contender.expect_one if single else contender.expect_many
    # More connections take longer to open and to get going.
    warmup_s = times.warmup_s + scenario.connections / 5_000
    command = [sys.executable, "-m", "benchmarks.load", "--port", str(setting.port), "--path", PATHS[single]]
    command += ["--body", str(body), "--connections", str(scenario.connections), "--expect", expect]
    command += ["--warmup-s", str(warmup_s), "--measured-s", str(times.measured_s)]
    command += ["--core", str(processes.OTHER_CORE)]
    for name, value in contender.headers.items():
        command += ["--header", f"{name}={value}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as load:
        assert load.stdout is not None
        load.stdout.readline()
        watch.begin()
        load.stdout.readline()
        watch.end()
        result: dict[str, float] = json.loads(
            load.stdout.read() or '{"failures": 1, "first_failure": "no result"}'
        )
    if result["failures"] or not result["requests"]:
        raise MeasurementFailed(f"{contender.name}, {scenario.name}: {result}\n{_log_of(setting)}")
    return result


def _log_of(setting: Setting) -> str:
    return (setting.folder / "gateway.log").read_text()[-2000:]


def _came(setting: Setting) -> int:
    """Entries that the log service has counted."""
    return processes.counted(setting.sink).entries if setting.sink else 0


def _check_counts(acknowledged: float, came: int, scenario: Scenario) -> None:
    """Of the whole run, from before its first request until after its last answer."""
    if came < acknowledged:
        raise MeasurementFailed(f"{scenario.name}: {acknowledged:.0f} acknowledged, {came} came in")


def measure_test(contender: Contender, scenario: Scenario) -> Figures:
    """One concurrent test, after a short one as warm-up; every log must have come alone in its write."""
    with set_up(contender, scenario.peer, distinct=True) as setting:
        _concurrent_test(setting, TEST_COUNT // 10)
        watch = Watch(setting)
        watch.begin()
        seconds = _concurrent_test(setting, TEST_COUNT)
        watch.end()
        if watch.distinct != TEST_COUNT:
            raise MeasurementFailed(f"{contender.name}: {TEST_COUNT} logs, {watch.distinct} ids")
        peak_kib = processes.memory_kib(setting.pid, "VmHWM")
    return Figures(
        logs_per_s=TEST_COUNT / seconds,
        cpu_us=1e6 * watch.cpu_s / TEST_COUNT,
        memory_kib=peak_kib,
        busy=watch.cpu_s / watch.seconds,
        others=watch.others,
        rpcs=watch.calls / TEST_COUNT,
        logs=TEST_COUNT,
    )


def _concurrent_test(setting: Setting, count: int) -> float:
    """Seconds of one. The answer must say that every write succeeded."""
    asked = json.dumps({"count": count, "max_workers": TEST_WORKERS})
    connection = HTTPConnection("127.0.0.1", setting.port, timeout=120)
    began_s = time.perf_counter()
    connection.request(
        "POST", "/api/v1/logs/concurrent-test", asked, headers={"Content-Type": "application/json"}
    )
    answer = connection.getresponse().read()
    took_s = time.perf_counter() - began_s
    connection.close()
    if json.loads(answer).get("success_count") != count:
        raise MeasurementFailed(f"concurrent test: {answer[:500]!r}\n{_log_of(setting)}")
    return took_s


def measure_memory(contender: Contender, scenario: Scenario) -> Figures:
    """Resident memory for each connection with a write in flight, beyond that of the idle gateway."""
    with set_up(contender, scenario.peer) as setting:
        assert setting.sink is not None
        body = setting.folder / "body"
        body.write_bytes(contender.body(1, 0))
        processes.counted(setting.sink, "stall")
        idle_kib = processes.memory_kib(setting.pid, "VmRSS")
        command = [sys.executable, "-m", "benchmarks.load", "--port", str(setting.port), "--body", str(body)]
        command += ["--connections", str(scenario.connections), "--hold", "--core", str(processes.OTHER_CORE)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as load:
            assert load.stdout is not None
            load.stdout.readline()
            _wait_until_still(setting.pid)
            held_kib = processes.memory_kib(setting.pid, "VmRSS")
            result = json.loads(load.communicate()[0])
            if result["failures"] or result["requests"]:
                raise MeasurementFailed(f"{contender.name}: not every write was in flight: {result}")
            # Nobody waits for the answers any more.
            os.kill(setting.pid, signal.SIGKILL)
    return Figures(memory_kib=(held_kib - idle_kib) / scenario.connections, logs=scenario.connections)


def _write_once(setting: Setting, body: bytes, contender: Contender) -> bool:
    """Whether a write succeeded."""
    connection = HTTPConnection("127.0.0.1", setting.port, timeout=30)
    try:
        headers = {"Content-Type": "application/json", **contender.headers}
        connection.request("POST", PATHS[True], body, headers=headers)
        return contender.expect_one in connection.getresponse().read().decode()
    except OSError:
        return False
    finally:
        connection.close()


def _wait_until_still(pid: int) -> None:
    """Until a process has done nothing for a while."""
    used_s = -1.0
    while (now_s := processes.cpu_s(processes.family(pid))) > used_s:
        used_s = now_s
        time.sleep(STILL_S)

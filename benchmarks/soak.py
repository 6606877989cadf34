"""Memory over many minutes at full load: a sample each second, and whether it grew."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from statistics import median

from msgspec import Struct

from benchmarks import processes
from benchmarks.contenders import CONTENDERS, LOGBRIDGE
from benchmarks.measure import PATHS, MeasurementFailed, set_up
from benchmarks.scenarios import Peer

CONNECTIONS = 200
PART = 10


class Soak(Struct, frozen=True):
    """memory_kib: resident, one sample a second. grown: the last tenth to the second one."""

    commit: str
    date: str
    seconds: float
    logs: int
    memory_kib: list[int]
    grown: float

    def markdown(self) -> str:
        """As a part of the report."""
        return (
            f"### Memory over {self.seconds / 60:.0f} minutes at full load\n\n"
            f"{self.logs:,} logs from {CONNECTIONS} clients; resident from {min(self.memory_kib) / 1024:.1f} "
            f"to {max(self.memory_kib) / 1024:.1f} MiB; the last tenth to the second tenth of the time: "
            f"{self.grown:.3f}."
        )


def growth(samples: Sequence[int]) -> float:
    """The median of the last tenth to that of the second one; the first tenth is getting warm."""
    size = max(1, len(samples) // PART)
    return median(samples[-size:]) / median(samples[size : 2 * size] or samples)


def soak(measured_s: float, commit: str, date: str, on_second: Callable[[], None]) -> Soak:
    """Load one bridge for so long. Raises MeasurementFailed."""
    with set_up(CONTENDERS[LOGBRIDGE], Peer.COUNTING) as setting:
        body = setting.folder / "body"
        body.write_bytes(CONTENDERS[LOGBRIDGE].body(1, 0))
        command = [
            sys.executable,
            "-m",
            "benchmarks.load",
            "--port",
            str(setting.port),
            "--path",
            PATHS[True],
        ]
        command += ["--body", str(body), "--connections", str(CONNECTIONS), "--measured-s", str(measured_s)]
        command += ["--expect", '"success":true', "--core", str(processes.OTHER_CORE)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as load:
            assert load.stdout is not None
            load.stdout.readline()
            samples: list[int] = []
            while load.poll() is None:
                samples.append(processes.memory_kib(setting.pid, "VmRSS"))
                on_second()
                time.sleep(1.0)
            result = json.loads(load.stdout.read().splitlines()[-1])
    if result["failures"]:
        raise MeasurementFailed(f"soak: {result}")
    return Soak(commit, date, result["seconds"], round(result["requests"]), samples, growth(samples))

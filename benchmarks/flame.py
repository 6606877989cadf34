"""A flame graph of the hot path: py-spy samples the bridge while 200 clients write."""

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks import processes
from benchmarks.contenders import CONTENDERS, LOGBRIDGE
from benchmarks.measure import PATHS, set_up
from benchmarks.report import JSON_FILE
from benchmarks.scenarios import Peer

RATE_PER_S = 500


def spy(pid: int, out: Path, seconds: int, form: str = "flamegraph") -> None:
    """Sample a process for so long; native code is charged to the Python that called it."""
    found = shutil.which("py-spy", path=str(Path(sys.executable).parent)) or shutil.which("py-spy")
    if found is None:
        raise SystemExit("py-spy is not installed: make .venv/.bench")
    command = [
        "taskset",
        "-c",
        str(processes.OTHER_CORE),
        found,
        "record",
        "--pid",
        str(pid),
        "--format",
        form,
    ]
    command += ["--rate", str(RATE_PER_S), "--duration", str(seconds), "--output", str(out), "--function"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _entitle(picture: Path, title: str) -> None:
    """py-spy writes its own command there, which names this machine's folders."""
    text = picture.read_text()
    picture.write_text(re.sub(r'(<text id="title"[^>]*>)[^<]*', rf"\g<1>{title}", text))


def main() -> None:
    """Load one bridge and sample it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--connections", type=int, default=200)
    parser.add_argument("--entries", type=int, default=1, help="of a request; more than 1 is a batch")
    parser.add_argument("--out", type=Path, default=JSON_FILE.parent / "flame.svg")
    parser.add_argument("--raw", action="store_true", help="collapsed stacks in place of a picture")
    asked = parser.parse_args()
    contender = CONTENDERS[LOGBRIDGE]
    with set_up(contender, Peer.COUNTING) as setting:
        body = setting.folder / "body"
        body.write_bytes(contender.body(asked.entries, 0))
        command = [sys.executable, "-m", "benchmarks.load", "--port", str(setting.port), "--body", str(body)]
        command += ["--path", PATHS[asked.entries == 1], "--connections", str(asked.connections)]
        command += ["--measured-s", str(asked.seconds + 1), "--core", str(processes.OTHER_CORE)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as load:
            assert load.stdout is not None
            load.stdout.readline()
            asked.out.parent.mkdir(parents=True, exist_ok=True)
            spy(setting.pid, asked.out, asked.seconds, "raw" if asked.raw else "flamegraph")
            load.communicate()
    if not asked.raw:
        _entitle(asked.out, f"logbridge, {asked.entries} a request, {asked.connections} clients")
    print(f"wrote {asked.out}")


if __name__ == "__main__":
    main()

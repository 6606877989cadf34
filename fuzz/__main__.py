"""python -m fuzz: every target in a process of its own, each for its share of the time."""

import argparse
import contextlib
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

CORPUS = Path(__file__).parent / "corpus"
# What is found on the way: kept for the next run, and not committed.
FOUND = Path(__file__).parents[1] / ".fuzz"
TARGETS = ("json_entry", "json_batch", "protobuf", "http_head", "log_line", "decompression", "lines", "otlp")
INPUT_BYTES_MAX = 4096
INPUT_S_MAX = 5


def main() -> int:
    """The exit code: 1 if there was a fault."""
    asked = _parser().parse_args()
    if asked.alone:
        return _fuzz(asked.alone, asked.seconds, asked.seed)
    names = asked.only or list(TARGETS)
    reports = []
    for number, name in enumerate(names, 1):
        title = f"[{number}/{len(names)}] {name}"
        reports.append(_run(name, max(1, asked.seconds // len(names)), asked.seed, title))
        told = f"{reports[-1]['executions']} inputs, {reports[-1]['faults']} faults"
        print(title, told, file=sys.stderr, flush=True)
    faults = sum(report["faults"] for report in reports)
    report = {"seed": asked.seed, "targets": reports, "faults": faults}
    print(json.dumps(report) if asked.json else _table(reports))
    return 1 if faults else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for all targets together (default 60)")
    parser.add_argument("--seed", type=int, default=1, help="of the random choices (default 1)")
    parser.add_argument("--only", action="append", choices=TARGETS, help="just this target")
    parser.add_argument("--json", action="store_true", help="print a report as JSON")
    parser.add_argument("--alone", choices=TARGETS, help=argparse.SUPPRESS)
    return parser


def _run(name: str, seconds: int, seed: int, title: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "fuzz", "--alone", name, "--seconds", str(seconds), "--seed", str(seed)]
    begun_s = time.monotonic()
    code, err = _watched(command, seconds, title)
    executed = re.search(r"number_of_executed_units: (\d+)", err)
    coverage = re.findall(r"cov: (\d+)", err)
    if code:
        print(f"\n{err[-4000:]}", file=sys.stderr)
    return {
        "target": name,
        "executions": int(executed[1]) if executed else 0,
        "coverage": int(coverage[-1]) if coverage else 0,
        "seconds": round(time.monotonic() - begun_s, 1),
        "faults": 1 if code else 0,
    }


def _watched(command: list[str], seconds: int, title: str) -> tuple[int, str]:
    """Run a target, with a bar on a terminal: its exit code and its last words."""
    console = Console(stderr=True)
    begun_s = time.monotonic()
    with (
        Progress(console=console, transient=True, disable=not console.is_terminal) as bar,
        subprocess.Popen(  # noqa: S603 (this very program)
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace"
        ) as process,
    ):
        task = bar.add_task(title, total=seconds)
        while True:
            took_s = time.monotonic() - begun_s
            bar.update(task, completed=took_s)
            # A target ends by itself; twice its time is a hang of the fuzzer.
            if took_s > 2 * seconds + 120:
                process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                err = process.communicate(timeout=0.5)[1]
                return process.returncode, err


def _table(reports: list[dict[str, Any]]) -> str:
    rows = [("target", "inputs", "coverage", "s", "faults")]
    rows += [tuple(str(value) for value in report.values()) for report in reports]  # type: ignore[misc]
    return "\n".join(f"{a:<12}{b:>10}{c:>10}{d:>8}{e:>8}" for a, b, c, d, e in rows)


def _fuzz(name: str, seconds: int, seed: int) -> int:
    import atheris

    with atheris.instrument_imports(include=["logbridge", "fuzz.targets", "json"]):
        from fuzz import targets
    found, kept = FOUND / name, CORPUS / name
    for folder in (found, kept):
        folder.mkdir(parents=True, exist_ok=True)
    arguments = [
        *(sys.argv[0], str(found), str(kept), f"-max_total_time={seconds}", f"-seed={seed}"),
        *(
            f"-max_len={INPUT_BYTES_MAX}",
            f"-timeout={INPUT_S_MAX}",
            "-rss_limit_mb=1024",
            "-print_final_stats=1",
        ),
        # What broke it goes to the corpus: the tests fail until it is mended, and keep it mended.
        f"-artifact_prefix={kept}/",
    ]
    atheris.Setup(arguments, targets.TARGETS[name])
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)

"""import: ships log files to a bridge, line by line, and goes on where it was interrupted."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, BinaryIO
from uuid import uuid4

import httpx
from cyclopts import Parameter
from msgspec import Struct

from logbridge.entrypoints.commands import bridge, terminal
from logbridge.entrypoints.commands.ending import CommandFailed, Exit, UsageError
from logbridge.entrypoints.commands.import_state import (
    Progress,
    load_progress,
    save_progress,
    seam_of,
    state_file,
)
from logbridge.entrypoints.commands.log_lines import LINE_BYTES_MAX, Line, entry_of, line_id, read_lines
from logbridge.entrypoints.commands.options import BridgeAddress
from logbridge.entrypoints.commands.shipping import Item, Rejected, Shipper

BATCH_LINES_MAX = 1000
BATCH_BYTES_MAX = 4 * 1024 * 1024
_SHOWN_FAILURES_MAX = 20


class Tally(Struct):
    """What came of the lines so far. skipped: empty ones. resumed: done by an earlier run."""

    imported: int = 0
    failed: int = 0
    skipped: int = 0
    resumed: int = 0
    failures: list[str] = []


def import_logs(
    *files: Annotated[str, Parameter(allow_leading_hyphen=True)],
    service: str | None = None,
    restart: Annotated[bool, Parameter(negative=())] = False,
    json: Annotated[bool, Parameter(negative=())] = False,
    address: BridgeAddress | None = None,
) -> Exit:
    """Ship log files to the bridge: NDJSON or plain text, of any size; - reads standard input.

    A line that is a JSON object with a message is sent as it stands; any other line becomes the message, and
    its level is read from it (ERROR, [warn], ...). Interrupted and run again, it goes on where it was and
    writes no line twice.

    Example: logbridge import app.log worker.log --service shop

    Parameters
    ----------
    files
        Log files, or - for standard input.
    service
        service_name of the lines that name none.
    restart
        Begin again at the first line; lines that are stored already are not stored twice.
    json
        Print the summary as JSON.
    """
    _check_files(files)
    url = bridge.url_of(address)
    tally = Tally()
    # A batch may take as long as its logs need to reach the disk.
    with bridge.connected(url, timeout_s=60.0) as client:
        shipper = Shipper(client, url, bridge.api_path("batch"))
        lines_max = min(BATCH_LINES_MAX, _batch_size(client))
        try:
            for name in files:
                _import_file(name, Job(shipper, lines_max, service, url, restart), tally)
        finally:
            _summary(tally, as_json=json)
    return Exit.FAILED if tally.failed else Exit.FINE


class Job(Struct, frozen=True):
    """How to import a file: through which shipper, how many lines at once, under which service."""

    shipper: Shipper
    lines_max: int
    service: str | None
    url: str
    restart: bool


def _check_files(files: tuple[str, ...]) -> None:
    if not files:
        raise UsageError("import needs a FILE, or - for standard input")
    for name in files:
        if name.startswith("-") and name != "-":
            raise UsageError(f"unknown option {name} (a file of that name is ./{name})")
        if name != "-" and not Path(name).is_file():
            raise UsageError(f"{name}: no such file")


def _batch_size(client: httpx.Client) -> int:
    body = bridge.body_of(client.get(bridge.api_path("health")))
    info = body.get("service_info")
    size = info.get("max_batch_size") if isinstance(info, dict) else None
    return size if isinstance(size, int) and size > 0 else BATCH_LINES_MAX


def _import_file(name: str, job: Job, tally: Tally) -> None:
    if name == "-":
        # A second stream on stdin is another one, even if it begins alike.
        _import_stdin(job, tally)
        return
    path = Path(name)
    state = state_file(path, job.url, job.service)
    try:
        with path.open("rb") as stream:
            _import_stream(path, stream, state, job, tally)
    except OSError as error:
        raise CommandFailed(f"{name}: {error.strerror or error}") from None


def _import_stdin(job: Job, tally: Tally) -> None:
    with terminal.progress_bar(in_bytes=True) as bar:
        task = bar.add_task("standard input", total=None)

        def done(line: Line) -> None:
            bar.update(task, completed=line.end)

        # A second stream on stdin is another one, even if it begins alike.
        lines = read_lines(sys.stdin.buffer)
        _ship_lines("-", lines, job, tally, source=f"stdin {uuid4()}", done=done)


def _import_stream(path: Path, stream: BinaryIO, state: Path, job: Job, tally: Tally) -> None:
    progress = load_progress(state, stream)
    if job.restart:
        progress = Progress(generation=progress.generation)
    stream.seek(progress.offset)
    tally.resumed += progress.lines
    with path.open("rb") as beside, terminal.progress_bar(in_bytes=True) as bar:
        task = bar.add_task(path.name, total=os.fstat(stream.fileno()).st_size, completed=progress.offset)

        def done(line: Line) -> None:
            seam = seam_of(beside, line.end)
            save_progress(state, Progress(line.end, line.number, seam, progress.generation))
            bar.update(task, completed=line.end)

        lines = read_lines(stream, progress.offset, progress.lines)
        source = f"{path.resolve()}\0{progress.generation}"
        _ship_lines(path.name, lines, job, tally, source=source, done=done)


def _ship_lines(
    name: str, lines: Iterable[Line], job: Job, tally: Tally, *, source: str, done: Callable[[Line], None]
) -> None:
    for batch in batches(lines, job.lines_max):
        items: list[Item] = []
        failures: list[Rejected] = []
        for line in batch:
            if line.raw is None:
                failures.append(Rejected(line.number, f"longer than {LINE_BYTES_MAX} bytes"))
            elif line.raw:
                log_id = line_id(source, line.offset, line.raw)
                items.append(Item(line.number, entry_of(line.raw, service_name=job.service, log_id=log_id)))
            else:
                tally.skipped += 1
        rejected = job.shipper.ship(items) if items else []
        tally.imported += len(items) - len(rejected)
        _count_failures(name, failures + rejected, tally)
        _remember(batch, done)


def _count_failures(name: str, failures: list[Rejected], tally: Tally) -> None:
    for failure in sorted(failures):
        text = f"{name}:{failure.number}: {failure.reason}"
        if tally.failed < _SHOWN_FAILURES_MAX:
            terminal.notice(text)
            tally.failures.append(text)
        tally.failed += 1


def _remember(batch: list[Line], done: Callable[[Line], None]) -> None:
    # A last line without its end may still grow: it is read again next time. Unchanged it has the same id and
    # is stored once; grown it is another line, and a log of its own.
    finished = [line for line in batch if line.terminated]
    if finished:
        done(finished[-1])


def batches(lines: Iterable[Line], lines_max: int, bytes_max: int = BATCH_BYTES_MAX) -> Iterator[list[Line]]:
    """Lines in batches of so many lines and bytes; a line over the bytes goes alone."""
    batch: list[Line] = []
    size_bytes = 0
    for line in lines:
        line_bytes = len(line.raw or b"")
        if batch and (len(batch) == lines_max or size_bytes + line_bytes > bytes_max):
            yield batch
            batch, size_bytes = [], 0
        batch.append(line)
        size_bytes += line_bytes
    if batch:
        yield batch


def _summary(tally: Tally, *, as_json: bool) -> None:
    if as_json:
        terminal.json_line(tally)
        return
    parts = [f"{tally.imported} imported", f"{tally.failed} failed", f"{tally.skipped} empty skipped"]
    if tally.resumed:
        parts.append(f"{tally.resumed} lines done by an earlier run")
    terminal.line(", ".join(parts))

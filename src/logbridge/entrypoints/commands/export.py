"""export: stored logs into a file, or to standard output."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal

import httpx

from logbridge.domain.export import EXPORT_DEFAULT
from logbridge.entrypoints.commands import bridge, terminal
from logbridge.entrypoints.commands.ending import CommandFailed, Exit, UsageError
from logbridge.entrypoints.commands.options import BridgeAddress, Filters, query_parameters
from logbridge.entrypoints.commands.talk import failed_question

# The log service may search for long before the next page.
_SILENCE_MAX_S = 60.0


class LogCounter:
    """Counts the logs in pieces of NDJSON or CSV: lines, but not those within quotes of CSV."""

    def __init__(self, form: str) -> None:
        self._quotes = form == "csv"
        self._within = 0
        self._lines = 0

    @property
    def count(self) -> int:
        """So far; the header row of CSV is none."""
        return max(0, self._lines - self._quotes)

    def feed(self, piece: bytes) -> None:
        """The next piece."""
        if not self._quotes:
            self._lines += piece.count(b"\n")
            return
        parts = piece.split(b'"')
        self._lines += sum(part.count(b"\n") for part in parts[self._within :: 2])
        self._within = (self._within + len(parts) - 1) % 2


def export(
    *,
    filters: Filters | None = None,
    format: Literal["ndjson", "csv"] = "ndjson",
    output: Path | None = None,
    limit: int = EXPORT_DEFAULT,
    address: BridgeAddress | None = None,
) -> Exit:
    """Save stored logs, newest first, as NDJSON (which `logbridge import` reads) or CSV.

    Example: logbridge export --service shop --since 2024-08-30T00:00:00Z --format csv --output shop.csv

    Parameters
    ----------
    format
        ndjson or csv. In CSV a cell that a spreadsheet would take for a formula has ' before it.
    output
        The file, which must not exist; it has its name only once it is whole. Without it standard output.
    limit
        The most logs, the newest ones; 1 to 1000000.
    """
    if output is not None and output.exists():
        raise UsageError(f"{output}: exists already; choose another file")
    parameters = query_parameters(filters) | {"format": format, "limit": str(limit)}
    with (
        bridge.connected(bridge.url_of(address), timeout_s=_SILENCE_MAX_S) as client,
        client.stream("GET", bridge.api_path("export"), params=parameters) as response,
    ):
        if response.status_code != 200:
            response.read()
            raise failed_question(bridge.body_of(response), response.status_code)
        total = int(response.headers.get("x-total-count", 0))
        with _target(output) as stream:
            count = _save(response, stream, LogCounter(format), min(total, limit), shown=_shows_bar(output))
    if output is not None:
        terminal.line(terminal.printable(f"{count} logs in {output}"))
    if total > limit:
        terminal.notice(f"these are the newest {count} of {total} logs: --limit raises that")
    return Exit.FINE


def _shows_bar(output: Path | None) -> bool:
    """A bar among the logs on a terminal would spoil both."""
    return output is not None or not sys.stdout.isatty()


def _save(response: httpx.Response, stream: BinaryIO, counter: LogCounter, total: int, *, shown: bool) -> int:
    with terminal.progress_bar(shown=shown) as bar:
        task = bar.add_task("export", total=total)
        try:
            for piece in response.iter_bytes():
                stream.write(piece)
                counter.feed(piece)
                bar.update(task, completed=counter.count)
        except httpx.TransportError as error:
            reason = str(error) or type(error).__name__
            raise CommandFailed(f"the export broke off after {counter.count} logs: {reason}") from None
    stream.flush()
    return counter.count


@contextmanager
def _target(output: Path | None) -> Iterator[BinaryIO]:
    if output is None:
        yield sys.stdout.buffer
        return
    partial = output.with_name(f"{output.name}.part")
    try:
        stream = partial.open("wb")
    except OSError as error:
        raise CommandFailed(f"{partial}: {error.strerror or error}") from None
    try:
        with stream:
            yield stream
        partial.rename(output)
    except OSError as error:
        raise CommandFailed(f"{output}: {error.strerror or error}") from None
    finally:
        partial.unlink(missing_ok=True)

"""Stored logs as a download: NDJSON or CSV, page by page, as long as the client reads."""

import contextlib
import csv
import io
import logging
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec
from msgspec import Struct
from starlette.types import Message, Receive, Scope, Send

from logbridge.domain.access import Caller
from logbridge.domain.access import Scope as Right
from logbridge.domain.entry import LogEntry
from logbridge.domain.errors import LogbridgeError, ReaderError
from logbridge.domain.query import LogPage
from logbridge.domain.service import LogBridge
from logbridge.entrypoints.http.access import Gate
from logbridge.entrypoints.http.lifecycle import ClientLeft, Interrupts, Lifecycle
from logbridge.entrypoints.http.parameters import read_export
from logbridge.entrypoints.http.problems import RequestRejected, error_answer
from logbridge.entrypoints.http.schema import log_record

logger = logging.getLogger(__name__)

NDJSON = "application/x-ndjson"
MEDIA_TYPES = {"ndjson": NDJSON, "csv": "text/csv; charset=utf-8; header=present"}
# Of all logs that match, at the start: more than the limit means that some are left out.
TOTAL_COUNT = b"x-total-count"
COLUMNS = ("id", "timestamp", "level", "service_name", "message", "trace_id", "span_id", "metadata")
# A spreadsheet takes what begins so for a formula, and would run what a stranger logged.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_PIECE_BYTES = 64 * 1024
_encode = msgspec.json.Encoder().encode


class _Page(NamedTuple):
    entries: Sequence[LogEntry]
    first: bool


class _KeyEndedError(LogbridgeError):
    """The caller is no longer let in."""


class Export:
    """The ASGI endpoint. It ends early when the client leaves, the server stops, the log service fails, or
    the key lets in no more: then the connection breaks off, so that nobody takes the part for the whole.

    now: gives the time as RFC 3339.
    """

    def __init__(self, bridge: LogBridge, gate: Gate, lifecycle: Lifecycle, now: Callable[[], str]) -> None:
        self._bridge = bridge
        self._gate = gate
        self._lifecycle = lifecycle
        self._now = now

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        interrupts = Interrupts(self._lifecycle, receive)
        try:
            async with contextlib.AsyncExitStack() as stack:
                try:
                    download = await self._begin(scope, interrupts, stack)
                except ClientLeft:
                    return
                except LogbridgeError as error:
                    await error_answer(error, lambda _: {}).send(send)
                    return
                await send(self._head(download))
                with contextlib.suppress(ClientLeft, RequestRejected):
                    await interrupts.finish(self._send_all(download, send, scope["method"] == "HEAD"))
        finally:
            await interrupts.aclose()

    async def _begin(
        self, scope: Scope, interrupts: Interrupts, stack: contextlib.AsyncExitStack
    ) -> "_Download":
        caller = self._gate.admit(scope, Right.READ)
        asked = read_export(scope)
        pages = self._bridge.export(asked.which, asked.limit, caller.services)
        await stack.enter_async_context(contextlib.aclosing(pages))
        # The first page decides between an answer and a problem, so it comes before the status.
        return _Download(caller, asked.form, await interrupts.finish(anext(pages)), pages)

    def _head(self, download: "_Download") -> Message:
        moment = self._now()[:19].replace("-", "").replace(":", "")
        name = f'attachment; filename="logs-{moment}Z.{download.form}"'
        headers = [
            (b"content-type", MEDIA_TYPES[download.form].encode()),
            (b"content-disposition", name.encode()),
            (b"cache-control", b"no-store"),
            (TOTAL_COUNT, str(download.first.total_count).encode()),
        ]
        return {"type": "http.response.start", "status": 200, "headers": headers}

    async def _send_all(self, download: "_Download", send: Send, head_only: bool) -> None:
        """All pages and the end; without the end if the log service or the key gives out."""
        if not head_only:
            try:
                async for page in self._pages(download):
                    for piece in _pieces(_LINES[download.form](page)):
                        await send({"type": "http.response.body", "body": piece, "more_body": True})
            except (ReaderError, _KeyEndedError) as error:
                logger.warning("an export broke off: %s", error)
                return
        await send({"type": "http.response.body", "body": b""})

    async def _pages(self, download: "_Download") -> AsyncGenerator[_Page, None]:
        yield _Page(download.first.entries, first=True)
        async for page in download.pages:
            if not self._gate.still_lets_in(download.caller):
                raise _KeyEndedError("its key has been revoked, or has expired")
            yield _Page(page.entries, first=False)


class _Download(Struct, frozen=True):
    caller: Caller
    form: str
    first: LogPage
    pages: AsyncGenerator[LogPage, None]


def _pieces(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Lines together, in pieces that neither hold up the others nor need a write each."""
    waiting: list[bytes] = []
    size_bytes = 0
    for line in lines:
        waiting.append(line)
        size_bytes += len(line)
        if size_bytes >= _PIECE_BYTES:
            yield b"".join(waiting)
            waiting, size_bytes = [], 0
    if waiting:
        yield b"".join(waiting)


def _ndjson_lines(page: _Page) -> Iterator[bytes]:
    return (_encode(log_record(entry)) + b"\n" for entry in page.entries)


def _csv_lines(page: _Page) -> Iterator[bytes]:
    if page.first:
        yield _csv_line(COLUMNS)
    for entry in page.entries:
        record = log_record(entry)
        cells = (*(getattr(record, name) for name in COLUMNS[:-1]), _encode(record.metadata).decode())
        yield _csv_line(_harmless(cell) for cell in cells)


def _csv_line(cells: Iterable[str]) -> bytes:
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow(cells)
    return line.getvalue().encode()


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


_LINES: dict[str, Callable[[_Page], Iterator[bytes]]] = {
    "ndjson": _ndjson_lines,
    "csv": _csv_lines,
}

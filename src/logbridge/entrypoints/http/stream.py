"""A body of any length, one entry a line, written as it comes: what is held of it is bounded."""

import asyncio
from collections.abc import Iterator, Sequence

from starlette.types import Receive, Scope

from logbridge.domain.access import Caller
from logbridge.domain.access import Scope as Right
from logbridge.domain.errors import InvalidEntry, InvalidRequest, RateExceeded
from logbridge.domain.outcome import Outcome
from logbridge.domain.policy import Asked
from logbridge.domain.service import LogBridge
from logbridge.entrypoints.http.access import Gate, key_ended
from logbridge.entrypoints.http.batches import Batches, Draft
from logbridge.entrypoints.http.compression import Decompression, NotDecompressed
from logbridge.entrypoints.http.decode import check_headers
from logbridge.entrypoints.http.endpoints import applied, nothing_written
from logbridge.entrypoints.http.exchange import LASTING
from logbridge.entrypoints.http.export import NDJSON
from logbridge.entrypoints.http.lifecycle import ClientLeft, Lifecycle, cancel
from logbridge.entrypoints.http.lines import LineSplitter
from logbridge.entrypoints.http.parameters import read_asked
from logbridge.entrypoints.http.problems import Answer, RequestRejected, gravest_problem, ok, problem
from logbridge.entrypoints.http.tally import StreamResult
from logbridge.entrypoints.settings import Settings

MEDIA_TYPES = (
    NDJSON,
    "application/ndjson",
    "application/jsonl",
    "application/jsonlines",
    "application/x-jsonlines",
)
# How long a line waits for others to go with it.
LINGER_S = 0.2
# JSON may spell a byte of text with six: \u0000.
LINE_BYTES_PER_ENTRY_BYTE = 6
# Of lines that are cut at once; then others have their turn.
_CUT_BYTES_MAX = 65_536
# Nothing but memory limits a stream, and it holds little at a time.
_ANY_BYTES = 2**63


def failed_stream(_detail: str) -> StreamResult:
    """The members of a stream of which nothing could be read."""
    return StreamResult(0, 0, 0, [], False, 0, "")


class Stream:
    """The operation of one bridge. bridge: one that writes patiently, see build_patient."""

    def __init__(self, bridge: LogBridge, gate: Gate, settings: Settings, lifecycle: Lifecycle) -> None:
        self._bridge = bridge
        self._gate = gate
        self._line_bytes_max = LINE_BYTES_PER_ENTRY_BYTE * settings.entry_bytes_max
        self._too_long = InvalidEntry(
            "$",
            f"the line has more than {self._line_bytes_max} bytes, six for each of "
            f"LOGBRIDGE_ENTRY_BYTES_MAX={settings.entry_bytes_max}",
        )
        self._lifecycle = lifecycle

    async def write(self, scope: Scope, receive: Receive) -> Answer:
        """Write each line. Raises what Plain answers, for a stream that is refused before it is read."""
        caller = self._gate.admit(scope, Right.WRITE)
        asked = read_asked(scope, caller.services)
        _, encodings = check_headers(scope, _check_media_type)
        scope[LASTING] = True

        async def write(drafts: list[Draft]) -> Sequence[Outcome]:
            return await self._bridge.write_batch(drafts, asked)

        batches = Batches(write, self._bridge.limits.batch_entries_max, self._too_long)
        door = _Door(self._gate, self._lifecycle, scope, caller)
        reading = _Reading(receive, encodings, LineSplitter(self._line_bytes_max), batches, door)
        try:
            stopped = await reading.all()
        finally:
            await batches.aclose()
        return _answer(batches, asked, stopped)


def _answer(batches: Batches, asked: Asked, stopped: RequestRejected | None) -> Answer:
    tally = batches.tally
    if stopped is not None:
        result = tally.result(str(stopped))
        headers = {"Connection": "close", **stopped.headers}
        return problem(stopped.status, result.stopped, result, headers, stopped.refusal)
    result = tally.result()
    if result.success_count:
        return ok(result, 202, applied(asked)) if tally.spooled else ok(result)
    if not result.total_count:
        raise InvalidRequest("$", "expected 1 line or more, got none")
    first = result.errors[0]
    detail = f"{nothing_written(tally.failures)}; line {first.line}: {first.error_message}"
    return gravest_problem(tally.failures, detail, result)


def _check_media_type(value: bytes) -> None:
    media_type = value.decode("latin-1").partition(";")[0].strip().lower()
    if media_type and media_type not in MEDIA_TYPES:
        raise RequestRejected(
            415,
            f"Content-Type {media_type[:100]} is not supported; send {MEDIA_TYPES[0]}",
            {"Accept": ", ".join(MEDIA_TYPES)},
        )


class _Door:
    """Whether, and when, a stream that was let in may write on."""

    def __init__(self, gate: Gate, lifecycle: Lifecycle, scope: Scope, caller: Caller) -> None:
        self.stopping = lifecycle.stopping
        self._gate = gate
        self._scope = scope
        self._caller = caller
        self._first = True

    async def pass_through(self) -> None:
        """Before each batch: over a rate, wait. Raises RequestRejected: 503 in the drain, 401 without key."""
        while (pause_s := self._pause_s()) and not self.stopping.is_set():
            try:
                async with asyncio.timeout(pause_s):
                    await self.stopping.wait()
            except TimeoutError:
                continue
        self.check_open()
        if not self._gate.still_lets_in(self._caller):
            raise key_ended()

    def check_open(self) -> None:
        """Raises RequestRejected (503) in the drain."""
        if self.stopping.is_set():
            raise _stopping()

    def _pause_s(self) -> float:
        if self._first:
            self._first = False  # as the request it was counted
            return 0.0
        try:
            self._gate.count_again(self._scope, self._caller)
        except RateExceeded as error:
            return error.retry_after_s
        return 0.0


def _stopping() -> RequestRejected:
    """Why a stream is not read on in the drain."""
    return RequestRejected(503, "the bridge is stopping")


class _Reading:
    """One stream, from the connection into batches."""

    def __init__(
        self, receive: Receive, encodings: list[str], splitter: LineSplitter, batches: Batches, door: _Door
    ) -> None:
        self._receive = receive
        self._decompression = Decompression(encodings, _ANY_BYTES) if encodings else None
        self._splitter = splitter
        self._batches = batches
        self._door = door
        # Until when lines wait for others; None while none does.
        self._due_s: float | None = None

    async def all(self) -> RequestRejected | None:
        """Read and write it to its end, or until something stops it: then that.

        Raises ClientLeft: whatever lines had come are written all the same.
        """
        stopped: RequestRejected | None = None
        left = False
        try:
            await self._read()
        except RequestRejected as error:
            stopped = error
        except ClientLeft:
            left = True
        try:
            await self._flush()
        except RequestRejected as error:
            stopped = error
            self._batches.drop()
        await self._batches.finished()
        # They may have failed because it stops, also where the body had come to its end.
        if self._door.stopping.is_set() and self._batches.give_back():
            stopped = stopped or _stopping()
        await self._batches.settle()
        if left:
            raise ClientLeft
        if stopped is None:
            self._batches.tally.lines_read = self._splitter.count
        return stopped

    async def _read(self) -> None:
        stopping = asyncio.ensure_future(self._door.stopping.wait())
        message = asyncio.ensure_future(self._receive())
        try:
            while True:
                await asyncio.wait(
                    {message, stopping}, timeout=self._linger_s(), return_when=asyncio.FIRST_COMPLETED
                )
                self._door.check_open()
                if not message.done():
                    await self._flush()
                    continue
                if (got := message.result())["type"] == "http.disconnect":
                    raise ClientLeft
                await self._take(got.get("body", b""))
                if not got.get("more_body", False):
                    await self._end()
                    return
                message = asyncio.ensure_future(self._receive())
        finally:
            await cancel(message, stopping)

    def _linger_s(self) -> float | None:
        if self._due_s is None:
            return None
        return max(0.0, self._due_s - asyncio.get_running_loop().time())

    async def _take(self, data: bytes) -> None:
        for piece in self._decompressed(data):
            for start in range(0, len(piece), _CUT_BYTES_MAX):
                for line in self._splitter.feed(piece[start : start + _CUT_BYTES_MAX]):
                    self._batches.add(line)
                    if self._batches.is_full:
                        await self._begin(line.number)
                await asyncio.sleep(0)
        if not self._batches.is_empty and self._due_s is None:
            self._due_s = asyncio.get_running_loop().time() + LINGER_S

    def _decompressed(self, data: bytes) -> Iterator[bytes]:
        if self._decompression is None:
            yield data
            return
        try:
            yield from self._decompression.feed(data)
        except NotDecompressed as error:
            raise _not_as_encoded(error) from None

    async def _end(self) -> None:
        if self._decompression is not None:
            try:
                self._decompression.end()
            except NotDecompressed as error:
                raise _not_as_encoded(error) from None
        for line in self._splitter.end():
            self._batches.add(line)

    async def _flush(self) -> None:
        if self._batches.is_empty:
            self._due_s = None
        else:
            await self._begin(self._splitter.count)

    async def _begin(self, lines_read: int) -> None:
        await self._door.pass_through()
        await self._batches.begin(lines_read)
        self._due_s = None


def _not_as_encoded(error: NotDecompressed) -> RequestRejected:
    return RequestRejected(400, f"the body is not what Content-Encoding says: {error}")

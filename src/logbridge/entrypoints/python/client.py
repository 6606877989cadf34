"""The Python surface: write logs from any running loop; the answers are those of the REST contract, as dicts.

Connections live in one private loop (private_loop.py): callers may come from any loop and any thread. A sink
that the caller hands in belongs to the caller's loop and is used there.
"""

import asyncio
import threading
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any

from logbridge.domain.entry import EntryDraft
from logbridge.domain.errors import InvalidEntry, InvalidRequest
from logbridge.entrypoints.python.connected import Connected, answer, refused_batch, refused_write
from logbridge.entrypoints.python.drafts import draft_of, drafts_of
from logbridge.entrypoints.python.private_loop import LoopGone
from logbridge.entrypoints.results import batch_result, write_result


class AsyncLogServiceClient(Connected):
    """Writes logs to one log service, over a connection of its own that it opens with its first write.

    address: ``host:port`` or ``grpc://host:port``, or ``grpcs://host:port`` for TLS with LOGBRIDGE_SINK_CA,
    LOGBRIDGE_SINK_CERT and LOGBRIDGE_SINK_CERT_KEY; None takes the sink that the settings name.
    key: what the log service is shown; None takes LOGBRIDGE_SINK_KEY, for that of the settings only.
    sink: any LogSink in place of a connection, for example MemorySink() in a test; it runs in the caller's
    loop (what log() took: in the private one), and closing the client leaves it open.
    timeout_s: seconds that a write may take; None takes LOGBRIDGE_REQUEST_TIMEOUT_S.
    Further settings are those of log(): see BackgroundPolicy, and ``on_drop``.
    Raises InvalidSetting for an address of another form, and with the first write when a setting is wrong;
    ValueError for both an address and a sink, and for a number that makes no sense.
    """

    async def write_log(self, message: str, **fields: Any) -> dict[str, Any]:
        """Write one log; see write_log() of this module."""
        given = fields | {"message": message}
        try:
            draft = draft_of(given)
            outcome = await self._ask(lambda bridge: bridge.write(draft, self._asked))
        except (InvalidEntry, LoopGone) as error:
            return refused_write(given, str(error))
        return answer(write_result(outcome))

    async def batch_write_logs(self, log_entries: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        """Write a batch; see batch_write_logs() of this module."""
        drafts: list[EntryDraft | InvalidEntry] = []
        try:
            drafts = drafts_of(log_entries)
            outcomes = await self._ask(lambda bridge: bridge.write_batch(drafts, self._asked))
        except (InvalidRequest, LoopGone) as error:
            return refused_batch(len(drafts), str(error))
        return answer(batch_result(outcomes))

    async def flush(self, timeout_s: float | None = None) -> bool:
        """Wait until all that was handed to log() before is settled: sent, refused or dropped.

        timeout_s: None for exit_timeout_s. False if that was not enough.
        """
        return await self._without_blocking(self._background.flush, timeout_s)

    async def aclose(self, timeout_s: float | None = None) -> None:
        """Finish the writes that were begun and close the connection. A second call does nothing.

        timeout_s: for what was handed to log(), None for exit_timeout_s; the rest is dropped and counted, and
        whatever is under way is cut off then.
        """
        settled = await self._without_blocking(self._background.close, timeout_s)
        opened = self._taken()
        if opened is not None:
            private, container = opened
            await private.run(private.close(container, None if settled else 0))

    async def _without_blocking(self, wait: Callable[[float | None], bool], timeout_s: float | None) -> bool:
        # Threads cannot be had when the interpreter ends: none for nothing to wait for.
        return await asyncio.to_thread(wait, timeout_s) if self.counts.queued else wait(timeout_s)

    async def __aenter__(self) -> "AsyncLogServiceClient":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


async def write_log(message: str, **fields: Any) -> dict[str, Any]:
    """Write one log to the log service that the settings name, over one connection of the whole process.

    fields: service_name, level, trace_id, span_id, timestamp, log_id, metadata and the business fields mean
    what they mean in REST (docs/rest.md); any other name becomes metadata, and so may any Python value.
    timestamp may be a datetime, level a LogLevel. Nothing that is given is changed.
    Returns ``{"success": bool, "log_id": str, "error_message": str}``; bad input and a log service that
    does not answer are such answers too. Raises InvalidSetting when a setting is wrong.
    """
    return await _process.client().write_log(message, **fields)


async def batch_write_logs(log_entries: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Write a batch of dicts, each with ``message`` and the fields of write_log.

    Returns ``{"total_count", "success_count", "error_count", "errors", "results"}``, one result for every
    entry in order; an entry that is wrong fails alone. Of an empty batch, or one over MAX_BATCH_SIZE,
    nothing is written, and ``errors`` holds the one reason. Raises as write_log.
    """
    return await _process.client().batch_write_logs(log_entries)


class _Process:
    """What the functions share: their client, made with its first use."""

    def __init__(self) -> None:
        self._starting = threading.Lock()
        self._client: AsyncLogServiceClient | None = None

    def client(self) -> AsyncLogServiceClient:
        with self._starting:
            if self._client is None:
                self._client = AsyncLogServiceClient()
            return self._client


_process = _Process()

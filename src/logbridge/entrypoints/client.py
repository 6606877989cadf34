"""The Python surface: write logs from any running loop; the answers are those of the REST contract, as dicts.

Connections live in one private loop (private_loop.py): callers may come from any loop and any thread. A sink
that the caller hands in belongs to the caller's loop and is used there.
"""

import asyncio
import json
import os
import threading
import weakref
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from types import TracebackType
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from logbridge.domain.entry import EntryDraft, LogLevel, classify
from logbridge.domain.errors import InvalidEntry, InvalidRequest, InvalidSetting
from logbridge.domain.outcome import Refused
from logbridge.domain.ports import LogSink
from logbridge.domain.service import LogBridge
from logbridge.domain.timestamp import rfc3339
from logbridge.entrypoints.container import Container, make_container
from logbridge.entrypoints.private_loop import LoopGone, PrivateLoop, private_loop
from logbridge.entrypoints.results import BatchResult, WriteResult, batch_result, write_result
from logbridge.entrypoints.settings import Settings, check_sink_url, load

T = TypeVar("T")
_PLAIN = (str, int, float, bool, type(None))


class AsyncLogServiceClient:
    """Writes logs to one log service, over a connection of its own that it opens with its first write.

    address: ``host:port`` or ``grpc://host:port``, or ``grpcs://host:port`` for TLS with LOGBRIDGE_SINK_CA,
    LOGBRIDGE_SINK_CERT and LOGBRIDGE_SINK_CERT_KEY; None takes the sink that the settings name.
    key: what the log service is shown; None takes LOGBRIDGE_SINK_KEY, for that of the settings only.
    sink: any LogSink in place of a connection, for example MemorySink() in a test; it runs in the caller's
    loop, and closing the client leaves it open.
    Raises InvalidSetting for an address of another form, and with the first write when a setting is wrong;
    ValueError for both an address and a sink.
    """

    def __init__(
        self, address: str | None = None, *, key: str | None = None, sink: LogSink | None = None
    ) -> None:
        if address is not None and sink is not None:
            raise ValueError("give an address or a sink, not both")
        self._sink_url = "" if address is None else _sink_url(address)
        self._key = key
        self._sink = sink
        self._closed = False
        self._opening = threading.Lock()
        self._opened: tuple[PrivateLoop, Container] | None = None
        self._local: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, tuple[LogSink, LogBridge]] = (
            weakref.WeakKeyDictionary()
        )

    async def write_log(self, message: str, **fields: Any) -> dict[str, Any]:
        """Write one log; see write_log() of this module."""
        try:
            draft = _draft(fields | {"message": message})
        except InvalidEntry as error:
            return _answer(WriteResult(False, _given_id(fields), str(error)))
        if self._closed:
            return _answer(WriteResult(False, _given_id(fields), _CLOSED))
        try:
            outcome = await self._begin(lambda bridge: bridge.write(draft))
        except LoopGone as error:
            return _answer(WriteResult(False, _given_id(fields), str(error)))
        return _answer(write_result(outcome))

    async def batch_write_logs(self, log_entries: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        """Write a batch; see batch_write_logs() of this module."""
        try:
            drafts = [_draft_or_error(entry) for entry in log_entries]
        except TypeError as error:
            return _answer(_refused_batch(0, f"$.log_entries: expected a list of dicts: {error}"))
        if self._closed:
            return _answer(_refused_batch(len(drafts), _CLOSED))
        try:
            outcomes = await self._begin(lambda bridge: bridge.write_batch(drafts))
        except (InvalidRequest, LoopGone) as error:
            return _answer(_refused_batch(len(drafts), str(error)))
        return _answer(batch_result(outcomes))

    async def aclose(self) -> None:
        """Finish the writes that were begun and close the connection. A second call does nothing."""
        self._closed = True
        with self._opening:
            opened, self._opened = self._opened, None
        if opened is not None and opened[0].pid == os.getpid():
            private, container = opened
            await private.run(private.close(container))

    async def __aenter__(self) -> "AsyncLogServiceClient":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _begin(self, ask: Callable[[LogBridge], Coroutine[Any, Any, T]]) -> T:
        """Ask the bridge in the loop where it lives. Cancelling the caller does not cancel what is asked."""
        sink = self._sink if self._sink is not None else _process.sink_in_use
        if sink is None:
            private, container = self._open()
            return await private.run(ask(container.bridge()))
        task = asyncio.ensure_future(ask(self._local_bridge(sink)))
        _begun.add(task)
        task.add_done_callback(_begun.discard)
        return await asyncio.shield(task)

    def _local_bridge(self, sink: LogSink) -> LogBridge:
        # One for each loop: the chain counts what is in flight, and such counts are not for several threads.
        loop = asyncio.get_running_loop()
        known = self._local.get(loop)
        if known is None or known[0] is not sink:
            known = sink, make_container(self._settings(), sink).bridge()
            self._local[loop] = known
        return known[1]

    def _open(self) -> tuple[PrivateLoop, Container]:
        private = private_loop()
        with self._opening:
            if self._opened is None:
                container = make_container(self._settings())
                container.bridge()  # made under the lock: providers are not safe in threads
                self._opened = private, container
                private.open_containers.add(container)
                weakref.finalize(self, private.let_go, container).atexit = False
            return self._opened

    def _settings(self) -> Settings:
        # A spool belongs to one bridge: a program that writes here has its answer from the log service.
        settings = replace(load(), ack="delivered", spool="")
        if not self._sink_url:
            return settings if self._key is None else replace(settings, sink_key=self._key)
        # The key of the settings is for the log service of the settings, and shown to no other one.
        own = settings.sink_key if self._sink_url == settings.sink_url else ""
        if self._sink_url.startswith("grpc://"):
            # So are the files.
            settings = replace(settings, sink_ca="", sink_cert="", sink_cert_key="")
        return replace(settings, sink=self._sink_url, sink_key=own if self._key is None else self._key)


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


@contextmanager
def use_sink(sink: LogSink) -> Iterator[LogSink]:
    """Within the ``with`` block every client without a sink of its own writes to ``sink``, in all threads.

    Meant for tests: ``with use_sink(MemorySink()) as sink: ...``. The sink is not closed at the end.
    """
    before, _process.sink_in_use = _process.sink_in_use, sink
    try:
        yield sink
    finally:
        _process.sink_in_use = before


_CLOSED = "this client is closed"
_begun: set[asyncio.Future[Any]] = set()  # the loop itself keeps only weak references to its tasks


def _sink_url(address: str) -> str:
    url = address if "://" in address else f"grpc://{address}"
    try:
        scheme, _ = check_sink_url(url)
    except ValueError:
        scheme = ""
    if scheme not in ("grpc", "grpcs"):
        raise InvalidSetting(
            "address", address, "expected host:port or grpc://host:port, or grpcs:// for TLS"
        )
    return url


def _answer(result: WriteResult | BatchResult) -> dict[str, Any]:
    answer: dict[str, Any] = msgspec.to_builtins(result)
    return answer


def _refused_batch(count: int, reason: str) -> BatchResult:
    """Of a batch that was refused as a whole: every entry failed, and the reason is said once."""
    return replace(batch_result([Refused("", reason)] * count), errors=[reason])


def _given_id(fields: Mapping[str, Any]) -> str:
    log_id = fields.get("log_id")
    return log_id if isinstance(log_id, str) else ""


def _draft_or_error(raw: object) -> EntryDraft | InvalidEntry:
    try:
        return _draft(raw)
    except InvalidEntry as error:
        return error


def _draft(raw: object) -> EntryDraft:
    """A draft that shares nothing with the caller: what the caller changes later is not written."""
    if not isinstance(raw, Mapping):
        return classify(raw)
    plain = {str(name): _plain(value, f"$.{name}") for name, value in raw.items()}
    level = raw.get("level")
    if isinstance(level, LogLevel):
        plain["level"] = level.name
    return classify(plain)


def _plain(value: Any, path: str) -> Any:
    """The value as JSON holds it: times become RFC 3339, what JSON does not know becomes its str()."""
    if type(value) in _PLAIN:
        return value
    try:
        return json.loads(json.dumps(value, ensure_ascii=False, default=_json_value))
    # Whatever a caller's own __str__ raises is about this one entry, and no reason to stop the program.
    except Exception as error:
        reason = f"cannot be written as JSON: {type(error).__name__}: {error}"
        raise InvalidEntry(path, reason) from None


def _json_value(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    return rfc3339(value) if isinstance(value, datetime) else str(value)


class _Process:
    """What the functions share: their client, made with its first use, and the sink of use_sink."""

    def __init__(self) -> None:
        self.sink_in_use: LogSink | None = None
        self._starting = threading.Lock()
        self._client: AsyncLogServiceClient | None = None

    def client(self) -> AsyncLogServiceClient:
        with self._starting:
            if self._client is None:
                self._client = AsyncLogServiceClient()
            return self._client


_process = _Process()

"""What both clients have in common: a connection in the private loop, and logs in the background."""

import asyncio
import os
import threading
import weakref
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, TypeVar, Unpack

import msgspec
from msgspec.structs import replace

from logbridge.domain.entry import classify
from logbridge.domain.errors import InvalidSetting
from logbridge.domain.outcome import Outcome, Refused
from logbridge.domain.policy import Asked
from logbridge.domain.ports import LogSink
from logbridge.domain.service import LogBridge
from logbridge.entrypoints.background.background import Background, BackgroundSettings, Counts
from logbridge.entrypoints.container import Container
from logbridge.entrypoints.python.private_loop import LoopGone, PrivateLoop, private_loop
from logbridge.entrypoints.results import BatchResult, WriteResult, batch_result
from logbridge.entrypoints.settings import GRPC_SINKS, TLS_SINKS, Settings, check_sink_url, load

T = TypeVar("T")
_begun: set[asyncio.Future[Any]] = set()  # the loop itself keeps only weak references to its tasks


class Connected:
    """A client of one log service. Both clients say what its parameters mean."""

    def __init__(
        self,
        address: str | None = None,
        *,
        key: str | None = None,
        sink: LogSink | None = None,
        timeout_s: float | None = None,
        **background: Unpack[BackgroundSettings],
    ) -> None:
        if address is not None and sink is not None:
            raise ValueError("give an address or a sink, not both")
        if timeout_s is not None and not timeout_s > 0:
            raise ValueError(f"timeout_s is {timeout_s}, more than 0 is needed")
        self._sink_url = "" if address is None else _sink_url(address)
        self._key = key
        self._sink = sink
        self._asked = Asked(timeout_s=timeout_s)
        self._closed = False
        self._opening = threading.Lock()
        self._opened: tuple[PrivateLoop, Container] | None = None
        self._local: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, tuple[LogSink, LogBridge]] = (
            weakref.WeakKeyDictionary()
        )
        # begin: the private loop must end after the background at exit, so it starts before.
        self._background = Background(self._send, begin=private_loop, **background)

    def log(self, /, message: str, **fields: Any) -> bool:
        """Hand a log over to be written in the background, in batches; the fields are those of write_log().

        Returns at once and raises nothing. False: it was refused or dropped, which is counted in ``counts``
        and told by the logger ``logbridge.client``.
        """
        return self._background.log(message, **fields)

    @property
    def counts(self) -> Counts:
        """What became of the logs that were handed to log()."""
        return self._background.counts

    def _send(self, entries: list[dict[str, Any]]) -> Sequence[Outcome]:
        """Write what log() took: a given sink is used in the private loop, as there may be no other."""
        return private_loop().wait_for(self._write_pieces(entries), until_exit=True)

    async def _write_pieces(self, entries: list[dict[str, Any]]) -> list[Outcome]:
        sink = self._given_sink()
        bridge = self._open()[1] if sink is None else self._local_bridge(sink)
        drafts = [classify(entry) for entry in entries]
        length = bridge.limits.batch_entries_max
        pieces = [drafts[at : at + length] for at in range(0, len(drafts), length)]
        return [outcome for piece in pieces for outcome in await bridge.write_batch(piece, self._asked)]

    async def _ask(self, ask: Callable[[LogBridge], Coroutine[Any, Any, T]]) -> T:
        """As _begin(). Raises LoopGone after closing."""
        if self._closed:
            raise LoopGone("this client is closed")
        return await self._begin(ask)

    async def _begin(self, ask: Callable[[LogBridge], Coroutine[Any, Any, T]]) -> T:
        """Ask the bridge in the loop where it lives. Cancelling the caller does not cancel what is asked."""
        sink = self._given_sink()
        if sink is None:
            private, bridge = self._open()
            return await private.run(ask(bridge))
        task = asyncio.ensure_future(ask(self._local_bridge(sink)))
        _begun.add(task)
        task.add_done_callback(_begun.discard)
        return await asyncio.shield(task)

    def _given_sink(self) -> LogSink | None:
        return self._sink if self._sink is not None else _InUse.sink

    def _local_bridge(self, sink: LogSink) -> LogBridge:
        # One for each loop: the chain counts what is in flight, and such counts are not for several threads.
        loop = asyncio.get_running_loop()
        known = self._local.get(loop)
        if known is None or known[0] is not sink:
            known = sink, Container(self._settings(), sink).bridge
            self._local[loop] = known
        return known[1]

    def _open(self) -> tuple[PrivateLoop, LogBridge]:
        private = private_loop()
        # Under the lock: two threads must not make the parts of a container twice.
        with self._opening:
            if self._opened is None:
                container = Container(self._settings())
                bridge = container.bridge  # it may raise: then there is nothing to close
                self._opened = private, container
                private.open_containers.add(container)
                weakref.finalize(self, private.let_go, container).atexit = False
                return private, bridge
            private, container = self._opened
            return private, container.bridge

    def _taken(self) -> tuple[PrivateLoop, Container] | None:
        """What is to be closed: nothing in a child after a fork."""
        self._closed = True
        with self._opening:
            opened, self._opened = self._opened, None
        return opened if opened is not None and opened[0].pid == os.getpid() else None

    def _settings(self) -> Settings:
        # A spool belongs to one bridge: a program that writes here has its answer from the log service.
        settings = replace(load(), ack="delivered", spool="")
        if not self._sink_url:
            return settings if self._key is None else replace(settings, sink_key=self._key)
        # The key of the settings is for the log service of the settings, and shown to no other one.
        own = settings.sink_key if self._sink_url == settings.sink_url else ""
        if check_sink_url(self._sink_url)[0] not in TLS_SINKS:
            # So are the files.
            settings = replace(settings, sink_ca="", sink_cert="", sink_cert_key="")
        return replace(settings, sink=self._sink_url, sink_key=own if self._key is None else self._key)


@contextmanager
def use_sink(sink: LogSink) -> Iterator[LogSink]:
    """Within the ``with`` block every client without a sink of its own writes to ``sink``, in all threads.

    Meant for tests: ``with use_sink(MemorySink()) as sink: ...``. The sink is not closed at the end. What was
    handed to log() goes where it is sent to: flush before the block ends.
    """
    before, _InUse.sink = _InUse.sink, sink
    try:
        yield sink
    finally:
        _InUse.sink = before


class _InUse:
    """The sink of use_sink, for the whole process."""

    sink: ClassVar[LogSink | None] = None


def _sink_url(address: str) -> str:
    # str(): where nobody checks types somebody gives a port alone, and is told what an address is.
    url = address if "://" in str(address) else f"grpc://{address}"
    try:
        scheme, _ = check_sink_url(url)
    except ValueError:
        scheme = ""
    if scheme not in GRPC_SINKS:
        raise InvalidSetting(
            "address", address, "expected host:port or grpc://host:port, or grpcs:// for TLS"
        )
    return url


def answer(result: WriteResult | BatchResult) -> dict[str, Any]:
    """The result as the dict that callers get."""
    plain: dict[str, Any] = msgspec.to_builtins(result)
    return plain


def refused_write(fields: Mapping[str, Any], reason: str) -> dict[str, Any]:
    """The answer to a write that did not get as far as to be made."""
    log_id = fields.get("log_id")
    return answer(WriteResult(False, log_id if isinstance(log_id, str) else "", reason))


def refused_batch(count: int, reason: str) -> dict[str, Any]:
    """Of a batch that was refused as a whole: every entry failed, and the reason is said once."""
    return answer(replace(batch_result([Refused("", reason)] * count), errors=[reason]))

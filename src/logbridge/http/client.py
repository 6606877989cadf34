"""The synchronous client: each call takes the steps of Calls, one after the other."""

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self, Unpack

from httpx_sse import EventSource

from logbridge.domain.export import Place
from logbridge.domain.query import LIMIT_DEFAULT
from logbridge.entrypoints.http.schema import Health, LogRecord
from logbridge.entrypoints.http.stats import Stats
from logbridge.http.base import BridgeClient
from logbridge.http.errors import BridgeError
from logbridge.http.following import Following
from logbridge.http.questions import ALL_LOGS, Filters, filter_of, page_of
from logbridge.http.results import BatchResult, Page, StreamResult, WriteResult
from logbridge.http.sending import Sender


class Client(BridgeClient):
    """Talks to a bridge from any thread; a forked process gets connections of its own. Settings:
    BridgeClient.

    Each call raises BridgeError (errors.py) when it found no good answer.
    """

    def write(self, message: str, /, **fields: Any) -> WriteResult:
        """Write one log; fields are those of docs/rest.md, any other name becomes metadata.

        Raises InvalidEntry for what cannot be JSON; OutcomeUnknown, whose log_id is the one to send it again
        with.
        """
        return self._sender.run(self._calls.write(message, fields))

    def write_batch(self, entries: Iterable[Mapping[str, Any]]) -> BatchResult:
        """Write any number of logs, in as many requests as that takes: one result for each, in order.

        Raises what write() raises, if not one was acknowledged and the reason is none of a single log.
        """
        return self._sender.run(self._calls.write_batch(entries))

    def stream(self, entries: Iterable[Mapping[str, Any]]) -> StreamResult:
        """Write logs as they come, in one request and in bounded memory (docs/stream.md).

        It is tried again only until the first log was taken from ``entries``. After OutcomeUnknown send the
        same again only if each log had its own log_id and timestamp. Raises InvalidEntry, too: what came
        before may be written.
        """
        rest = iter(entries)
        return self._sender.run(self._calls.stream(lambda lines: lines.of(rest)))

    def query(self, *, logs_max: int = ALL_LOGS, **filters: Unpack[Filters]) -> Iterator[LogRecord]:
        """Stored logs, newest first, fetched a page at a time as they are wanted.

        A log that was there at the start, and still is, comes once, whatever is written meanwhile.
        """
        place = Place(filter_of(filters), logs_max)
        while place.more:
            yield from self._sender.run(self._calls.next_logs(place))

    def page(self, *, limit: int = LIMIT_DEFAULT, offset: int = 0, **filters: Unpack[Filters]) -> Page:
        """One page of 1 to 1000 logs, and how many match in all."""
        return self._sender.run(self._calls.page(page_of(filter_of(filters), limit, offset)))

    def tail(self, **filters: Unpack[Filters]) -> Iterator[LogRecord]:
        """Logs that come from now on, without end. After a break it goes on behind the last one seen."""
        following = Following(self._calls, filter_of(filters))
        while True:
            broken: BridgeError | None = None
            try:
                with self._sender.opened(following.request()) as response:
                    yield from filter(None, map(following.log_of, EventSource(response).iter_sse()))
            except BridgeError as error:
                broken = error
            self._sender.pause(following.pause_s(broken))

    def health(self) -> Health:
        """Whether the log service answers, asked once; "unhealthy" is an answer, too."""
        return self._sender.run(self._calls.health())

    def stats(self, *, history_s: int = 0) -> Stats:
        """How the bridge is (docs/stats.md). history_s: 0 to 300 seconds of the past, one by one."""
        return self._sender.run(self._calls.stats(history_s))

    def flush(self, timeout_s: float | None = None) -> bool:
        """Wait until what was given to log() before is settled; False if timeout_s was not enough."""
        return self._background.flush(timeout_s)

    def close(self, timeout_s: float | None = None) -> bool:
        """Flush, then end the connections: later calls raise RuntimeError.

        False if logs were dropped for want of time.
        """
        flushed = self._background.close(timeout_s)
        self._beside.close()
        self._sender.close()
        return flushed

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _begin(self, options: dict[str, Any], sleep: Callable[[float], Any] | None) -> None:
        self._sender = Sender(options, sleep)
        weakref.finalize(self, self._sender.close)

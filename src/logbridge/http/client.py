"""The synchronous client."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Unpack

from logbridge.entrypoints.http.schema import Health, LogRecord
from logbridge.entrypoints.http.stats import Stats
from logbridge.http.questions import Filters
from logbridge.http.results import BatchResult, Page, StreamResult, WriteResult


class Client:
    """A bridge at ``base_url``; signatures first, what they do follows."""

    def __init__(self, base_url: str, *, key: str | None = None) -> None:
        raise NotImplementedError

    def write(self, message: str, **fields: Any) -> WriteResult:
        raise NotImplementedError

    def write_batch(self, entries: Iterable[Mapping[str, Any]]) -> BatchResult:
        raise NotImplementedError

    def stream(self, entries: Iterable[Mapping[str, Any]]) -> StreamResult:
        raise NotImplementedError

    def query(self, **filters: Unpack[Filters]) -> Iterator[LogRecord]:
        raise NotImplementedError

    def page(self, *, limit: int = 100, offset: int = 0, **filters: Unpack[Filters]) -> Page:
        raise NotImplementedError

    def tail(self, **filters: Unpack[Filters]) -> Iterator[LogRecord]:
        raise NotImplementedError

    def health(self) -> Health:
        raise NotImplementedError

    def stats(self, *, history_s: int = 0) -> Stats:
        raise NotImplementedError

    def log(self, message: str, **fields: Any) -> bool:
        """Hand a log to the background; returns at once, False when it was dropped."""
        raise NotImplementedError

    def flush(self, *, timeout_s: float = 5.0) -> bool:
        raise NotImplementedError

    def close(self, *, timeout_s: float = 5.0) -> bool:
        raise NotImplementedError

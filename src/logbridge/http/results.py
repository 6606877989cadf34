"""What a call over HTTP answers."""

from msgspec import Struct

from logbridge.entrypoints.http.schema import LogRecord


class WriteResult(Struct, frozen=True):
    """What became of one log.

    log_id: str, the id it is stored under, or to send it again with. spooled: True if it is on the disk of the
    bridge and will be delivered (202); False if the log service has it. error_message: str, empty on success.
    """

    success: bool
    log_id: str
    spooled: bool = False
    error_message: str = ""


class BatchResult(Struct, frozen=True):
    """What became of each log of a batch, in the order given."""

    results: list[WriteResult]

    @property
    def total_count(self) -> int:
        """All logs of the batch."""
        return len(self.results)

    @property
    def success_count(self) -> int:
        """Those that were acknowledged."""
        return sum(result.success for result in self.results)

    @property
    def error_count(self) -> int:
        """Those that were not."""
        return self.total_count - self.success_count

    @property
    def errors(self) -> list[str]:
        """``Entry 5: why``, counted from 0, of those that were not."""
        failed = (pair for pair in enumerate(self.results) if not pair[1].success)
        return [f"Entry {index}: {result.error_message}" for index, result in failed]


class LineError(Struct, frozen=True):
    """A log of a stream that was not written. line: int, counted from 1."""

    line: int
    log_id: str
    error_message: str


class StreamResult(Struct, frozen=True):
    """What became of a stream: errors has the first ones only where truncated says so."""

    total_count: int
    success_count: int
    error_count: int
    errors: list[LineError]
    truncated: bool = False


class Page(Struct, frozen=True):
    """A page of stored logs, newest first. total_count: int, of all that match."""

    logs: list[LogRecord]
    total_count: int

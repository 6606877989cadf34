"""Limits and policies: checked when made, so that a wrong one stops the start; they decide, never wait."""

from msgspec import Struct


def _at_least(minimum: float, **values: float) -> None:
    for name, value in values.items():
        if value < minimum:
            raise ValueError(f"{name} is {value}, at least {minimum} is needed")


class BatchPolicy(Struct, frozen=True):
    """What one message to a log service may hold.

    message_bytes_max: bytes of one gRPC message (grpc servers take 4 MiB unless told otherwise).
    singles_in_flight_max: RPCs at once to a peer that takes no batches.
    """

    message_bytes_max: int = 4 * 1024 * 1024
    singles_in_flight_max: int = 50

    def __post_init__(self) -> None:
        _at_least(1024, message_bytes_max=self.message_bytes_max)
        _at_least(1, singles_in_flight_max=self.singles_in_flight_max)


class RequestLimits(Struct, frozen=True):
    """What one request may ask for.

    batch_entries_max: entries of a batch (MAX_BATCH_SIZE). test_writes_max and test_workers_max: count and
    max_workers of a concurrent test (MAX_CONCURRENT_REQUESTS, MAX_CONCURRENT_WORKERS).
    """

    batch_entries_max: int = 1000
    test_writes_max: int = 10_000
    test_workers_max: int = 50

    def __post_init__(self) -> None:
        _at_least(
            1,
            batch_entries_max=self.batch_entries_max,
            test_writes_max=self.test_writes_max,
            test_workers_max=self.test_workers_max,
        )


class AdmissionPolicy(Struct, frozen=True):
    """How many entries may be in flight at once (MAX_CONCURRENT_REQUESTS), and the wait advised beyond.

    writes_at_once_max: of these, writes under way at the log service; the others wait for their turn.
    """

    entries_max: int = 10_000
    writes_at_once_max: int = 500
    retry_after_s: float = 1.0

    def __post_init__(self) -> None:
        _at_least(1, entries_max=self.entries_max, writes_at_once_max=self.writes_at_once_max)
        _at_least(0, retry_after_s=self.retry_after_s)


class DeadlinePolicy(Struct, frozen=True):
    """How long a write or query may take in all, in seconds."""

    request_s: float = 10.0

    def __post_init__(self) -> None:
        _at_least(0.001, request_s=self.request_s)


class RetentionPolicy(Struct, frozen=True):
    """How long a store keeps logs: so many days, and while they take at most so many bytes; 0 is no bound.

    Age is counted by the log's own time (LOGBRIDGE_STORE_AGE_DAYS_MAX). Over bytes_max
    (LOGBRIDGE_STORE_BYTES_MAX) the logs that were stored first go first.
    """

    age_days_max: int = 0
    bytes_max: int = 0

    def __post_init__(self) -> None:
        _at_least(0, age_days_max=self.age_days_max, bytes_max=self.bytes_max)

    @property
    def keeps_everything(self) -> bool:
        """Whether there is nothing to do, ever."""
        return not self.age_days_max and not self.bytes_max

    def oldest_us(self, now_us: int) -> int | None:
        """The oldest time that is kept, both in microseconds since 1970; None for any."""
        return now_us - self.age_days_max * 86_400_000_000 if self.age_days_max else None

    def excess_bytes(self, used_bytes: int) -> int:
        """Bytes to set free, 0 while the logs are within bytes_max.

        Beyond it a tenth is set free at once, so that the next logs do not need room one by one.
        """
        if not self.bytes_max or used_bytes <= self.bytes_max:
            return 0
        return used_bytes - self.bytes_max * 9 // 10

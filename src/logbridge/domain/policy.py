"""Limits and policies: checked when made, so that a wrong one stops the start; they decide, never wait."""

from msgspec import Struct


def _at_least(minimum: float, **values: float) -> None:
    for name, value in values.items():
        if not value >= minimum:  # a not-a-number, too
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
    """How much may be in flight at once, and the wait advised beyond.

    entries_max: entries (MAX_CONCURRENT_REQUESTS). bytes_max: bytes of their text.
    writes_at_once_max: of these, writes under way at the log service; the others wait for their turn.
    """

    entries_max: int = 10_000
    bytes_max: int = 64 * 1024 * 1024
    writes_at_once_max: int = 500
    retry_after_s: float = 1.0

    def __post_init__(self) -> None:
        _at_least(
            1,
            entries_max=self.entries_max,
            bytes_max=self.bytes_max,
            writes_at_once_max=self.writes_at_once_max,
        )
        _at_least(0, retry_after_s=self.retry_after_s)


class CoalescePolicy(Struct, frozen=True):
    """How single writes become batches.

    batch_entries_max, batch_bytes_max: what goes in one batch; a write of so many entries goes by itself.
    batches_max: batches under way at once. linger_s: the longest that a write waits behind a batch that is
    not answered, as long as there are fewer.
    """

    batch_entries_max: int = 1000
    batch_bytes_max: int = 1024 * 1024
    batches_max: int = 16
    linger_s: float = 0.005

    def __post_init__(self) -> None:
        _at_least(
            1,
            batch_entries_max=self.batch_entries_max,
            batch_bytes_max=self.batch_bytes_max,
            batches_max=self.batches_max,
        )
        _at_least(0.001, linger_s=self.linger_s)


class RetryPolicy(Struct, frozen=True):
    """When to try again: exponential backoff with full jitter, and no longer than the budget.

    budget_s: seconds from the first attempt in which another one may begin. attempt_s_min: with less time
    than this left none begins: it would hardly have its answer, and an entry known not to be written would
    become one that may have been. backoff_first_s, backoff_max_s: the longest pause before the second
    attempt, and before any.
    """

    budget_s: float = 10.0
    attempt_s_min: float = 0.1
    backoff_first_s: float = 0.5
    backoff_factor: float = 2.0
    backoff_max_s: float = 30.0

    def __post_init__(self) -> None:
        _at_least(0.001, budget_s=self.budget_s, backoff_first_s=self.backoff_first_s)
        _at_least(0, attempt_s_min=self.attempt_s_min)
        _at_least(1, backoff_factor=self.backoff_factor)
        _at_least(self.backoff_first_s, backoff_max_s=self.backoff_max_s)

    def pause_s(self, failures: int, jitter: float, asked_s: float = 0.0) -> float:
        """Seconds to wait after so many failures (1 or more).

        jitter: 0 to 1, picked at random by the caller ("full jitter": many clients never come back at once).
        asked_s: what the peer asks for (google.rpc.RetryInfo); the larger of the two counts.
        """
        # Beyond 64 doublings every backoff has long reached its maximum, and a float would overflow.
        longest_s = self.backoff_first_s * self.backoff_factor ** min(failures - 1, 64)
        return max(jitter * min(longest_s, self.backoff_max_s), asked_s)


class BreakerPolicy(Struct, frozen=True):
    """When a peer counts as away, and how it is found back.

    failures_max: failures in a row. trial_first_s, trial_max_s: the pause before the first trial, and the
    longest; each failed trial doubles it. fair_attempt_s: a timeout sooner than this does not count. quiet_s:
    when nobody has written for so long since a trial was due, the peer is asked instead.
    """

    failures_max: int = 5
    trial_first_s: float = 1.0
    trial_max_s: float = 30.0
    fair_attempt_s: float = 1.0
    quiet_s: float = 2.0

    def __post_init__(self) -> None:
        _at_least(1, failures_max=self.failures_max)
        _at_least(0.001, trial_first_s=self.trial_first_s)
        _at_least(self.trial_first_s, trial_max_s=self.trial_max_s)
        _at_least(0, fair_attempt_s=self.fair_attempt_s, quiet_s=self.quiet_s)

    def trial_pause_s(self, trials: int) -> float:
        """Seconds before the next trial, after so many failed ones."""
        return min(self.trial_first_s * 2.0 ** min(trials, 64), self.trial_max_s)


class BalancePolicy(Struct, frozen=True):
    """How several log services are one.

    services_max: how many at most. uncertain_max: entries that are remembered because one of them may have
    them. wait_s: the pause before such an entry is tried again at one that is away.
    """

    services_max: int = 64
    uncertain_max: int = 50_000
    wait_s: float = 1.0

    def __post_init__(self) -> None:
        _at_least(1, services_max=self.services_max, uncertain_max=self.uncertain_max)
        _at_least(0.001, wait_s=self.wait_s)


class SpoolPolicy(Struct, frozen=True):
    """How the spool is emptied.

    batch_entries_max, batch_bytes_max: what goes in one write. parked_batches_max: batches that back off at
    the same time; with so many the drain waits. attempt_s: seconds for one write, its turn included.
    """

    batch_entries_max: int = 1000
    batch_bytes_max: int = 2 * 1024 * 1024
    parked_batches_max: int = 16
    attempt_s: float = 30.0

    def __post_init__(self) -> None:
        _at_least(
            1,
            batch_entries_max=self.batch_entries_max,
            batch_bytes_max=self.batch_bytes_max,
            parked_batches_max=self.parked_batches_max,
        )
        _at_least(0.001, attempt_s=self.attempt_s)


# The least of each number of a BackgroundPolicy.
BACKGROUND_LEAST = {
    "queue_entries_max": 1,
    "queue_bytes_max": 1,
    "batch_entries_max": 1,
    "batch_bytes_max": 1,
    "linger_ms": 0,
    "retry_s": 0.001,
    "exit_timeout_s": 0,
}


class BackgroundPolicy(Struct, frozen=True):
    """How logs that nobody waits for are kept and sent.

    queue_entries_max, queue_bytes_max: what may wait, as JSON; beyond it the newest is dropped.
    batch_entries_max, batch_bytes_max: what goes in one write. linger_ms: milliseconds that a log waits for
    others to go with. retry_s: seconds from the first attempt in which a batch goes again.
    exit_timeout_s: seconds that the end of the program waits for what is left.
    """

    queue_entries_max: int = 10_000
    queue_bytes_max: int = 16 * 1024 * 1024
    batch_entries_max: int = 500
    batch_bytes_max: int = 1024 * 1024
    linger_ms: float = 200.0
    retry_s: float = 60.0
    exit_timeout_s: float = 10.0

    def __post_init__(self) -> None:
        for name, least in BACKGROUND_LEAST.items():
            _at_least(least, **{name: getattr(self, name)})


class QueuePolicy(Struct, frozen=True):
    """Which stream of NATS JetStream is the spool, and how it is made and read.

    servers: host:port each. tls: whether they are spoken to with TLS. replicas: servers that keep each log.
    create: make what is missing. deliver: whether a bridge empties it, too. ack_wait_s: a log that a worker
    is silent about for so long goes to another one. ack_pending_max: logs that all workers together have in
    hand.
    """

    servers: tuple[str, ...]
    tls: bool = False
    stream: str = "logbridge"
    subject: str = "logbridge"
    replicas: int = 1
    create: bool = True
    deliver: bool = True
    ack_wait_s: int = 30
    ack_pending_max: int = 20_000

    @property
    def dead(self) -> str:
        """The stream of dead letters, and its subject."""
        return f"{self.stream}-dead"

    def __post_init__(self) -> None:
        _at_least(1, replicas=self.replicas, ack_pending_max=self.ack_pending_max)
        _at_least(3, ack_wait_s=self.ack_wait_s)


class Asked(Struct, frozen=True):
    """What a caller asks of one write, beside what the settings say.

    durable: an answer as soon as the entry is on the disk here, where there is a spool. timeout_s: seconds
    that the caller waits for the answer. services: the only ones whose logs it may write, empty for any.
    """

    durable: bool = False
    timeout_s: float | None = None
    services: frozenset[str] = frozenset()


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

"""Log services in memory behind real breakers, in simulated time."""

from collections.abc import AsyncGenerator, Sequence

from logbridge.adapters.delivery.breaker import Breaker
from logbridge.adapters.delivery.turns import Turns
from logbridge.adapters.memory import MemorySink
from logbridge.adapters.services.members import Members
from logbridge.adapters.services.peer import Peer
from logbridge.adapters.services.sink import LogServices
from logbridge.domain.entry import LogEntry
from logbridge.domain.errors import ReaderUnavailable
from logbridge.domain.outcome import Cause, Failed, Outcome, Unknown
from logbridge.domain.policy import BalancePolicy, BreakerPolicy
from logbridge.domain.ports import Deadline, SinkHealth
from logbridge.domain.query import Followed, HistogramQuery, LogFilter, LogHistogram, LogPage, LogQuery


class Service(MemorySink):
    """A log service. up: whether it is reached. answer: what it answers in place of storing, None to store.

    loses: it stores, and the answer is lost.
    """

    def __init__(self, address: str) -> None:
        super().__init__()
        self.address = address
        self.up = True
        self.answer: Outcome | None = None
        self.loses = False
        self.honours: bool | None = True
        self.writes = 0

    async def write(self, entries: Sequence[LogEntry], *, deadline: Deadline) -> Sequence[Outcome]:
        self.writes += 1
        if not self.up:
            return [Failed(entry.id, f"{self.address}: nothing listens there") for entry in entries]
        if self.answer is not None:
            return [self.answer] * len(entries)
        stored = await super().write(entries, deadline=deadline)
        if self.loses:
            return [
                Unknown(entry.id, "the connection broke", Cause.NO_ANSWER, may_go_again=True)
                for entry in entries
            ]
        return stored

    async def check(self) -> SinkHealth:
        return SinkHealth(self.up, f"{self.address}: {'serving' if self.up else 'nothing listens there'}")

    async def honours_ids(self, *, deadline: Deadline) -> bool | None:
        return self.honours if self.up else None

    def _check_up(self) -> None:
        if not self.up:
            raise ReaderUnavailable(f"{self.address}: nothing listens there")

    async def query(self, query: LogQuery, *, deadline: Deadline) -> LogPage:
        self._check_up()
        return await super().query(query, deadline=deadline)

    async def histogram(self, query: HistogramQuery, *, deadline: Deadline) -> LogHistogram:
        self._check_up()
        return await super().histogram(query, deadline=deadline)

    async def follow(self, which: LogFilter, *, after: int | None = None) -> AsyncGenerator[Followed, None]:
        self._check_up()
        async for followed in super().follow(which, after=after):
            yield followed


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def joined(service: Service, clock: Clock) -> Peer:
    """One of several, as the container makes it."""
    breaker = Breaker(service, BreakerPolicy(), clock)
    turns = Turns(breaker, 100, clock)
    return Peer(service.address, turns, breaker, service, turns.cut)


def together(services: Sequence[Service], clock: Clock) -> LogServices:
    """All of them as one sink."""
    by_address = {service.address: service for service in services}
    members = Members([*by_address], lambda address: joined(by_address[address], clock))
    return LogServices(members, BalancePolicy(), clock)


def three() -> tuple[list[Service], Clock, LogServices]:
    """Three of them, the clock, and the sink over all."""
    services, clock = [Service(f"{name}:1") for name in "abc"], Clock()
    return services, clock, together(services, clock)

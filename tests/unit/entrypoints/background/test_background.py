"""Background: the queue, the batches, the retries and the counts, with a log service of a few lines."""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logbridge.domain.errors import LogbridgeError
from logbridge.domain.outcome import Accepted, Failed, Outcome, Refused, Unknown
from logbridge.domain.timestamp import epoch_us
from logbridge.entrypoints.background.background import Background, Counts
from logbridge.entrypoints.background.sending import Clock

WAIT_S = 30.0
Entry = dict[str, Any]
Answer = Callable[[Entry], Outcome]


def accept(entry: Entry) -> Outcome:
    return Accepted(entry["log_id"])


def refuse(entry: Entry) -> Outcome:
    return Refused(entry["log_id"], "never")


def fail(entry: Entry) -> Outcome:
    return Failed(entry["log_id"], "away")


def lose(entry: Entry) -> Outcome:
    return Unknown(entry["log_id"], "broke off")


class Service:
    """Answers the first batches as the script says, one step for each, and accepts the others."""

    def __init__(self, *script: Answer) -> None:
        self.batches: list[list[Entry]] = []
        self.accepted: list[str] = []
        self._script = iter(script)

    def __call__(self, entries: list[Entry]) -> Sequence[Outcome]:
        self.batches.append(entries)
        outcomes = list(map(next(self._script, accept), entries))
        self.accepted += [each.log_id for each in outcomes if isinstance(each, Accepted)]
        return outcomes

    @property
    def messages(self) -> list[list[str]]:
        return [[entry["message"] for entry in batch] for batch in self.batches]


class Held(Service):
    """A service whose first answer comes once it is let go."""

    def __init__(self, *script: Answer) -> None:
        super().__init__(*script)
        self.begun: SimpleQueue[None] = SimpleQueue()
        self._go: SimpleQueue[None] = SimpleQueue()

    def __call__(self, entries: list[Entry]) -> Sequence[Outcome]:
        if not self.batches:
            self.begun.put(None)
            self._go.get(timeout=WAIT_S)
        return super().__call__(entries)

    def let_go(self) -> None:
        self._go.put(None)


class Time:
    """Passes only in pauses."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.pauses: list[float] = []

    def pause(self, pause_s: float) -> None:
        self.pauses.append(pause_s)
        self.now_s += pause_s

    @property
    def clock(self) -> Clock:
        return Clock(lambda: self.now_s, lambda: 1.0, self.pause)


@pytest.fixture
def begin() -> Iterator[Callable[..., Background]]:
    """Makes a Background that is closed at the end."""
    made: list[Background] = []

    def make(send: Callable[[list[Entry]], Sequence[Outcome]], **settings: Any) -> Background:
        made.append(Background(send, **{"linger_ms": 0, **settings}))
        return made[-1]

    yield make
    for background in made:
        background.close(WAIT_S)


Begin = Callable[..., Background]


def test_a_log_goes_with_its_id_and_its_time(begin: Begin) -> None:
    """Each has a log_id and an RFC 3339 timestamp of the moment of log(); what the caller gave is kept."""
    service = Service()
    background = begin(service)
    assert background.log("one", level="warn", user={"id": 7})
    assert background.log("two", log_id="mine", timestamp="2024-08-30T10:30:45Z")
    assert background.flush(WAIT_S)
    one, two = [entry for batch in service.batches for entry in batch]
    assert (one["message"], one["level"], one["user"]) == ("one", "warn", {"id": 7})
    assert one["log_id"][14] == "7"
    assert epoch_us(one["timestamp"])
    assert (two["log_id"], two["timestamp"]) == ("mine", "2024-08-30T10:30:45Z")
    assert background.counts == Counts(sent=2)


def test_what_the_caller_changes_later_is_not_sent(begin: Begin) -> None:
    """log() takes the fields as they are when it is called."""
    service = Held()
    background = begin(service)
    given = {"a": [1]}
    background.log("m", metadata=given)
    given["a"].append(2)
    service.let_go()
    assert background.flush(WAIT_S)
    assert service.batches[0][0]["metadata"] == {"a": [1]}


def test_batches_are_as_large_as_the_settings_allow(begin: Begin) -> None:
    """What came meanwhile goes together, up to batch_entries_max."""
    service = Held()
    background = begin(service, batch_entries_max=3)
    background.log("0")
    service.begun.get(timeout=WAIT_S)
    for number in range(1, 8):
        background.log(str(number))
    service.let_go()
    assert background.flush(WAIT_S)
    assert service.messages == [["0"], ["1", "2", "3"], ["4", "5", "6"], ["7"]]


def test_a_batch_ends_at_its_bytes(begin: Begin) -> None:
    """batch_bytes_max bounds a batch; a log that is larger by itself goes alone."""
    service = Held()
    background = begin(service, batch_bytes_max=500)
    background.log("0")
    service.begun.get(timeout=WAIT_S)
    for message in ("1" * 100, "2" * 100, "3" * 600, "4"):
        background.log(message)
    service.let_go()
    assert background.flush(WAIT_S)
    assert [[message[0] for message in batch] for batch in service.messages] == [
        ["0"],
        ["1", "2"],
        ["3"],
        ["4"],
    ]


def test_a_log_lingers_for_others_until_a_flush(begin: Begin) -> None:
    """With an hour of linger nothing goes by itself; flush sends what is there, at once and together."""
    service = Service()
    background = begin(service, linger_ms=3_600_000)
    for number in range(3):
        background.log(str(number))
    assert background.counts.queued == 3
    assert background.flush(WAIT_S)
    assert service.messages == [["0", "1", "2"]]


def test_a_full_batch_does_not_linger(begin: Begin) -> None:
    """batch_entries_max logs go without a flush, however long the linger."""
    service = Held()
    background = begin(service, linger_ms=3_600_000, batch_entries_max=2)
    background.log("0")
    background.log("1")
    service.begun.get(timeout=WAIT_S)
    service.let_go()
    assert background.flush(WAIT_S)
    assert service.messages == [["0", "1"]]


def test_a_full_queue_drops_the_newest(begin: Begin) -> None:
    """Beyond queue_entries_max log() answers False and counts; what was there before is sent."""
    service = Held()
    background = begin(service, queue_entries_max=3)
    assert background.log("0")
    service.begun.get(timeout=WAIT_S)
    assert [background.log(str(number)) for number in range(1, 6)] == [True, True, False, False, False]
    assert background.counts == Counts(3, 0, 0, 3, "the queue is full: queue_entries_max=3")
    service.let_go()
    assert background.flush(WAIT_S)
    assert service.messages == [["0"], ["1", "2"]]


def test_a_queue_is_full_by_bytes_too(begin: Begin) -> None:
    """Beyond queue_bytes_max a log is dropped; a small one still has room."""
    service = Held()
    background = begin(service, queue_bytes_max=1000)
    assert background.log("0")
    assert not background.log("x" * 1000)
    assert "queue_bytes_max=1000" in background.counts.last_error
    assert background.log("2")
    service.let_go()
    assert background.flush(WAIT_S)
    assert background.log("x" * 700)  # the room is free again


def test_a_blocked_service_does_not_block_log(begin: Begin) -> None:
    """While send hangs, log() and counts answer, and a flush that is not waited for says so."""
    service = Held()
    background = begin(service)
    background.log("0")
    service.begun.get(timeout=WAIT_S)
    assert all(background.log("m") for _ in range(1000))
    assert background.counts.queued == 1001
    assert not background.flush(0)
    assert not background.flush(0)
    service.let_go()
    assert background.flush(WAIT_S)
    assert background.counts == Counts(sent=1001)


class Unprintable:
    def __str__(self) -> str:
        raise ZeroDivisionError


DEEP: list[Any] = []
DEEP.append(DEEP)


@pytest.mark.parametrize(
    ("message", "fields", "reason"),
    [
        ("", {}, "$.message"),
        (None, {}, "$.message"),
        ("m", {"adv_id": "seven"}, "$.adv_id"),
        ("m", {"level": 3}, "$.level"),
        ("m", {"x": Unprintable()}, "ZeroDivisionError"),
        ("half \ud800", {}, "UnicodeEncodeError"),
        ("m", {"x": DEEP}, "$.x"),
        ("m", {"x": 10**5000}, "ValueError"),
        ("", {"message": "m"}, "$.message"),
    ],
)
def test_a_bad_log_is_refused_and_raises_nothing(
    begin: Begin, message: Any, fields: dict[str, Any], reason: str
) -> None:
    """Whatever is wrong with a log, it is False, counted as refused, with the reason."""
    told: SimpleQueue[tuple[int, str]] = SimpleQueue()
    background = begin(Service(), on_drop=lambda count, why: told.put((count, why)))
    assert not background.log(message, **fields)
    assert background.counts.refused == 1
    assert reason in background.counts.last_error
    assert told.get(timeout=WAIT_S) == (1, background.counts.last_error)


def test_a_field_may_have_any_name(begin: Begin) -> None:
    """Also that of a parameter of ours."""
    service = Service()
    background = begin(service)
    assert background.log("m", self=1, fields=2, timeout_s=3)
    assert background.flush(WAIT_S)
    assert service.batches[0][0]["self"] == 1


def test_only_what_failed_goes_again(begin: Begin) -> None:
    """Accepted and refused logs are settled; failed and unknown ones go again, with the id they had."""
    answers = {"a": accept, "r": refuse, "f": fail, "u": lose}
    service = Held(accept, lambda entry: answers[entry["message"]](entry))
    background = begin(service, clock=Time().clock)
    background.log("0")
    service.begun.get(timeout=WAIT_S)
    for message in answers:
        background.log(message)
    service.let_go()
    assert background.flush(WAIT_S)
    assert service.messages == [["0"], ["a", "r", "f", "u"], ["f", "u"]]
    assert [entry["log_id"] for entry in service.batches[2]] == [
        entry["log_id"] for entry in service.batches[1][2:]
    ]
    assert background.counts == Counts(0, 4, 1, 0, "never")


def test_pauses_grow_and_end_with_the_budget(begin: Begin) -> None:
    """Backoff doubles up to BACKOFF_MAX_S; the last attempt is at retry_s, and then the batch is dropped."""
    time = Time()
    service = Service(*[fail] * 100)
    background = begin(service, clock=time.clock, retry_s=20)
    background.log("m")
    assert background.flush(WAIT_S)
    assert time.pauses == [0.5, 1, 2, 4, 5, 5, 2.5]
    assert background.counts == Counts(0, 0, 0, 1, "given up after 8 attempts: away")


def test_the_queue_fills_up_while_a_batch_goes_again(begin: Begin) -> None:
    """What comes during the retries waits, and goes after them, with a budget of its own."""
    time = Time()
    background: Background

    def send(entries: list[Entry]) -> Sequence[Outcome]:
        return service(entries)

    def fail_and_log(entry: Entry) -> Outcome:
        thread = threading.Thread(target=background.log, args=("later",))
        thread.start()
        thread.join()
        return fail(entry)

    service = Service(fail_and_log, *[fail] * 3)
    background = begin(send, clock=time.clock, retry_s=2)
    background.log("first")
    assert background.flush(WAIT_S)
    assert background.flush(WAIT_S)
    assert service.messages == [["first"]] * 4 + [["later"]]
    assert background.counts == Counts(0, 1, 0, 1, "given up after 4 attempts: away")


def test_what_the_service_asks_for_is_honoured(begin: Begin) -> None:
    """The next attempt does not come before retry_after_s."""
    time = Time()
    background = begin(Service(lambda entry: Failed("", "busy", retry_after_s=7)), clock=time.clock)
    background.log("m")
    assert background.flush(WAIT_S)
    assert time.pauses == [7]
    assert background.counts.sent == 1


def test_a_wait_beyond_the_budget_holds_for_the_next_batch(begin: Begin) -> None:
    """Asked to stay away beyond retry_s, the batch is dropped, and the next waits, retry_s at most."""
    time = Time()
    background = begin(
        Service(lambda entry: Failed("", "busy", retry_after_s=86_400)), clock=time.clock, retry_s=10
    )
    background.log("dropped")
    assert background.flush(WAIT_S)
    background.log("sent")
    assert background.flush(WAIT_S)
    assert time.pauses == [10]
    assert background.counts == Counts(0, 1, 0, 1, "given up after 1 attempts: busy")


def test_a_fault_of_send_is_an_unknown_outcome(begin: Begin) -> None:
    """An exception, and an answer of another length, are no end: the batch goes again."""
    answers: Iterator[Any] = iter([ZeroDivisionError("oops"), []])

    def send(entries: list[Entry]) -> Sequence[Outcome]:
        answer = next(answers, None)
        if isinstance(answer, Exception):
            raise answer
        return [accept(entry) for entry in entries] if answer is None else answer

    background = begin(send, clock=Time().clock)
    background.log("m")
    assert background.flush(WAIT_S)
    assert background.counts == Counts(0, 1, 0, 0, "0 answers came for 1 logs")


def test_where_nothing_can_go_out_logs_are_dropped_at_once(begin: Begin) -> None:
    """A LogbridgeError of send ends the batch with its words, without another attempt."""
    time = Time()

    def send(entries: list[Entry]) -> Sequence[Outcome]:
        raise LogbridgeError("forked too late")

    background = begin(send, clock=time.clock)
    background.log("m")
    assert background.flush(WAIT_S)
    assert time.pauses == []
    assert background.counts == Counts(0, 0, 0, 1, "forked too late")


def test_closing_ends_a_pause_and_tries_once_more(begin: Begin) -> None:
    """A long retry-after does not keep close() waiting: what waits goes now."""
    asked: SimpleQueue[None] = SimpleQueue()

    def busy(entry: Entry) -> Outcome:
        asked.put(None)
        return Failed("", "busy", retry_after_s=50)

    background = begin(Service(busy))
    background.log("m")
    asked.get(timeout=WAIT_S)
    assert background.close(WAIT_S)
    assert background.counts == Counts(0, 1, 0, 0, "busy")


def test_closing_is_bounded_and_says_what_is_lost(begin: Begin, caplog: pytest.LogCaptureFixture) -> None:
    """What is not acknowledged in time is dropped, counted and told in one line, and stays dropped."""
    service = Held()
    background = begin(service)
    background.log("0")
    service.begun.get(timeout=WAIT_S)
    background.log("1")
    with caplog.at_level(logging.WARNING, "logbridge.client"):
        assert not background.close(0)
    reason = "not acknowledged within the 0 s that closing may take"
    assert background.counts == Counts(0, 0, 0, 2, reason)
    (record,) = caplog.records
    assert record.getMessage() == f"logs lost: 2, 2 since the start; last reason: {reason!r}"
    service.let_go()
    assert background.close(0)
    assert background.counts == Counts(0, 0, 0, 2, reason)


def test_what_closing_loses_has_the_error_before(begin: Begin) -> None:
    """Why logs waited until there was no time left, such as a wrong key, is part of the reason."""
    asked: SimpleQueue[None] = SimpleQueue()

    def keyless(entries: list[Entry]) -> list[Outcome]:
        asked.put(None)
        return [Failed("", "HTTP 401: this key is unknown")] * len(entries)

    background = begin(keyless, clock=Clock(time.monotonic, lambda: 0.0))
    background.log("m")
    asked.get(timeout=WAIT_S)
    asked.get(timeout=WAIT_S)  # the second attempt comes after the first is settled
    background.close(0)
    assert background.counts.dropped == 1
    assert "HTTP 401: this key is unknown" in background.counts.last_error


def test_after_closing_logs_are_dropped_and_told(begin: Begin, caplog: pytest.LogCaptureFixture) -> None:
    """A log to a closed client is False, counted, and told though no thread runs any more."""
    background = begin(Service())
    assert background.close()
    with caplog.at_level(logging.WARNING, "logbridge.client"):
        assert not background.log("late")
    assert background.counts.dropped == 1
    assert "after the client was closed" in caplog.text


def test_losses_are_told_by_a_logger_that_a_configuration_disabled(
    begin: Begin, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """dictConfig does that to all that are there before it, and a loss must not be silent for it."""
    background = begin(Held())
    background.close(timeout_s=0)
    monkeypatch.setattr(logging.getLogger("logbridge.client"), "disabled", True)
    with caplog.at_level(logging.WARNING, "logbridge.client"):
        background.log("late")
    assert "logs lost: 1, " in caplog.text


def test_losses_are_told_in_one_line_each_30_s(begin: Begin, caplog: pytest.LogCaptureFixture) -> None:
    """The first loss is told at once, further ones together, and closing tells the rest."""
    time = Time()
    told: list[int] = []
    background = begin(Service(), clock=time.clock, on_drop=lambda count, why: told.append(count))
    with caplog.at_level(logging.WARNING, "logbridge.client"):
        for _ in range(3):
            background.log("")
            background.log("good")
            assert background.flush(WAIT_S)
        time.now_s += 30
        background.log("good")
        assert background.flush(WAIT_S)
        background.log("")
        background.close(WAIT_S)
    numbers = [record.getMessage().split(";")[0] for record in caplog.records]
    assert numbers[0] == "logs lost: 1, 1 since the start"
    assert numbers[-1].endswith(", 4 since the start")
    assert len(numbers) == 3
    assert sum(told) == 4


def test_a_broken_on_drop_is_told_and_harms_nothing(begin: Begin, caplog: pytest.LogCaptureFixture) -> None:
    """What on_drop raises is logged, and sending goes on."""

    def broken(count: int, reason: str) -> None:
        raise ZeroDivisionError

    background = begin(Service(), on_drop=broken)
    background.log("")
    background.log("good")
    assert background.close(WAIT_S)
    assert background.counts.sent == 1
    assert "on_drop failed" in caplog.text


def test_on_drop_may_log_and_cannot_wait_for_itself(begin: Begin) -> None:
    """In the thread that sends log() works; flush() and close() answer False instead of waiting for ever."""
    answers: SimpleQueue[bool] = SimpleQueue()

    def on_drop(count: int, reason: str) -> None:
        answers.put(background.log("from on_drop"))
        answers.put(background.flush(WAIT_S))

    background = begin(Service(), on_drop=on_drop)
    background.log("")
    assert [answers.get(timeout=WAIT_S), answers.get(timeout=WAIT_S)] == [True, False]
    assert background.close(WAIT_S)
    assert background.counts == Counts(0, 1, 1, 0, background.counts.last_error)


def test_what_sending_logs_is_not_sent(begin: Begin) -> None:
    """A log of send itself would make the next batch, and that another: it is not taken."""
    taken: list[bool] = []

    def send(entries: list[Entry]) -> Sequence[Outcome]:
        taken.append(background.log("sending"))
        return [accept(entry) for entry in entries]

    background = begin(send)
    background.log("m")
    assert background.close(WAIT_S)
    assert taken == [False]
    assert background.counts == Counts(sent=1)


def test_a_signal_handler_may_log(begin: Begin) -> None:
    """A handler that interrupts log() in the same thread logs as well; nothing hangs, nothing is lost."""
    background = begin(Service(), queue_entries_max=1_000_000)
    seen: list[bool] = []
    before = signal.signal(signal.SIGALRM, lambda *_: seen.append(background.log("from a handler")))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
        logged = 0
        while len(seen) < 50:
            assert background.log("m")
            logged += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert background.close(WAIT_S)
    assert background.counts == Counts(sent=logged + len(seen))


def test_a_finaliser_may_log(begin: Begin) -> None:
    """A __del__ that runs in the middle of anything logs without waiting for a lock."""
    background = begin(Service())

    class Dying:
        def __del__(self) -> None:
            background.log("dying")

    for _ in range(100):
        background.log("m", x=Dying())
    assert background.close(WAIT_S)
    assert background.counts.sent == 200


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_starts_empty_with_a_thread_of_its_own(begin: Begin) -> None:
    """After a fork what waits stays the parent's; the child sends what it logs itself."""
    service = Held()
    background = begin(service)
    background.log("parent's")
    service.begun.get(timeout=WAIT_S)
    background.log("parent's too")
    child = os.fork()
    if not child:
        service.let_go()
        sent = background.counts == Counts() and background.log("child's") and background.flush(WAIT_S)
        os._exit(0 if sent and service.messages[-1] == ["child's"] and background.counts.sent == 1 else 1)
    assert os.waitpid(child, 0)[1] == 0
    service.let_go()
    assert background.flush(WAIT_S)
    assert background.counts == Counts(sent=2)


def test_without_a_thread_logs_are_dropped_and_told(
    begin: Begin, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where no thread can be started, log() is False and says so; the next log tries again."""

    def none_left() -> None:
        raise RuntimeError("can't start new thread")

    background = begin(Service(), begin=lambda: trouble and none_left())
    trouble = True
    assert not background.log("m")
    assert "no thread can be started" in caplog.text
    trouble = False
    assert background.log("m")
    assert background.flush(WAIT_S)
    assert background.counts.sent == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"queue_entries_max": 0},
        {"queue_bytes_max": 0},
        {"batch_entries_max": 0},
        {"batch_bytes_max": 0},
        {"linger_ms": -1},
        {"retry_s": 0},
        {"exit_timeout_s": -1},
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    """It is named when the client is made."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Background(Service(), **wrong)


STEPS = st.sampled_from(("log", "log", "log", "bad", "large", "flush"))


@settings(max_examples=60)
@given(
    steps=st.lists(STEPS, max_size=40),
    script=st.lists(st.sampled_from((accept, refuse, fail, lose)), max_size=20),
    batch_entries_max=st.integers(1, 4),
    queue_entries_max=st.integers(1, 8),
    threads=st.integers(1, 3),
)
def test_whatever_comes_the_counts_add_up(
    steps: list[str],
    script: list[Answer],
    batch_entries_max: int,
    queue_entries_max: int,
    threads: int,
) -> None:
    """For any order of logs, answers and threads: what is handed over is sent, refused or dropped, and only
    one of these; what counts as sent was accepted exactly once.
    """
    service = Service(*script)
    background = Background(
        service,
        clock=Time().clock,
        linger_ms=0,
        retry_s=2,
        batch_entries_max=batch_entries_max,
        queue_entries_max=queue_entries_max,
        queue_bytes_max=4000,
    )
    taken: SimpleQueue[bool] = SimpleQueue()

    def work() -> None:
        for step in steps:
            if step == "flush":
                background.flush(WAIT_S)
            else:
                taken.put(background.log({"log": "m", "bad": "", "large": "x" * 5000}[step]))

    logging.getLogger("logbridge.client").disabled = True
    try:
        workers = [threading.Thread(target=work) for _ in range(threads)]
        for each in workers:
            each.start()
        for each in workers:
            each.join()
        assert background.close(WAIT_S)
    finally:
        logging.getLogger("logbridge.client").disabled = False
    counts = background.counts
    assert counts.queued == 0
    assert counts.sent + counts.refused + counts.dropped == taken.qsize()
    assert counts.sent == len(service.accepted) == len(set(service.accepted))

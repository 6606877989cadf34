import signal
import threading

import pytest
import uvicorn

from logbridge.entrypoints.http.workers import SignalledEvent, Worker
from logbridge.entrypoints.settings import Settings


def test_a_signal_wakes_who_waits() -> None:
    """A handler that runs in the middle of a wait ends it; set once, the event stays set."""
    event = SignalledEvent()
    before = signal.signal(signal.SIGUSR1, lambda *_: event.set())
    waits = threading.main_thread().ident
    assert waits
    sender = threading.Thread(target=signal.pthread_kill, args=(waits, signal.SIGUSR1))
    try:
        sender.start()
        assert event.wait(30)
    finally:
        sender.join()
        signal.signal(signal.SIGUSR1, before)
    assert event.is_set()
    assert event.wait(0)


def test_a_wait_without_a_signal_ends() -> None:
    """After its time a wait says that the event is not set."""
    assert not SignalledEvent().wait(0.001)


def test_a_worker_has_time_to_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    """While it loads its modules it counts as alive without an answer; once it has begun it must answer."""
    worker = Worker(uvicorn.Config("no:app"), [], Settings(), 0, inherited=False)
    assert not worker.is_alive(0)
    monkeypatch.setattr(worker.process, "is_alive", lambda: True)
    assert worker.is_alive(0)
    worker.child_conn.send(True)
    assert not worker.is_alive(0)
    worker.pong()
    assert worker.is_alive(0)

import signal
import threading

from logbridge.entrypoints.http.workers import SignalledEvent


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

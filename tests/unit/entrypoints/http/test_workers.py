import signal
from multiprocessing.connection import wait

from logbridge.entrypoints.http.workers import Signals


def test_a_signal_wakes_who_waits() -> None:
    """What a handler notes can be waited for, comes in its order, and comes once."""
    signals = Signals()
    before = signal.signal(signal.SIGUSR1, lambda number, _: signals.note(number))
    try:
        assert not wait([signals.file], 0)
        signal.raise_signal(signal.SIGUSR1)
        assert wait([signals.file], 30)
    finally:
        signal.signal(signal.SIGUSR1, before)
    signals.note(signal.SIGHUP)
    assert signals.take() == [signal.SIGUSR1, signal.SIGHUP]
    assert signals.take() == []


def test_more_signals_than_anybody_hears_block_nobody() -> None:
    """A handler must return, however many came before it."""
    signals = Signals()
    for _ in range(100_000):
        signals.note(signal.SIGHUP)
    assert signals.take()

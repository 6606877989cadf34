"""Simulated time: an event loop whose clock jumps to the next timer as soon as nothing else is to be done.

What takes minutes takes milliseconds, and always the same way. Only for code without real I/O or threads.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _JumpingSelector(selectors.SelectSelector):
    """Never waits: the time that it should wait passes at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 1000.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("everything waits for something that will never come")
        if not ready:
            self.now_s += timeout or 0.0
        return ready


class SimulatedLoop(asyncio.SelectorEventLoop):
    """A loop with a clock of its own: pass ``loop.time`` as the monotonic clock."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now_s

    def work(self, seconds: float) -> None:
        """See busy_for."""
        self._jumping.now_s += seconds


def run_simulated(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in simulated time."""
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        return runner.run(work)


def now_s() -> float:
    """The clock of the running loop, in seconds."""
    return asyncio.get_running_loop().time()


def busy_for(seconds: float) -> None:
    """Let time pass for the running loop as if this callback had worked so long."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimulatedLoop)
    loop.work(seconds)

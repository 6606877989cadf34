"""Several processes behind one listener: uvicorn's supervisor, with workers that drain."""

import multiprocessing
import os
import queue
import signal
import socket
import threading
from types import FrameType

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess, multiprocess

from logbridge.entrypoints.http.draining import RETIRE, STOPS, DrainingServer
from logbridge.entrypoints.process import end_at_once, end_with_parent
from logbridge.entrypoints.settings import Settings


class Worker(multiprocess.Process):
    """One process. Only the supervisor ends it at once, with SIGKILL.

    A further signal is nothing to it: service managers and terminals signal every process of a group, and
    the supervisor passes its signal on as well.
    """

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket], settings: Settings) -> None:
        self._settings = settings
        super().__init__(config, sockets)

    def target(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve, in the process of its own."""
        end_with_parent(RETIRE)
        parent = multiprocessing.parent_process()
        if parent is not None and parent.pid != os.getppid():
            return  # it died while this process started
        self._server = DrainingServer(self.config, self._settings, again=lambda _: None)
        super().target(sockets)

    def send(self, number: int) -> None:
        """Send a signal, unless it has ended or never started."""
        if self.pid is not None and self.exitcode is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Retire it: the others serve on behind the same listener."""
        self.send(RETIRE)
        self.parent_conn.close()
        self.child_conn.close()


class Workers(Multiprocess):
    """The supervisor. A stop is passed on and waited for; a second one ends all of them at once."""

    def __init__(self, config: uvicorn.Config, listener: socket.socket, settings: Settings) -> None:
        super().__init__(config, [listener])
        self.should_exit = SignalledEvent()
        self._settings = settings
        self._made: list[Worker] = []
        self._stopped = False
        for number in STOPS:
            signal.signal(number, self._stop)
        # uvicorn makes its workers by this name, and has no other way to say of which class they are.
        multiprocess.Process = self._make  # type: ignore[assignment,misc]  # it is only ever called

    def serve(self) -> int:
        """Run until stopped; the exit code of the program: 0, or uvicorn's own if a worker cannot start."""
        self.run()
        return 0 if self._stopped else STARTUP_FAILURE

    def terminate_all(self) -> None:
        """uvicorn's, and the parent lets go of the listener: it is closed once the last worker closes it."""
        for listener in self.sockets:
            listener.close()
        super().terminate_all()

    def _make(self, config: uvicorn.Config, sockets: list[socket.socket]) -> Worker:
        self._made = [worker for worker in self._made if worker.exitcode is None]
        self._made.append(Worker(config, sockets, self._settings))
        return self._made[-1]

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        again = self._stopped
        self._stopped = True
        for worker in self._made:
            worker.send(signal.SIGKILL if again else number)
        if again:
            end_at_once(number)
        self.should_exit.set()


class SignalledEvent(threading.Event):
    """An event that a signal's handler may set.

    threading's own may not: its lock may be held by the very code that the handler interrupts.
    """

    def __init__(self) -> None:
        super().__init__()
        self._is_set = False
        self._wakes: queue.SimpleQueue[None] = queue.SimpleQueue()

    def is_set(self) -> bool:
        """See threading.Event."""
        return self._is_set

    def set(self) -> None:
        """See threading.Event."""
        self._is_set = True
        self._wakes.put(None)

    def wait(self, timeout: float | None = None) -> bool:
        """See threading.Event; for one thread."""
        if not self._is_set:
            try:
                self._wakes.get(timeout=timeout)
            except queue.Empty:
                return False
        return True

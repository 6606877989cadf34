"""Several processes behind one listener: uvicorn's supervisor, with workers that drain."""

import multiprocessing
import os
import shutil
import signal
import socket
import threading
from multiprocessing.connection import wait
from pathlib import Path
from types import FrameType

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess, multiprocess

from logbridge.entrypoints.board import bury
from logbridge.entrypoints.http.draining import RETIRE, STOPS, DrainingServer
from logbridge.entrypoints.process import end_at_once, end_with_parent
from logbridge.entrypoints.service_manager import STOPPING, tell_manager
from logbridge.entrypoints.settings import Settings


class Worker(multiprocess.Process):
    """One process. Only the supervisor ends it at once, with SIGKILL.

    A further signal is nothing to it: service managers and terminals signal every process of a group, and
    the supervisor passes its signal on as well.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        sockets: list[socket.socket],
        settings: Settings,
        stop_file: int,
        *,
        inherited: bool,
    ) -> None:
        self._settings = settings
        self._stop_file = stop_file
        self._inherited = inherited
        self._begun = False
        super().__init__(config, sockets)

    def target(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve, in the process of its own."""
        end_with_parent(RETIRE)
        parent = multiprocessing.parent_process()
        if parent is not None and parent.pid != os.getppid():
            return  # it died while this process started
        self.child_conn.send(True)
        self._server = DrainingServer(
            self.config, self._settings, again=lambda _: None, inherited=self._inherited
        )
        super().target(sockets)

    def is_alive(self, timeout: float = 5) -> bool:
        """See uvicorn, which kills one that does not answer; but give it time to load its modules.

        On a busy machine that takes longer than an answer may, for each that is started in its place, too.
        """
        if not self._begun and self.process.is_alive():
            self._begun = self.parent_conn.poll() and self.parent_conn.recv()
            if not self._begun:
                return True
        return super().is_alive(timeout)

    def send(self, number: int) -> None:
        """Send a signal, unless it has ended or never started."""
        if self.pid is not None and self.exitcode is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Retire it: the others serve on behind the same listener."""
        self.send(RETIRE)
        self.parent_conn.close()
        self.child_conn.close()

    def join(self) -> None:
        """Wait for its end, or for a stop: the others must hear of it even while one retires."""
        wait([self.process.sentinel, self._stop_file])
        if self.exitcode is not None:
            super().join()


class Workers(Multiprocess):
    """The supervisor. A stop is passed on and waited for; a second one ends all of them at once.

    board: the folder of what the workers count. inherited: see DrainingServer.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        listener: socket.socket,
        settings: Settings,
        board: Path,
        *,
        inherited: bool,
    ) -> None:
        super().__init__(config, [listener])
        self._board = board
        self._inherited = inherited
        self.should_exit: SignalledEvent = SignalledEvent()
        self._settings = settings
        self._made: list[Worker] = []
        self._stopped_by: int | None = None
        for number in STOPS:
            signal.signal(number, self._stop)
        # uvicorn makes its workers by this name, and has no other way to say of which class they are.
        multiprocess.Process = self._make  # type: ignore[assignment,misc]  # it is only ever called

    def serve(self) -> int:
        """Run until stopped; the exit code of the program: 0, or uvicorn's own if a worker cannot start."""
        self.run()
        failed = any(worker.exitcode == STARTUP_FAILURE for worker in self.processes)
        return STARTUP_FAILURE if failed else 0

    def terminate_all(self) -> None:
        """Pass the stop on to every worker, also to those that were to retire or to begin."""
        # First the listener: it closes with the last who holds it, which must be one who accepts.
        for listener in self.sockets:
            listener.close()
        for worker in self._made:
            worker.send(self._stopped_by or signal.SIGINT)

    def join_all(self) -> None:
        """Wait for all of them."""
        for worker in self._made:
            worker.process.join()

    def _make(self, config: uvicorn.Config, sockets: list[socket.socket]) -> Worker:
        self._bury()
        file = self.should_exit.file
        self._made.append(Worker(config, sockets, self._settings, file, inherited=self._inherited))
        return self._made[-1]

    def keep_subprocess_alive(self) -> None:
        """uvicorn's own, which starts others for those that have ended."""
        super().keep_subprocess_alive()
        self._bury()

    def _bury(self) -> None:
        """Keep what workers that have ended had counted."""
        for worker in self._made:
            if worker.exitcode is not None and worker.pid is not None:
                bury(self._board, worker.pid)
        self._made = [worker for worker in self._made if worker.exitcode is None]

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        if self._stopped_by is not None:
            for worker in self._made:
                worker.send(signal.SIGKILL)
            shutil.rmtree(self._board, ignore_errors=True)
            end_at_once(number)
        self._stopped_by = number
        tell_manager(STOPPING)
        self.should_exit.set()


class SignalledEvent(threading.Event):
    """An event that a signal's handler may set, with a file that can be read once it is set.

    threading's own may not be set there: its lock may be held by the very code that the handler interrupts.
    """

    def __init__(self) -> None:
        super().__init__()
        self.file, self._writer = os.pipe()

    def is_set(self) -> bool:
        """See threading.Event."""
        return self.wait(0)

    def set(self) -> None:
        """See threading.Event."""
        os.write(self._writer, b"\0")

    def wait(self, timeout: float | None = None) -> bool:
        """See threading.Event."""
        return bool(wait([self.file], timeout))

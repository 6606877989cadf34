"""Several processes behind one listener: the supervisor that keeps their number, and replaces them."""

import contextlib
import logging
import multiprocessing
import os
import shutil
import signal
import socket
import time
from multiprocessing.connection import wait
from pathlib import Path
from types import FrameType

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from logbridge.entrypoints.board import bury
from logbridge.entrypoints.http.draining import STOPS
from logbridge.entrypoints.http.restarts import Restarts
from logbridge.entrypoints.http.worker import Worker
from logbridge.entrypoints.process import Terminal, end_at_once
from logbridge.entrypoints.service_manager import STOPPING, tell_manager
from logbridge.entrypoints.settings import Settings

logger = logging.getLogger(__name__)

_SIGNALS = (*STOPS, signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU)
# How often it looks while nothing tells it to, as signals and ends of workers do; and while one begins.
_LOOK_S = 0.5
_LOOK_CLOSELY_S = 0.05


class Workers:
    """The supervisor. uvicorn's waits for each step; this one never does, so that no step hides an end.

    SIGTERM, SIGINT: passed on and waited for; a second one ends all of them at once. SIGHUP: each worker is
    replaced, one after the other, by one that serves already; if a new one does not begin, the old ones stay.
    SIGTTIN, SIGTTOU: one more, one less. A worker that ends, or hangs, is replaced, see Restarts.
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
        self._config = config
        self._listener = listener
        self._inherited = inherited
        self._all_stop = multiprocessing.get_context("spawn").Event()  # for processes that uvicorn spawns
        self._settings = settings
        self._board = board
        self._number = config.workers
        self._restarts = Restarts()
        self._terminal = Terminal()
        # All that have not ended, in the order of their start.
        self._workers: list[Worker] = []
        # Of a reload: who is still to be replaced, and who begins in order to replace the first of them.
        self._outdated: list[Worker] = []
        self._successor: Worker | None = None
        self._has_served = False
        self._failed = False
        self._stopped_by: int | None = None
        self._signals = Signals()
        for number in _SIGNALS:
            signal.signal(number, self._hear)

    def serve(self) -> int:
        """Run until stopped; the exit code of the program: 0, or uvicorn's own if no worker could start."""
        while self._stopped_by is None and not self._failed:
            self._keep_number()
            begins = not all(worker.ready for worker in self._workers)
            awaited = [worker.process.sentinel for worker in self._workers]
            wait([self._signals.file, *awaited], timeout=_LOOK_CLOSELY_S if begins else _LOOK_S)
            for number in self._signals.take():
                self._heed(number)
            self._look_after()
            self._reload()
        self._stop()
        return STARTUP_FAILURE if self._failed else 0

    def _hear(self, number: int, _frame: FrameType | None) -> None:
        if number in STOPS and self._stopped_by is not None:
            for worker in self._workers:
                worker.send(signal.SIGKILL)
            shutil.rmtree(self._board, ignore_errors=True)
            end_at_once(number)
        if number in STOPS:
            self._stopped_by = number
        self._signals.note(number)

    def _heed(self, number: int) -> None:
        if number == signal.SIGHUP and self._terminal.hung_up:
            self._stopped_by = signal.SIGTERM
        elif number == signal.SIGHUP:
            logger.info("SIGHUP: %d workers are replaced, one after the other", len(self._working))
            self._outdated = [worker for worker in self._workers if not worker.retired]
        elif number == signal.SIGTTIN:
            self._number += 1
        elif number == signal.SIGTTOU:
            self._number = max(1, self._number - 1)

    @property
    def _working(self) -> list[Worker]:
        """Those that count: not who retires, nor who begins in the place of one that still serves."""
        return [worker for worker in self._workers if not worker.retired and worker is not self._successor]

    def _keep_number(self) -> None:
        working = self._working
        for worker in working[self._number :]:
            worker.retire()
        if time.monotonic() >= self._restarts.not_before_s:
            for _ in range(self._number - len(working)):
                self._begin()

    def _begin(self) -> Worker:
        worker = Worker(
            self._config, [self._listener], self._settings, inherited=self._inherited, all_stop=self._all_stop
        )
        worker.start()
        self._workers.append(worker)
        return worker

    def _look_after(self) -> None:
        now_s = time.monotonic()
        for worker in [*self._workers]:
            if worker.exitcode is None and not worker.look(now_s):
                logger.error("worker %s does not answer: it is killed", worker.pid)
                worker.send(signal.SIGKILL)
                worker.process.join()
            self._has_served = self._has_served or worker.ready
            if worker.exitcode is not None:
                self._bury(worker)
                if not worker.retired and worker is not self._successor:
                    self._make_good(worker, now_s)

    def _bury(self, worker: Worker) -> None:
        """Keep what one that has ended had counted."""
        self._workers.remove(worker)
        if worker.pid is not None:
            bury(self._board, worker.pid)
        worker.close()

    def _make_good(self, worker: Worker, now_s: float) -> None:
        if worker.exitcode == STARTUP_FAILURE and not self._has_served:
            # The next one would fail in the same way, and whoever starts the bridge waits for an answer.
            logger.critical("worker %s could not start: the bridge ends", worker.pid)
            self._failed = True
            return
        pause_s = self._restarts.ended(worker.began_s, now_s)
        when = f"in {pause_s:.0f} s, for this goes on" if pause_s else "now"
        logger.error("worker %s %s: another one starts %s", worker.pid, worker.how_it_ended(), when)

    def _reload(self) -> None:
        """The next step of replacing workers, if there is one to take."""
        self._outdated = [worker for worker in self._outdated if worker in self._working]
        successor = self._successor
        if successor is None:
            # One after the other: who retires ends first, so that there is never more than one too many.
            if self._outdated and all(not worker.retired for worker in self._workers):
                self._successor = self._begin()
        elif successor.exitcode is not None:
            logger.error(
                "worker %s %s before it served: the reload ends here, the others serve on as they are",
                successor.pid,
                successor.how_it_ended(),
            )
            self._successor, self._outdated = None, []
        elif not self._outdated:
            self._successor = None  # whom it was to replace has ended: it takes that place
        elif successor.ready:
            self._outdated.pop(0).retire()
            self._successor = None
            logger.info("worker %s serves, %d are still to be replaced", successor.pid, len(self._outdated))

    def _stop(self) -> None:
        """Pass the stop on to every worker, also to those that were to retire or to begin; wait for them."""
        tell_manager(STOPPING)
        self._all_stop.set()
        # First the listener: it closes with the last who holds it, which must be one who accepts.
        self._listener.close()
        for worker in self._workers:
            worker.send(self._stopped_by or signal.SIGINT)
        for worker in self._workers:
            worker.process.join()


class Signals:
    """Signals that were noted, by their handlers, for a loop that waits for ``file`` to be readable."""

    def __init__(self) -> None:
        self.file, self._writer = os.pipe()
        os.set_blocking(self.file, False)
        os.set_blocking(self._writer, False)

    def note(self, number: int) -> None:
        """For a handler: it takes no lock, which the code that it interrupts might hold."""
        with contextlib.suppress(BlockingIOError):  # nobody needs to hear of so many
            os.write(self._writer, bytes([number]))

    def take(self) -> list[int]:
        """Those that came since, in their order."""
        try:
            return list(os.read(self.file, 4096))
        except BlockingIOError:
            return []

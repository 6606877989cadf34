"""One of several processes that serve: how it begins, how it is asked whether it lives, how it ends."""

import multiprocessing
import os
import signal
import socket
import time
from multiprocessing.synchronize import Event

import uvicorn
from uvicorn.supervisors import multiprocess

from logbridge.entrypoints.http.draining import RETIRE, DrainingServer
from logbridge.entrypoints.process import end_with_parent
from logbridge.entrypoints.settings import Settings

# Until its first answer: Python starts and imports meanwhile, on a machine that may have much to do.
BEGIN_S = 60.0
# Between two questions: whether it serves yet, and whether it still lives.
_SERVES_YET_S = 0.1
_STILL_LIVES_S = 1.0
# So much counts at most of the time between two looks: a supervisor that stood still, perhaps with the whole
# machine, has heard nobody meanwhile.
_LOOK_COUNTS_S = 1.0


class Worker(multiprocess.Process):
    """A process, by uvicorn: spawned, so that it imports the package anew, with a thread that answers.

    Only the supervisor ends it at once, with SIGKILL. A further signal is nothing to it: service managers and
    terminals signal every process of a group, and the supervisor passes its signal on as well.
    inherited: see DrainingServer. all_stop: set once the whole bridge stops. began_s: by time.monotonic.
    ready: whether it has begun to serve. retired: whether it was told to end.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        sockets: list[socket.socket],
        settings: Settings,
        *,
        inherited: bool,
        all_stop: Event,
    ) -> None:
        self._settings = settings
        self._all_stop = all_stop
        self._inherited = inherited
        self.began_s = time.monotonic()
        self.ready = False
        self.retired = False
        self._has_answered = False
        self._asked_s = self._looked_s = self.began_s
        self._waits_for_answer = False
        super().__init__(config, sockets)

    def target(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve, in the process of its own."""
        end_with_parent(RETIRE)
        parent = multiprocessing.parent_process()
        if parent is not None and parent.pid != os.getppid():
            return  # it died while this process started
        self._server = DrainingServer(
            self.config,
            self._settings,
            again=lambda _: None,
            inherited=self._inherited,
            # A stop of this one alone, by hand, must leave the listener to the others as it is.
            ends_listener=self._all_stop.is_set,
        )
        super().target(sockets)

    def send(self, number: int) -> None:
        """Send a signal, unless it has ended or never started."""
        if self.pid is not None and self.exitcode is None:
            os.kill(self.pid, number)

    def retire(self) -> None:
        """Tell it to end once it is done: the others serve on behind the same listener."""
        self.retired = True
        self.send(RETIRE)

    def look(self, now_s: float) -> bool:
        """Hear its answers and ask again; whether it may be believed to live. Waits for nothing.

        One that retires is not asked: it ends within its own time.
        """
        if self.retired:
            return True
        self._asked_s += max(0.0, now_s - self._looked_s - _LOOK_COUNTS_S)
        self._looked_s = now_s
        try:
            while self.parent_conn.poll():
                self.ready = self.parent_conn.recv() or self.ready
                self._has_answered, self._waits_for_answer = True, False
            if not self._waits_for_answer and now_s - self._asked_s >= self._pause_s:
                self.parent_conn.send(b"ping")
                self._asked_s, self._waits_for_answer = now_s, True
        except (OSError, EOFError):
            return True  # it has just ended, which is seen elsewhere
        patience_s = self.config.timeout_worker_healthcheck if self._has_answered else BEGIN_S
        return not self._waits_for_answer or now_s - self._asked_s < patience_s

    @property
    def _pause_s(self) -> float:
        return _STILL_LIVES_S if self.ready else _SERVES_YET_S

    def how_it_ended(self) -> str:
        """For people, once it has."""
        code = self.exitcode or 0
        if code == -signal.SIGKILL:
            return "was killed (by hand, or the system has no memory left: dmesg tells)"
        if code < 0:
            return f"was ended by {signal.Signals(-code).name}"
        return f"ended with exit code {code} (its own records say why)"

    def close(self) -> None:
        """Let go of what belonged to one that has ended."""
        self.process.join()
        self.parent_conn.close()
        self.child_conn.close()

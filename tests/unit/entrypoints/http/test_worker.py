import multiprocessing

import pytest
import uvicorn

from logbridge.entrypoints.http.worker import Worker
from logbridge.entrypoints.settings import Settings

PATIENCE_S = 5


@pytest.fixture
def worker() -> Worker:
    """One that was never started: the test answers in its place. It has answered once."""
    stops = multiprocessing.get_context("spawn").Event()
    config = uvicorn.Config("app", timeout_worker_healthcheck=PATIENCE_S)
    made = Worker(config, [], Settings(), inherited=False, all_stop=stops)
    assert made.look(made.began_s + 1)
    made.child_conn.send(True)
    assert made.look(made.began_s + 1.5)
    assert made.ready
    return made


def given_up_after_s(worker: Worker, from_s: int) -> float:
    """How long it is looked at, twice a second, until it is taken for dead."""
    looks = (half_s / 2 for half_s in range(2 * 60))
    return next(at_s for at_s in looks if not worker.look(worker.began_s + from_s + at_s))


def test_who_does_not_answer_is_believed_to_live_for_so_long(worker: Worker) -> None:
    """It is given up once it has left a question without an answer for the whole of the patience."""
    assert given_up_after_s(worker, 3) == PATIENCE_S


def test_a_supervisor_that_stood_still_gives_up_nobody(worker: Worker) -> None:
    """A minute in which nobody looked counts as one second: the worker has the rest to answer."""
    assert worker.look(worker.began_s + 3)
    assert worker.look(worker.began_s + 63)
    assert given_up_after_s(worker, 63) == PATIENCE_S - 1

"""When workers that end are replaced."""

from logbridge.entrypoints.http.restarts import PAUSE_S_MAX, QUIET_S, Restarts


def pauses(restarts: Restarts, now_s: float, count: int) -> list[float]:
    """Of workers that each end as soon as they have begun."""
    found = []
    for _ in range(count):
        found.append(restarts.ended(now_s, now_s))
        now_s += found[-1]
    return found


def test_pauses_grow() -> None:
    """The first is replaced at once; whoever ends at once again and again keeps no CPU busy."""
    restarts = Restarts()
    assert pauses(restarts, 1000.0, 9) == [0, 1, 2, 4, 8, 16, PAUSE_S_MAX, PAUSE_S_MAX, PAUSE_S_MAX]


def test_what_ends_together_counts_once() -> None:
    """All workers killed at one time are all replaced at once; so is one that dies beside a new one."""
    restarts = Restarts()
    assert [restarts.ended(10.0, now_s) for now_s in (1000.0, 1000.1, 1000.2)] == [0, 0, 0]
    assert restarts.ended(1000.1, 1001.0) == 1
    assert restarts.not_before_s == 1002.0
    assert restarts.ended(10.0, 1001.5) == 0.5


def test_it_is_forgotten() -> None:
    """A worker that lives for a while and dies is replaced at once, whatever was before."""
    restarts = Restarts()
    pauses(restarts, 1000.0, 5)
    assert restarts.ended(1030.0, 1016.0 + QUIET_S + 1) == 0
    assert restarts.ended(2000.0, 2001.0) == 0

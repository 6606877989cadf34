"""The statistics as JSON: all workers together, and to each caller what it may see."""

import msgspec
import pytest

from logbridge.domain.measures import OUTCOMES, Counts
from logbridge.entrypoints.board import Gone, Seen
from logbridge.entrypoints.http.stats import Stats, make_stats
from logbridge.entrypoints.settings import Settings
from logbridge.entrypoints.vitals import Look
from tests.unit.entrypoints.http.looks import NOW_S, WAITING, counted, look, report, second

SETTINGS = Settings()


def stats_of(seen: Look, history_s: int = 0, services: frozenset[str] = frozenset()) -> Stats:
    return make_stats(seen, SETTINGS, history_s=history_s, services=services)


def test_rates_are_of_whole_windows() -> None:
    """Logs, requests and bytes of the last second, minute and five minutes, each divided by its seconds;
    of a bridge of a hundred seconds, five minutes by these."""
    last, minute, five = stats_of(look()).performance.windows
    assert (last.seconds, last.logs_per_second, last.requests_per_second, last.bytes_per_second) == (
        1,
        10,
        10,
        100,
    )
    assert (minute.seconds, minute.logs_per_second, minute.acknowledged_per_second) == (60, 0.5, 0.5)
    assert (five.seconds, five.logs_per_second, five.not_acknowledged_per_second) == (300, 0.3, 0)
    assert 2 < last.write_latency_ms.p50 < last.write_latency_ms.p99 <= 3


def test_a_second_that_not_all_have_told_of_is_not_shown() -> None:
    """What one worker has told already waits for the others."""
    seen = look(report(1), report(2, history=[second(int(NOW_S) - 2, 10)]))
    seen = msgspec.structs.replace(seen, until_s=int(NOW_S) - 1)
    performance = stats_of(seen, history_s=300).performance
    assert performance.windows[0].logs_per_second == 20
    assert [point.time - int(NOW_S) for point in performance.history] == [-3, -2]
    assert [point.accepted for point in performance.history] == [10, 20]


@pytest.mark.parametrize(("history_s", "points"), [(0, 0), (1, 1), (2, 2), (300, 3), (-1, 0)])
def test_the_past_is_shown_as_asked(history_s: int, points: int) -> None:
    """So many of the last seconds as there are, oldest first."""
    history = stats_of(look(), history_s).performance.history
    assert [point.time for point in history] == [int(NOW_S) - ago for ago in range(points, 0, -1)]


def test_workers_add_up() -> None:
    """Totals, gauges and limits of two workers are twice those of one; the dead one's totals count."""
    gone = Gone(started_s=NOW_S - 500, counts=counted().counts)
    seen = Look(Seen([report(1), report(2)], gone), WAITING, NOW_S, int(NOW_S))
    stats = stats_of(seen)
    assert (stats.workers, stats.uptime_seconds) == (2, 500.0)
    assert (stats.performance.in_flight.entries, stats.performance.in_flight.entries_max) == (8, 20_000)
    assert stats.performance.logs == {"accepted": 3, "spooled": 3, "refused": 3, "failed": 3, "unknown": 0}
    assert stats.performance.requests == 6
    assert stats.errors.count == 6
    assert stats.errors.refusals == {"unknown key": 3}
    assert stats.errors.requests_by_status == {"422": 3}
    assert (stats.upstream.calls, stats.upstream.logs_per_call) == ({"accepted": 3}, 2.0)
    assert (stats.performance.logs_per_batch, stats.upstream.logs_sent_again) == (10.0, 9)
    assert stats.spool is not None
    assert stats.spool.bytes_max == 2 * SETTINGS.spool_bytes_max
    assert stats.spool.oldest_age_seconds == 10.0


def test_a_bound_key_sees_failures_of_its_services_only() -> None:
    """Those of other services, and of none, are not shown; without services all are, the newest first."""
    assert {each.service_name for each in stats_of(look()).errors.last} == {"shop", "pay"}
    shown = stats_of(look(), services=frozenset({"pay"})).errors.last
    assert [(each.service_name, each.reason) for each in shown] == [("pay", "away")]
    assert stats_of(look(), services=frozenset({"other"})).errors.last == []


@pytest.mark.parametrize(
    ("away", "asked", "state"),
    [
        ((False, False), True, "available"),
        ((False, True), True, "away"),
        ((False, False), False, "not asked yet"),
    ],
)
def test_the_state_of_the_log_service(away: tuple[bool, bool], asked: bool, state: str) -> None:
    """Away as soon as one worker says so; unknown until somebody has asked it."""
    changes = {} if asked else {"counts": Counts()}
    seen = look(*(report(pid, services_away=int(each), **changes) for pid, each in enumerate(away, 1)))
    assert stats_of(seen).upstream.state == state


def test_nothing_yet_is_all_zeros() -> None:
    """A bridge that has just begun has numbers, and no spool where there is none."""
    stats = stats_of(look(report(1, counts=Counts(), history=[], failures=[])))
    assert stats.performance.logs == dict.fromkeys(OUTCOMES, 0)
    assert (stats.performance.logs_per_batch, stats.upstream.call_latency_ms.p99) == (0.0, 0.0)
    assert (stats.errors.last, stats.spool) == ([], None)


def test_a_spool_that_cannot_be_read_is_not_taken_for_none() -> None:
    """Where the settings name one, missing figures are told as such."""
    settings = Settings(spool="sqlite:///./spool")
    shown = [make_stats(each, settings, history_s=0) for each in (look(), look(waiting=WAITING))]
    assert [stats.spool_unreadable for stats in shown] == [True, False]
    assert not stats_of(look()).spool_unreadable


def test_a_clock_that_was_set_back_makes_no_negative_times() -> None:
    """The age of the bridge and of the oldest log in the spool are never below 0."""
    seen = msgspec.structs.replace(look(waiting=WAITING), now_s=0.0)
    stats = stats_of(seen)
    assert stats.uptime_seconds == 0
    assert stats.spool is not None
    assert stats.spool.oldest_age_seconds == 0

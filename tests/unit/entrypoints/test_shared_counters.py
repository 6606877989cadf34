"""Counters in a file that several processes share."""

import subprocess
import sys
from pathlib import Path

from msgspec.structs import replace

from logbridge.domain.errors import RateExceeded
from logbridge.entrypoints.rates import Rates
from logbridge.entrypoints.shared_counters import SLOTS, SharedCounters
from tests.unit.entrypoints.test_rates import SHOP, Clock, rejected

_COUNT = """
import sys
from pathlib import Path
from logbridge.entrypoints.shared_counters import SharedCounters
counters = SharedCounters(Path(sys.argv[1]))
for _ in range(5000):
    counters.incr("one", 3600)
"""


def admitted(rates: Rates, asked: int) -> int:
    """How many of so many requests of a key get through."""
    through = 0
    for _ in range(asked):
        try:
            rates.count_key(SHOP)
            through += 1
        except RateExceeded:
            pass
    return through


def test_workers_count_together(tmp_path: Path) -> None:
    """Together they let through what one would, and each says when there is room again."""
    clock = Clock()
    workers = [Rates("", "50/h", clock, tmp_path) for _ in range(3)]
    assert [admitted(rates, 30) for rates in workers] == [30, 20, 0]
    assert [rejected(rates, SHOP).retry_after_s for rates in workers] == [3600] * 3
    clock.now_s += 3600
    assert [admitted(rates, 30) for rates in reversed(workers)] == [30, 20, 0]


def test_keys_and_addresses_are_apart(tmp_path: Path) -> None:
    """A key of the name of an address has a count of its own; so have different rates of one key."""
    one, other = (Rates("1/h", "1/h", Clock(), tmp_path) for _ in range(2))
    one.count_address("192.0.2.1")
    other.count_key(replace(SHOP, key_id="192.0.2.1"))
    other.count_key(replace(SHOP, key_id="192.0.2.1", rate="5/h"))


def test_no_count_is_lost(tmp_path: Path) -> None:
    """Processes that count at the same time never write over each other."""
    file = tmp_path / "counted"
    counting = [subprocess.Popen([sys.executable, "-c", _COUNT, str(file)]) for _ in range(3)]
    assert [process.wait(60) for process in counting] == [0, 0, 0]
    assert SharedCounters(file).get("one") == 15_000


def test_they_are_bounded(tmp_path: Path) -> None:
    """The file never grows; who finds no room shares a count, one for each length of windows."""
    clock = Clock()
    counters = SharedCounters(tmp_path / "counted", clock, buckets=1)
    size = (tmp_path / "counted").stat().st_size
    for number in range(SLOTS):
        assert counters.incr(f"known-{number}", 60) == 1
    assert [counters.incr(f"new-{number}", 60) for number in range(100)] == [*range(1, 101)]
    assert counters.incr("new-0", 3600) == 1
    assert counters.incr("known-0", 60) == 2
    assert (counters.get("new-1"), counters.get_expiry("new-1")) == (100, clock() + 60)
    clock.now_s += 60
    assert counters.incr("new-1", 60) == 1
    assert (tmp_path / "counted").stat().st_size == size


def test_a_window_begins_anew(tmp_path: Path) -> None:
    """With the first request after its end, and not before."""
    clock = Clock()
    counters = SharedCounters(tmp_path / "counted", clock)
    assert [counters.incr("one", 60) for _ in range(3)] == [1, 2, 3]
    clock.now_s += 59.9
    assert counters.incr("one", 60) == 4
    assert counters.get_expiry("one") == 1060
    clock.now_s += 0.1
    assert (counters.get("one"), counters.get_expiry("one")) == (0, clock.now_s)
    assert counters.incr("one", 60) == 1


def test_they_are_what_the_library_expects(tmp_path: Path) -> None:
    """They can be asked, cleared and reset, for all processes."""
    counters, others = (SharedCounters(tmp_path / "counted", Clock()) for _ in range(2))
    counters.incr("one", 60)
    counters.incr("two", 3600)
    others.clear("one")
    assert (counters.check(), counters.get("one"), counters.get("two")) == (True, 0, 1)
    others.clear("none")
    assert others.reset() is None
    assert counters.get("two") == 0

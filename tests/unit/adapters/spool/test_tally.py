import resource
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from logbridge.adapters.spool.tally import NEVER_SEEN, Tally, ids_of, read_tally

_IDS = st.text(max_size=10)
_STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "remove", "rewrite"]), st.integers(0, 9), _IDS), max_size=30
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=_STEPS)
def test_the_tally_agrees_with_a_plain_model(tmp_path: Path, steps: list[tuple[str, int, str]]) -> None:
    """After any additions, removals and rewrites it knows exactly what should be there, with the ids."""
    path = tmp_path / "tally"
    path.unlink(missing_ok=True)
    tally, model, last = Tally(path), dict[int, str](), 0
    for kind, number, log_id in steps:
        if kind == "add":
            last += 1
            model[last] = log_id
            tally.add([(last, log_id)])
        elif kind == "remove":
            gone = sorted(model)[:number]
            tally.remove(gone)
            for sequence in gone:
                del model[sequence]
        else:
            tally.rewrite(model.items())
    seen = tally.seen
    tally.close()
    found = read_tally(path, seen)
    assert (found.live, found.sound) == (set(model), True)
    assert found.last <= last
    assert ids_of(path, set(model)) == model


def test_a_removal_may_stand_before_its_addition(tmp_path: Path) -> None:
    """An operator's removal and the bridge's own line may come in either order."""
    tally = Tally(tmp_path / "tally")
    tally.remove([1])
    tally.add([(1, "a"), (2, "b")])
    tally.close()
    assert read_tally(tmp_path / "tally", NEVER_SEEN).live == {2}


def test_damage_is_seen(tmp_path: Path) -> None:
    """A changed line, a cut end and a missing file make a tally unsound; the other lines still count."""
    path = tmp_path / "tally"
    tally = Tally(path)
    tally.add([(1, "a"), (2, "b"), (3, "c")])
    seen = tally.seen
    tally.close()
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'2 "b"', b'2 "x"'))
    assert read_tally(path, seen) == ({1, 3}, set(), 3, False, set())
    path.write_bytes(whole[:-20])
    assert not read_tally(path, seen).sound
    path.unlink()
    assert read_tally(path, seen) == (set(), set(), 0, False, set())


def test_a_full_disk_leaves_no_half_line(tmp_path: Path) -> None:
    """A write of which only a part fits leaves the tally as it was, and says why."""
    path = tmp_path / "tally"
    tally = Tally(path)
    tally.add([(1, "a")])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (tally.size_bytes + 10, before[1]))
    try:
        with pytest.raises(OSError, match="No space left"):
            tally.add([(2, "b" * 100)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    tally.add([(3, "c")])
    seen = tally.seen
    tally.close()
    assert read_tally(path, seen) == ({1, 3}, set(), 3, True, set())


def test_what_was_handed_on_without_an_answer_is_told(tmp_path: Path) -> None:
    """Handed on, and neither settled nor answered: a crash left these open."""
    tally = Tally(tmp_path / "tally")
    tally.add([(1, "a"), (2, "b"), (3, "c")])
    tally.send([1, 2, 3])
    tally.remove([1])
    tally.answered([2])
    tally.close()
    assert read_tally(tmp_path / "tally", NEVER_SEEN).sent == {3}


def test_a_tally_begun_anew_is_believed(tmp_path: Path) -> None:
    """A shorter one is no damage if it is another than the one that was seen; a database may lose its end."""
    path = tmp_path / "tally"
    tally = Tally(path)
    tally.add([(number, "x" * 50) for number in range(1, 100)])
    seen = tally.seen
    tally.rewrite([(99, "x")])
    tally.close()
    assert read_tally(path, seen) == ({99}, set(), 99, True, set())

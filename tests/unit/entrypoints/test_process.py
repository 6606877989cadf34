import resource
import signal
import subprocess
import sys

_LIMITED = """
import resource
from logbridge.entrypoints.process import allow_open_files
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 200))
allow_open_files()
print(resource.getrlimit(resource.RLIMIT_NOFILE))
"""
_COLLECTING = """
import gc
from logbridge.entrypoints.process import GARBAGE_OBJECTS, collect_garbage_rarely
collect_garbage_rarely()
ring = []
ring.append(ring)
print(gc.get_freeze_count() > 1000, gc.get_threshold()[0] == GARBAGE_OBJECTS, gc.isenabled())
del ring
print(gc.collect() > 0)
"""
_ENDING = """
import signal
from logbridge.entrypoints.process import end_at_once
signal.signal(signal.SIGTERM, lambda *_: print("handled"))
end_at_once(signal.SIGTERM)
"""


def run(program: str) -> tuple[int, str]:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def test_as_many_open_files_as_allowed() -> None:
    """The soft limit becomes the hard one; the hard one stays."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert run(_LIMITED) == (0, "(200, 200)\n")
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before


def test_a_signal_ends_it_whoever_handled_it() -> None:
    """The process ends by the signal, and no handler runs."""
    assert run(_ENDING) == (-signal.SIGTERM, "")


def test_garbage_is_collected_rarely() -> None:
    """What was there at the start is set aside; rings that came later are still found."""
    assert run(_COLLECTING) == (0, "True True True\nTrue\n")

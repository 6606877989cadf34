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

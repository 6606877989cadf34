"""Run a program as a unit's sandbox would: its filter of system calls, and no memory written and then run.

    python systemd_sandbox.py UNIT COMMAND...

The filter is what systemd makes of SystemCallFilter=: libseccomp denies with EPERM what is not in the list.
"""

import ctypes
import errno
import os
import re
import subprocess
import sys
from pathlib import Path

_ALLOW = 0x7FFF0000  # SCMP_ACT_ALLOW
_DENY = 0x00050000 | errno.EPERM  # SCMP_ACT_ERRNO
_SET_MDWE, _REFUSE_EXEC_GAIN = 65, 1  # linux/prctl.h, from Linux 6.3 on


def filter_of(unit: Path) -> set[str]:
    """The names of the system calls that a unit may make."""
    lines = re.findall(r"^SystemCallFilter=(~?)(.*)$", unit.read_text(), re.M)
    allowed = _calls("@default")
    for negated, names in lines:
        calls = set[str]().union(*map(_calls, names.split()))
        allowed = allowed - calls if negated else allowed | calls
    return allowed


def _calls(name: str) -> set[str]:
    if not name.startswith("@"):
        return {name}
    listed = subprocess.run(
        ["systemd-analyze", "--no-pager", "syscall-filter", name], check=True, capture_output=True, text=True
    ).stdout
    names = re.findall(r"^ +([@\w-]+)$", listed, re.M)
    return set[str]().union(*map(_calls, names))


def confine(allowed: set[str]) -> None:
    """Put this process, and what it becomes, into the sandbox."""
    seccomp = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    seccomp.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(seccomp.seccomp_init(ctypes.c_uint32(_DENY)))
    for name in allowed:
        number = seccomp.seccomp_syscall_resolve_name(name.encode())
        if number >= 0:  # others are of other processors
            assert seccomp.seccomp_rule_add(context, ctypes.c_uint32(_ALLOW), number, 0) == 0, name
    assert seccomp.seccomp_load(context) == 0
    # An older kernel does not know it; nothing else is lost then.
    ctypes.CDLL(None).prctl(_SET_MDWE, _REFUSE_EXEC_GAIN, 0, 0, 0)


if __name__ == "__main__":
    confine(filter_of(Path(sys.argv[1])))
    os.execvp(sys.argv[2], sys.argv[2:])

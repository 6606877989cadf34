"""The command line: arguments → commands, and their endings → exit codes."""

import os
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError

from logbridge import __version__
from logbridge.domain.errors import InvalidSetting, LogbridgeError
from logbridge.entrypoints.commands import terminal
from logbridge.entrypoints.commands.ending import CommandFailed, Exit

_HELP = """Programs send logs over HTTP; logbridge hands them to a gRPC log service.

First steps: `logbridge dev` starts everything here. In a second terminal, `logbridge write "hello"` writes \
a log and `logbridge query` shows it. Each command tells more with --help.
"""

_ENDING = """Exit codes: 0 fine; 1 something failed (a log was not accepted, a check failed); \
2 a wrong argument or setting; 3 no bridge answers at the address.
Settings come from flags, then the environment, then .env: `logbridge config` shows them all.
"""

_INTERRUPTED = 130  # what shells report for a program ended by Ctrl-C

app = App(
    name="logbridge",
    help=_HELP,
    help_epilogue=_ENDING,
    help_format="plaintext",
    version=__version__,
    suppress_keyboard_interrupt=False,
)
_START, _TALK, _LOOK = "Start", "Talk to a running bridge", "Look and test"
# By name: whoever starts one command does not wait for what the others import.
for _name, _path, _group in (
    ("dev", "dev:dev", _START),
    ("serve", "serve:serve", _START),
    ("service", "service:service", _START),
    ("forward", "forward:forward", _START),
    ("write", "talk:write", _TALK),
    ("query", "talk:query", _TALK),
    ("tail", "tail:tail", _TALK),
    ("top", "top:top", _TALK),
    ("export", "export:export", _TALK),
    ("import", "import_logs:import_logs", _TALK),
    ("spool", "spool:spool", None),
    ("store", "store:store", None),
    ("key", "key:key", None),
    ("check", "check:check", None),
    ("config", "show:config", _LOOK),
    ("openapi", "show:openapi", _LOOK),
):
    app.command(f"logbridge.entrypoints.commands.{_path}", name=_name, group=_group)


def main() -> None:
    """The console script: runs the command of ``sys.argv`` and exits with its code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command; gives its exit code. Every error is one line on stderr."""
    if not arguments or arguments[0].startswith("-"):
        app.resolved_commands()  # the page that lists them says what each is for
    try:
        code = app(list(arguments), exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of our output has seen enough; Python must not complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.FAILED
    except KeyboardInterrupt:
        return _INTERRUPTED
    except (CycloptsError, LogbridgeError) as error:
        terminal.notice(" ".join(str(error).split()))
        return _code_of(error)
    return int(code or 0)


def _code_of(error: Exception) -> int:
    if isinstance(error, CommandFailed):
        return error.code
    return Exit.USAGE if isinstance(error, (CycloptsError, InvalidSetting)) else Exit.FAILED

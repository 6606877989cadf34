"""The command line: arguments → commands, and their endings → exit codes."""

import os
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError

from logbridge import __version__
from logbridge.domain.errors import InvalidSetting, LogbridgeError
from logbridge.entrypoints.commands import terminal
from logbridge.entrypoints.commands.check import check
from logbridge.entrypoints.commands.dev import dev
from logbridge.entrypoints.commands.ending import CommandFailed, Exit
from logbridge.entrypoints.commands.export import export
from logbridge.entrypoints.commands.forward import forward
from logbridge.entrypoints.commands.import_logs import import_logs
from logbridge.entrypoints.commands.key import key
from logbridge.entrypoints.commands.serve import serve
from logbridge.entrypoints.commands.service import service
from logbridge.entrypoints.commands.show import config, openapi
from logbridge.entrypoints.commands.spool import spool
from logbridge.entrypoints.commands.store import store
from logbridge.entrypoints.commands.tail import tail
from logbridge.entrypoints.commands.talk import query, write
from logbridge.entrypoints.commands.top import top

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
app.command(dev, group="Start")
app.command(serve, group="Start")
app.command(service, group="Start")
app.command(forward, group="Start")
app.command(write, group="Talk to a running bridge")
app.command(query, group="Talk to a running bridge")
app.command(tail, group="Talk to a running bridge")
app.command(top, group="Talk to a running bridge")
app.command(export, group="Talk to a running bridge")
app.command(import_logs, name="import", group="Talk to a running bridge")
app.command(spool)
app.command(store)
app.command(key)
app.command(check)
app.command(config, group="Look and test")
app.command(openapi, group="Look and test")


def main() -> None:
    """The console script: runs the command of ``sys.argv`` and exits with its code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command; gives its exit code. Every error is one line on stderr."""
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

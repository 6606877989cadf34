"""How a command ends: its exit code, and at most one line that says why."""

from enum import IntEnum

from logbridge.domain.errors import LogbridgeError


class Exit(IntEnum):
    """The exit codes of every command."""

    FINE = 0
    FAILED = 1  # a log was not accepted, a check failed, a question found no answer
    USAGE = 2  # a wrong argument or setting
    NOT_REACHED = 3  # no bridge answers at the address


class CommandFailed(LogbridgeError):
    """A command that cannot go on; the message is the line that people see. code: int, the exit code."""

    code = Exit.FAILED


class UsageError(CommandFailed):
    """A wrong argument: which, and what is allowed."""

    code = Exit.USAGE


class BridgeNotReached(CommandFailed):
    """No bridge answers at the address."""

    code = Exit.NOT_REACHED

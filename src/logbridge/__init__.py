"""logbridge: programs send logs, a gRPC log service keeps them. The public names; the rest is private."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from logbridge.adapters.memory import MemorySink, accept, fail, hang, lose, refuse
    from logbridge.domain.entry import LogEntry, LogLevel
    from logbridge.domain.errors import InvalidSetting, LogbridgeError
    from logbridge.entrypoints.handlers.handler import LogBridgeHandler
    from logbridge.entrypoints.handlers.structlog_processor import StructlogProcessor
    from logbridge.entrypoints.python.client import AsyncLogServiceClient, batch_write_logs, write_log
    from logbridge.entrypoints.python.connected import use_sink
    from logbridge.entrypoints.python.sync_client import LogServiceClient

__version__ = "0.1.0"

__all__ = [
    "AsyncLogServiceClient",
    "InvalidSetting",
    "LogBridgeHandler",
    "LogEntry",
    "LogLevel",
    "LogServiceClient",
    "LogbridgeError",
    "MemorySink",
    "StructlogProcessor",
    "accept",
    "batch_write_logs",
    "fail",
    "hang",
    "lose",
    "refuse",
    "use_sink",
    "write_log",
]

# Imported with their first use: `import logbridge` alone loads neither gRPC nor anything else.
_HOMES = {
    "logbridge.adapters.memory": ("MemorySink", "accept", "fail", "hang", "lose", "refuse"),
    "logbridge.domain.entry": ("LogEntry", "LogLevel"),
    "logbridge.domain.errors": ("InvalidSetting", "LogbridgeError"),
    "logbridge.entrypoints.python.client": ("AsyncLogServiceClient", "batch_write_logs", "write_log"),
    "logbridge.entrypoints.python.connected": ("use_sink",),
    "logbridge.entrypoints.handlers.handler": ("LogBridgeHandler",),
    "logbridge.entrypoints.handlers.structlog_processor": ("StructlogProcessor",),
    "logbridge.entrypoints.python.sync_client": ("LogServiceClient",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

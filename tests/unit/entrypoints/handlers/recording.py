"""A client that keeps what it is given."""

from collections.abc import Callable
from typing import Any


class RecordingClient:
    """Keeps messages and fields. on_log: is called with every log, before it is kept."""

    def __init__(self, on_log: Callable[[], object] = lambda: None) -> None:
        self.logs: list[tuple[str, dict[str, Any]]] = []
        self.flushes: list[float] = []
        self._on_log = on_log

    def log(self, message: str, **fields: Any) -> bool:
        self._on_log()
        self.logs.append((message, fields))
        return True

    def flush(self, *, timeout_s: float) -> bool:
        self.flushes.append(timeout_s)
        return True

    @property
    def messages(self) -> list[str]:
        return [message for message, _ in self.logs]

    @property
    def last(self) -> dict[str, Any]:
        """The fields of the last log."""
        return self.logs[-1][1]


class Shy:
    """An object that cannot be shown."""

    def __str__(self) -> str:
        raise RuntimeError("not me")

    __repr__ = __str__

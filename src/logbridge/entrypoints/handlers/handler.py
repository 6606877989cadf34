"""LogBridgeHandler: the standard library's logging, sent in the background."""

import logging
from functools import partial
from typing import Any

from logbridge.entrypoints.background.losses import LOSSES
from logbridge.entrypoints.handlers.log_client import FLUSH_TIMEOUT_S, LogClient, hand_over, open_client
from logbridge.entrypoints.handlers.record import entry_of


class LogBridgeHandler(logging.Handler):
    """Sends records through a client, which queues them and sends batches in a thread of its own.

    client: one of logbridge's clients, or anything with their ``log`` and ``flush``; it stays the caller's.
    url: instead of a client, ``http://…`` or ``https://…`` of a bridge, ``grpc://…`` or ``grpcs://…`` of a
    log service; that client is closed with the handler. key: what the peer is shown. service_name: of every
    log; None takes what the receiver fills in. flush_timeout_s: seconds that flush() and close() may take.
    settings: of the client, such as the length of its queue (docs/python.md).

    Emitting neither blocks nor raises: a log that finds the queue full is dropped and counted by the client.
    Raises ValueError for both or neither of client and url, InvalidSetting for a url that makes no sense.
    """

    def __init__(
        self,
        client: LogClient | None = None,
        *,
        url: str = "",
        key: str | None = None,
        service_name: str | None = None,
        level: int | str = logging.NOTSET,
        flush_timeout_s: float = FLUSH_TIMEOUT_S,
        **settings: Any,
    ) -> None:
        self.client, self._close_client = open_client(client, url, key, settings)
        self._service = {} if service_name is None else {"service_name": service_name}
        self._flush_timeout_s = flush_timeout_s
        super().__init__(level)

    def createLock(self) -> None:  # noqa: N802 (the standard library's name)
        """No lock: nothing here is shared, and a __str__ that waits for another thread's log would hang."""
        self.lock = None

    def emit(self, record: logging.LogRecord) -> None:
        """Hand a record over, if it is not about sending itself. Never raises (logging.raiseExceptions)."""
        try:
            hand_over(self.client, record.name, record.threadName, partial(self._entry_of, record))
            if record.name == LOSSES and self._is_alone() and logging.lastResort is not None:
                # What was lost cannot be sent, and must not be lost in silence: to stderr, as for no handler.
                logging.lastResort.handle(record)
        except Exception:
            self.handleError(record)

    def _entry_of(self, record: logging.LogRecord) -> tuple[str, dict[str, Any]]:
        message, fields = entry_of(record, self.formatter)
        return message, fields | self._service

    def _is_alone(self) -> bool:
        """Whether nobody else shows what was lost; of several such handlers the first one does."""
        logger: logging.Logger | None = logging.getLogger(LOSSES)
        found: list[logging.Handler] = []
        while logger is not None:
            found += logger.handlers
            logger = logger.parent if logger.propagate else None
        return found[:1] == [self] and all(isinstance(handler, LogBridgeHandler) for handler in found)

    def flush(self) -> None:
        """Wait until what was emitted before is settled, at most flush_timeout_s."""
        self.client.flush(timeout_s=self._flush_timeout_s)

    def close(self) -> None:
        """Send what is left, at most flush_timeout_s, and close a client that was opened here."""
        self._close_client(self._flush_timeout_s)
        super().close()

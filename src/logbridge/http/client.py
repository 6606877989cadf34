"""The synchronous client: each call takes the steps of Calls, one after the other."""

from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Unpack

from httpx_sse import EventSource

from logbridge.domain.export import Place
from logbridge.entrypoints.http.schema import Health, LogRecord
from logbridge.entrypoints.http.stats import Stats
from logbridge.http.base import BridgeClient
from logbridge.http.errors import BridgeError
from logbridge.http.following import Following
from logbridge.http.questions import ALL, PAGE_LOGS, Filters, filter_of, page_of
from logbridge.http.results import BatchResult, Page, StreamResult, WriteResult
from logbridge.http.sending import Sender


class Client(BridgeClient):
    """Talks to the bridge at ``base_url``, from any thread; settings as of BridgeClient.

    A process that was forked opens connections of its own. Every call raises BridgeError, see errors.py.
    """

    def __init__(self, base_url: str, **settings: Any) -> None:
        super().__init__(base_url, **settings)
        self._sender = Sender(self._options, self._sleep)

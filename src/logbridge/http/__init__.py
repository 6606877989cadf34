"""Logs to and from a bridge over HTTP: Client, its twin AsyncClient, and what they answer and raise."""

from logbridge.entrypoints.http.tally import LineError
from logbridge.http.async_client import AsyncClient
from logbridge.http.client import Client
from logbridge.http.errors import (
    ApiError,
    BridgeError,
    Conflict,
    ConnectionFailed,
    Forbidden,
    NoAnswer,
    OutcomeUnknown,
    Overloaded,
    RateLimited,
    Refused,
    TooLarge,
    Unauthorized,
    Unavailable,
    Unclear,
)
from logbridge.http.results import BatchResult, Page, StreamResult, WriteResult

__all__ = [
    "ApiError",
    "AsyncClient",
    "BatchResult",
    "BridgeError",
    "Client",
    "Conflict",
    "ConnectionFailed",
    "Forbidden",
    "LineError",
    "NoAnswer",
    "OutcomeUnknown",
    "Overloaded",
    "Page",
    "RateLimited",
    "Refused",
    "StreamResult",
    "TooLarge",
    "Unauthorized",
    "Unavailable",
    "Unclear",
    "WriteResult",
]

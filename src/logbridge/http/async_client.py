"""The client for asyncio; signatures as of Client."""

from logbridge.http.client import Client


class AsyncClient(Client):
    """Follows."""

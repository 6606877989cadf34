"""One connection to the servers of a stream: opened when it is needed, and found again by nats-py."""

import asyncio
import contextlib
import json
import logging
import ssl
import time
from collections.abc import Callable
from typing import Any

from msgspec import Struct
from nats.aio.client import Client
from nats.errors import AuthorizationError, Error, NoRespondersError, OutboundBufferLimitError
from nats.errors import TimeoutError as NatsTimeoutError

from logbridge.domain.errors import StoreError
from logbridge.domain.policy import QueuePolicy

logger = logging.getLogger(__name__)

OPEN_S = 5.0
CALL_S = 3.0
# While it is away, who asks again within this time gets the last answer.
LOOK_AGAIN_S = 0.5
_REFUSED_WORDS = ("authorization", "authentication", "permissions")


class Access(Struct, frozen=True):
    """Who we are to the servers, and what they are checked with. Never shown."""

    user: str = ""
    password: str = ""
    tls: ssl.SSLContext | None = None


class QueueAway(Exception):
    """The stream cannot be reached now; the message says why. Nothing was written."""


class NoAnswer(QueueAway):
    """The stream was asked, and did not answer in time: it may have done what it was asked."""


class ApiError(Exception):
    """The server refused. code: as in HTTP. err_code: NATS's own, such as 10077 for a full stream."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(str(error.get("description", "refused")))
        self.code = int(error.get("code", 500))
        self.err_code = int(error.get("err_code", 0))


class Connection:
    """Opens with its first use. prepare: looks at the streams, and makes them, once for each connection."""

    def __init__(
        self,
        policy: QueuePolicy,
        access: Access,
        prepare: Callable[["Connection"], Any],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._policy = policy
        self._access = access
        self._prepare = prepare
        self._monotonic = monotonic
        self._client: Client | None = None
        self._lock = asyncio.Lock()
        self._failed_s = float("-inf")
        self._failure: Exception = QueueAway("not opened yet")
        self._away_since_s: float | None = None
        self._last_error = ""
        self._refusal = ""
        self._refusals = 0
        self._opening = False
        self._ended = False
        self.servers = ", ".join(policy.servers)

    @property
    def away_s(self) -> float:
        """For how long nobody was reached, 0 while somebody is."""
        return 0.0 if self._away_since_s is None else self._monotonic() - self._away_since_s

    async def open(self) -> Client:
        """The connected client. Raises QueueAway, and StoreError for what no waiting will mend."""
        client = self._client
        if client is not None and client.is_connected:
            return client
        async with self._lock:
            if self._client is not None and not self._client.is_closed:
                if not self._client.is_connected:
                    raise QueueAway(
                        f"the connection to {self.servers} is lost: {self._last_error or 'looking'}"
                    )
                return self._client
            if self._ended:
                raise QueueAway("the bridge is stopping")
            if self._monotonic() - self._failed_s < LOOK_AGAIN_S:
                raise type(self._failure)(*self._failure.args)
            return await self._open()

    async def _open(self) -> Client:
        client = Client()
        self._refusal, self._refusals = "", 0
        try:
            await self._reach(client)
            self._client = client
            await self._prepare(self)
        except (QueueAway, StoreError) as error:
            await self._forget(client, error)
            raise
        except (OSError, Error, TimeoutError) as error:
            away = self._named(error)
            await self._forget(client, away)
            raise away from None
        except BaseException:
            self._client = None
            await _close(client)
            raise
        self._away_since_s = None
        return client

    async def _reach(self, client: Client) -> None:
        self._opening = True
        try:
            async with asyncio.timeout(OPEN_S):
                await self._connect(client)
        finally:
            self._opening = False

    async def _forget(self, client: Client, why: Exception) -> None:
        self._client = None
        self._failure, self._failed_s = why, self._monotonic()
        self._away_since_s = self._failed_s if self._away_since_s is None else self._away_since_s
        await _close(client)

    async def _connect(self, client: Client) -> None:
        await client.connect(
            servers=[
                f"{'tls' if self._policy.tls else 'nats'}://{server}" for server in self._policy.servers
            ],
            name="logbridge",
            user=self._access.user or None,
            password=self._access.password or None,
            tls=self._access.tls,
            connect_timeout=2,
            reconnect_time_wait=0.25,  # type: ignore[arg-type]  # it only goes to asyncio.sleep
            max_reconnect_attempts=-1,
            ping_interval=5,
            max_outstanding_pings=2,
            error_cb=self._on_error,
            disconnected_cb=self._on_lost,
            reconnected_cb=self._on_found,
        )

    def _named(self, error: Exception) -> QueueAway | StoreError:
        why = self._refusal or self._last_error or str(error) or type(error).__name__
        if isinstance(error, AuthorizationError) or _refuses(why):
            names = "LOGBRIDGE_SPOOL_USER and LOGBRIDGE_SPOOL_PASSWORD"
            return StoreError(f"the NATS servers {self.servers} do not let us in: {why}; look at {names}")
        return QueueAway(f"no NATS server answers at {self.servers}: {why}")

    async def _on_error(self, error: Exception) -> None:
        self._last_error = str(error) or type(error).__name__
        # A server that refuses hangs up, and the next attempt may see no more of it than that.
        if _refuses(self._last_error):
            self._refusal = self._last_error
            self._refusals += 1
            # nats-py would go on with the next server, round and round; what is raised here ends that.
            if self._opening and self._refusals >= len(self._policy.servers):
                raise AuthorizationError

    async def _on_lost(self) -> None:
        if self._client is not None:
            self._away_since_s = self._monotonic()
            logger.warning("the connection to the NATS servers %s is lost", self.servers)

    async def _on_found(self) -> None:
        self._away_since_s, self._last_error = None, ""
        logger.info("the connection to the NATS servers %s is there again", self.servers)

    async def request(
        self, subject: str, data: bytes, headers: dict[str, str] | None = None, within_s: float = CALL_S
    ) -> dict[str, Any]:
        """The answer to a message. Raises QueueAway, NoAnswer and ApiError."""
        client = self._client
        if client is None or not client.is_connected:
            client = await self.open()
        try:
            message = await client.request(subject, data, timeout=within_s, headers=headers)
        except (NatsTimeoutError, TimeoutError):
            raise NoAnswer(f"the stream did not answer within {within_s:.3g} s") from None
        except NoRespondersError:
            raise QueueAway("JetStream has no leader for it now, or is not enabled") from None
        except OutboundBufferLimitError:
            raise QueueAway(f"the connection to {self.servers} is lost") from None
        answer: dict[str, Any] = json.loads(message.data)
        if "error" in answer:
            raise ApiError(answer["error"])
        return answer

    async def call(self, path: str, **body: Any) -> dict[str, Any]:
        """Call JetStream's API, such as STREAM.INFO.logs. Raises as request does."""
        return await self.request(f"$JS.API.{path}", json.dumps(body).encode())

    async def aclose(self) -> None:
        """Send what is to be sent, and let go. A second call does nothing."""
        self._ended = True
        client, self._client = self._client, None
        if client is not None:
            if client.is_connected:
                with contextlib.suppress(Error, OSError, TimeoutError):
                    await client.flush(timeout=2)
            await _close(client)


def _refuses(why: str) -> bool:
    # "Authentication Timeout" is about when we said who we are: a machine that stood still is let in later.
    return "timeout" not in why.lower() and any(word in why.lower() for word in _REFUSED_WORDS)


async def _close(client: Client) -> None:
    with contextlib.suppress(Error, OSError, TimeoutError):
        await client.close()

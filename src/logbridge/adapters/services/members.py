"""Members: which log services there are; those of a name change with what it resolves to."""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence

from logbridge.adapters.services.peer import Peer
from logbridge.domain.ports import Deadline

logger = logging.getLogger(__name__)


class Members:
    """Those that were named, for good. peers: list[Peer]."""

    def __init__(self, addresses: Sequence[str], join: Callable[[str], Peer]) -> None:
        self.peers = [join(address) for address in addresses]

    async def present(self, deadline: Deadline) -> Sequence[Peer]:  # noqa: ARG002 (nothing is waited for)
        """Those that there are now."""
        return self.peers

    def at(self, address: str) -> Peer | None:
        """The one at this address, None if it is no member (any more)."""
        return next((peer for peer in self.peers if peer.address == address), None)

    async def aclose(self) -> None:
        """Let all of them go."""
        await asyncio.gather(*(peer.sink.aclose() for peer in self.peers))


class NamedMembers(Members):
    """Those that a name resolves to. It is asked again after every_s seconds, when somebody writes or reads.

    resolve: gives the addresses (host:port) of the name, or raises OSError. A name that does not resolve
    keeps its members: it is no news of them. One that is gone ends what it is at, and is closed.
    members_max: further addresses are not used, and named in the log.
    """

    def __init__(
        self,
        name: str,
        join: Callable[[str], Peer],
        resolve: Callable[[], Awaitable[Sequence[str]]],
        *,
        every_s: float,
        members_max: int,
        monotonic: Callable[[], float],
    ) -> None:
        super().__init__((), join)
        self._name = name
        self._join = join
        self._resolve = resolve
        self._every_s = every_s
        self._members_max = members_max
        self._monotonic = monotonic
        self._again_at_s = 0.0
        self._resolving: asyncio.Task[None] | None = None
        self._leaving: set[asyncio.Task[None]] = set()
        self._closed = False
        self._complaint = ""

    async def present(self, deadline: Deadline) -> Sequence[Peer]:
        """Those of the last answer; the first one is waited for."""
        if self._monotonic() >= self._again_at_s and self._resolving is None and not self._closed:
            self._resolving = asyncio.ensure_future(self._renew())
        if not self.peers and self._resolving is not None:
            await asyncio.wait([self._resolving], timeout=deadline.remaining_s(self._monotonic()))
        return self.peers

    async def _renew(self) -> None:
        try:
            found = list(dict.fromkeys(await self._resolve()))
        except OSError as error:
            self._complain(f"{self._name} cannot be resolved: {error.strerror or error}")
        else:
            self._complain(
                f"{self._name} has {len(found)} addresses, more than the {self._members_max} that are used"
                if len(found) > self._members_max
                else ""
            )
            self._replace(found[: self._members_max])
        finally:
            self._again_at_s = self._monotonic() + self._every_s
            self._resolving = None

    def _complain(self, complaint: str) -> None:
        if complaint and complaint != self._complaint:
            logger.warning("%s; those that were known are used: %d", complaint, len(self.peers))
        self._complaint = complaint

    def _replace(self, found: Sequence[str]) -> None:
        if self._closed:
            return
        known = {peer.address: peer for peer in self.peers}
        self.peers = [known[address] if address in known else self._join(address) for address in found]
        for address in known.keys() - {*found}:
            leaving = asyncio.ensure_future(known[address].sink.aclose())
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)

    async def aclose(self) -> None:
        """See Members.aclose."""
        self._closed = True
        if self._resolving is not None:
            self._resolving.cancel()
            await asyncio.wait([self._resolving])
        await asyncio.gather(super().aclose(), *self._leaving)


async def resolved(host: str, port: int) -> list[str]:
    """All addresses of a name, as host:port in their order. Raises OSError."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # a name that DNS cannot have
        raise OSError(f"it is no name: {error}") from None
    return sorted(
        f"[{to[0]!s}]:{port}" if family == socket.AF_INET6 else f"{to[0]!s}:{port}"
        for family, _, _, _, to in found
    )

"""Looks: whoever is away is asked whether it is back, beside the work of the others."""

import asyncio
import functools
import logging
from collections.abc import Sequence

from logbridge.adapters.services.peer import Peer

logger = logging.getLogger(__name__)


class Looks:
    """Those that are under way, one for each log service at most."""

    def __init__(self) -> None:
        self._under_way: dict[Peer, asyncio.Task[None]] = {}

    def at(self, peers: Sequence[Peer]) -> None:
        """Begin to ask those that are away and due for it; nobody waits for the answer."""
        for peer in peers:
            if peer.guard.away and not peer.guard.trial_in_s and peer not in self._under_way:
                self._under_way[peer] = looking = asyncio.ensure_future(peer.guard.look())
                looking.add_done_callback(functools.partial(self._looked, peer))

    def _looked(self, peer: Peer, looking: "asyncio.Task[None]") -> None:
        del self._under_way[peer]
        if not looking.cancelled() and (error := looking.exception()) is not None:
            logger.error("%s: cannot be asked whether it is back", peer.address, exc_info=error)

    def end(self) -> None:
        """Ask nobody any more."""
        for looking in [*self._under_way.values()]:
            looking.cancel()

"""Whether strangers on the network can come in without a key, and the one line that says so."""

import logging
import socket

from logbridge.entrypoints.addresses import is_loopback
from logbridge.entrypoints.settings import Settings

logger = logging.getLogger(__name__)


def warn_of_open_doors(settings: Settings, name: str, host: str) -> None:
    """Warn, in one line, if ``name`` listens at a host that others can reach and nobody needs a key."""
    if not settings.keys_file and is_reachable(host):
        logger.warning(
            "%s listens at %s, and anybody who reaches it may use it: LOGBRIDGE_KEYS_FILE is not set. "
            "`logbridge key create` makes keys; a host of 127.0.0.1 answers this machine only",
            name,
            host,
        )


def is_reachable(host: str) -> bool:
    """Whether other machines may reach what listens at a host; not if it leads to loopback only."""
    try:
        found = socket.getaddrinfo(host or None, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        return False  # nobody can listen there
    return any(not is_loopback(str(address[0])) for *_, address in found)

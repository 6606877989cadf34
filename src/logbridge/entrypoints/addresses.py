"""IP addresses as sockets, headers and settings write them."""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address

# A port of six digits is none, and would be read by int() all the same.
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\s/?#@:\[\]]+))(?::([0-9]{1,5}))?", re.ASCII)


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """An IP address, of IPv4 where it is mapped into IPv6; None for what is none.

    With the zone of a link-local address it is none, either: any text may stand there.
    """
    try:
        address = None if "%" in text else ip_address(text)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def is_loopback(text: str) -> bool:
    """Whether it is an address of this machine that no other one can reach."""
    address = parse_address(text)
    return address is not None and address.is_loopback


def host_and_port(text: str) -> tuple[str, int | None] | None:
    """A Host: its name or address in lower case, without brackets, and its port if it has one.

    None for what is no Host (RFC 3986, section 3.2).
    """
    match = _HOST.fullmatch(text)
    if match is None:
        return None
    return (match[1] or match[2]).lower(), int(match[3]) if match[3] else None

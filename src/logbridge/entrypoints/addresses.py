"""IP addresses as sockets, headers and settings write them."""

from ipaddress import IPv4Address, IPv6Address, ip_address


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

"""Who asked, where a trusted proxy passes requests on: Forwarded (RFC 7239) and X-Forwarded-*.

Whether a caller is local (access.py) does not depend on this: there any such header says no, whoever sent it.
"""

import functools
import re
from collections.abc import Iterable
from ipaddress import ip_network
from typing import Any

from msgspec import Struct

from logbridge.entrypoints.addresses import parse_address

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_PARAMETER = re.compile(rf"\s*({_WORD})=({_WORD}|{_QUOTED})\s*")
_UNQUOTED_COMMAS = re.compile(rf"((?:[^\",]|{_QUOTED})*)(?:,|$)")
_NODE = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::(\d{1,5}))?|([0-9.]+)(?::(\d{1,5}))?")
_HOST = re.compile(r"[\w.~-]+(?::\d{1,5})?|\[[0-9A-Fa-f:.]+\](?::\d{1,5})?", re.ASCII)
_ADDRESSES_REMEMBERED = 1024
# More is no list of proxies, and would take long to read.
_CHARACTERS_MAX = 8192


class Hop(Struct, frozen=True):
    """What one proxy says of the request that it got; empty for what it does not say, or cannot be read.

    port: 0 if unknown.
    """

    address: str = ""
    port: int = 0
    scheme: str = ""
    host: str = ""


class Proxies:
    """The proxies that are believed. networks: IP addresses or networks; see LOGBRIDGE_TRUSTED_PROXIES."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = tuple(ip_network(text) for text in networks)
        self.trusts = functools.lru_cache(_ADDRESSES_REMEMBERED)(self._trusts)

    def _trusts(self, host: str) -> bool:
        address = parse_address(host)
        return address is not None and any(address in network for network in self._networks)

    def believe(self, scope: dict[str, Any]) -> None:
        """Write into the scope of a request from a trusted proxy who asked, and for which scheme and host.

        Where both families of headers are there and name different clients, neither is believed: proxies keep
        one of them, and pass on what a client wrote in the other.
        """
        hops, others = _hops(scope["headers"])
        if not hops:
            return
        first = self._nearest_to_client(hops)
        if others and others[self._nearest_to_client(others)].address != hops[first].address:
            return
        if hops[first].address:
            scope["client"] = (hops[first].address, hops[first].port)
        # Of several, the one nearest to the client knows what the client asked for.
        if scheme := next((hop.scheme for hop in hops[first:] if hop.scheme), ""):
            scope["scheme"] = scheme
        if host := next((hop.host for hop in hops[first:] if hop.host), ""):
            scope["headers"] = [header for header in scope["headers"] if header[0] != b"host"]
            scope["headers"].append((b"host", host.encode()))

    def _nearest_to_client(self, hops: list[Hop]) -> int:
        """The hop whose address is the client's: from the right, the first that is no trusted proxy.

        Where somebody wrote what is no address, it is the last one before that, which a trusted proxy saw.
        """
        for index in range(len(hops) - 1, -1, -1):
            if not hops[index].address:
                return min(index + 1, len(hops) - 1)
            if not self.trusts(hops[index].address):
                return index
        return 0


def _hops(headers: Iterable[tuple[bytes, bytes]]) -> tuple[list[Hop], list[Hop]]:
    """From the client's side to ours: by Forwarded, or else X-Forwarded-*; and by the second, if by both."""
    lines: dict[bytes, list[str]] = {}
    for name, value in headers:
        if name == b"forwarded" or name.startswith(b"x-forwarded-"):
            lines.setdefault(name, []).append(value.decode("latin-1"))
    if sum(len(line) for values in lines.values() for line in values) > _CHARACTERS_MAX:
        return [Hop()], []
    standard = [hop for line in lines.get(b"forwarded", ()) for hop in _forwarded(line)]
    names = (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host")
    older = _x_forwarded(*(",".join(lines.get(name, ())) for name in names))
    if not standard:
        return older, []
    return standard, older if b"x-forwarded-for" in lines else []


def _x_forwarded(*lists: str) -> list[Hop]:
    addresses, schemes, hosts = ([part.strip() for part in each.split(",") if part.strip()] for each in lists)
    count = max(len(addresses), 1 if schemes or hosts else 0)
    nodes = [_node(address) for address in addresses] or [("", 0)] * count
    return [
        Hop(*nodes[index], _scheme(_of(schemes, index, count)), _host(_of(hosts, index, count)))
        for index in range(count)
    ]


def _of(values: list[str], index: int, count: int) -> str:
    """The value of a hop; where there is not one for each, the last, which the nearest proxy wrote."""
    if len(values) == count:
        return values[index]
    return values[-1] if values else ""


def _forwarded(line: str) -> list[Hop]:
    """The elements of a Forwarded header; a single one that says nothing where a quotation mark is missing.

    A client may have left it out, to swallow what the proxy appends.
    """
    elements: list[str] = []
    place = 0
    while place <= len(line):
        match = _UNQUOTED_COMMAS.match(line, place)
        if match is None:
            return [Hop()]
        elements.append(match[1])
        place = match.end() + (match.end() == len(line) and not match[0].endswith(","))
    return [_element(text) for text in elements if text.strip()]


def _element(text: str) -> Hop:
    values: dict[str, str] = {}
    for pair in _split_pairs(text):
        match = _PARAMETER.fullmatch(pair)
        if match is None or match[1].lower() in values:
            return Hop()
        values[match[1].lower()] = _unquoted(match[2])
    return Hop(*_node(values.get("for", "")), _scheme(values.get("proto", "")), _host(values.get("host", "")))


def _split_pairs(text: str) -> list[str]:
    return [pair for pair in re.findall(rf"(?:[^\";]|{_QUOTED})+", text) if pair.strip()]


def _unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value


def _node(text: str) -> tuple[str, int]:
    """An address and its port; ("", 0) for what is none, such as ``unknown`` or a name that hides it."""
    if parse_address(text) is not None:  # IPv6 without brackets, in X-Forwarded-For
        return str(parse_address(text)), 0
    match = _NODE.fullmatch(text)
    if match is None:
        return "", 0
    address = parse_address(match[1] or match[3])
    port = int(match[2] or match[4] or 0)
    return (str(address), port) if address is not None and port < 65_536 else ("", 0)


def _scheme(text: str) -> str:
    return text.lower() if text.lower() in ("http", "https") else ""


def _host(text: str) -> str:
    return text if _HOST.fullmatch(text) else ""

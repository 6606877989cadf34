"""Who asked, behind proxies that are believed."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbridge.entrypoints.http.access import is_local
from logbridge.entrypoints.http.proxies import Proxies

PEER = ("10.0.0.1", 4711)
PROXIES = Proxies(["10.0.0.0/8", "2001:db8:1::/48", "127.0.0.1"])
CLIENT = "192.0.2.1"


def scope_of(*headers: tuple[str, str], peer: tuple[str, int] = PEER) -> dict[str, Any]:
    """A request from a trusted peer, as the application gets it."""
    scope: dict[str, Any] = {"client": peer, "scheme": "http"}
    scope["headers"] = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
    PROXIES.believe(scope)
    return scope


@pytest.mark.parametrize(
    ("value", "client"),
    [
        ("for=192.0.2.1", (CLIENT, 0)),
        ('FOR="192.0.2.1:5000"', (CLIENT, 5000)),
        ('For="[2001:db8:cafe::17]:4711"', ("2001:db8:cafe::17", 4711)),
        ('for="[2001:db8:cafe::17]";proto=https', ("2001:db8:cafe::17", 0)),
        ('for="[::ffff:192.0.2.1]"', (CLIENT, 0)),
        ("for=203.0.113.9, for=192.0.2.1", (CLIENT, 0)),
        ("for=192.0.2.1, for=10.0.0.2", (CLIENT, 0)),
        ('for=192.0.2.1,for="[2001:db8:1::7]" , for=10.9.9.9;by=10.0.0.1', (CLIENT, 0)),
        ("for=10.0.0.3, for=10.0.0.2", ("10.0.0.3", 0)),
        # What is no address: the last good one.
        ("for=192.0.2.1, for=unknown", PEER),
        ("for=192.0.2.1, for=_hidden, for=10.0.0.2", ("10.0.0.2", 0)),
        ("for=garbage", PEER),
        ("for=192.0.2.1:99999", PEER),
        ("for=192.0.2.1.1", PEER),
        ("for=[192.0.2.1", PEER),
        ("proto=https", PEER),
        ("for=192.0.2.1;for=192.0.2.2", PEER),
        ("nonsense, for=192.0.2.1", (CLIENT, 0)),
        ("for=192.0.2.1, nonsense", PEER),
        ("", PEER),
        (",,", PEER),
        # A client that tries to swallow what the proxy appends.
        ('for="203.0.113.9, for=192.0.2.1', PEER),
        ('for=203.0.113.9;x=", for=192.0.2.1', PEER),
        ('for=203.0.113.9;x=", for="[2001:db8:cafe::17]"', PEER),
        ('for=203.0.113.9;x="\\, for="192.0.2.1"', PEER),
        ('for=203.0.113.9;x="a,b", for=192.0.2.1', (CLIENT, 0)),
        ('for=203.0.113.9;x="a\\",b", for=192.0.2.1', (CLIENT, 0)),
    ],
)
def test_forwarded(value: str, client: tuple[str, int]) -> None:
    """From the right, the first that is no trusted proxy is the client."""
    assert scope_of(("Forwarded", value))["client"] == client


@pytest.mark.parametrize(
    ("values", "client"),
    [
        (["192.0.2.1"], (CLIENT, 0)),
        (["203.0.113.9, 192.0.2.1, 10.0.0.2"], (CLIENT, 0)),
        (["203.0.113.9", "192.0.2.1", "10.0.0.2"], (CLIENT, 0)),
        (["2001:db8:cafe::17"], ("2001:db8:cafe::17", 0)),
        (["[2001:db8:cafe::17]:80"], ("2001:db8:cafe::17", 80)),
        (["192.0.2.1:80"], (CLIENT, 80)),
        (["192.0.2.1, junk"], PEER),
        (["192.0.2.1, junk, 10.0.0.2"], ("10.0.0.2", 0)),
        (["10.0.0.4,10.0.0.2"], ("10.0.0.4", 0)),
        ([""], PEER),
        ([" , "], PEER),
    ],
)
def test_x_forwarded_for(values: list[str], client: tuple[str, int]) -> None:
    """The same walk over the older header, in one line or in several."""
    assert scope_of(*(("X-Forwarded-For", value) for value in values))["client"] == client


def test_endless_headers_are_not_read() -> None:
    """A list that no proxies make says nothing."""
    for name in ("Forwarded", "X-Forwarded-For"):
        assert scope_of((name, "for=192.0.2.1," * 1000 + "for=192.0.2.1"))["client"] == PEER


def test_forwarded_wins() -> None:
    """Where both are there and agree, the standard's one says the rest."""
    scope = scope_of(
        ("X-Forwarded-For", "203.0.113.9, 192.0.2.1"),
        ("X-Forwarded-Proto", "http"),
        ("Forwarded", 'for="192.0.2.1:80";proto=https'),
    )
    assert (scope["client"], scope["scheme"]) == ((CLIENT, 80), "https")


@pytest.mark.parametrize("forwarded", ["for=203.0.113.9;proto=https", "for=unknown", "for="])
def test_headers_that_disagree(forwarded: str) -> None:
    """A client that writes the header which its proxy does not know of is not believed, nor hidden."""
    for headers in ((forwarded, "192.0.2.1"), ("for=192.0.2.1", "203.0.113.9")):
        scope = scope_of(("Forwarded", headers[0]), ("X-Forwarded-For", headers[1]))
        assert (scope["client"], scope["scheme"]) == (PEER, "http")


@pytest.mark.parametrize(
    ("headers", "scheme", "host"),
    [
        ([("Forwarded", "for=192.0.2.1;proto=HTTPS;host=logs.example")], "https", "logs.example"),
        ([("Forwarded", 'for=192.0.2.1;host="logs.example:8443"')], "http", "logs.example:8443"),
        ([("Forwarded", "proto=https")], "https", "bridge"),
        ([("Forwarded", "for=192.0.2.1;proto=https, for=10.0.0.2;proto=http")], "https", "bridge"),
        ([("Forwarded", "for=192.0.2.1, for=10.0.0.2;proto=https")], "https", "bridge"),
        ([("Forwarded", "for=203.0.113.9;proto=https, for=192.0.2.1")], "http", "bridge"),
        ([("Forwarded", "for=192.0.2.1;proto=gopher;host=a/b")], "http", "bridge"),
        ([("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "logs.example")], "https", "logs.example"),
        ([("X-Forwarded-Proto", "ftp, https")], "https", "bridge"),
        ([("X-Forwarded-For", "192.0.2.1,10.0.0.2"), ("X-Forwarded-Proto", "https,http")], "https", "bridge"),
        ([("X-Forwarded-For", "192.0.2.1,10.0.0.2"), ("X-Forwarded-Proto", "https")], "https", "bridge"),
        ([("X-Forwarded-Host", "evil.example, logs.example")], "http", "logs.example"),
        ([("X-Forwarded-Host", "a b")], "http", "bridge"),
        ([], "http", "bridge"),
    ],
)
def test_scheme_and_host(headers: list[tuple[str, str]], scheme: str, host: str) -> None:
    """Those that the client asked for, as the proxy nearest to it says; nonsense changes nothing."""
    scope = scope_of(("Host", "bridge"), *headers)
    hosts = [value.decode() for name, value in scope["headers"] if name == b"host"]
    assert (scope["scheme"], hosts) == (scheme, [host])


@pytest.mark.parametrize(
    "headers",
    [
        [("Forwarded", "for=127.0.0.1;host=localhost")],
        [("X-Forwarded-For", "127.0.0.1"), ("X-Forwarded-Host", "localhost")],
    ],
)
def test_what_was_forwarded_is_never_local(headers: list[tuple[str, str]]) -> None:
    """A trusted proxy on this machine that says its client is local does not make it so."""
    scope = scope_of(("Host", "logs.example"), *headers, peer=("127.0.0.1", 5000))
    assert scope["client"] == ("127.0.0.1", 0)
    assert not is_local(scope, Proxies([]))


def test_whom_it_trusts() -> None:
    """Addresses in the networks, of IPv4 also where they are mapped into IPv6; no name is one."""
    proxies = ("10.1.2.3", "::ffff:10.1.2.3", "2001:db8:1::5", "127.0.0.1")
    assert all(PROXIES.trusts(host) for host in proxies)
    assert not any(PROXIES.trusts(host) for host in ("11.0.0.1", "2001:db8:2::5", "localhost", ""))


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["Forwarded", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host"]),
            st.text(st.sampled_from('for=;,:"\\[]10.2ab proto host_'), max_size=60),
        ),
        max_size=4,
    )
)
def test_no_header_breaks_it(headers: list[tuple[str, str]]) -> None:
    """Whatever a proxy passes on, there is a client, a scheme and one host."""
    scope = scope_of(("Host", "bridge"), *headers)
    assert scope["client"][0]
    assert scope["scheme"] in ("http", "https")
    assert [name for name, _ in scope["headers"]].count(b"host") == 1

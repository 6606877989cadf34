"""Which requests a browser vouches for as those of a page of this very bridge."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbridge.entrypoints.http.own_pages import strange_page
from logbridge.entrypoints.http.proxies import Proxies

HOST = "logs.example:8001"
OURS = "http://logs.example:8001"


def scope_of(*headers: tuple[str, str], scheme: str = "http", host: str = HOST) -> dict[str, Any]:
    pairs = [("host", host), *headers] if host else list(headers)
    return {
        "type": "http",
        "scheme": scheme,
        "client": ("127.0.0.1", 4711),
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in pairs],
    }


SITE, ORIGIN = "Sec-Fetch-Site", "Origin"


@pytest.mark.parametrize(
    "headers",
    [
        [(SITE, "same-origin")],
        [(SITE, "same-origin"), (ORIGIN, OURS)],
        # A proxy that nobody named rewrites Host: the browser's word is enough.
        [(SITE, "same-origin"), (ORIGIN, "https://logs.example")],
        [(ORIGIN, OURS)],
        [(ORIGIN, "HTTP://LOGS.example:8001")],
    ],
)
def test_our_own_pages_are_known(headers: list[tuple[str, str]]) -> None:
    """By the browser's word, or by an origin that is the request's own."""
    assert strange_page(scope_of(*headers)) == ""


@pytest.mark.parametrize(
    ("scheme", "host", "origin"),
    [
        ("http", "logs.example", "http://logs.example:80"),
        ("http", "logs.example:80", "http://logs.example"),
        ("https", "logs.example", "https://logs.example"),
        ("https", "logs.example:443", "https://logs.example"),
        ("http", "127.0.0.1:8001", "http://127.0.0.1:8001"),
        ("http", "[::1]:8001", "http://[::1]:8001"),
    ],
)
def test_the_usual_port_may_be_left_out(scheme: str, host: str, origin: str) -> None:
    """Scheme, host and port are compared, however they are written."""
    assert strange_page(scope_of((ORIGIN, origin), scheme=scheme, host=host)) == ""


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ([], "neither Sec-Fetch-Site nor Origin"),
        ([(SITE, "cross-site")], "Sec-Fetch-Site is cross-site"),
        ([(SITE, "same-site")], "Sec-Fetch-Site is same-site"),
        ([(SITE, "none")], "Sec-Fetch-Site is none"),
        ([(SITE, "")], "Sec-Fetch-Site is "),
        ([(SITE, "Same-Origin")], "Sec-Fetch-Site is Same-Origin"),
        ([(SITE, "same-origin, same-origin")], "Sec-Fetch-Site is"),
        ([(SITE, "same-origin"), (SITE, "cross-site")], "Sec-Fetch-Site is same-origin, cross-site"),
        # Whoever says cross-site is not saved by an origin.
        ([(SITE, "same-site"), (ORIGIN, OURS)], "Sec-Fetch-Site is same-site"),
        ([(ORIGIN, "null")], "Origin is null"),
        ([(ORIGIN, "")], "Origin is "),
        ([(ORIGIN, "http://logs.example:8002")], "Origin is http://logs.example:8002"),
        ([(ORIGIN, "http://logs.example")], "and the bridge was asked for as http://logs.example:8001"),
        ([(ORIGIN, "https://logs.example:8001")], "Origin is https://logs.example:8001"),
        ([(ORIGIN, "http://other.example:8001")], "Origin is http://other.example:8001"),
        ([(ORIGIN, "http://logs.example:8001.other.example")], "Origin is"),
        ([(ORIGIN, "http://logs.example:8001@other.example")], "Origin is"),
        ([(ORIGIN, "http://other@logs.example:8001")], "Origin is"),
        ([(ORIGIN, f"{OURS}/")], "Origin is"),
        ([(ORIGIN, f"{OURS} http://other.example")], "Origin is"),
        ([(ORIGIN, OURS), (ORIGIN, "http://other.example")], "Origin is"),
        ([("Referer", f"{OURS}/docs")], "neither"),
    ],
)
def test_all_else_is_strange(headers: list[tuple[str, str]], told: str) -> None:
    """Other ports, schemes, hosts and sites, and what says nothing; the reason names what was said."""
    assert told in strange_page(scope_of(*headers))


@pytest.mark.parametrize("host", ["", "logs.example:8001:1", "a b", "[::1"])
def test_without_a_host_nothing_is_our_own(host: str) -> None:
    """An origin is compared with what was asked for; where that is unreadable, it equals nothing."""
    assert strange_page(scope_of((ORIGIN, OURS), host=host))


def test_behind_a_proxy_its_word_counts() -> None:
    """The scheme and host that a trusted proxy told are those that the browser sees."""
    told = [("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "logs.example")]
    scope = scope_of((ORIGIN, "https://logs.example"), *told, host="127.0.0.1:8001")
    assert strange_page(scope)
    Proxies(["127.0.0.1"]).believe(scope)
    assert strange_page(scope) == ""


headers = st.lists(
    st.tuples(
        st.sampled_from([SITE, ORIGIN, "Referer", "X-Forwarded-Host"]),
        st.sampled_from(["same-origin", "same-site", "cross-site", "none", "null", OURS, f"{OURS}0", "*"])
        | st.text("htp:/.logsexam8001 ,@[]-", max_size=30),
    ),
    max_size=4,
)


@given(headers)
def test_nobody_else_is_let_in(given_headers: list[tuple[str, str]]) -> None:
    """One Sec-Fetch-Site that says same-origin, or none and one Origin of ours; nothing else."""
    sites = [value.strip(" \t") for name, value in given_headers if name == SITE]
    origins = [value.strip(" \t").lower() for name, value in given_headers if name == ORIGIN]
    vouched = sites == ["same-origin"] or (not sites and origins == [OURS])
    assert (strange_page(scope_of(*given_headers)) == "") == vouched

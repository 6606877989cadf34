"""Who may do what over HTTP: by key, by session, and as a stranger where no keys are set."""

import re
from urllib.parse import urlsplit

from starlette.types import Scope

from logbridge.adapters.keys.ring import KeyRing
from logbridge.domain.access import Caller
from logbridge.domain.access import Scope as Right
from logbridge.entrypoints.addresses import host_and_port, is_loopback
from logbridge.entrypoints.http.meter import Refusal
from logbridge.entrypoints.http.own_pages import strange_page
from logbridge.entrypoints.http.problems import RequestRejected
from logbridge.entrypoints.http.proxies import Proxies
from logbridge.entrypoints.http.sessions import Sessions, session_cookie
from logbridge.entrypoints.rates import Rates
from logbridge.entrypoints.settings import Opening, Settings

# Headers of such names say that somebody else asked, and a program on this machine only passes it on.
_FORWARDING = re.compile(
    rb"(x-)?forwarded(-.*)?|via|x-real-.*|x-envoy-.*|x-original-.*|(x-|true-|fastly-|cf-|x-cluster-)?"
    rb"(client|connecting)-ip"
)
# What LOGBRIDGE_OPEN calls the rights that strangers may be given.
_OPENINGS: dict[Right, Opening] = {Right.READ: "read", Right.TEST: "test"}
# Without keys everybody may write.
_ANYBODY = Caller(scopes=frozenset({Right.WRITE}))
# What a session lets in, from anywhere and from our own pages.
_READING = ("GET", "HEAD")
_WRITING = ("POST", "DELETE")
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="logbridge"'}
_WRONG_KEY = {"WWW-Authenticate": 'Bearer realm="logbridge", error="invalid_token"'}


class Gate:
    """Lets a request in, or rejects it with 401, 403 or 429.

    ring: the keys, None where there are none: writing then is open, and the rest answers local callers and
    whom LOGBRIDGE_OPEN lets in.
    """

    def __init__(self, settings: Settings, ring: KeyRing | None, sessions: Sessions, rates: Rates) -> None:
        self._rates = rates
        self._open = settings.open
        self._ring = ring
        self._sessions = sessions
        self._root_path = settings.root_path
        self._proxies = Proxies(settings.trusted_proxies)
        # Asked for with every write.
        self._anybody_writes = ring is None and not settings.address_rate

    @property
    def has_keys(self) -> bool:
        """Whether callers need keys here."""
        return self._ring is not None

    def identify(self, scope: Scope) -> Caller:
        """Who asks, whatever for; without keys, what such a caller may do.

        Raises RequestRejected (401) and RateExceeded.
        """
        self.count(scope)
        if self._ring is not None:
            return self._caller(scope, self._ring)
        rights = {right for right in _OPENINGS if self._is_open(scope, right)}
        return Caller(scopes=_ANYBODY.scopes | rights)

    def identify_key(self, scope: Scope) -> Caller:
        """Who shows a key: a session does not do, or it could be begun again without end.

        Raises RequestRejected: 400 where there are no keys, 401; and RateExceeded.
        """
        if self._ring is None:
            raise RequestRejected(
                400, "this bridge has no keys (LOGBRIDGE_KEYS_FILE): there is nothing to log in to"
            )
        self.count(scope)
        if shown_key(scope) is None:
            raise _no_key(self._named(scope))
        return self._caller(scope, self._ring)

    def count(self, scope: Scope) -> None:
        """Count a request that needs no key but makes work. Raises RateExceeded."""
        self._rates.count_address(_address_of(scope))

    def admit(self, scope: Scope, right: Right) -> Caller:
        """Who asks. Raises RequestRejected: 401 without a key or with a wrong one, 403 without the right; and
        RateExceeded.
        """
        if self._anybody_writes and right is Right.WRITE:
            return _ANYBODY
        self.count(scope)
        if self._ring is None:
            if right is Right.WRITE or self._is_open(scope, right):
                return _ANYBODY
            raise _closed(self._named(scope), _OPENINGS[right])
        caller = self._caller(scope, self._ring)
        if not caller.may(right):
            raise RequestRejected(
                403, f"the key {caller.name} may not do that: {self._named(scope)} needs the scope {right}"
            )
        return caller

    def count_again(self, scope: Scope, caller: Caller) -> None:
        """Count more work of a request that was admitted as one more request. Raises RateExceeded."""
        self.count(scope)
        if self._ring is not None:
            self._rates.count_key(caller)

    def still_lets_in(self, caller: Caller) -> bool:
        """Whether somebody who was admitted would still be: a key may be revoked or end meanwhile."""
        return self._ring is None or self._ring.still_lets_in(caller)

    def _named(self, scope: Scope) -> str:
        """The path that was asked for, as callers know it."""
        return f"{self._root_path}{scope['path']}"

    def _caller(self, scope: Scope, ring: KeyRing) -> Caller:
        key = shown_key(scope)
        if key is None:
            caller = self._by_session(scope, ring)
        else:
            caller = ring.find(key)
            if caller is None:
                reason = "this key is unknown, revoked or expired"
                raise RequestRejected(401, reason, _WRONG_KEY, Refusal.UNKNOWN_KEY)
        if caller is None:
            raise _no_key(self._named(scope))
        self._rates.count_key(caller)
        return caller

    def _by_session(self, scope: Scope, ring: KeyRing) -> Caller | None:
        cookie = session_cookie(scope)
        key_id = None if cookie is None else self._sessions.key_id_of(cookie)
        caller = None if key_id is None else ring.find_by_id(key_id)
        if caller is None or scope["method"] in _READING:
            return caller
        # A cookie comes with whatever a page makes the browser ask; to SameSite all ports of a host are one.
        strange = strange_page(scope) if scope["method"] in _WRITING else f"{scope['method']} is never let in"
        if strange:
            raise RequestRejected(
                401, f"a session changes things from a page of this bridge only: {strange}", _CHALLENGE
            )
        return caller

    def _is_open(self, scope: Scope, right: Right) -> bool:
        return _OPENINGS[right] in self._open or is_local(scope, self._proxies)


def _no_key(path: str) -> RequestRejected:
    reason = f"{path} needs a key: send Authorization: Bearer KEY or X-API-Key: KEY"
    return RequestRejected(401, reason, _CHALLENGE)


def key_ended() -> RequestRejected:
    """For somebody whose key lets in no more, in the middle of a request."""
    return RequestRejected(401, "the key has been revoked, or has expired", _WRONG_KEY, Refusal.UNKNOWN_KEY)


def _closed(path: str, opening: Opening) -> RequestRejected:
    return RequestRejected(
        403,
        f"{path} answers callers on this machine only; LOGBRIDGE_OPEN={opening} opens it to others, "
        "LOGBRIDGE_KEYS_FILE to those with a key",
        refusal=Refusal.CLOSED,
    )


def _address_of(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else "unknown"


def shown_key(scope: Scope) -> str | None:
    """The key of ``Authorization: Bearer`` or ``X-API-Key``; None without one.

    Raises RequestRejected (401) for several, or for another scheme.
    """
    shown = [_key_of(name, value) for name, value in scope["headers"] if name in _KEY_HEADERS]
    if len(shown) > 1:
        raise RequestRejected(401, "more than one key: send one of Authorization and X-API-Key", _CHALLENGE)
    return shown[0] if shown else None


_KEY_HEADERS = frozenset((b"authorization", b"x-api-key"))


def _key_of(name: bytes, value: bytes) -> str:
    text = value.decode("latin-1").strip()
    if name == b"x-api-key":
        return text
    scheme, _, key = text.partition(" ")
    if scheme.lower() != "bearer":
        raise RequestRejected(401, "Authorization is not Bearer: send Authorization: Bearer KEY", _CHALLENGE)
    return key.strip()


def is_local(scope: Scope, proxies: Proxies) -> bool:
    """Whether the TCP peer and the Host are loopback, and nobody forwarded the request.

    A trusted proxy is never local, also where it says nothing of whom it asks for; what it does say changes
    nothing here: the headers it says it with are there, and each of them means no.
    """
    client = scope.get("client")
    if client is None or not is_loopback(client[0]) or proxies.trusts(client[0]):
        return False
    if any(_FORWARDING.fullmatch(name) for name, _ in scope["headers"]):
        return False
    # A page of another site, in a browser on this machine, may send what needs no preflight: it names itself.
    origins = [value for name, value in scope["headers"] if name == b"origin"]
    if not all(_is_this_machine(_origin_host(origin.decode("latin-1"))) for origin in origins):
        return False
    # The Host too: a web page that rebinds its own name to 127.0.0.1 comes from a local peer.
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    return len(hosts) == 1 and _is_this_machine(_host_name(hosts[0].decode("latin-1")))


def _origin_host(origin: str) -> str:
    try:
        return urlsplit(origin).hostname or ""
    except ValueError:  # a bracket without its other
        return ""


def _host_name(host: str) -> str:
    found = host_and_port(host)
    return found[0] if found else ""


def _is_this_machine(host: str) -> bool:
    return host.rstrip(".") == "localhost" or is_loopback(host)

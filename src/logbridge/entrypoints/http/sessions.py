"""Sessions of a browser: a cookie that stands for a key, because server-sent events carry no headers."""

import hashlib
import hmac
import re
import time

from starlette.requests import cookie_parser
from starlette.types import Scope

SECRET_BYTES = 32
SESSION_S = 12 * 3600
_NAME = "logbridge_session"
_COOKIE = re.compile(r"([0-9a-f]{12})\.([0-9]{1,12})\.([0-9a-f]{64})", re.ASCII)
_COOKIES_BYTES_MAX = 4096


class Sessions:
    """Makes and reads session cookies. secret: of this start of the bridge, so all of them end with it.

    root_path: see LOGBRIDGE_ROOT_PATH. Browsers send the cookie to no other program of the host.

    A cookie holds the id of a key, when it ends, and an HMAC of both: nothing is kept here, and revoking the
    key ends its sessions.
    """

    def __init__(self, secret: bytes, root_path: str = "") -> None:
        self._secret = secret
        self._path = root_path or "/"

    def cookie_for(self, key_id: str, *, secure: bool) -> str:
        """The Set-Cookie of a session that begins now. secure: whether it came over TLS."""
        ends_s = str(int(time.time()) + SESSION_S)
        value = f"{key_id}.{ends_s}.{self._signature(key_id, ends_s)}"
        return f"{_NAME}={value}; Max-Age={SESSION_S}; {self._attributes(secure)}"

    def ended_cookie(self, *, secure: bool) -> str:
        """The Set-Cookie that ends a session in the browser."""
        return f"{_NAME}=; Max-Age=0; {self._attributes(secure)}"

    def key_id_of(self, cookie: str) -> str | None:
        """The id of the key that a cookie of ours stands for; None if it is none, or has ended."""
        match = _COOKIE.fullmatch(cookie)
        if match is None:
            return None
        key_id, ends_s, signature = match.groups()
        if not hmac.compare_digest(signature, self._signature(key_id, ends_s)):
            return None
        return key_id if int(ends_s) > time.time() else None

    def _signature(self, key_id: str, ends_s: str) -> str:
        return hmac.new(self._secret, f"{key_id}.{ends_s}".encode(), hashlib.sha256).hexdigest()

    def _attributes(self, secure: bool) -> str:
        return f"Path={self._path}; HttpOnly; SameSite=Strict" + ("; Secure" if secure else "")


def session_cookie(scope: Scope) -> str | None:
    """The session cookie of a request, None without one."""
    for name, value in scope["headers"]:
        if name == b"cookie" and len(value) <= _COOKIES_BYTES_MAX:
            # As browsers do: what another program of this host has set may look like anything.
            found = cookie_parser(value.decode("latin-1")).get(_NAME)
            if found is not None:
                return found
    return None

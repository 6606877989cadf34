"""Beginning, showing and ending a browser's session."""

from starlette.types import Receive, Scope

from logbridge.domain.access import Caller
from logbridge.entrypoints.http.access import Gate
from logbridge.entrypoints.http.problems import Answer, ok
from logbridge.entrypoints.http.schema import Probe, Session
from logbridge.entrypoints.http.sessions import Sessions


class SessionEndpoints:
    """The operations on the session of whoever asks."""

    def __init__(self, gate: Gate, sessions: Sessions) -> None:
        self._gate = gate
        self._sessions = sessions

    async def show(self, scope: Scope, _receive: Receive) -> Answer:
        return ok(_session(self._gate.identify(scope), keys=self._gate.has_keys))

    async def begin(self, scope: Scope, _receive: Receive) -> Answer:
        caller = self._gate.identify_key(scope)
        cookie = self._sessions.cookie_for(caller.key_id, secure=scope["scheme"] == "https")
        return ok(_session(caller, keys=True), headers={"Set-Cookie": cookie, "Cache-Control": "no-store"})

    async def end(self, scope: Scope, _receive: Receive) -> Answer:
        cookie = self._sessions.ended_cookie(secure=scope["scheme"] == "https")
        return ok(Probe("ended"), headers={"Set-Cookie": cookie})


def _session(caller: Caller, *, keys: bool) -> Session:
    return Session(keys, caller.name, sorted(caller.scopes), sorted(caller.services))

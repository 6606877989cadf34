"""Operations beside the logs themselves: sessions, health and probes."""

from logbridge.entrypoints.http.endpoints import Plain
from logbridge.entrypoints.http.operation import Operation, Response, problems
from logbridge.entrypoints.http.schema import Health, Probe, ServiceInfo, Session

_SERVICE = ServiceInfo("logbridge", "0.1.0", "localhost:50051", 50, 1000)
_HEALTHY = Health("healthy", "2024-08-30T10:30:45.123456+00:00", True, _SERVICE, "")
_UNHEALTHY = Health(
    "unhealthy", "2024-08-30T10:30:45.123456+00:00", False, _SERVICE, "nothing listens at localhost:50051"
)

_SESSION = Session(keys=True, name="shop", scopes=["read", "write"], services=["shop"])


def session(prefix: str) -> tuple[Operation, ...]:
    """The operations of sessions."""
    path = f"{prefix}/session"
    return (
        Operation(
            "session", "GET", path, "Who you are to the bridge, and what you may do",
            lambda parts: Plain(parts.sessions.show),
            {200: Response("You.", (Session,), _SESSION), **problems(401, 429)},
            asks_who=True,
        ),
        Operation(
            "session-begin", "POST", path, "Begin a session: a cookie that stands for the key you send",
            lambda parts: Plain(parts.sessions.begin),
            {200: Response("Begun; the cookie is set.", (Session,), _SESSION), **problems(400, 401, 429)},
            "For browsers: server-sent events carry no headers. The cookie lets in GET, and POST and DELETE "
            "of pages of this bridge itself, for twelve hours or until the bridge restarts. A session "
            "begins no other one.",
            asks_who=True,
        ),
        Operation(
            "session-end", "DELETE", path, "Have the browser forget the session",
            lambda parts: Plain(parts.sessions.end),
            {200: Response("The cookie is taken back.", (Probe,), Probe("ended"))},
        ),
    )  # fmt: skip


def about(prefix: str) -> tuple[Operation, ...]:
    """Health and probes."""
    return (
        Operation(
            "health", "GET", f"{prefix}/health", "Whether logs can be written now; writes none",
            lambda parts: Plain(parts.endpoints.health),
            {
                200: Response("Healthy.", (Health,), _HEALTHY),
                503: Response("Unhealthy.", (Health,), _UNHEALTHY),
                **problems(429),
            },
        ),
        Operation(
            "livez", "GET", "/livez", "Whether the process serves",
            lambda parts: Plain(parts.probes.livez),
            {200: Response("It does.", (Probe,), Probe("alive"))},
        ),
        Operation(
            "readyz", "GET", "/readyz", "Whether new work is welcome",
            lambda parts: Plain(parts.probes.readyz),
            {200: Response("It is.", (Probe,), Probe("ready")), **problems(503)},
        ),
    )  # fmt: skip

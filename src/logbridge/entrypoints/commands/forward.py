"""forward: a worker that empties a stream; over HTTP it has probes and metrics only."""

from logbridge.domain.errors import InvalidSetting
from logbridge.entrypoints.commands import terminal
from logbridge.entrypoints.commands.ending import Exit
from logbridge.entrypoints.commands.options import SettingFlags, given, told_unknown
from logbridge.entrypoints.settings import load


def forward(*, flags: SettingFlags | None = None) -> Exit:
    """Deliver from a stream of NATS JetStream to the log service; as many at once as you like.

    It answers /livez, /readyz and /metrics at LOGBRIDGE_FORWARD_HOST:LOGBRIDGE_FORWARD_PORT.

    Example: logbridge forward --spool "nats://nats-1:4222,nats-2:4222?stream=logs" --sink grpc://logs:50051
    """
    from logbridge.entrypoints.http import server

    settings = load(given(flags))
    told_unknown()
    if not settings.spool_is_shared:
        reason = "forward empties a stream that bridges share: nats://host:port?stream=name"
        raise InvalidSetting("LOGBRIDGE_SPOOL", settings.spool_url, reason)
    server.forward(settings, terminal.notice)
    return Exit.FINE

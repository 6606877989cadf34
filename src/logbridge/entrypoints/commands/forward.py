"""forward: a worker without HTTP, which empties a stream."""

import asyncio

from logbridge.domain.errors import InvalidSetting
from logbridge.entrypoints.commands import terminal
from logbridge.entrypoints.commands.ending import Exit
from logbridge.entrypoints.commands.options import SettingFlags, given, told_unknown
from logbridge.entrypoints.commands.service import stop_event
from logbridge.entrypoints.container import check_tracing, close, holding_spool, make_container, start
from logbridge.entrypoints.own_log import begin_logging
from logbridge.entrypoints.process import collect_garbage_rarely
from logbridge.entrypoints.service_manager import READY, STOPPING, tell_manager
from logbridge.entrypoints.settings import Settings, load


def forward(*, flags: SettingFlags | None = None) -> Exit:
    """Deliver from a stream of NATS JetStream to the log service, without HTTP; as many as you like at once.

    Example: logbridge forward --spool "nats://nats-1:4222,nats-2:4222?stream=logs" --sink grpc://logs:50051
    """
    settings = load(given(flags))
    told_unknown()
    if not settings.spool_is_shared:
        reason = "forward empties a stream that bridges share: nats://host:port?stream=name"
        raise InvalidSetting("LOGBRIDGE_SPOOL", settings.spool_url, reason)
    check_tracing(settings)
    begin_logging(settings.log_level, settings.log_format, traces=settings.debug)
    with holding_spool(settings, look=True):
        asyncio.run(_forward(settings))
    return Exit.FINE


async def _forward(settings: Settings) -> None:
    stopping = stop_event()
    container = make_container(settings)
    try:
        start(container, deliver=True)
        terminal.notice(f"forwards from {settings.spool_url} to {settings.sink_url}")
        collect_garbage_rarely()
        tell_manager(READY)
        await stopping.wait()
        tell_manager(STOPPING)
    finally:
        await close(container, settings.drain_s)

"""service: the log service alone."""

import asyncio
import signal

from logbridge.entrypoints.commands import terminal
from logbridge.entrypoints.commands.ending import Exit
from logbridge.entrypoints.commands.options import SettingFlags, given, told_unknown
from logbridge.entrypoints.container import Container
from logbridge.entrypoints.exposure import warn_of_open_doors
from logbridge.entrypoints.own_log import begin_logging
from logbridge.entrypoints.process import collect_garbage_rarely
from logbridge.entrypoints.service_manager import READY, STOPPING, tell_manager
from logbridge.entrypoints.settings import Settings, load
from logbridge.entrypoints.tls import naming_settings, service_files

GRACE_S = 5.0


def service(*, flags: SettingFlags | None = None) -> Exit:
    """Start the log service alone: gRPC on GRPC_SERVER_PORT, logs in LOGBRIDGE_STORE.

    Example: logbridge service --store sqlite:////var/lib/logbridge/logs.db --service-host 0.0.0.0
    """
    settings = load(given(flags))
    told_unknown()
    begin_logging(settings.log_level, settings.log_format, traces=settings.debug)
    asyncio.run(_serve(settings))
    return Exit.FINE


async def _serve(settings: Settings) -> None:
    from logbridge.entrypoints.log_service import LogServiceServer

    stopping = stop_event()
    container = Container(settings)
    store = container.store
    server = LogServiceServer(
        store,
        host=settings.service_host,
        port=settings.grpc_server_port,
        maker=container.maker,
        keys=container.keys,
        tls=service_files(settings),
        message_bytes_max=settings.grpc_message_bytes_max,
    )
    try:
        with naming_settings("service"):
            await server.start()
        warn_of_open_doors(settings, "the log service", settings.service_host)
        where = f"{settings.service_host}:{server.port}" + (" with TLS" if settings.service_tls_cert else "")
        terminal.notice(f"log service listens on {where}, store {settings.store}")
        collect_garbage_rarely()
        tell_manager(READY)
        await stopping.wait()
        tell_manager(STOPPING)
    finally:
        await server.stop(GRACE_S)
        await store.aclose()


def stop_event() -> asyncio.Event:
    """Set by Ctrl-C, SIGTERM or the end of the terminal, which the running loop handles from now on."""
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    return stopping

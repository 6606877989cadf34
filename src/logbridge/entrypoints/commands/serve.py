"""serve: the bridge alone."""

from logbridge.entrypoints.commands.ending import UsageError
from logbridge.entrypoints.commands.options import SettingFlags, given, told_unknown
from logbridge.entrypoints.settings import load


def serve(*, workers: int = 1, flags: SettingFlags | None = None) -> int:
    """Start the bridge alone: HTTP in, to a log service that runs elsewhere.

    Example: logbridge serve --port 8001 --grpc-server-host logs.internal --workers 4

    Parameters
    ----------
    workers
        Processes that share the port: docs/workers.md.
    """
    from logbridge.entrypoints.http.server import serve as serve_http

    if workers < 1:
        raise UsageError(f"--workers {workers}: expected 1 or more")
    settings = load(given(flags))
    told_unknown()
    if workers > 1 and settings.sink.startswith("memory:"):
        raise UsageError(f"--workers {workers}: each worker would keep logs of its own in {settings.sink}")
    return serve_http(settings, workers=workers)

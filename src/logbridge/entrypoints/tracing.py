"""What records traces, where somebody collects them."""

from logbridge import __version__
from logbridge.domain.errors import InvalidSetting
from logbridge.domain.trace import Tracer
from logbridge.entrypoints.clock import new_id
from logbridge.entrypoints.extras import is_installed
from logbridge.entrypoints.settings import Settings

_OPENTELEMETRY = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http")


def open_tracer(settings: Settings) -> Tracer | None:
    """What records traces, None where nobody collects them. Raises InvalidSetting."""
    if not settings.otlp_traces_url:
        return None
    check_tracing(settings)
    # Only here: it costs memory and time to import.
    from logbridge.adapters.otel import OpenTelemetry

    return OpenTelemetry(
        settings.otlp_traces_url, settings.otlp_traces_ratio, settings.app_name, __version__, new_id()
    )


def check_tracing(settings: Settings) -> None:
    """Raises InvalidSetting where traces are asked for, and what sends them is not installed."""
    if settings.otlp_traces_url and not all(map(is_installed, _OPENTELEMETRY)):
        reason = "needs OpenTelemetry: pip install 'logbridge[otel]'"
        raise InvalidSetting("LOGBRIDGE_OTLP_TRACES_URL", settings.otlp_traces_url, reason)

"""Settings: the table of all, how they are read, and what URLs in them may look like."""

from logbridge.entrypoints.settings.described import SETTINGS, Setting, shown, variable_of
from logbridge.entrypoints.settings.reading import Explained, explain, load, unknown_variables
from logbridge.entrypoints.settings.table import Opening, Settings
from logbridge.entrypoints.settings.urls import (
    GRPC_SINKS,
    NAMED_SINKS,
    OTLP_HTTP_SINKS,
    TLS_SINKS,
    check_bridge_url,
    check_sink_url,
    check_spool_url,
    check_store_url,
    parse_headers,
    parse_rate,
    sink_address,
)

__all__ = [
    "GRPC_SINKS",
    "NAMED_SINKS",
    "OTLP_HTTP_SINKS",
    "SETTINGS",
    "TLS_SINKS",
    "Explained",
    "Opening",
    "Setting",
    "Settings",
    "check_bridge_url",
    "check_sink_url",
    "check_spool_url",
    "check_store_url",
    "explain",
    "load",
    "parse_headers",
    "parse_rate",
    "shown",
    "sink_address",
    "unknown_variables",
    "variable_of",
]

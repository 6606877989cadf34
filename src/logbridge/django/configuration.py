"""LOGBRIDGE of Django's settings."""

from typing import Annotated, Literal

import msgspec
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from msgspec import Meta, Struct

from logbridge.domain.entry import split_path
from logbridge.entrypoints.settings import GRPC_SINKS, check_sink_url

EXAMPLE = 'LOGBRIDGE = {"URL": "grpc://localhost:50051", "SERVICE_NAME": "shop"}'


class Configuration(Struct, frozen=True, rename="upper", forbid_unknown_fields=True):
    """URL: of the log service, ``grpc://host:port`` or ``grpcs://host:port``. KEY: what it is shown.

    SERVICE_NAME: of logs that name none. OPEN: ``test`` lets others than local callers make load.
    """

    url: Annotated[str, Meta(min_length=1)]
    key: str | None = None
    service_name: Annotated[str, Meta(min_length=1)] = "django"
    open: Literal["", "test"] = ""


def read() -> Configuration:
    """The settings as they are now. Raises ImproperlyConfigured that says which one, and why."""
    given = getattr(settings, "LOGBRIDGE", None)
    if given is None:
        raise ImproperlyConfigured("LOGBRIDGE is not set")
    try:
        configuration = msgspec.convert(given, Configuration)
    except msgspec.ValidationError as error:
        path, reason = split_path(str(error))
        name = path.removeprefix("$.")
        where = "LOGBRIDGE" if name == "$" else f'LOGBRIDGE["{name}"]'
        raise ImproperlyConfigured(f"{where}: {reason}") from None
    if not _is_log_service(configuration.url):
        raise ImproperlyConfigured(
            f'LOGBRIDGE["URL"] is {configuration.url!r}: expected grpc://host:port, or grpcs:// for TLS'
        )
    return configuration


def _is_log_service(url: str) -> bool:
    try:
        scheme, _ = check_sink_url(url)
    except ValueError:
        return False
    return scheme in GRPC_SINKS

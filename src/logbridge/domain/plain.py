"""What a Python value is where only JSON can be written."""

from collections.abc import Mapping
from datetime import datetime

from logbridge.domain.timestamp import rfc3339


def json_value(value: object) -> object:
    """For json.dumps(default=...): a mapping is an object, a time RFC 3339, and the rest its str()."""
    if isinstance(value, Mapping):
        return dict(value)
    return rfc3339(value) if isinstance(value, datetime) else str(value)

"""OTLP's AnyValue ↔ text, which is all that an entry holds, with the name of its kind: nothing is lost.

Arrays and maps are plain JSON where that comes back exactly, else OTLP/JSON (OTLP specification, "JSON
Protobuf Encoding"), which tells bytes, NaN and the order of equal keys apart, but which nobody likes to read.
"""

import base64
import json
import math
from collections.abc import Callable, Iterable

from google.protobuf import json_format
from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList

STRING = "string"
NULL = "null"
BYTES = "bytes"
_BOOL = "bool"
_INT = "int"
_DOUBLE = "double"
_ARRAY = "array"
_MAP = "map"
_OTLP_JSON = "otlp-json"

_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


class _NotPlainError(Exception):
    """Plain JSON would not come back as the same value."""


def text_of(value: AnyValue) -> tuple[str, str]:
    """A value as text, and its kind: together they are the value again (value_of)."""
    field = value.WhichOneof("value")
    if field == "string_value":
        return value.string_value, STRING
    if field == "bool_value":
        return ("true" if value.bool_value else "false"), _BOOL
    if field == "int_value":
        return str(value.int_value), _INT
    if field == "double_value":
        return _double_text(value.double_value), _DOUBLE
    if field == "bytes_value":
        return base64.b64encode(value.bytes_value).decode(), BYTES
    if field in ("array_value", "kvlist_value"):
        try:
            return _json(_plain(value)), _ARRAY if field == "array_value" else _MAP
        except _NotPlainError:
            return _json(json_format.MessageToDict(value)), _OTLP_JSON
    # string_value_strindex, too: it is for profiles, and its table is not in this message.
    return "", NULL


def value_of(text: str, kind: str) -> AnyValue:
    """The value of text_of(). Raises ValueError for text that is none of its kind, and for no such kind."""
    try:
        return _value_of(text, kind)
    except (json_format.Error, DecodeError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"expected a value of kind {kind}: {error}") from None


def _value_of(text: str, kind: str) -> AnyValue:
    read = _READERS.get(kind)
    if read is None:
        raise ValueError(f"expected a kind of value, got {kind[:40]!r}")
    return read(text)


def deeper_than(value: AnyValue, depth_max: int) -> bool:
    """Whether arrays and maps nest deeper in it: a list of strings is 1 deep, as in metadata over REST."""
    inner: Iterable[AnyValue]
    if value.HasField("array_value"):
        inner = value.array_value.values
    elif value.HasField("kvlist_value"):
        inner = (pair.value for pair in value.kvlist_value.values)
    else:
        return False
    return depth_max <= 0 or any(deeper_than(item, depth_max - 1) for item in inner)


def string_map(pairs: KeyValueList) -> dict[str, str] | None:
    """The map, if all its values are strings, else None."""
    if all(pair.value.HasField("string_value") for pair in pairs.values):
        return {pair.key: pair.value.string_value for pair in pairs.values}
    return None


def _double_text(number: float) -> str:
    if math.isfinite(number):
        return repr(number)
    return next(text for text, other in _NOT_FINITE.items() if repr(other) == repr(number))


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _plain(value: AnyValue) -> object:
    field = value.WhichOneof("value")
    if field == "array_value":
        return [_plain(item) for item in value.array_value.values]
    if field == "kvlist_value":
        pairs = value.kvlist_value.values
        members = {pair.key: _plain(pair.value) for pair in pairs}
        if len(members) < len(pairs):
            raise _NotPlainError
        return members
    if field == "bytes_value" or (field == "double_value" and not math.isfinite(value.double_value)):
        raise _NotPlainError
    return (
        getattr(value, field)
        if field in ("string_value", "bool_value", "int_value", "double_value")
        else None
    )


def _from_plain(value: object) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, str):
        return AnyValue(string_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, list):
        return AnyValue(array_value=ArrayValue(values=map(_from_plain, value)))
    if isinstance(value, dict):
        pairs = [KeyValue(key=name, value=_from_plain(inner)) for name, inner in value.items()]
        return AnyValue(kvlist_value=KeyValueList(values=pairs))
    return AnyValue()


_READERS: dict[str, Callable[[str], AnyValue]] = {
    STRING: lambda text: AnyValue(string_value=text),
    NULL: lambda _: AnyValue(),
    _BOOL: lambda text: AnyValue(bool_value=bool(("false", "true").index(text))),
    _INT: lambda text: AnyValue(int_value=int(text)),
    _DOUBLE: lambda text: AnyValue(double_value=_NOT_FINITE.get(text) or float(text)),
    BYTES: lambda text: AnyValue(bytes_value=base64.b64decode(text, validate=True)),
    _ARRAY: lambda text: _from_plain(json.loads(text)),
    _MAP: lambda text: _from_plain(json.loads(text)),
    _OTLP_JSON: lambda text: json_format.ParseDict(json.loads(text), AnyValue()),
}

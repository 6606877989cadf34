"""LogEntry, LogLevel, and the classification of what a caller gives: log fields, business fields, metadata.

The rules are those of the REST contract (docs/rest.md); the Python surface follows the same ones.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from enum import IntEnum
from operator import attrgetter
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from logbridge.domain.errors import EntryTooLarge, InvalidEntry, ServiceForbidden
from logbridge.domain.timestamp import epoch_us


class LogLevel(IntEnum):
    """Severity; the numbers are those of the gRPC contract."""

    DEBUG = 0
    INFO = 1
    WARN = 2
    ERROR = 3
    FATAL = 4

    @classmethod
    def parse(cls, text: str) -> "LogLevel":
        """The level of a name in any letter case; WARNING and CRITICAL are read as WARN and FATAL.

        Raises ValueError that lists the names.
        """
        level = _LEVELS.get(text.upper())
        if level is None:
            raise ValueError(f"expected one of {', '.join(cls.__members__)}, got {text[:40]!r}")
        return level


_LEVELS: dict[str | None, LogLevel] = {
    None: LogLevel.INFO,
    **{level.name: level for level in LogLevel},
    "WARNING": LogLevel.WARN,
    "CRITICAL": LogLevel.FATAL,
}


class LogEntry(Struct, frozen=True, eq=False):
    """One log, complete and valid: what a sink is given.

    timestamp: RFC 3339, as the caller wrote it. timestamp_assigned: True if the bridge set it on arrival,
    so that the same log sent again under its id is still the same log. counted_bytes: UTF-8 bytes of all text
    if its maker counted them, else 0 (see text_bytes); two entries are equal whether it is there or not.
    """

    id: str
    service_name: str
    level: LogLevel
    message: str
    timestamp: str
    metadata: dict[str, str] = {}
    trace_id: str = ""
    span_id: str = ""
    timestamp_assigned: bool = False
    counted_bytes: int = 0

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, LogEntry):
            return NotImplemented
        return self._identity() == other._identity() and self._content() == other._content()

    __hash__ = None  # type: ignore[assignment]  # metadata is a dict

    def same_content(self, other: "LogEntry") -> bool:
        """Whether both say the same; arrival times that the bridge assigned do not count."""
        assigned = self.timestamp_assigned and other.timestamp_assigned
        return self._content() == other._content() and (assigned or self.timestamp == other.timestamp)

    def _identity(self) -> tuple[object, ...]:
        return (self.id, self.timestamp, self.timestamp_assigned)

    def _content(self) -> tuple[object, ...]:
        return (self.service_name, self.level, self.message, self.metadata, self.trace_id, self.span_id)


class EntryFields(Struct, omit_defaults=True):
    """The fields of an entry that the contract names, as a caller gives them."""

    message: Annotated[str, Meta(min_length=1, description="The log line.")]
    service_name: Annotated[
        str | None, Meta(description="Who logs; without it the bridge's LOGBRIDGE_SERVICE_NAME.")
    ] = None
    level: Annotated[
        str | None,
        Meta(
            description="DEBUG, INFO, WARN, ERROR or FATAL, in any letter case; "
            "WARNING and CRITICAL are read as WARN and FATAL. Without it INFO.",
        ),
    ] = None
    trace_id: Annotated[str | None, Meta(description="The trace that this log belongs to.")] = None
    span_id: Annotated[str | None, Meta(description="The span that this log belongs to.")] = None
    adv_id: Annotated[int | None, Meta(description="Advertisement; goes into metadata.")] = None
    aweme_id: Annotated[int | None, Meta(description="Video; goes into metadata.")] = None
    plan_id: Annotated[int | None, Meta(description="Plan; goes into metadata.")] = None
    monitor_type: Annotated[
        str | None,
        Meta(description="For example impression, click, conversion or view; goes into metadata."),
    ] = None
    co_id: Annotated[int | None, Meta(description="Company; goes into metadata.")] = None
    metadata: Annotated[
        dict[str, Any] | None,
        Meta(description="Any JSON values: strings stay, null is left out, the rest becomes JSON text."),
    ] = None
    timestamp: Annotated[
        str | None, Meta(description="The entry's time, RFC 3339; without it the time of arrival.")
    ] = None
    log_id: Annotated[
        str | None,
        Meta(description="Your own id, unique for its service: the same log sent twice is stored once."),
    ] = None


BUSINESS_FIELDS = ("adv_id", "aweme_id", "plan_id", "monitor_type", "co_id")
KNOWN_FIELDS = frozenset(EntryFields.__struct_fields__)


class EntryDraft(Struct, frozen=True):
    """What a caller gave, classified: the named fields, and every other name.

    timestamp_assigned: the time it gives is one of arrival, that a bridge before this one assigned.
    """

    fields: EntryFields
    unknown: dict[str, Any] = {}
    timestamp_assigned: bool = False


def classify(raw: object) -> EntryDraft:
    """Sort a caller's mapping into named fields and unknown names; the mapping is not changed.

    Raises InvalidEntry with the path of the field that has the wrong type.
    """
    if not isinstance(raw, Mapping):
        raise InvalidEntry("$", f"expected an object, got {_json_type(raw)}")
    known = {name: value for name, value in raw.items() if name in KNOWN_FIELDS}
    unknown = {name: value for name, value in raw.items() if name not in KNOWN_FIELDS}
    try:
        return EntryDraft(msgspec.convert(known, EntryFields), unknown)
    except msgspec.ValidationError as error:
        raise InvalidEntry(*split_path(str(error))) from None


def split_path(message: str) -> tuple[str, str]:
    """A msgspec message, "Expected `int` - at `$.co_id`", as ("$.co_id", "Expected `int`")."""
    reason, _, path = message.rpartition(" - at ")
    return (path.strip("`"), reason) if reason else ("$", message)


def _json_type(value: object) -> str:
    names = {type(None): "null", bool: "a boolean", str: "a string", list: "an array", int: "a number"}
    return names.get(type(value), f"a {type(value).__name__}")


_ONLY_TEXT = frozenset((str,))
_UTF8_BYTES_MAX = 4  # of one character


class EntryMaker(Struct, frozen=True):
    """Makes entries from drafts: fills in what is missing, and refuses what no log service should see.

    service_name: the default. entry_bytes_max: the most UTF-8 bytes of all text of one entry.
    metadata_key_bytes_max: the most UTF-8 bytes of a name in metadata. now: gives the time of arrival as
    RFC 3339. new_id: gives a unique id.
    """

    service_name: str
    entry_bytes_max: int
    metadata_depth_max: int
    now: Callable[[], str]
    new_id: Callable[[], str]
    metadata_keys_max: int = 1000
    metadata_key_bytes_max: int = 1024

    def make(self, draft: EntryDraft, arrived: str = "") -> LogEntry:
        """The entry of a draft. Raises InvalidEntry (EntryTooLarge when it is over the limit).

        arrived: the time of arrival, for those that came together; without it, now.
        """
        fields = draft.fields
        log_id = fields.log_id or self.new_id()
        service_name = fields.service_name or self.service_name
        level = _LEVELS.get(fields.level)
        if level is None:
            level = _level(str(fields.level))
        message, given_time = fields.message, fields.timestamp
        timestamp = arrived or self.now() if given_time is None else _checked_time(given_time)
        metadata = self._metadata(draft)
        trace_id, span_id = fields.trace_id or "", fields.span_id or ""
        texts = (log_id, service_name, message, timestamp, trace_id, span_id, *metadata, *metadata.values())
        try:
            size_bytes = _utf8_bytes(texts)
        except UnicodeEncodeError:
            raise _not_text(texts, metadata) from None
        if size_bytes > self.entry_bytes_max:
            raise EntryTooLarge(size_bytes, self.entry_bytes_max)
        # So many names, or such a long one, have as many bytes at least: few entries are that large without
        # their message. To look at each name would cost a third of the price of an entry.
        beside_bytes = size_bytes - len(message)
        if beside_bytes > self.metadata_keys_max or beside_bytes > self.metadata_key_bytes_max:
            self._check_names(metadata)
        assigned = given_time is None or draft.timestamp_assigned
        return LogEntry(
            log_id, service_name, level, message, timestamp, metadata, trace_id, span_id, assigned, size_bytes
        )

    def make_within(self, services: frozenset[str], draft: EntryDraft, arrived: str = "") -> LogEntry:
        """As make(), for a caller that may write as these services only: an entry that names none is the
        only one's. Raises ServiceForbidden, too.
        """
        maker = (
            self if len(services) > 1 else msgspec.structs.replace(self, service_name=next(iter(services)))
        )
        entry = maker.make(draft, arrived)
        if entry.service_name not in services:
            raise ServiceForbidden(entry.service_name, services)
        return entry

    def _check_names(self, metadata: dict[str, str]) -> None:
        if len(metadata) > self.metadata_keys_max:
            limit = f"LOGBRIDGE_METADATA_KEYS_MAX={self.metadata_keys_max}"
            raise InvalidEntry("$.metadata", f"{len(metadata)} names are more than {limit} allows")
        if len("".join(metadata)) * _UTF8_BYTES_MAX <= self.metadata_key_bytes_max:
            return
        for name in metadata:
            if len(name.encode()) > self.metadata_key_bytes_max:
                limit = f"LOGBRIDGE_METADATA_KEY_BYTES_MAX={self.metadata_key_bytes_max}"
                raise InvalidEntry(
                    f"$.metadata.{name[:40]}…", f"this name has more bytes than {limit} allows"
                )

    def _metadata(self, draft: EntryDraft) -> dict[str, str]:
        # The metadata object comes first: a name given there wins over the same name at the top level.
        given = draft.fields.metadata
        if not given:
            texts = {}
        elif _ONLY_TEXT.issuperset(map(type, given.values())):
            texts = given.copy()
        else:
            texts = {}
            self._add(texts, given, "$.metadata")
        _add_business_fields(texts, draft.fields)
        if draft.unknown:
            self._add(texts, draft.unknown, "$")
        return texts

    def _add(self, texts: dict[str, str], values: Mapping[str, Any], path: str) -> None:
        for name, value in values.items():
            if value is not None and name not in texts:
                texts[name] = value if type(value) is str else self._json_text(value, path, name)

    def _json_text(self, value: object, path: str, name: str) -> str:
        if isinstance(value, str):
            return str(value)
        try:
            if type(value) is int:
                return str(value)  # a tenth of the price, and nearly every log has some
            if _depth(value, self.metadata_depth_max + 1) > self.metadata_depth_max:
                limit = f"LOGBRIDGE_METADATA_DEPTH_MAX={self.metadata_depth_max}"
                raise InvalidEntry(f"{path}.{name[:100]}", f"nested deeper than {limit} allows")
            return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
        except (TypeError, ValueError) as error:
            raise InvalidEntry(f"{path}.{name[:100]}", f"cannot be written as JSON: {error}") from None


def _add_business_fields(texts: dict[str, str], fields: EntryFields) -> None:
    # Field by field: in nearly every log, and a loop over their names costs twice as much.
    try:
        if (adv_id := fields.adv_id) is not None:
            texts.setdefault(name := "adv_id", f"{adv_id}")
        if (aweme_id := fields.aweme_id) is not None:
            texts.setdefault(name := "aweme_id", f"{aweme_id}")
        if (plan_id := fields.plan_id) is not None:
            texts.setdefault(name := "plan_id", f"{plan_id}")
        if (monitor_type := fields.monitor_type) is not None:
            texts.setdefault("monitor_type", f"{monitor_type}")
        if (co_id := fields.co_id) is not None:
            texts.setdefault(name := "co_id", f"{co_id}")
    except ValueError as error:  # an integer of more digits than Python writes
        raise InvalidEntry(f"$.{name}", f"cannot be written as JSON: {error}") from None


def _level(text: str) -> LogLevel:
    try:
        return LogLevel.parse(text)
    except ValueError as error:
        raise InvalidEntry("$.level", str(error)) from None


def _checked_time(text: str) -> str:
    try:
        epoch_us(text)
    except (ValueError, OverflowError) as error:
        raise InvalidEntry("$.timestamp", f"{error}, got {text[:40]!r}") from None
    return text


def _depth(value: object, stop: int) -> int:
    """Levels of nesting, counted no further than ``stop``."""
    if stop == 0 or not isinstance(value, (dict, list, tuple)):
        return 0
    inner = value.values() if isinstance(value, dict) else value
    return 1 + max((_depth(item, stop - 1) for item in inner), default=0)


def text_bytes(entry: LogEntry) -> int:
    """UTF-8 bytes of all text of an entry. Raises InvalidEntry for text that UTF-8 cannot carry."""
    if entry.counted_bytes:
        return entry.counted_bytes
    texts = (*_texts_of(entry), *entry.metadata, *entry.metadata.values())
    try:
        return _utf8_bytes(texts)
    except UnicodeEncodeError:
        raise _not_text(texts, entry.metadata) from None


_texts_of = attrgetter("id", "service_name", "message", "timestamp", "trace_id", "span_id")
_TEXT_NAMES = ("log_id", "service_name", "message", "timestamp", "trace_id", "span_id")


def _utf8_bytes(texts: tuple[str, ...]) -> int:
    # One string of all: to look at each by itself costs five times as much.
    text = "".join(texts)
    return len(text) if text.isascii() else len(text.encode())


def _not_text(texts: tuple[str, ...], metadata: Iterable[str]) -> InvalidEntry:
    """Which of the texts of an entry UTF-8 cannot carry, and where."""
    names = (*_TEXT_NAMES, *("metadata" for _ in metadata), *(f"metadata.{key}" for key in metadata))
    for name, text in zip(names, texts, strict=True):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            path = f"$.{name[:100]}".encode("utf-8", "replace").decode()
            reason = f"character {error.start} is half of a surrogate pair, which is not text"
            return InvalidEntry(path, reason)
    raise AssertionError("one of them is not text")

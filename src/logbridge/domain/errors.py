"""The errors that stop a call or the program. What became of one entry is a value: see outcome.py.

LogbridgeError
├── InvalidEntry            this entry can never be written: which field, and why
│   ├── EntryTooLarge       it is larger than one entry may be
│   └── ServiceForbidden    it is of a service that this key is not for
├── InvalidRequest          the call as a whole makes no sense: which field, and why
│   └── LimitExceeded       it asks for more than a setting allows: which setting, and its value
├── RateExceeded            this caller asks too often: when it may come back
├── ReaderError             a question about stored logs found no answer
│   ├── QueryNotSupported   this log service cannot answer it
│   ├── ReaderUnavailable   the log service was not reached, or did not answer in time
│   └── QueryRefused        the log service refused the question
├── KeysError               the keys file cannot be used: which, and what to do
├── StoreError              the store cannot be opened or used: which, and what to do
└── InvalidSetting          a setting makes no sense: its name, its value, what is allowed
"""


class LogbridgeError(Exception):
    """Base of all errors that logbridge raises on purpose."""


class InvalidEntry(LogbridgeError):
    """An entry that breaks a rule of the REST contract.

    path: str, where in the entry, in JSON path form, for example ``$.metadata.user``.
    reason: str, what is wrong and what is allowed.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class EntryTooLarge(InvalidEntry):
    """An entry whose text is over the limit of one entry, in bytes of UTF-8."""

    def __init__(self, size_bytes: int, bytes_max: int) -> None:
        limit = f"LOGBRIDGE_ENTRY_BYTES_MAX={bytes_max}"
        super().__init__("$", f"the entry has {size_bytes} bytes of text, more than {limit} allows")


class ServiceForbidden(InvalidEntry):
    """A log, or a question, of a service that the caller's key is not for."""

    def __init__(self, service_name: str, services: frozenset[str]) -> None:
        names = ", ".join(sorted(services))
        super().__init__(
            "$.service_name",
            f"this key is for {names}, not for {service_name[:100]}: name one of its services",
        )


class InvalidRequest(LogbridgeError):
    """A request that does not fit its schema. ``path`` and ``reason`` as in InvalidEntry."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class LimitExceeded(InvalidRequest):
    """A request over a limit that an operator can set.

    setting: str, the variable that sets the limit, for example ``MAX_BATCH_SIZE``.
    maximum: int, its value.
    """

    def __init__(self, path: str, setting: str, asked: int, maximum: int) -> None:
        super().__init__(path, f"{asked} is more than {setting}={maximum} allows")
        self.setting = setting
        self.maximum = maximum


class RateExceeded(LogbridgeError):
    """A caller that asks more often than it may. retry_after_s: int, seconds until there is room again."""

    def __init__(self, reason: str, retry_after_s: int) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class ReaderError(LogbridgeError):
    """Reading stored logs failed; the message names the peer and the reason."""


class QueryNotSupported(ReaderError):
    """The log service behind the sink cannot answer this question."""


class ReaderUnavailable(ReaderError):
    """The log service was not reached, or did not answer before the deadline."""


class QueryRefused(ReaderError):
    """The log service answered that the question is wrong."""


class KeysError(LogbridgeError):
    """A keys file that cannot be read or changed; the message names it and says what to do."""


class StoreError(LogbridgeError):
    """The store cannot be opened or used; the message says which one, why, and what to do."""


class InvalidSetting(LogbridgeError):
    """A setting with a value that makes no sense.

    name: str, the variable or flag as the operator wrote it. value: str. allowed: str, what would do.
    """

    def __init__(self, name: str, value: str, allowed: str) -> None:
        super().__init__(f"{name}={value}: {allowed}")
        self.name = name
        self.value = value
        self.allowed = allowed

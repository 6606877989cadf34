from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class LogLevel(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DEBUG: _ClassVar[LogLevel]
    INFO: _ClassVar[LogLevel]
    WARN: _ClassVar[LogLevel]
    ERROR: _ClassVar[LogLevel]
    FATAL: _ClassVar[LogLevel]
DEBUG: LogLevel
INFO: LogLevel
WARN: LogLevel
ERROR: LogLevel
FATAL: LogLevel

class LogEntry(_message.Message):
    __slots__ = ("id", "service_name", "level", "message", "timestamp", "metadata", "trace_id", "span_id", "timestamp_assigned")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    SERVICE_NAME_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    SPAN_ID_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_ASSIGNED_FIELD_NUMBER: _ClassVar[int]
    id: str
    service_name: str
    level: LogLevel
    message: str
    timestamp: str
    metadata: _containers.ScalarMap[str, str]
    trace_id: str
    span_id: str
    timestamp_assigned: bool
    def __init__(self, id: _Optional[str] = ..., service_name: _Optional[str] = ..., level: _Optional[_Union[LogLevel, str]] = ..., message: _Optional[str] = ..., timestamp: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ..., trace_id: _Optional[str] = ..., span_id: _Optional[str] = ..., timestamp_assigned: _Optional[bool] = ...) -> None: ...

class WriteLogRequest(_message.Message):
    __slots__ = ("log_entry",)
    LOG_ENTRY_FIELD_NUMBER: _ClassVar[int]
    log_entry: LogEntry
    def __init__(self, log_entry: _Optional[_Union[LogEntry, _Mapping]] = ...) -> None: ...

class WriteLogResponse(_message.Message):
    __slots__ = ("success", "error_message", "log_id")
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    ERROR_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    LOG_ID_FIELD_NUMBER: _ClassVar[int]
    success: bool
    error_message: str
    log_id: str
    def __init__(self, success: _Optional[bool] = ..., error_message: _Optional[str] = ..., log_id: _Optional[str] = ...) -> None: ...

class BatchWriteLogRequest(_message.Message):
    __slots__ = ("log_entries",)
    LOG_ENTRIES_FIELD_NUMBER: _ClassVar[int]
    log_entries: _containers.RepeatedCompositeFieldContainer[LogEntry]
    def __init__(self, log_entries: _Optional[_Iterable[_Union[LogEntry, _Mapping]]] = ...) -> None: ...

class BatchWriteLogResponse(_message.Message):
    __slots__ = ("success", "error_message", "log_ids", "results")
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    ERROR_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    LOG_IDS_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    success: bool
    error_message: str
    log_ids: _containers.RepeatedScalarFieldContainer[str]
    results: _containers.RepeatedCompositeFieldContainer[EntryResult]
    def __init__(self, success: _Optional[bool] = ..., error_message: _Optional[str] = ..., log_ids: _Optional[_Iterable[str]] = ..., results: _Optional[_Iterable[_Union[EntryResult, _Mapping]]] = ...) -> None: ...

class EntryResult(_message.Message):
    __slots__ = ("verdict", "log_id", "error_message")
    class Verdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UNSPECIFIED: _ClassVar[EntryResult.Verdict]
        STORED: _ClassVar[EntryResult.Verdict]
        INVALID: _ClassVar[EntryResult.Verdict]
        CONFLICT: _ClassVar[EntryResult.Verdict]
        FAILED: _ClassVar[EntryResult.Verdict]
        TOO_LARGE: _ClassVar[EntryResult.Verdict]
    UNSPECIFIED: EntryResult.Verdict
    STORED: EntryResult.Verdict
    INVALID: EntryResult.Verdict
    CONFLICT: EntryResult.Verdict
    FAILED: EntryResult.Verdict
    TOO_LARGE: EntryResult.Verdict
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    LOG_ID_FIELD_NUMBER: _ClassVar[int]
    ERROR_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    verdict: EntryResult.Verdict
    log_id: str
    error_message: str
    def __init__(self, verdict: _Optional[_Union[EntryResult.Verdict, str]] = ..., log_id: _Optional[str] = ..., error_message: _Optional[str] = ...) -> None: ...

class QueryLogRequest(_message.Message):
    __slots__ = ("service_name", "level", "start_time", "end_time", "metadata_filters", "trace_id", "limit", "offset", "q", "service_names")
    class MetadataFiltersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    SERVICE_NAME_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    METADATA_FILTERS_FIELD_NUMBER: _ClassVar[int]
    TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    Q_FIELD_NUMBER: _ClassVar[int]
    SERVICE_NAMES_FIELD_NUMBER: _ClassVar[int]
    service_name: str
    level: LogLevel
    start_time: str
    end_time: str
    metadata_filters: _containers.ScalarMap[str, str]
    trace_id: str
    limit: int
    offset: int
    q: str
    service_names: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, service_name: _Optional[str] = ..., level: _Optional[_Union[LogLevel, str]] = ..., start_time: _Optional[str] = ..., end_time: _Optional[str] = ..., metadata_filters: _Optional[_Mapping[str, str]] = ..., trace_id: _Optional[str] = ..., limit: _Optional[int] = ..., offset: _Optional[int] = ..., q: _Optional[str] = ..., service_names: _Optional[_Iterable[str]] = ...) -> None: ...

class QueryLogResponse(_message.Message):
    __slots__ = ("logs", "total_count", "success", "error_message")
    LOGS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_COUNT_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    ERROR_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    logs: _containers.RepeatedCompositeFieldContainer[LogEntry]
    total_count: int
    success: bool
    error_message: str
    def __init__(self, logs: _Optional[_Iterable[_Union[LogEntry, _Mapping]]] = ..., total_count: _Optional[int] = ..., success: _Optional[bool] = ..., error_message: _Optional[str] = ...) -> None: ...

class FollowLogRequest(_message.Message):
    __slots__ = ("filter", "after")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    filter: QueryLogRequest
    after: int
    def __init__(self, filter: _Optional[_Union[QueryLogRequest, _Mapping]] = ..., after: _Optional[int] = ...) -> None: ...

class FollowLogResponse(_message.Message):
    __slots__ = ("sequence", "log_entry")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    LOG_ENTRY_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    log_entry: LogEntry
    def __init__(self, sequence: _Optional[int] = ..., log_entry: _Optional[_Union[LogEntry, _Mapping]] = ...) -> None: ...

class HistogramLogRequest(_message.Message):
    __slots__ = ("filter", "buckets")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    BUCKETS_FIELD_NUMBER: _ClassVar[int]
    filter: QueryLogRequest
    buckets: int
    def __init__(self, filter: _Optional[_Union[QueryLogRequest, _Mapping]] = ..., buckets: _Optional[int] = ...) -> None: ...

class HistogramLogResponse(_message.Message):
    __slots__ = ("start_us", "end_us", "bucket_us", "first_us", "buckets")
    START_US_FIELD_NUMBER: _ClassVar[int]
    END_US_FIELD_NUMBER: _ClassVar[int]
    BUCKET_US_FIELD_NUMBER: _ClassVar[int]
    FIRST_US_FIELD_NUMBER: _ClassVar[int]
    BUCKETS_FIELD_NUMBER: _ClassVar[int]
    start_us: int
    end_us: int
    bucket_us: int
    first_us: int
    buckets: _containers.RepeatedCompositeFieldContainer[HistogramBucket]
    def __init__(self, start_us: _Optional[int] = ..., end_us: _Optional[int] = ..., bucket_us: _Optional[int] = ..., first_us: _Optional[int] = ..., buckets: _Optional[_Iterable[_Union[HistogramBucket, _Mapping]]] = ...) -> None: ...

class HistogramBucket(_message.Message):
    __slots__ = ("counts",)
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    counts: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, counts: _Optional[_Iterable[int]] = ...) -> None: ...

"""LogBridgeHandler over a client that records: what of a record arrives, and what is never sent."""

import logging
import sys
import threading
from collections.abc import Iterator
from logging.config import dictConfig
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbridge import AsyncLogServiceClient, InvalidSetting, LogBridgeHandler, LogServiceClient
from logbridge.domain.entry import EntryMaker, classify
from logbridge.domain.timestamp import rfc3339_utc
from logbridge.entrypoints.handlers.record import NO_MESSAGE, entry_of
from logbridge.http import Client
from tests.unit.entrypoints.handlers.recording import RecordingClient, Shy

CLIENT = RecordingClient()


@pytest.fixture
def client() -> RecordingClient:
    return RecordingClient()


@pytest.fixture
def logger(client: RecordingClient) -> Iterator[logging.Logger]:
    yield from logger_to(LogBridgeHandler(client, service_name="shop"))


def logger_to(handler: logging.Handler, name: str = "shop.orders") -> Iterator[logging.Logger]:
    logger = logging.getLogger(name)
    logger.propagate, level = False, logger.level
    logger.setLevel(1)
    logger.addHandler(handler)
    yield logger
    logger.removeHandler(handler)
    logger.propagate = True
    logger.setLevel(level)


def test_a_record_arrives_with_what_it_knows(logger: logging.Logger, client: RecordingClient) -> None:
    """Message, level, the record's own time, who logged and where, and the extras as text."""
    records: list[logging.LogRecord] = []
    logger.addFilter(lambda record: records.append(record) or True)
    logger.warning("order %s", 7, extra={"user_id": 5, "cart": {"items": [1, 2]}})
    logger.filters.clear()
    [(message, fields)] = client.logs
    assert message == "order 7"
    assert fields == {
        "service_name": "shop",
        "level": "WARN",
        "timestamp": rfc3339_utc(int(records[0].created * 1_000_000)),
        "metadata": {
            "logger.name": "shop.orders",
            "process.pid": str(records[0].process),
            "process.name": "MainProcess",
            "thread.name": threading.current_thread().name,
            "code.file.path": __file__,
            "code.function.name": "test_a_record_arrives_with_what_it_knows",
            "code.line.number": str(records[0].lineno),
            "user_id": "5",
            "cart": '{"items":[1,2]}',
        },
    }


def test_without_a_service_none_is_sent(client: RecordingClient) -> None:
    """The receiver fills in its own."""
    LogBridgeHandler(client).handle(logging.makeLogRecord({"msg": "one"}))
    assert "service_name" not in client.last


def test_a_level_of_ones_own_keeps_its_name(logger: logging.Logger, client: RecordingClient) -> None:
    """Beside the nearest level that the contract knows."""
    logger.log(21, "one")
    assert client.last["level"] == "INFO"
    assert client.last["metadata"]["severity_text"] == "Level 21"


def test_extras_stay_in_metadata(logger: logging.Logger, client: RecordingClient) -> None:
    """A name that is a log field changes no log field."""
    extras = dict.fromkeys(("service_name", "level", "timestamp", "trace_id", "span_id", "log_id"), "mine")
    logger.info("one", extra=extras | {"metadata": {"a": 1}})
    fields = client.last
    assert (fields["service_name"], fields["level"]) == ("shop", "INFO")
    assert fields["timestamp"] != "mine"
    assert {"trace_id", "span_id", "log_id"} & set(fields) == set()
    assert extras.items() <= fields["metadata"].items()
    assert fields["metadata"]["metadata"] == '{"a":1}'


def test_an_exception_arrives_with_its_stack(logger: logging.Logger, client: RecordingClient) -> None:
    """By the names of the conventions, and the stack of the call with stack_info."""
    try:
        raise ValueError("why")
    except ValueError:
        logger.exception("failed", stack_info=True)
    metadata = client.last["metadata"]
    assert (metadata["exception.type"], metadata["exception.message"]) == ("ValueError", "why")
    assert metadata["exception.stacktrace"].endswith("ValueError: why")
    assert metadata["code.stacktrace"].startswith("Stack (most recent call last)")


def test_an_exception_outside_of_any_is_none(logger: logging.Logger, client: RecordingClient) -> None:
    """exc_info=True where nothing is being handled."""
    logger.error("one", exc_info=True)
    assert not any(name.startswith("exception") for name in client.last["metadata"])


def test_a_stack_that_came_through_a_queue_arrives(client: RecordingClient) -> None:
    """There only its text is left."""
    LogBridgeHandler(client).handle(logging.makeLogRecord({"msg": "one", "exc_text": "Traceback: x"}))
    assert client.last["metadata"]["exception.stacktrace"] == "Traceback: x"


@pytest.mark.parametrize(
    ("template", "arguments", "message"),
    [
        ("%d", ("x",), "%d ('x',)"),
        ("one %s", (Shy(),), "one %s <tuple that cannot be shown: RuntimeError>"),
        ("%s %s", ("x",), "%s %s ('x',)"),
    ],
)
def test_a_message_that_cannot_be_made_is_kept(
    client: RecordingClient, template: str, arguments: Any, message: str
) -> None:
    """The log is sent with a note, and nothing is raised."""
    LogBridgeHandler(client).handle(logging.makeLogRecord({"msg": template, "args": arguments}))
    assert client.messages == [message]
    assert client.last["metadata"]["logbridge.note"].startswith("the message could not be made: ")


def test_what_cannot_be_shown_is_a_note(client: RecordingClient) -> None:
    """Also as the message itself."""
    LogBridgeHandler(client).handle(logging.makeLogRecord({"msg": Shy(), "shy": Shy()}))
    assert client.messages == ["<Shy that cannot be shown: RuntimeError>"]
    assert client.last["metadata"]["shy"] == "<Shy that cannot be shown: RuntimeError>"


def test_an_empty_message_is_sent(logger: logging.Logger, client: RecordingClient) -> None:
    """With words for it: the contract knows no log without a message."""
    logger.info("")
    assert client.messages == [NO_MESSAGE]


def test_a_formatter_makes_the_message_without_the_traceback(client: RecordingClient) -> None:
    """The traceback is metadata already, and the record stays as it was."""
    handler = LogBridgeHandler(client)
    handler.setFormatter(logging.Formatter("%(levelname)s|%(message)s"))
    try:
        raise ValueError("why")
    except ValueError:
        record = logging.LogRecord("a", 40, __file__, 1, "m %s", ("x",), sys.exc_info(), sinfo="Stack: x")
    before = dict(record.__dict__)
    handler.handle(record)
    assert client.messages == ["ERROR|m x"]
    assert record.__dict__ == before
    assert client.last["metadata"]["exception.type"] == "ValueError"
    assert client.last["metadata"]["code.stacktrace"] == "Stack: x"


def test_what_a_formatter_leaves_in_a_record_is_no_extra(client: RecordingClient) -> None:
    """Another handler's formatter writes message and asctime into it."""
    record = logging.makeLogRecord({"msg": "one"})
    logging.Formatter("%(asctime)s %(message)s").format(record)
    LogBridgeHandler(client).handle(record)
    assert {"message", "asctime"} & set(client.last["metadata"]) == set()


@pytest.mark.parametrize(
    ("name", "thread", "sent"),
    [
        ("logbridge", "MainThread", False),
        ("logbridge.entrypoints.background.background", "MainThread", False),
        ("logbridges", "MainThread", True),
        ("httpx", "logbridge-background", False),
        ("grpc._channel", "logbridge", False),
        ("httpx", "MainThread", True),
        ("asyncio", "MainThread", True),
    ],
)
def test_logs_about_sending_are_not_sent(client: RecordingClient, name: str, thread: str, sent: bool) -> None:
    """Those of logbridge, and those of a thread that sends; the program's own use of a library is sent."""
    record = logging.makeLogRecord({"name": name, "threadName": thread, "msg": "one"})
    LogBridgeHandler(client).handle(record)
    assert bool(client.logs) is sent


def test_logging_within_a_log_is_no_circle() -> None:
    """What a client, or a __str__ of the caller's, logs meanwhile goes to other handlers only."""
    client = RecordingClient(on_log=lambda: logging.getLogger("shop.orders").info("again"))
    for logger in logger_to(LogBridgeHandler(client)):
        logger.info("one")
        logger.info("two")
    assert client.messages == ["one", "two"]


def test_a_client_that_raises_does_not_stop_the_program(
    logger: logging.Logger, client: RecordingClient, capsys: pytest.CaptureFixture[str]
) -> None:
    """logging itself tells of it on stderr, and the next log is sent."""
    client._on_log = lambda: 1 / 0
    logger.info("one")
    assert "ZeroDivisionError" in capsys.readouterr().err
    client._on_log = lambda: None
    logger.info("two")
    assert client.messages == ["two"]


def test_it_has_no_lock(client: RecordingClient) -> None:
    """A log whose __str__ waits for another thread's log does not hang."""
    handler = LogBridgeHandler(client)

    class Waits:
        def __str__(self) -> str:
            thread = threading.Thread(target=handler.handle, args=[logging.makeLogRecord({"msg": "inner"})])
            thread.start()
            thread.join()
            return "outer"

    handler.handle(logging.makeLogRecord({"msg": Waits()}))
    assert client.messages == ["inner", "outer"]


def test_the_current_span_is_the_logs(
    logger: logging.Logger, client: RecordingClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the program has OpenTelemetry's API and a span is current; else there are no such fields."""
    trace = pytest.importorskip("opentelemetry.trace")
    logger.info("outside")
    assert "trace_id" not in client.last
    place = trace.SpanContext(0xABC, 0xDEF, is_remote=False)
    with trace.use_span(trace.NonRecordingSpan(place)):
        logger.info("inside")
        monkeypatch.delitem(sys.modules, "opentelemetry.trace")
        logger.info("without the API")
    assert client.logs[1][1]["trace_id"] == "abc".zfill(32)
    assert client.logs[1][1]["span_id"] == "def".zfill(16)
    assert "trace_id" not in client.last


def test_flush_and_close_are_bounded_and_leave_the_callers_client(client: RecordingClient) -> None:
    """They wait flush_timeout_s at most; a client that was handed in is not closed."""
    handler = LogBridgeHandler(client, flush_timeout_s=1.5)
    handler.flush()
    handler.close()
    assert client.flushes == [1.5, 1.5]


def test_a_configuration_by_dict_makes_one() -> None:
    """dictConfig finds the class by its public name, and the client by ext://."""
    name = "tests.configured"
    dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "incremental": False,
            "handlers": {
                "bridge": {
                    "class": "logbridge.LogBridgeHandler",
                    "client": f"ext://{__name__}.CLIENT",
                    "service_name": "configured",
                    "level": "WARNING",
                }
            },
            "loggers": {name: {"handlers": ["bridge"], "level": "INFO", "propagate": False}},
        }
    )
    logger = logging.getLogger(name)
    logger.info("below the level")
    logger.warning("one")
    logger.handlers.clear()
    logger.propagate = True
    assert CLIENT.messages == ["one"]
    assert CLIENT.last["service_name"] == "configured"


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"client": RecordingClient(), "url": "http://localhost:8001"},
        {"client": RecordingClient(), "key": "k"},
        {"client": RecordingClient(), "queue_entries_max": 5},
        {"client": AsyncLogServiceClient()},
    ],
)
def test_a_client_or_a_url(arguments: dict[str, Any]) -> None:
    """One of them, the settings of a client for a url only, and a client that can be waited for."""
    with pytest.raises(ValueError, match="client"):
        LogBridgeHandler(**arguments)


def test_a_url_makes_a_client_with_its_settings() -> None:
    """Of a bridge or of a log service; close() closes it, and then nothing is taken."""
    for url, kind in (("http://localhost:1", Client), ("grpc://localhost:1", LogServiceClient)):
        handler = LogBridgeHandler(url=url, key="k", queue_entries_max=5)
        assert isinstance(handler.client, kind)
        handler.close()
        handler.handle(logging.makeLogRecord({"msg": "one"}))
        assert handler.client.counts.dropped == 1
    with pytest.raises(TypeError, match="queue_size"):
        LogBridgeHandler(url="http://localhost:1", queue_size=5)


def test_a_url_of_another_scheme_is_told() -> None:
    """When it is configured, with what is allowed."""
    with pytest.raises(InvalidSetting, match=r"url=ftp://x: expected http://"):
        LogBridgeHandler(url="ftp://x")


ANYTHING = st.one_of(
    st.none(), st.text(), st.binary(), st.integers(), st.floats(), st.builds(Shy), st.builds(SimpleNamespace)
)


@given(st.dictionaries(st.text(), st.recursive(ANYTHING, st.lists)), ANYTHING, st.integers())
def test_any_record_makes_a_valid_entry(extras: dict[str, Any], message: Any, level: int) -> None:
    """Whatever a caller puts into it: nothing raises, and the receiver takes it."""
    own = logging.makeLogRecord({}).__dict__
    given_extras = {name: value for name, value in extras.items() if name not in own}
    record = logging.makeLogRecord({**given_extras, "msg": message, "levelno": level})
    entry = made(record)
    assert entry.message


def test_the_largest_record_makes_a_valid_entry() -> None:
    """All limits together stay below what an entry may have."""
    large = "é" * 1_000_000
    try:
        raise type(large[:1000], (Exception,), {})(large)
    except Exception:
        record = logging.LogRecord(large, 40, large, 1, large, (), sys.exc_info(), large, large)
    record.threadName = record.processName = record.levelname = record.taskName = large
    record.__dict__ |= {f"{large[:500]}{number}": large for number in range(2_000)}
    assert made(record).counted_bytes < 262_144


def made(record: logging.LogRecord) -> Any:
    """The entry that a bridge with the default limits makes of it."""
    message, fields = entry_of(record, None)
    maker = EntryMaker("default", 262_144, 64, now=lambda: "2024-08-30T00:00:00Z", new_id=lambda: "id")
    return maker.make(classify(fields | {"message": message}))

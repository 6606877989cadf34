"""StructlogProcessor in chains of structlog, over a client that records."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import CapturingLogger

from logbridge import StructlogProcessor
from logbridge.domain.timestamp import epoch_us
from logbridge.entrypoints.handlers.record import NO_MESSAGE
from logbridge.entrypoints.handlers.structlog_processor import entry_of
from tests.unit.entrypoints.handlers.recording import RecordingClient, Shy


@pytest.fixture
def client() -> RecordingClient:
    return RecordingClient()


def logger_of(*processors: Callable[..., Any]) -> tuple[Any, CapturingLogger]:
    """A logger with these processors, and what it gives its events to."""
    end = CapturingLogger()
    chain = [*processors, structlog.processors.KeyValueRenderer(sort_keys=True)]
    return structlog.wrap_logger(end, chain, structlog.BoundLogger, cache_logger_on_first_use=False), end


def test_an_event_is_sent_and_goes_on(client: RecordingClient) -> None:
    """Its message, level, time and the rest as metadata; the renderer gets all of it unchanged."""
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    sender = StructlogProcessor(client, service_name="shop")
    logger, end = logger_of(structlog.processors.add_log_level, stamp, sender)
    logger.bind(user_id=5).warning("paid", cart={"items": [1]}, nothing=None)
    [(message, fields)] = client.logs
    time = fields.pop("timestamp")
    assert message == "paid"
    assert fields == {
        "service_name": "shop",
        "level": "WARN",
        "metadata": {"user_id": "5", "cart": '{"items":[1]}'},
    }
    assert end.calls[0].args == (
        f"cart={{'items': [1]}} event='paid' level='warning' nothing=None timestamp={time!r} user_id=5",
    )


def test_it_can_end_the_chain(client: RecordingClient) -> None:
    """Sent, and nothing else is done with the event."""
    logger, end = logger_of(StructlogProcessor(client, ends_chain=True))
    logger.info("one")
    assert client.messages == ["one"]
    assert end.calls == []


@pytest.mark.parametrize(
    ("method", "level"),
    [("debug", "DEBUG"), ("warn", "WARN"), ("exception", "ERROR"), ("critical", "FATAL"), ("fatal", "FATAL")],
)
def test_without_a_level_the_method_is_it(client: RecordingClient, method: str, level: str) -> None:
    """As add_log_level would do it."""
    StructlogProcessor(client)(None, method, {"event": "one"})
    assert client.last["level"] == level
    assert client.last["metadata"] == {}


def test_a_level_that_nobody_knows_keeps_its_name() -> None:
    """As INFO, with the name in metadata."""
    _, fields = entry_of("info", {"event": "one", "level": "audit"})
    assert (fields["level"], fields["metadata"]) == ("INFO", {"severity_text": "audit"})


@pytest.mark.parametrize(
    ("given_time", "sent"),
    [
        ("2024-08-30T10:30:45.5Z", "2024-08-30T10:30:45.5Z"),
        (1_725_013_845.5, "2024-08-30T10:30:45.500000+00:00"),
        (datetime(2024, 8, 30, 10, 30, 45, tzinfo=UTC), "2024-08-30T10:30:45.000000+00:00"),
    ],
)
def test_a_time_of_any_stamper_is_the_logs(given_time: object, sent: str) -> None:
    """ISO 8601 with an offset, seconds since 1970, or a datetime."""
    assert entry_of("info", {"event": "one", "timestamp": given_time})[1]["timestamp"] == sent


@pytest.mark.parametrize("given_time", ["10:30 o'clock", "2024-08-30 10:30:45", True, float("inf"), 1e300])
def test_what_says_no_time_is_metadata(given_time: object) -> None:
    """The log then has the time of now."""
    _, fields = entry_of("info", {"event": "one", "timestamp": given_time})
    assert epoch_us(fields["timestamp"]) > 0
    assert "timestamp" in fields["metadata"]


def test_an_exception_arrives_with_its_stack(client: RecordingClient) -> None:
    """Before format_exc_info or behind it."""
    before, _ = logger_of(StructlogProcessor(client), structlog.processors.format_exc_info)
    behind, _ = logger_of(structlog.processors.format_exc_info, StructlogProcessor(client))
    try:
        raise ValueError("why")
    except ValueError as error:
        before.error("one", exc_info=True)
        before.error("two", exc_info=error)
        behind.error("three", exc_info=True)
    for _, fields in client.logs:
        assert fields["metadata"].pop("exception.stacktrace").endswith("ValueError: why")
    typed = {"exception.type": "ValueError", "exception.message": "why"}
    assert [fields["metadata"] for _, fields in client.logs] == [typed, typed, {}]


def test_what_structlog_makes_of_tracebacks_is_metadata() -> None:
    """A structured traceback is JSON, and a stack has the name of the conventions."""
    _, fields = entry_of("error", {"event": "one", "exception": [{"exc_type": "E"}], "stack": "Stack: x"})
    assert fields["metadata"] == {"exception": '[{"exc_type":"E"}]', "code.stacktrace": "Stack: x"}


def test_names_of_log_fields_stay_in_metadata() -> None:
    """An event changes no log field by accident."""
    _, fields = entry_of("info", {"event": "one", "service_name": "x", "trace_id": "t", "log_id": "i"})
    assert set(fields) == {"level", "timestamp", "metadata"}
    assert fields["metadata"] == {"service_name": "x", "trace_id": "t", "log_id": "i"}


def test_logs_about_sending_are_not_sent(client: RecordingClient) -> None:
    """Where add_logger_name tells that they are logbridge's; they go on in the chain."""
    event = {"event": "one", "logger": "logbridge.entrypoints.background.background"}
    assert StructlogProcessor(client)(None, "info", event) == event
    assert client.logs == []


def test_a_client_that_raises_does_not_stop_the_chain(caplog: pytest.LogCaptureFixture) -> None:
    """The standard library's logging tells of it."""
    broken = RecordingClient(on_log=lambda: 1 / 0)
    with caplog.at_level(logging.ERROR):
        assert StructlogProcessor(broken)(None, "info", {"event": "one"}) == {"event": "one"}
    assert "ZeroDivisionError" in caplog.text


def test_flush_and_close_are_bounded(client: RecordingClient) -> None:
    """They wait flush_timeout_s at most."""
    processor = StructlogProcessor(client, flush_timeout_s=1.5)
    assert processor.flush()
    processor.close()
    assert client.flushes == [1.5, 1.5]


@given(st.dictionaries(st.text(), st.none() | st.text() | st.integers() | st.floats() | st.builds(Shy)))
def test_any_event_makes_an_entry(event: dict[str, Any]) -> None:
    """Nothing raises, there is a message, and the event stays as it was."""
    before = dict(event)
    message, fields = entry_of("info", event)
    assert message
    assert event == before
    assert all(isinstance(text, str) for text in fields["metadata"].values())


def test_an_event_without_words_is_sent() -> None:
    """With words for it."""
    assert entry_of("info", {})[0] == NO_MESSAGE

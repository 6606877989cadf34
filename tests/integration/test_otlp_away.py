"""What becomes of logs of OpenTelemetry's own exporters while who takes them is away (docs/otlp-in.md)."""

import contextlib
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter

from tests.integration.processes import bridge, end, free_port, log_service, until

# Longer than any start takes here; in use it is OTEL_EXPORTER_OTLP_LOGS_TIMEOUT.
TRY_FOR_S = 300
EACH = 200


class Program:
    """A program that logs by OpenTelemetry's SDK, in many small batches."""

    def __init__(self, exporter: LogRecordExporter) -> None:
        self.provider = LoggerProvider(shutdown_on_exit=False)
        self.provider.add_log_record_processor(
            BatchLogRecordProcessor(exporter, schedule_delay_millis=10, max_export_batch_size=10)
        )
        self._logger = self.provider.get_logger("tests")
        self.logged: list[str] = []

    def log(self, count: int = EACH) -> None:
        """So many more, each with a text of its own."""
        for _ in range(count):
            self.logged.append(f"log {len(self.logged)}")
            self._logger.emit(body=self.logged[-1])


@contextlib.contextmanager
def program(exporter: LogRecordExporter) -> Iterator[Program]:
    """The program, which ends as it should."""
    one = Program(exporter)
    yield one
    one.provider.shutdown()


def test_a_bridge_that_is_killed_loses_nothing(tmp_path: Path) -> None:
    """Killed amid an SDK's batches and started again in time, each log is there, and there once."""
    sink, port = free_port(), free_port()
    exporter = HttpExporter(endpoint=f"http://127.0.0.1:{port}/v1/logs", timeout=TRY_FOR_S)
    with log_service(tmp_path, sink), program(exporter) as logging:
        with bridge(tmp_path, f"grpc://127.0.0.1:{sink}", port=port) as first:
            logging.log()
            until(first.stored)
            end(first.process, signal.SIGKILL)
        logging.log()
        with bridge(tmp_path, f"grpc://127.0.0.1:{sink}", port=port) as second:
            logging.log()
            assert logging.provider.force_flush()
            assert Counter(second.stored()) == Counter(logging.logged)


def test_a_log_service_that_is_killed_loses_nothing(tmp_path: Path) -> None:
    """The same over gRPC: killed and started again in time, each log is there, and there once."""
    port = free_port()
    exporter = GrpcExporter(endpoint=f"127.0.0.1:{port}", insecure=True, timeout=TRY_FOR_S)
    with program(exporter) as logging, bridge(tmp_path, f"grpc://127.0.0.1:{port}") as reading:
        with log_service(tmp_path, port) as first:
            logging.log()
            until(reading.stored)
            end(first, signal.SIGKILL)
        logging.log()
        with log_service(tmp_path, port):
            logging.log()
            assert logging.provider.force_flush()
            until(lambda: Counter(reading.stored()) == Counter(logging.logged))


def test_a_log_service_behind_the_bridge_that_is_killed(tmp_path: Path) -> None:
    """The bridge answers 503 meanwhile, and the SDK sends again: each log is there, and there once."""
    sink = free_port()
    with bridge(tmp_path, f"grpc://127.0.0.1:{sink}") as running:
        exporter = HttpExporter(endpoint=str(running.client.base_url.join("/v1/logs")), timeout=TRY_FOR_S)
        with program(exporter) as logging:
            with log_service(tmp_path, sink) as first:
                logging.log()
                until(running.stored)
                end(first, signal.SIGKILL)
            logging.log()
            with log_service(tmp_path, sink):
                logging.log()
                assert logging.provider.force_flush()
                until(lambda: Counter(running.stored()) == Counter(logging.logged))


def test_a_spool_takes_what_the_log_service_cannot(tmp_path: Path) -> None:
    """With LOGBRIDGE_ACK=durable a log is acknowledged without a log service, and gets there later."""
    sink = free_port()
    with bridge(tmp_path, f"grpc://127.0.0.1:{sink}", LOGBRIDGE_ACK="durable") as running:
        exporter = HttpExporter(endpoint=str(running.client.base_url.join("/v1/logs")), timeout=TRY_FOR_S)
        with program(exporter) as logging:
            logging.log(50)
        with log_service(tmp_path, sink):
            until(lambda: Counter(running.stored()) == Counter(logging.logged))


def test_the_sdk_tells_what_it_gives_up(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody there for longer than an SDK tries: it drops the batch and says so in its own log."""
    with program(HttpExporter(endpoint=f"http://127.0.0.1:{free_port()}/v1/logs", timeout=0.1)) as logging:
        logging.log(1)
        logging.provider.force_flush()
    assert "Failed to export logs batch" in caplog.text

"""OpenTelemetry's own exporters for Python send to the real bridge and to the real log service."""

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from logbridge.entrypoints.http.otlp import EXAMPLE
from tests.integration.processes import DEADLINE_S, Bridge, bridge, free_port, log_service, start
from tests.integration.served import API

TIME_NS = 1_725_013_845_123_456_789
TRACE_ID, SPAN_ID = 0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7
ATTRIBUTES: dict[str, Any] = {
    "text": "a",
    "whole": 5,
    "fraction": 0.5,
    "truth": True,
    "raw": b"\xff\x00",
    "list": ["a", "b"],
    "map": {"inner": [1, 2.0, None]},
}
EXPECTED = {
    "text": "a",
    "whole": "5",
    "fraction": "0.5",
    "truth": "true",
    "raw": "/wA=",
    "list": '["a","b"]',
    "map": '{"inner":[1,2.0,null]}',
    "resource.host.name": "h",
    "resource.process.pid": "7",
    "scope.name": "tests",
    "scope.version": "1",
    "otel.flags": "1",
    "otel.severity_number": "14",
    "otel.severity_text": "odd",
    "otel.observed_time": "2024-08-30T10:30:46.000000+00:00",
}


def send(exporter: LogRecordExporter) -> None:
    """One log with everything, and one of an exception."""
    resource = Resource({"service.name": "shop", "host.name": "h", "process.pid": 7})
    provider = LoggerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    logger = provider.get_logger("tests", "1")
    span = NonRecordingSpan(SpanContext(TRACE_ID, SPAN_ID, is_remote=False, trace_flags=TraceFlags(1)))
    context = set_span_in_context(span)
    logger.emit(
        timestamp=TIME_NS,
        observed_timestamp=TIME_NS + 876_543_211,
        context=context,
        severity_number=SeverityNumber.WARN2,
        severity_text="odd",
        body="hello",
        attributes=ATTRIBUTES,
    )
    logger.emit(
        timestamp=TIME_NS + 1,
        severity_number=SeverityNumber.ERROR,
        body={"a": 1},
        exception=ValueError("no such order"),
    )
    assert provider.force_flush()
    provider.shutdown()


@contextlib.contextmanager
def both(folder: Path, **variables: str) -> Iterator[tuple[Bridge, int]]:
    """A bridge before a log service, and the service's port."""
    port = free_port()
    for name in ("service", "bridge"):
        (folder / name).mkdir()
    with (
        log_service(folder / "service", port, **variables),
        bridge(folder / "bridge", f"grpc://127.0.0.1:{port}") as served,
    ):
        yield served, port


def check(logs: list[dict[str, Any]]) -> None:
    """The two logs are there as they were sent, the newest first."""
    failed, hello = logs
    metadata: Mapping[str, str] = hello["metadata"]
    assert {name: metadata.get(name) for name in EXPECTED} == EXPECTED
    assert (hello["message"], hello["level"], hello["service_name"]) == ("hello", "WARN", "shop")
    assert hello["timestamp"] == "2024-08-30T10:30:45.123456789+00:00"
    assert (hello["trace_id"], hello["span_id"]) == (f"{TRACE_ID:032x}", f"{SPAN_ID:016x}")
    assert (failed["message"], failed["metadata"]["otel.body"]) == ('{"a":1}', "map")
    assert failed["metadata"]["exception.type"] == "ValueError"
    assert failed["metadata"]["exception.message"] == "no such order"
    assert "ValueError: no such order" in failed["metadata"]["exception.stacktrace"]


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip])
def test_the_http_exporter_of_python(tmp_path: Path, compression: Compression) -> None:
    """Logs of every kind come over HTTP through the bridge, and are read back as they were sent."""
    with both(tmp_path) as (served, _):
        send(HttpExporter(endpoint=str(served.client.base_url.join("/v1/logs")), compression=compression))
        check(served.client.get(f"{API}/query").json()["logs"])


def test_the_page_is_true(tmp_path: Path) -> None:
    """What docs/otlp-in.md has in Python sends a log."""
    page = (Path(__file__).parents[2] / "docs" / "otlp-in.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    with bridge(tmp_path, "memory://") as served:
        here = f"127.0.0.1:{served.client.base_url.port}"
        subprocess.run([sys.executable, "-c", program.replace("localhost:8001", here)], check=True)
        (log,) = served.client.get(f"{API}/query").json()["logs"]
    assert (log["message"], log["level"], log["service_name"]) == ("no stock", "WARN", "shop")
    assert log["metadata"]["order"] == "5"


def test_the_variables_of_the_page_are_read(tmp_path: Path) -> None:
    """The environment of docs/otlp-in.md has an exporter without arguments send here, with its header."""
    page = (Path(__file__).parents[2] / "docs" / "otlp-in.md").read_text(encoding="utf-8")
    variables = dict(re.findall(r'^(OTEL_\w+)="?([^"\n]*)"?$', page, re.MULTILINE))
    assert len(variables) == 5
    keys = tmp_path / "keys.json"
    made = start(tmp_path, "key", "create", "a", "--scope", "admin", LOGBRIDGE_KEYS_FILE=str(keys))
    key = made.communicate(timeout=DEADLINE_S)[0].strip()
    program = """
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from tests.integration.test_otlp_python import send
send(OTLPLogExporter())
"""
    with bridge(tmp_path, "memory://", LOGBRIDGE_KEYS_FILE=str(keys)) as served:
        here = f"127.0.0.1:{served.client.base_url.port}"
        told = {
            name: text.replace("KEY", key).replace("localhost:8001", here) for name, text in variables.items()
        }
        subprocess.run([sys.executable, "-c", program], check=True, env=os.environ | told)
        logs = served.client.get(f"{API}/query", headers={"x-api-key": key}).json()["logs"]
    check(logs)


def test_the_grpc_exporter_of_python(tmp_path: Path) -> None:
    """The same over gRPC, straight to the log service."""
    with both(tmp_path) as (served, port):
        send(GrpcExporter(endpoint=f"127.0.0.1:{port}", insecure=True))
        check(served.client.get(f"{API}/query").json()["logs"])


def test_the_collectors_lines_of_the_page_are_right(tmp_path: Path) -> None:
    """Where its exporter is pointed at is the bridge's address, and its header lets it in."""
    page = (Path(__file__).parents[2] / "docs" / "otlp-in.md").read_text(encoding="utf-8")
    (lines,) = re.findall(r"^```yaml\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    exporter = yaml.safe_load(lines)["exporters"]["otlphttp/logbridge"]
    keys = tmp_path / "keys.json"
    made = start(tmp_path, "key", "create", "a", "--scope", "write", LOGBRIDGE_KEYS_FILE=str(keys))
    key = made.communicate(timeout=DEADLINE_S)[0].strip()
    with bridge(tmp_path, "memory://", LOGBRIDGE_KEYS_FILE=str(keys)) as served:
        path = exporter["logs_endpoint"].removeprefix("http://localhost:8001")
        headers = {name: value.replace("KEY", key) for name, value in exporter["headers"].items()}
        assert served.client.post(path, json=EXAMPLE, headers=headers).status_code == 200
        assert served.client.post(path, json=EXAMPLE).status_code == 401

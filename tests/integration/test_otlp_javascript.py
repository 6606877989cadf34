"""OpenTelemetry's own exporter for JavaScript sends OTLP/JSON to the real bridge."""

from pathlib import Path

from tests.integration.node import install, needs_node, run
from tests.integration.processes import bridge
from tests.integration.served import API

FOLDER = Path(__file__).parents[1] / "javascript"


@needs_node
def test_the_exporter_of_javascript(tmp_path: Path) -> None:
    """Logs of every kind come as compressed JSON, and are read back as they were sent."""
    install(FOLDER)
    with bridge(tmp_path, "memory://") as served:
        address = str(served.client.base_url.join("/v1/logs"))
        assert run(FOLDER, "node", "send.js", address) == ""
        failed, hello = served.client.get(f"{API}/query").json()["logs"]
    metadata = hello["metadata"]
    assert (hello["message"], hello["level"], hello["service_name"]) == ("hello", "WARN", "shop")
    assert hello["timestamp"] == "2024-08-30T10:30:45.123456789+00:00"
    assert (hello["trace_id"], hello["span_id"]) == ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")
    expected = {
        "text": "é",
        "whole": "5",
        "fraction": "0.5",
        "truth": "true",
        "list": '["a","b"]',
        "resource.process.pid": "7",
        "map": '{"inner":[1,null]}',
        "scope.name": "tests",
        "scope.version": "1",
        "otel.flags": "1",
        "otel.severity_number": "14",
        "otel.severity_text": "odd",
    }
    assert {name: metadata.get(name) for name in expected} == expected
    assert (failed["level"], failed["metadata"]["otel.event_name"]) == ("ERROR", "order.failed")
    exception = {name: failed["metadata"].get(f"exception.{name}") for name in ("type", "message")}
    assert exception == {"type": "TypeError", "message": "no such order"}
    assert "send.js" in failed["metadata"]["exception.stacktrace"]
    assert failed["metadata"]["otel.body"] == "otlp-json"
    assert '"bytesValue":"/wA="' in failed["message"]

"""OpenTelemetry's own exporter for JavaScript sends OTLP/JSON to the real bridge."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.integration.processes import DEADLINE_S, bridge
from tests.integration.served import API

SOURCE = Path(__file__).parents[1] / "javascript"
FILES = ("package.json", "package-lock.json", ".npmrc", "send.js")


def _installed() -> Path:
    """A folder with the exporter, made once for each lock file."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not installed")
    digest = hashlib.sha256(b"".join((SOURCE / name).read_bytes() for name in FILES)).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "logbridge-tests" / f"javascript-{digest}"
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name in FILES:
            shutil.copy(SOURCE / name, folder)
        subprocess.run(
            ["npm", "ci", "--ignore-scripts"], cwd=folder, check=True, capture_output=True, timeout=DEADLINE_S
        )
        (folder / "complete").touch()
    return folder


def test_the_exporter_of_javascript(tmp_path: Path) -> None:
    """Logs of every kind come as compressed JSON, and are read back as they were sent."""
    folder = _installed()
    with bridge(tmp_path, "memory://") as served:
        address = str(served.client.base_url.join("/v1/logs"))
        done = subprocess.run(
            ["node", "send.js", address],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
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
        "scope.name": "tests",
        "otel.severity_number": "14",
        "otel.severity_text": "odd",
    }
    assert {name: metadata.get(name) for name in expected} == expected
    assert (failed["level"], failed["metadata"]["otel.event_name"]) == ("ERROR", "order.failed")
    assert failed["metadata"]["otel.body"] == "otlp-json"
    assert '"bytesValue":"/wA="' in failed["message"]

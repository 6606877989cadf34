"""docs/otlp-in.md: its examples run as they stand, but for addresses and keys."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from logbridge.adapters.otlp.receive import RECORDS_MAX, VALUES_MAX
from logbridge.entrypoints.http.otlp import EXAMPLE, PATH
from tests.integration.processes import DEADLINE_S, bridge, free_port, log_service
from tests.integration.served import API
from tests.integration.test_keys import bearer, create

PAGE = (Path(__file__).parents[2] / "docs" / "otlp-in.md").read_text(encoding="utf-8")
HTTP, GRPC = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
BY_HAND = re.findall(r"^```bash\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)[0]
COLLECTOR = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)[0]
BRIDGE = "http://127.0.0.1:8001"
# What opentelemetry-instrument does before the program begins, and a log of that program.
PROGRAM = """
from opentelemetry._logs import get_logger_provider
from opentelemetry.sdk._configuration import _OTelSDKConfigurator
_OTelSDKConfigurator().configure()
get_logger_provider().get_logger("program").emit(body="no code")
get_logger_provider().shutdown()
"""


def run(folder: Path, script: str, *arguments: str) -> str:
    """What a script of the shell prints; it must end with 0 and without a complaint."""
    done = subprocess.run(
        ["bash", "-ec", script, *arguments],
        cwd=folder,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_variables_are_all_that_an_sdk_needs(tmp_path: Path, protocol: str) -> None:
    """With the page's variables, and keys, a log of a program comes here over HTTP, or over gRPC."""
    key, port = create(tmp_path, "program", "--scope", "write", "--scope", "read"), free_port()
    file = str(tmp_path / "keys.json")
    sink = f"grpc://127.0.0.1:{port}"
    with (
        log_service(tmp_path, port, LOGBRIDGE_KEYS_FILE=file),
        bridge(tmp_path, sink, LOGBRIDGE_KEYS_FILE=file, LOGBRIDGE_SINK_KEY=key) as served,
    ):
        script = HTTP + (GRPC if protocol == "grpc" else "") + 'exec "$0" -W error -c "$1"\n'
        for shown, here in ((BRIDGE, str(served.client.base_url)), ("50051", str(port)), ("KEY'", f"{key}'")):
            script = script.replace(shown, here)
        run(tmp_path, script, sys.executable, PROGRAM)
        (log,) = served.client.get(f"{API}/query", headers=bearer(key)).json()["logs"]
    assert (log["message"], log["service_name"]) == ("no code", "shop")


def test_the_log_by_hand(tmp_path: Path) -> None:
    """The command writes the log that it shows."""
    if shutil.which("curl") is None:
        pytest.skip("the example needs curl")
    with bridge(tmp_path, "memory://") as served:
        said = run(tmp_path, BY_HAND.replace(BRIDGE, str(served.client.base_url)))
        (log,) = served.client.get(f"{API}/query").json()["logs"]
    assert said == "{}"
    assert (log["message"], log["service_name"], log["level"]) == ("paid", "shop", "INFO")
    assert log["timestamp"] == "2024-08-30T10:30:45.123456789+00:00"
    assert log["metadata"] == {"amount": "12.5", "otel.types": '{"amount":"double"}'}


def test_the_collectors_configuration(tmp_path: Path) -> None:
    """Its endpoint, with /v1/logs behind it, is the bridge's; keys are taken from its header."""
    found = re.search(r"endpoint: (\S+)\n +headers: {(\w+): (.*)}", COLLECTOR)
    assert found is not None
    endpoint, name, value = found.groups()
    assert endpoint == BRIDGE
    key = create(tmp_path, "collector", "--scope", "write")
    with bridge(tmp_path, "memory://", LOGBRIDGE_KEYS_FILE=str(tmp_path / "keys.json")) as served:
        headers = {name: value.replace("KEY", key)}
        assert served.client.post(PATH, json=EXAMPLE, headers=headers).status_code == 200


def test_limits_are_on_the_pages() -> None:
    """The fixed limits are told as they are."""
    limits = (Path(__file__).parents[2] / "docs" / "limits.md").read_text(encoding="utf-8")
    for page in (PAGE, limits):
        assert f"{RECORDS_MAX:,} records and scopes" in page
        assert f"{VALUES_MAX:,} values" in page

"""A real Prometheus scrapes a real bridge; its own tools read the metrics, the alerts and the dashboard."""

import contextlib
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.processes import DEADLINE_S, bridge, free_port, ran, start, until
from tests.integration.served import API

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy" / "prometheus"
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "logbridge.json").read_text())
LISTED = set(re.findall(r"^\| `(logbridge_\w+)` \|", (ROOT / "docs" / "metrics.md").read_text(), re.M))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = [target["expr"] for panel in PANELS for target in panel["targets"]]
# What Grafana puts in the place of its variables.
VARIABLES = {"$__rate_interval": "1m", "$instance": ".*"}
RATE = "sum(rate(logbridge_http_refusals_total[1m]))"
pytestmark = pytest.mark.skipif(
    shutil.which("prometheus") is None or shutil.which("promtool") is None,
    reason="there is no Prometheus here; make prometheus installs it where it may",
)


def promtool(*arguments: str, given: str | None = None) -> str:
    """What promtool says; it must be content."""
    return ran("promtool", *arguments, cwd=DEPLOY, given=given)


def configuration(target: str, key_file: Path) -> str:
    """The configuration that we ship, for this bridge: with a key, and each second."""
    text = (DEPLOY / "prometheus.yml").read_text()
    text = text.replace("127.0.0.1:8001", target).replace("_interval: 15s", "_interval: 1s")
    text = text.replace("# authorization:", "authorization:")
    text = text.replace(
        "#   credentials_file: /etc/prometheus/logbridge.key", f"  credentials_file: {key_file}"
    )
    return text.replace("alerts.yml", str(DEPLOY / "alerts.yml"))


@contextlib.contextmanager
def prometheus(folder: Path, target: str, key: str) -> Iterator[httpx.Client]:
    """A Prometheus that scrapes this bridge, and a client of its HTTP API."""
    (folder / "key").write_text(key)
    (folder / "prometheus.yml").write_text(configuration(target, folder / "key"))
    port = free_port()
    command = [
        "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (
        (folder / "prometheus.log").open("w") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as process,
    ):
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=DEADLINE_S) as client:
                until(lambda: is_ready(client))
                yield client
        finally:
            process.terminate()


def is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/-/ready").status_code == 200
    except httpx.TransportError:
        return False


def ask(client: httpx.Client, expression: str) -> list[dict[str, Any]]:
    """The series of an expression, with its labels and newest value."""
    answer = client.get("/api/v1/query", params={"query": expression})
    assert answer.status_code == 200, answer.text
    return list(answer.json()["data"]["result"])


def value(client: httpx.Client, expression: str) -> float | None:
    """Of the only series; None while there is none."""
    series = ask(client, expression)
    return float(series[0]["value"][1]) if series else None


def create_key(folder: Path, *scopes: str) -> str:
    options = [word for scope in scopes for word in ("--scope", scope)]
    made = start(folder, "key", "create", "k", *options, LOGBRIDGE_KEYS_FILE=str(folder / "keys.json"))
    return made.communicate(timeout=DEADLINE_S)[0].strip()


def with_values(expression: str) -> str:
    for variable, text in VARIABLES.items():
        expression = expression.replace(variable, text)
    return expression


def all_have_series(client: httpx.Client) -> bool:
    """Whether each expression of the dashboard finds something now."""
    empty = [each for each in EXPRESSIONS if not ask(client, with_values(each))]
    if empty:
        print(empty)  # pytest shows it beside a failure
    return not empty


def test_prometheus_scrapes_a_bridge(tmp_path: Path) -> None:
    """With a key, each second: series come with the right values, and the dashboard finds its own."""
    key = create_key(tmp_path, "write", "read")
    settings = {
        "LOGBRIDGE_KEYS_FILE": str(tmp_path / "keys.json"),
        "LOGBRIDGE_SPOOL": f"sqlite:///{tmp_path}/spool",
    }
    with bridge(tmp_path, "memory://", **settings) as running:
        target = f"{running.client.base_url.host}:{running.client.base_url.port}"
        running.client.headers["x-api-key"] = key
        with prometheus(tmp_path, target, key) as client:
            for _ in range(5):
                assert running.write("m").status_code == 200
            assert running.write("").status_code == 422
            until(lambda: value(client, 'logbridge_logs_total{outcome="accepted"}') == 5)
            until(lambda: value(client, 'logbridge_logs_not_acknowledged_total{cause="invalid"}') == 1)
            count = f'logbridge_http_request_duration_seconds_count{{route="{API}/write", status="200"}}'
            # A scrape that comes too late ends all series, until the next one.
            until(lambda: value(client, count) == 5)
            until(lambda: value(client, 'up{job="logbridge"}') == 1)

            def rises() -> bool:
                assert running.write("m").status_code == 200
                assert running.client.get(f"{API}/query?no=1").status_code == 422
                assert running.write("").status_code == 422
                return value(client, RATE) not in (None, 0.0)

            until(rises)
            known = set(client.get("/api/v1/label/__name__/values").json()["data"])
            until(lambda: all_have_series(client))
    bases = {re.sub(r"_(bucket|sum|count)$", "", name) for name in known if name.startswith("logbridge_")}
    assert bases == LISTED


def test_promtool_accepts_the_metrics(tmp_path: Path) -> None:
    """Nothing to say against names, types, help or units, in either format's names."""
    with bridge(tmp_path, "memory://", LOGBRIDGE_SPOOL=f"sqlite:///{tmp_path}/spool") as running:
        running.write("m")
        running.write("")
        text = running.client.get("/metrics").text
    assert promtool("check", "metrics", given=text) == ""


def test_promtool_accepts_configuration_and_alerts() -> None:
    """The configuration and the rules are valid, and each alert comes and stays away when it should."""
    promtool("check", "config", "prometheus.yml")
    promtool("check", "rules", "alerts.yml")
    promtool("test", "rules", "alerts_test.yml")
    alerts = re.findall(r"- alert: (\w+)", (DEPLOY / "alerts.yml").read_text())
    tested = (DEPLOY / "alerts_test.yml").read_text()
    assert [alert for alert in alerts if not re.search(rf"\b{alert}\b", tested)] == []


def test_the_dashboard_names_what_there_is(tmp_path: Path) -> None:
    """Every expression parses; it and the alerts name documented metrics only, and it shows all of these."""
    rules = "".join(f"  - {{record: a, expr: {json.dumps(with_values(each))}}}\n" for each in EXPRESSIONS)
    file = tmp_path / "rules.yml"
    file.write_text(f"groups:\n- name: dashboard\n  rules:\n{rules}")
    promtool("check", "rules", "--lint=none", str(file))
    used = metrics_in("".join(EXPRESSIONS) + json.dumps(DASHBOARD["templating"]))
    assert used == LISTED
    assert metrics_in((DEPLOY / "alerts.yml").read_text()) <= LISTED


def metrics_in(text: str) -> set[str]:
    names = re.findall(r"\blogbridge_\w+", text)
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in names}


def test_the_dashboard_is_whole() -> None:
    """Panels have titles, ids of their own, places that do not overlap, and the chosen data source."""
    places: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert panel["title"]
        assert not cells & places
        assert max(x for x, _ in cells) < 24
        places |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    assert {panel["datasource"]["uid"] for panel in PANELS} == {"${datasource}"}
    assert [each["name"] for each in DASHBOARD["templating"]["list"]] == ["datasource", "instance"]
    assert all('instance=~"$instance"' in expression for expression in EXPRESSIONS)

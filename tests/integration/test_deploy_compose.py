"""The compose file: by the schema of its specification, and nginx and Prometheus by their own tools."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.deployed import COMPOSE, compose
from tests.integration.processes import DEADLINE_S, free_port, log_service, ran

FOLDER = COMPOSE.parent
SERVICES = compose()["services"]
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")


def test_the_schema() -> None:
    """The JSON Schema of the compose specification, as check-jsonschema ships it, accepts the file."""
    ran(
        sys.executable,
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        "vendor.compose-spec",
        COMPOSE.name,
        cwd=FOLDER,
    )


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_locked_up(name: str) -> None:
    """A root that is read-only, no capability, no way to more rights, a user that is not root, limits."""
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.get("privileged")
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}
    # The images of logbridge and Prometheus have users of their own.
    assert service.get("user", "" if service["image"] != "nginx" else "0") not in ("0", "root", "0:0")
    # The bridges have the image's.
    assert "healthcheck" in service or name.startswith("bridge-")


def test_what_is_named_is_there() -> None:
    """Networks, volumes, configs and secrets of the services are declared; files of configs exist."""
    whole = compose()
    for service in SERVICES.values():
        assert set(service["networks"]) <= set(whole["networks"])
        for kind in ("configs", "secrets"):
            named = {each if isinstance(each, str) else each["source"] for each in service.get(kind, ())}
            assert named <= set(whole[kind])
        assert {each.partition(":")[0] for each in service.get("volumes", ())} <= set(whole["volumes"])
        assert set(service.get("depends_on", ())) <= set(SERVICES)
    assert all((FOLDER / each["file"]).is_file() for each in whole["configs"].values())
    assert all(each["file"].startswith("secrets/") for each in whole["secrets"].values())


def test_each_bridge_has_a_disk_of_its_own() -> None:
    """A spool is one bridge's, and the log service is on the network that leads nowhere else."""
    bridges = [service for name, service in SERVICES.items() if name.startswith("bridge-")]
    assert len({service["volumes"][0] for service in bridges}) == len(bridges) == 2
    assert list(SERVICES["log-service"]["networks"]) == ["back"]
    assert compose()["networks"]["back"]["internal"] is True


@pytest.mark.skipif(NGINX is None, reason="there is no nginx here; make nginx installs it where it may")
def test_nginx_reads_its_configuration(tmp_path: Path) -> None:
    """`nginx -t`, with names that are known here; it sends to the bridges of the compose file."""
    text = (FOLDER / "nginx.conf").read_text()
    for name in ("bridge-1", "bridge-2"):
        assert f"server {name}:8001" in text
        text = text.replace(f"server {name}:", "server 127.0.0.1:")
    for path in ("body", "proxy", "fastcgi", "uwsgi", "scgi", "nginx.pid"):
        assert f"/tmp/{path}" in text
    file = tmp_path / "nginx.conf"
    file.write_text(text.replace("/tmp/", f"{tmp_path}/"))
    ran(str(NGINX), "-t", "-q", "-p", str(tmp_path), "-c", str(file), cwd=tmp_path)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="there is no promtool here")
def test_prometheus_reads_its_configuration(tmp_path: Path) -> None:
    """`promtool check config`, with the files where the containers have them; it scrapes each bridge."""
    text = (FOLDER / "prometheus.yml").read_text()
    assert '["bridge-1:8001", "bridge-2:8001"]' in text
    (tmp_path / "key").write_text("lbk_")
    (tmp_path / "prometheus.yml").write_text(
        text.replace("/run/secrets/prometheus.key", str(tmp_path / "key"))
    )
    shutil.copy(FOLDER.parent / "prometheus" / "alerts.yml", tmp_path)
    ran("promtool", "check", "config", "prometheus.yml", cwd=tmp_path)


def test_the_log_service_is_asked_for_its_health(tmp_path: Path) -> None:
    """The healthcheck of the compose file is content with a log service, and not with none."""
    _, _, option, script = SERVICES["log-service"]["healthcheck"]["test"]
    port = free_port()
    command = [sys.executable, option, script.replace("50051", str(port))]
    with log_service(tmp_path, port):
        ran(*command, cwd=tmp_path)
    assert subprocess.run(command, capture_output=True, timeout=DEADLINE_S, check=False).returncode != 0

"""Settings in deploy/: every name is a setting, every value one that the program takes."""

import re
from pathlib import Path

import pytest

from logbridge.entrypoints.settings import SETTINGS, unknown_variables
from tests.integration.deployed import DEPLOY, VARIABLE, compose, loaded, variant
from tests.integration.image import Image

FILES = sorted(path for path in DEPLOY.rglob("*") if path.is_file())
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
KNOWN = {setting.variable for setting in SETTINGS}


def test_every_name_is_a_setting() -> None:
    """No file in deploy/, comments included, names a variable that no setting has."""
    found = {name: path.name for path in FILES for name in VARIABLE.findall(path.read_text())}
    assert len(found) > 10
    assert {name: file for name, file in found.items() if name not in KNOWN} == {}


def checked(environ: dict[str, str]) -> None:
    """The program takes them all, and knows them."""
    loaded(environ)
    assert unknown_variables(environ, None) == []


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_units(unit: Path) -> None:
    """What a unit sets, with systemd's own words replaced, is valid."""
    text = " ".join(re.findall(r"^Environment=(.*)$", unit.read_text(), re.M))
    text = text.replace("%S", "/var/lib").replace("%d", "/run/credentials/logbridge.service")
    checked(dict(word.split("=", 1) for word in text.split()))


def test_the_socket_has_the_port() -> None:
    """The socket's port is PORT of the unit, which the commands on that machine ask."""
    socket = (DEPLOY / "systemd" / "logbridge.socket").read_text()
    found = re.search(r"^ListenStream=0\.0\.0\.0:(\d+)$", socket, re.M)
    assert found
    assert f"PORT={found[1]} " in (DEPLOY / "systemd" / "logbridge.service").read_text()


def test_the_image(tmp_path: Path) -> None:
    """What the image sets is valid."""
    checked(Image(tmp_path).environment())


def test_compose() -> None:
    """What each service of ours is given is valid, and lets a stop drain."""
    ours = {name: each for name, each in compose()["services"].items() if each["image"] == "logbridge"}
    assert sorted(ours) == ["bridge-1", "bridge-2", "log-service"]
    for service in ours.values():
        checked(service["environment"])
        grace_s = int(service["stop_grace_period"].removesuffix("s"))
        assert grace_s > loaded(service["environment"]).drain_s + 5


@pytest.mark.parametrize("name", ["delivered", "jetstream", "durable-disk"])
def test_kubernetes(name: str) -> None:
    """What each workload is given is valid, its secrets included, and lets a stop drain."""
    chosen = variant(name)
    for workload in chosen.of_kind("Deployment", "StatefulSet"):
        pod = workload["spec"]["template"]["spec"]
        (box,) = pod["containers"]
        (source,) = box["envFrom"]
        environ = dict(chosen.settings[source["configMapRef"]["name"]])
        required = [
            each for each in box.get("env", ()) if not each["valueFrom"]["secretKeyRef"].get("optional")
        ]
        assert {each["name"] for each in box.get("env", ())} <= KNOWN
        environ |= {each["name"]: "lbk_0123456789ab_" + "a" * 43 for each in required}
        checked(environ)
        assert pod["terminationGracePeriodSeconds"] > loaded(environ).drain_s + 5

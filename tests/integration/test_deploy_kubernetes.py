"""The manifests: by Kubernetes' own schemas, and what these cannot see."""

from typing import Any

import kubernetes_validate
import pytest

from logbridge import __version__
from logbridge.entrypoints.http.routes import operations
from logbridge.entrypoints.settings import Settings
from tests.integration.deployed import KUBERNETES, Document, documents, variant
from tests.integration.image import stages, values

VARIANTS = ("delivered", "jetstream", "durable-disk")
FILES = [path for path in sorted(KUBERNETES.rglob("*.yaml")) if path.parent != KUBERNETES]
MANIFESTS = [path for path in FILES if path.name != "kustomization.yaml"]
# The oldest and the newest release that the manifests are checked with: gRPC probes are stable from 1.27 on.
RELEASES = ("1.27", "1.37")


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_the_schemas(path: Any, release: str) -> None:
    """Each object is valid, and has no field that Kubernetes does not know."""
    for each in documents(path):
        assert kubernetes_validate.validate(each, release, strict=True) == release


def test_every_file_is_used() -> None:
    """What lies in the folders is in a variant, and nothing is named twice in one."""
    used = {str(each) for name in VARIANTS for each in variant(name).objects}
    assert {str(each) for path in MANIFESTS for each in documents(path)} == used
    for name in VARIANTS:
        names = [(each["kind"], each["metadata"]["name"]) for each in variant(name).objects]
        assert len(set(names)) == len(names)


def pods(name: str) -> list[Document]:
    return [each["spec"]["template"] for each in variant(name).of_kind("Deployment", "StatefulSet")]


@pytest.mark.parametrize("name", VARIANTS)
def test_the_pods_are_restricted(name: str) -> None:
    """What the pod security standard `restricted` asks for, and a root that is read-only."""
    (user,) = values(stages()[-1], "USER")
    assert len(pods(name)) >= 2
    for pod in pods(name):
        spec = pod["spec"]
        rights = spec["securityContext"]
        assert rights["runAsNonRoot"] is True
        assert f"{rights['runAsUser']}:{rights['runAsGroup']}" == user
        assert rights["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        assert not any(spec.get(key) for key in ("hostNetwork", "hostPID", "hostIPC"))
        (box,) = spec["containers"]
        assert box["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert set(box["resources"]["requests"]) == {"cpu", "memory"}
        assert "memory" in box["resources"]["limits"]


@pytest.mark.parametrize("name", VARIANTS)
def test_probes_and_ports(name: str) -> None:
    """The bridge is asked at routes that it has, on the ports that the programs listen at."""
    chosen = variant(name)
    routes = {each.path for each in operations(Settings().api_prefix) if each.method == "GET"}
    box = chosen.workload("logbridge")["spec"]["template"]["spec"]["containers"][0]
    paths = {
        kind: box[kind]["httpGet"]["path"] for kind in ("startupProbe", "livenessProbe", "readinessProbe")
    }
    assert paths == {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
    assert set(paths.values()) <= routes
    assert box["ports"] == [{"name": "http", "containerPort": Settings().port}]
    assert all(box[kind]["httpGet"]["port"] == "http" for kind in paths)
    service = chosen.workload("logbridge-log-service")["spec"]["template"]["spec"]["containers"][0]
    grpc_port = int(chosen.settings["logbridge-log-service"]["GRPC_SERVER_PORT"])
    assert service["ports"] == [{"name": "grpc", "containerPort": grpc_port}]
    assert service["readinessProbe"]["grpc"]["port"] == service["livenessProbe"]["grpc"]["port"] == grpc_port
    sink = f"grpc://logbridge-log-service:{grpc_port}"
    sinks = {each["LOGBRIDGE_SINK"] for each in chosen.settings.values() if "LOGBRIDGE_SINK" in each}
    assert sinks == {sink}


@pytest.mark.parametrize("name", VARIANTS)
def test_selectors_and_mounts(name: str) -> None:
    """What selects finds pods of that variant; what is mounted is a volume; services name ports."""
    chosen = variant(name)
    labels = [pod["metadata"]["labels"] for pod in pods(name)]
    for workload in chosen.of_kind("Deployment", "StatefulSet"):
        spec = workload["spec"]
        assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"]
        (box,) = spec["template"]["spec"]["containers"]
        claims = {each["metadata"]["name"] for each in spec.get("volumeClaimTemplates", ())}
        there = {each["name"] for each in spec["template"]["spec"]["volumes"]} | claims
        assert {each["name"] for each in box["volumeMounts"]} == there
        assert box["args"] in (["serve"], ["service"], ["forward"])
    for each in chosen.of_kind("Service"):
        assert each["spec"]["selector"] in labels
        assert each["spec"]["ports"][0]["targetPort"] == each["spec"]["ports"][0]["name"]
    for each in chosen.of_kind("PodDisruptionBudget"):
        assert each["spec"]["selector"]["matchLabels"] in labels
    for each in chosen.of_kind("NetworkPolicy"):
        assert each["spec"]["podSelector"]["matchLabels"] in labels


def test_a_worker_is_probed_where_it_answers() -> None:
    """At its own port, from outside of the pod."""
    chosen = variant("jetstream")
    (box,) = chosen.workload("logbridge-forward")["spec"]["template"]["spec"]["containers"]
    settings = chosen.settings["logbridge-forward"]
    assert settings["LOGBRIDGE_FORWARD_HOST"] == "0.0.0.0"
    assert box["ports"] == [{"name": "http", "containerPort": int(settings["LOGBRIDGE_FORWARD_PORT"])}]
    probes = {name: box[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
    assert {probe["port"] for probe in probes.values()} == {"http"}
    assert probes["readiness"]["path"] == "/readyz"


def test_a_spool_is_never_on_a_disk_that_goes() -> None:
    """A bridge with a spool in a directory has it on a claim; a Deployment has none there."""
    for name in VARIANTS:
        chosen = variant(name)
        spool = chosen.settings["logbridge-bridge"].get("LOGBRIDGE_SPOOL", "")
        bridge = chosen.workload("logbridge")
        on_disk = spool.startswith("sqlite:")
        assert on_disk == (bridge["kind"] == "StatefulSet") == (name == "durable-disk")
        if on_disk:
            box = bridge["spec"]["template"]["spec"]["containers"][0]
            (claim,) = bridge["spec"]["volumeClaimTemplates"]
            (mount,) = (each for each in box["volumeMounts"] if each["name"] == claim["metadata"]["name"])
            assert spool.startswith(f"sqlite:///{mount['mountPath']}/")


def test_the_autoscaler_finds_its_metric() -> None:
    """It scales the bridge's Deployment by a metric that the bridge has and the adapter's rule passes on."""
    (scaler,) = variant("delivered").of_kind("HorizontalPodAutoscaler")
    (metric,) = scaler["spec"]["metrics"]
    name = metric["pods"]["metric"]["name"]
    page = (KUBERNETES.parents[1] / "docs" / "metrics.md").read_text()
    assert f"| `{name}` | gauge |" in page
    (rule,) = documents(KUBERNETES / "prometheus-adapter.yaml")[0]["rules"]["custom"]
    assert rule["name"]["matches"] == name
    assert rule["seriesQuery"].startswith(f"{name}{{")
    target = scaler["spec"]["scaleTargetRef"]
    assert variant("delivered").workload(target["name"])["kind"] == target["kind"]
    assert "replicas" not in variant("delivered").workload(target["name"])["spec"]


def test_the_image_is_that_of_this_version() -> None:
    """The tag is the version of the program, and every container has that image."""
    (plan,) = documents(KUBERNETES / "base" / "kustomization.yaml")
    assert plan["images"] == [{"name": "logbridge", "newTag": __version__}]
    boxes = [box for name in VARIANTS for pod in pods(name) for box in pod["spec"]["containers"]]
    assert {box["image"] for box in boxes} == {"logbridge"}

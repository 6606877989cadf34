"""What the files in deploy/ say, read as data: documents, settings, the variants for Kubernetes."""

import re
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from logbridge.entrypoints.settings import Settings, load

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
COMPOSE = DEPLOY / "compose" / "compose.yaml"
# Anything of ours in the environment: those of LOGBRIDGE_ and the contract's, which have no prefix.
VARIABLE = re.compile(r"\b(?:LOGBRIDGE_[A-Z_]+|GRPC_SERVER_(?:HOST|PORT))(?==|\b)")

Document = dict[str, Any]


def documents(path: Path) -> list[Document]:
    """The documents of a YAML file."""
    return list(yaml.safe_load_all(path.read_text()))


def env_file(path: Path) -> dict[str, str]:
    """The settings in a file of NAME=value lines."""
    lines = (line for line in path.read_text().splitlines() if line and not line.startswith("#"))
    return dict(line.split("=", 1) for line in lines)


def compose() -> Document:
    """The compose file, its merges made."""
    return documents(COMPOSE)[0]


class Variant(NamedTuple):
    """A folder that `kubectl apply --kustomize` takes, with all that it builds on."""

    objects: list[Document]
    settings: dict[str, dict[str, str]]

    def of_kind(self, *kinds: str) -> list[Document]:
        """Its objects of these kinds."""
        return [each for each in self.objects if each["kind"] in kinds]

    def workload(self, name: str) -> Document:
        """The Deployment or StatefulSet of this name."""
        (found,) = (
            one for one in self.of_kind("Deployment", "StatefulSet") if one["metadata"]["name"] == name
        )
        return found


def variant(name: str) -> Variant:
    """One of the variants, as kustomize puts it together: resources, and settings merged by name."""
    folder = KUBERNETES / name
    (plan,) = documents(folder / "kustomization.yaml")
    objects: list[Document] = []
    settings: dict[str, dict[str, str]] = {}
    for resource in plan["resources"]:
        if resource.endswith(".yaml"):
            objects += documents(folder / resource)
        else:
            below = variant(str((folder / resource).resolve().relative_to(KUBERNETES)))
            objects += below.objects
            settings |= below.settings
    for generated in plan.get("configMapGenerator", ()):
        assert (generated.get("behavior") == "merge") == (generated["name"] in settings)
        given = {key: value for file in generated["envs"] for key, value in env_file(folder / file).items()}
        settings[generated["name"]] = settings.get(generated["name"], {}) | given
    return Variant(objects, settings)


def loaded(environ: dict[str, str]) -> Settings:
    """The settings that a program makes of an environment. Raises InvalidSetting."""
    return load({}, environ, env_file=None)

"""The Dockerfile without an engine: its build steps are run in a folder, its programs as its user.

What an engine does is done by the kernel's own means: a mount namespace whose root is read-only, but for
/data, and the Dockerfile's user without any capability.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from dockerfile_parse import DockerfileParser
from pathspec import GitIgnoreSpec

from tests.integration.processes import DEADLINE_S

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy" / "docker" / "Dockerfile"
_FOLDERS = re.compile(r"(?<![\w.-])/(build|opt/logbridge|data)(?!\w)")
_PYTHON = re.compile(r"^python ")
# $1: the folder. $2: where the tests' own Python lies, perhaps where no other user may go.
_WITH_PYTHON = """
mount --bind "$2" "$1/python"
"""
_READ_ONLY = """
mount --bind "$1/data" "$1/data"
mount -o remount,ro,bind /
user=$3
shift 3
exec setpriv --reuid "$user" --regid "$user" --clear-groups --no-new-privs \
  --inh-caps=-all --bounding-set=-all "$@"
"""


class Step(NamedTuple):
    """An instruction of a Dockerfile, and what is behind its name."""

    name: str
    value: str


def stages() -> list[list[Step]]:
    """The stages of the Dockerfile, each from its FROM on."""
    found: list[list[Step]] = [[]]
    for step in DockerfileParser(fileobj=BytesIO(DOCKERFILE.read_bytes())).structure:
        if step["instruction"] == "FROM":
            found.append([])
        if step["instruction"] != "COMMENT":
            found[-1].append(Step(step["instruction"], step["value"]))
    return found[1:]


def values(stage: Sequence[Step], name: str) -> list[str]:
    """What a stage says with one instruction."""
    return [step.value for step in stage if step.name == name]


def context() -> Iterator[Path]:
    """The files that a build gets: what Dockerfile.dockerignore leaves of all that is here."""
    lines = (DOCKERFILE.parent / "Dockerfile.dockerignore").read_text().splitlines()
    # Docker's patterns are those of git, but for one thing: they hold from the root on.
    ignored = GitIgnoreSpec.from_lines(re.sub(r"^(!?)(?=[\w.*])(?!\*\*)", r"\1/", line) for line in lines)
    for folder, _, names in os.walk(ROOT):
        for name in names:
            path = Path(folder, name).relative_to(ROOT)
            if not ignored.match_file(path):
                yield path


class Image:
    """The file system of the image, in a folder: only what the Dockerfile puts there itself."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.final = stages()[-1]
        self.user = values(self.final, "USER")[-1].partition(":")[0]

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def python(self) -> str:
        """The interpreter that made the environment of the tests, where the image's user can reach it."""
        return f"{self.folder}/python/bin/python{sys.version_info.major}.{sys.version_info.minor}"

    def prepare(self) -> None:
        """Make what a container is started with: its data folder and the place of its Python."""
        for path in (self.data, self.folder / "python"):
            path.mkdir()
        os.chown(self.data, int(self.user), int(self.user))

    def build(self) -> None:
        """Run the first stage."""
        given = self.folder / "context"
        for name in context():
            (given / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, given / name)
        work = self.folder / "build"
        work.mkdir()
        for step in stages()[0]:
            if step.name == "COPY":
                _copy(given, work, step.value.split())
            elif step.name == "RUN":
                self._run(step.value, work)

    def _run(self, command: str, work: Path) -> None:
        # What comes from the machine's cache saves its time; a build in an image leaves no cache behind.
        command = self._here(_PYTHON.sub(f"{self.python} ", command)).replace("--no-cache-dir ", "")
        done = subprocess.run(
            self._namespace(_WITH_PYTHON + command), cwd=work, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"

    def _here(self, text: str) -> str:
        return _FOLDERS.sub(lambda found: f"{self.folder}/{found[1]}", text)

    def environment(self, **variables: str) -> dict[str, str]:
        """That of a container: of the image, and these."""
        text = " ".join(values(self.final, "ENV"))
        pairs = (word.split("=", 1) for word in shlex.split(text.replace("\\\n", " ")))
        # Where the tests' Python is a library and a program that loads it, the library has moved, too.
        library = {"LD_LIBRARY_PATH": f"{self.folder}/python/lib"}
        return {name: self._here(value) for name, value in pairs} | library | variables

    def inside(self, *command: str) -> list[str]:
        """What runs a command as a container does: read-only but for /data, as the image's user."""
        return [*self._namespace(_WITH_PYTHON + _READ_ONLY), self.user, *command]

    def _namespace(self, script: str) -> list[str]:
        return ["unshare", "--mount", "sh", "-ec", script, "sh", str(self.folder), sys.base_prefix]

    def run(self, *command: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end."""
        return subprocess.run(
            self.inside(*command),
            cwd=self.data,
            env=self.environment(**variables),
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """Start the image's entry point with arguments."""
        return subprocess.Popen(
            self.inside(str(self.folder / "opt/logbridge/bin/logbridge"), *arguments),
            cwd=self.data,
            env=self.environment(**variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


def _copy(given: Path, work: Path, words: list[str]) -> None:
    *sources, target = words
    for source in sources:
        if (given / source).is_dir():
            shutil.copytree(given / source, work / target)
        else:
            (work / target).mkdir(exist_ok=True)
            shutil.copy2(given / source, work / target)

import os
import sys
from pathlib import Path
from subprocess import run

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from this tree and unpacked by pip into a folder of its own."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    run(build, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    target = folder / "site"
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--target",
        str(target),
        str(wheel),
    ]
    run(pip, check=True, capture_output=True)
    return target


def python(installed: Path, *arguments: str) -> str:
    # Coverage is about src/: it must not find the copy in the wheel.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    environ["PYTHONPATH"] = str(installed)
    command = [sys.executable, *arguments]
    return run(command, check=True, capture_output=True, text=True, env=environ, cwd=installed).stdout


def test_the_wheel_runs(installed: Path) -> None:
    """Installed from its wheel, the program starts and needs nothing from the repository."""
    where = python(installed, "-c", "import logbridge; print(logbridge.__file__)")
    assert where.startswith(str(installed))
    assert '"openapi":' in python(installed, "-m", "logbridge", "openapi").replace(" ", "")
    assert "MAX_BATCH_SIZE" in python(installed, "-m", "logbridge", "config", "--json")


@pytest.mark.parametrize(
    "name",
    [
        "py.typed",
        "entrypoints/http/docs_pages.py",
        "entrypoints/http/vendor",
        "adapters/grpc/logservice_pb2.pyi",
    ],
)
def test_the_wheel_is_whole(installed: Path, name: str) -> None:
    """Types, pages and vendored assets are in the wheel."""
    assert (installed / "logbridge" / name).exists()

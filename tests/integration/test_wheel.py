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


def logbridge(installed: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "logbridge", *arguments]
    environ = os.environ | {"PYTHONPATH": str(installed)}
    return run(command, check=True, capture_output=True, text=True, env=environ, cwd=installed).stdout


def test_the_wheel_runs(installed: Path) -> None:
    """Installed from its wheel, the program starts and needs nothing from the repository."""
    where = run(
        [sys.executable, "-c", "import logbridge; print(logbridge.__file__)"],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(installed)},
        cwd=installed,
    ).stdout
    assert where.startswith(str(installed))
    assert '"openapi":' in logbridge(installed, "openapi").replace(" ", "")
    assert "MAX_BATCH_SIZE" in logbridge(installed, "config", "--json")


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

"""The image: what its Dockerfile says, and its programs as its user in a file system that is read-only."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from logbridge.entrypoints.settings import Settings
from tests.integration.image import DOCKERFILE, ROOT, Image, context, stages, values
from tests.integration.processes import DEADLINE_S, end, free_port, read_until, tells_of_a_fault, until
from tests.integration.served import API

FINAL = stages()[-1]


def test_the_image_is_not_root() -> None:
    """A fixed user, no shell between a signal and the program, the ports of the settings, SIGTERM."""
    assert values(FINAL, "USER") == ["10001:10001"]
    assert "--uid 10001" in "".join(values(FINAL, "RUN"))
    assert json.loads(values(FINAL, "ENTRYPOINT")[0]) == ["logbridge"]
    assert json.loads(values(FINAL, "CMD")[0]) == ["serve"]
    assert values(FINAL, "STOPSIGNAL") == ["SIGTERM"]
    assert values(FINAL, "EXPOSE") == [f"{Settings().port} {Settings().grpc_server_port}"]
    assert json.loads(values(FINAL, "VOLUME")[0]) == ["/data"]


def test_only_locked_packages_are_installed() -> None:
    """Whatever pip takes from outside comes with its hash."""
    installs = [
        step
        for stage in stages()
        for step in values(stage, "RUN")
        if "pip install" in step or "bin/python install" in step
    ]
    assert len(installs) == 3
    for step in installs:
        assert "--no-deps" in step
        assert "--require-hashes" in step or "--no-index" in step


def test_the_build_gets_no_more_than_it_copies() -> None:
    """No keys, data, tests or history: the context is the sources and what the build reads beside them."""
    tops = {str(name) for name in context() if name.parts[0] not in ("src", "requirements")}
    assert tops == {"pyproject.toml", "README.md", "LICENSE"}
    assert {name.name for name in context() if name.parts[0] == "requirements"} == {
        "build.lock",
        "image.lock",
    }
    assert {name.parts[1] for name in context() if name.parts[0] == "src"} == {"logbridge"}


def test_nothing_of_the_tools_is_in_the_image() -> None:
    """The last stage takes one folder of the first, and pip out of its base."""
    assert values(FINAL, "COPY") == ["--from=build /opt/logbridge /opt/logbridge"]
    assert "pip uninstall" in values(FINAL, "RUN")[0]
    assert len(values(FINAL, "RUN")) == 1
    assert DOCKERFILE.read_text().count("FROM ${BASE}") == 2


@pytest.fixture
def image() -> Iterator[Image]:
    """The image, built for the one test that wants it; none without root, or where mounts are denied."""
    if os.getuid() != 0 or not shutil.which("setpriv") or not shutil.which("unshare"):
        pytest.skip("to run programs as another user in a file system of their own needs root")
    # Not in pytest's folder, which no other user may enter.
    with tempfile.TemporaryDirectory(prefix="logbridge-image-") as folder:
        Path(folder).chmod(0o755)
        built = Image(Path(folder))
        built.prepare()
        if built.run(built.python, "-m", "pip", "--version").returncode != 0:
            pytest.skip("no namespace of mounts may be made here, or this Python has no pip")
        built.build()
        yield built


@contextmanager
def running(image: Image, said: str, *arguments: str, **variables: str) -> Iterator[None]:
    """One of the image's programs; SIGTERM must end it with 0."""
    process = image.start(*arguments, **variables)
    try:
        stream = process.stderr if arguments[0] == "service" else process.stdout
        assert stream is not None
        read_until(stream, said)
        yield
    except BaseException:
        process.kill()
        print(end(process)[1])
        raise
    code, err = end(process)
    assert (code, tells_of_a_fault(err)) == (0, False), err


def is_healthy(image: Image, **variables: str) -> bool:
    """What the image's HEALTHCHECK says."""
    check = values(FINAL, "HEALTHCHECK")[0].partition("CMD ")[2]
    return image.run(*json.loads(check), **variables).returncode == 0


@pytest.mark.timeout(900)  # builds it from its packages, and starts its programs one by one
def test_the_image(image: Image) -> None:
    """Its programs run, write to the data folder alone, and have nothing beside them that installs."""
    programs_run(image)
    only_data_is_written(image)
    no_pip_is_there(image)


def programs_run(image: Image) -> None:
    """A log service and a bridge with two workers and a spool: healthy, they keep logs, and end with 0."""
    grpc, port = str(free_port()), str(free_port())
    local = {"HOST": "127.0.0.1", "LOGBRIDGE_SERVICE_HOST": "127.0.0.1", "LOGBRIDGE_DRAIN_NOTICE_S": "0"}
    settings = {**local, "PORT": port, "GRPC_SERVER_HOST": "127.0.0.1", "GRPC_SERVER_PORT": grpc}
    spool = {"LOGBRIDGE_SPOOL": f"sqlite:///{image.data}/spool"}
    url = f"http://127.0.0.1:{port}{API}"
    log = {"message": "m"}
    with running(image, "log service listens on", "service", **settings):
        assert not is_healthy(image, **settings)
        with running(image, "listens at", "serve", "--workers", "2", **settings, **spool):
            until(lambda: is_healthy(image, **settings))
            assert httpx.post(f"{url}/write", json=log, timeout=DEADLINE_S).status_code == 200
            headers = {"Prefer": "respond-async"}
            durably = httpx.post(f"{url}/write", json=log, headers=headers, timeout=DEADLINE_S)
            assert durably.status_code == 202
            until(lambda: httpx.get(f"{url}/query", timeout=DEADLINE_S).json()["total_count"] == 2)
    assert {path.name for path in image.data.iterdir()} >= {"logs.db", "spool"}
    assert {path.stat().st_uid for path in image.data.rglob("*")} == {int(image.user)}


def only_data_is_written(image: Image) -> None:
    """The root of the container is read-only, and its user may change none of what the build made."""
    assert image.run("touch", str(image.data / "a")).returncode == 0
    for folder in ("opt/logbridge", "build"):
        refused = image.run("touch", str(image.folder / folder / "a"))
        assert "Read-only file system" in refused.stderr
        made = subprocess.run(
            [
                "find",
                str(image.folder / folder),
                "-user",
                image.user,
                "-o",
                "-perm",
                "/o+w",
                "!",
                "-type",
                "l",
            ],
            check=True,
            capture_output=True,
            text=True,
        )
        assert made.stdout == ""


def no_pip_is_there(image: Image) -> None:
    """Its environment holds the program, its dependencies and its extras, and nothing that installs."""
    found = image.run(
        "python",
        "-c",
        "import logbridge, nats, opentelemetry.sdk, importlib.util as u; print(u.find_spec('pip'))",
    )
    assert found.stdout.strip() == "None", found.stderr
    assert (
        image.run("logbridge", "--version").stdout.strip() in (ROOT / "src/logbridge/__init__.py").read_text()
    )

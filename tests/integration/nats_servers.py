"""NATS servers of a test: one, or a cluster, each with a folder and ports of its own on this machine."""

import contextlib
import json
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.integration.processes import free_port, until

NEEDS_NATS = pytest.mark.skipif(
    shutil.which("nats-server") is None,
    reason="there is no nats-server here; make nats installs it",
)


class NatsServer:
    """One server. more: lines of its configuration."""

    def __init__(self, folder: Path, name: str, more: str = "") -> None:
        folder.mkdir(parents=True)
        self.name = name
        self.port = free_port()
        self.monitor = free_port()
        self.folder = folder
        self._more = more
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """host:port."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, also again after kill()."""
        conf = self.folder / "nats.conf"
        conf.write_text(
            f'server_name: {self.name}\nlisten: "127.0.0.1:{self.port}"\nhttp: "127.0.0.1:{self.monitor}"\n'
            f'jetstream {{ store_dir: "{self.folder}/data", max_file: 4GB, max_mem: 512MB }}\n{self._more}\n'
        )
        log = (self.folder / "nats.log").open("ab")
        self._process = subprocess.Popen(["nats-server", "-c", str(conf)], stdout=log, stderr=log)
        log.close()

    def wait(self) -> None:
        """Returns once it is ready for JetStream."""
        until(self._is_ready)

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.monitor}/healthz").status_code == 200
        except httpx.TransportError:
            return False

    def leads(self, stream: str, consumer: str = "") -> bool:
        """Whether it leads this stream, or this consumer of it."""
        try:
            answer = httpx.get(f"http://127.0.0.1:{self.monitor}/jsz?consumers=true").json()
        except (httpx.TransportError, json.JSONDecodeError):
            return False
        details = [each for account in answer.get("account_details", ()) for each in account["stream_detail"]]
        ours = [each for each in details if each["name"] == stream]
        if consumer:
            below = [each for found in ours for each in found.get("consumer_detail") or ()]
            ours = [each for each in below if each["name"] == consumer]
        return any(each["cluster"].get("leader") == self.name for each in ours)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait()
            self._process = None


@contextlib.contextmanager
def nats_server(folder: Path, more: str = "") -> Iterator[NatsServer]:
    """One server."""
    server = NatsServer(folder, "alone", more)
    server.start()
    try:
        server.wait()
        yield server
    finally:
        server.kill()


@contextlib.contextmanager
def nats_cluster(folder: Path) -> Iterator[list[NatsServer]]:
    """Three servers that know each other."""
    routes = [free_port() for _ in range(3)]
    others = ", ".join(f'"nats-route://127.0.0.1:{port}"' for port in routes)
    servers = [
        NatsServer(
            folder / f"n{number}",
            f"n{number}",
            f'cluster {{ name: test, listen: "127.0.0.1:{port}", routes: [{others}] }}',
        )
        for number, port in enumerate(routes)
    ]
    try:
        for server in servers:
            server.start()
        for server in servers:
            server.wait()
        yield servers
    finally:
        for server in servers:
            server.kill()


def spool_url(servers: list[NatsServer], **options: object) -> str:
    """LOGBRIDGE_SPOOL for them."""
    query = "&".join(f"{name}={value}" for name, value in options.items())
    return f"nats://{','.join(server.address for server in servers)}?{query}"

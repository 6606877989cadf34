"""dev: the log service and the bridge together, as two child processes that live and end as one."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Collection, Mapping
from itertools import count
from typing import Any, Literal

import httpx
import msgspec

from logbridge.domain.errors import InvalidSetting
from logbridge.entrypoints.commands import terminal
from logbridge.entrypoints.commands.ending import Exit
from logbridge.entrypoints.commands.options import SettingFlags, given, told_unknown
from logbridge.entrypoints.commands.service import stop_event
from logbridge.entrypoints.process import end_with_parent
from logbridge.entrypoints.settings import SETTINGS, Settings, explain, load
from logbridge.entrypoints.tls import check_files

# Beyond the time of a drain: the bridge finishes what it began.
_STOP_MARGIN_S = 5.0
_ASK_EVERY_S = 0.1
_RESTART_PAUSE_MAX_S = 5.0
# So long a start takes at the most; then people are told what it waits for.
_PATIENCE_S = 5.0
_ANY_HOST = ("0.0.0.0", "::")


def dev(*, flags: SettingFlags | None = None) -> int:
    """Start everything: a log service and the bridge in front of it, until Ctrl-C.

    HOST, PORT, GRPC_SERVER_HOST, GRPC_SERVER_PORT and LOGBRIDGE_STORE (or the flags) move it, so that several
    run side by side; port 0 takes any free one.

    Example: logbridge dev --port 9001 --grpc-server-port 50052 --store sqlite:///./data/second.db
    """
    chosen = given(flags)
    chosen_by_name = {each.variable for each in explain(chosen) if each.origin != "default"}
    settings = _settled(load(chosen), chosen_by_name)
    check_files(settings)
    if settings.keys_file and not settings.sink_key:
        terminal.notice(
            "the log service asks for keys, too: make one with the scopes write and read, "
            "and name it in LOGBRIDGE_SINK_KEY"
        )
    return asyncio.run(_run(settings, _environment(settings, chosen)))


def _settled(settings: Settings, chosen: Collection[str]) -> Settings:
    """The settings with the ports known and free. Raises InvalidSetting for one that is taken.

    chosen: the variables that somebody set.
    """
    # Where nobody said, the log service listens where the bridge is told to look for it.
    own_host = "LOGBRIDGE_SERVICE_HOST" in chosen
    listening = settings.service_host if own_host else settings.grpc_server_host
    settled = msgspec.structs.replace(
        settings,
        # Nothing stands in front of dev that would look at /readyz.
        drain_notice_s=settings.drain_notice_s if "LOGBRIDGE_DRAIN_NOTICE_S" in chosen else 0.0,
        service_host=listening,
        # The bridge finds the log service where it listens.
        grpc_server_host="localhost" if listening in _ANY_HOST else listening,
        port=free_port("PORT", settings.host, settings.port),
        grpc_server_port=free_port("GRPC_SERVER_PORT", listening, settings.grpc_server_port),
    )
    if settled.service_tls_cert and not settled.sink:
        # The log service that it finds there speaks TLS.
        return msgspec.structs.replace(settled, sink=settled.sink_url.replace("grpc://", "grpcs://"))
    return settled


def free_port(variable: str, host: str, port: int) -> int:
    """The port, or any free one for 0. Raises InvalidSetting if it is taken or the host is not ours."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            return int(probe.getsockname()[1])
    except OSError as error:
        reason = f"cannot listen on {host}: {error.strerror or error}"
        raise InvalidSetting(variable, str(port), f"{reason}; choose another one") from None


def _environment(settings: Settings, flags: Mapping[str, str]) -> dict[str, str]:
    variables = {setting.field: setting.variable for setting in SETTINGS}
    given_as_flags = {variables[field]: value for field, value in flags.items()}
    settled = {
        variables[field]: str(getattr(settings, field))
        for field in (
            "service_host",
            "port",
            "grpc_server_host",
            "grpc_server_port",
            "drain_notice_s",
            "sink",
        )
    }
    # A slip of the pen is told once, here.
    known = {name: value for name, value in os.environ.items() if name not in told_unknown()}
    return {**known, **given_as_flags, **settled}


async def _run(settings: Settings, environment: dict[str, str]) -> int:
    stopping = asyncio.ensure_future(stop_event().wait())
    children = _Children(environment, settings.drain_s + _STOP_MARGIN_S)
    try:
        await children.start("service")
        await children.start("serve")
        greeting = asyncio.ensure_future(_greet(settings))
        try:
            return await children.watch(stopping)
        finally:
            greeting.cancel()
            await asyncio.gather(greeting, return_exceptions=True)
    finally:
        stopping.cancel()
        await children.stop()


class _Children:
    """The two processes. Sessions of their own keep Ctrl-C from them: dev stops one after the other."""

    def __init__(self, environment: dict[str, str], stop_s: float) -> None:
        self._environment = environment
        self._stop_s = stop_s
        self._running: dict[str, asyncio.subprocess.Process] = {}
        self._restarts = 0

    async def start(self, command: str) -> None:
        self._running[command] = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "logbridge",
            command,
            env=self._environment,
            start_new_session=True,
            preexec_fn=end_with_parent,
        )

    async def watch(self, stopping: "asyncio.Task[Literal[True]]") -> int:
        """Wait until told to stop (0) or until a child ends for good: gives its exit code."""
        while True:
            ends: dict[asyncio.Task[Any], str] = {
                asyncio.ensure_future(process.wait()): name for name, process in self._running.items()
            }
            every: set[asyncio.Task[Any]] = {stopping, *ends}
            try:
                await asyncio.wait(every, return_when=asyncio.FIRST_COMPLETED)
                ended = {name: end.result() for end, name in ends.items() if end.done()}
            finally:
                for end in ends:
                    end.cancel()
            if stopping.done():
                return Exit.FINE
            code = ended.get("serve", ended.get("service", 0))
            if "serve" in ended or code >= 0:
                return _ended_code(ended)
            if not await self._restart_service(-code, stopping):
                return Exit.FINE

    async def _restart_service(self, signal_number: int, stopping: "asyncio.Task[Literal[True]]") -> bool:
        """False if it was told to stop meanwhile."""
        terminal.notice(f"the log service was killed by signal {signal_number}, starting it again")
        # A service that is killed again and again must not keep the machine busy.
        pause_s = min(0.1 * 2**self._restarts, _RESTART_PAUSE_MAX_S)
        self._restarts += 1
        await asyncio.wait({stopping}, timeout=pause_s)
        if stopping.done():
            return False
        await self.start("service")
        return True

    async def stop(self) -> None:
        """The bridge first: what it still has in flight needs the log service. A second Ctrl-C ends both."""
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._kill)
        for name in ("serve", "service"):
            process = self._running.get(name)
            if process is not None and process.returncode is None:
                await _end(process, self._stop_s)

    def _kill(self) -> None:
        for process in self._running.values():
            if process.returncode is None:
                process.kill()


def _ended_code(ended: Mapping[str, int]) -> int:
    name, code = next(iter(sorted(ended.items())))
    title = "the bridge" if name == "serve" else "the log service"
    if code <= 0:  # an error has had its line; an end without one needs it
        terminal.notice(f"{title} ended by itself" if code == 0 else f"{title} was killed by signal {-code}")
    return code if code > 0 else Exit.FAILED


async def _end(process: asyncio.subprocess.Process, stop_s: float) -> None:
    process.terminate()
    try:
        async with asyncio.timeout(stop_s):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


async def _greet(settings: Settings) -> None:
    """Say where to go, once the bridge answers and reaches the log service."""
    host = "127.0.0.1" if settings.host in _ANY_HOST else settings.host
    scheme = "https" if settings.tls_cert else "http"
    url = f"{scheme}://[{host}]:{settings.port}" if ":" in host else f"{scheme}://{host}:{settings.port}"
    # It asks its own child, by an address that no certificate names, and shows it no key.
    told = ""
    asked = count()
    async with httpx.AsyncClient(base_url=url, verify=False, trust_env=False) as client:  # noqa: S501
        while ill := await _why_ill(client, f"{settings.api_prefix}/health", settings):
            if next(asked) * _ASK_EVERY_S > _PATIENCE_S and ill != told:
                terminal.notice(f"not ready yet: {ill}")
                told = ill
            await asyncio.sleep(_ASK_EVERY_S)
    terminal.line(_greeting(url, settings))


async def _why_ill(client: httpx.AsyncClient, path: str, settings: Settings) -> str:
    """What keeps it from being healthy; empty once it is."""
    try:
        answer = await client.get(path)
        return "" if answer.status_code == 200 else str(answer.json().get("detail"))
    except httpx.ConnectError:
        return "the bridge does not answer"
    except (httpx.TransportError, ValueError):
        # Whoever asks for certificates answers nobody without one: that it asks is all that can be seen.
        return "" if settings.tls_client_ca else "the bridge gives no answer"


def _greeting(url: str, settings: Settings) -> str:
    url += settings.root_path
    curl = "curl" + (" --cacert YOUR-CA.pem" if settings.tls_cert else "")
    curl += " --cert YOUR.crt --key YOUR.key" if settings.tls_client_ca else ""
    curl += " -H 'x-api-key: YOUR-KEY'" if settings.keys_file else ""
    return f"""\
logbridge is ready: {url}
  docs         {url}{settings.docs_path}
  log service  {settings.service_host}:{settings.grpc_server_port}, store {settings.store}
  write a log  {curl} -X POST {url}{settings.api_prefix}/write -H 'content-type: application/json' \
-d '{{"message": "hello", "service_name": "my-service"}}'
  read it      {curl} '{url}{settings.api_prefix}/query?service_name=my-service'
Ctrl-C stops both."""

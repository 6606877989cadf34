"""Who is measured, and how each is started; as data."""

import hashlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec import Struct

from benchmarks import bodies, envoy
from logbridge.adapters.keys.file import KeysFile
from logbridge.domain.access import Key, Scope

# Of a bridge that lives for seconds, on loopback.
KEY = f"lbk_{'0' * 12}_{'A' * 43}"

Command = Callable[[int, int, Path], list[str]]


class Contender(Struct, frozen=True):
    """A gateway. command: from its port, the log service's port and a folder of its own.

    environ: beside ours; "{sink}" stands for the log service's port, "{folder}" for the folder.
    body, headers: what it is sent, from the number of entries and the bytes of each, and beside it.
    expect_one, expect_many: text that the answer to a write and to a batch must hold.
    cores: how many it may have. calls_sink: whether its writes reach the log service.
    other_core_busy: something else keeps the other core busy.
    """

    name: str
    title: str
    command: Command
    environ: Mapping[str, str] = {}
    body: Callable[[int, int], bytes] = bodies.body
    headers: Mapping[str, str] = {}
    expect_one: str = '"success":true'
    expect_many: str = '"error_count":0'
    cores: int = 1
    calls_sink: bool = True
    other_core_busy: bool = False


def _uvicorn(app: str, lifespan: str = "off") -> Command:
    def command(port: int, _sink_port: int, _folder: Path) -> list[str]:
        options = ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]
        return [sys.executable, "-m", "uvicorn", *options, "--lifespan", lifespan, "--port", str(port), app]

    return command


def _logbridge(*flags: str) -> Command:
    def command(port: int, sink_port: int, _folder: Path) -> list[str]:
        options = ["--host", "127.0.0.1", "--port", str(port), "--sink", f"grpc://127.0.0.1:{sink_port}"]
        return [sys.executable, "-m", "logbridge", "serve", *options, "--drain-notice-s", "0", *flags]

    return command


def _logbridge_with_keys(port: int, sink_port: int, folder: Path) -> list[str]:
    key = Key(
        id=KEY.split("_")[1],
        name="benchmark",
        hash=hashlib.sha256(KEY.encode()).hexdigest(),
        scopes=frozenset({Scope.WRITE}),
        created_at="2026-01-01T00:00:00Z",
    )
    KeysFile(folder / "keys.json").add(key)
    return _logbridge()(port, sink_port, folder)


# A write may hang for as long as the memory is measured.
_PATIENT = {"LOGBRIDGE_REQUEST_TIMEOUT_S": "120", "LOGBRIDGE_ATTEMPT_TIMEOUT_S": "120"}
_REFERENCE = {"REFERENCE_LOG_SERVICE": "127.0.0.1:{sink}", "REFERENCE_TIMEOUT_S": "120"}
_SPOOL = {"LOGBRIDGE_ACK": "durable", "LOGBRIDGE_SPOOL": "sqlite:///{folder}/spool"}

NOOP = "no-op"
REFERENCE = "reference"
LOGBRIDGE = "logbridge"
UNCOALESCED = "logbridge-uncoalesced"
DURABLE = "logbridge-durable"
TWO_WORKERS = "logbridge-2-workers"
BESIDE_BUSY = "logbridge-beside-busy"
PATIENT = "logbridge-patient"
KEYED = "logbridge-keys"
GZIPPED = "logbridge-gzip"
ENVOY = "envoy"

CONTENDERS = {
    contender.name: contender
    for contender in (
        Contender(
            NOOP,
            "plain ASGI no-op",
            _uvicorn("benchmarks.noop:plain"),
            expect_many='"success":true',
            calls_sink=False,
        ),
        Contender(
            "no-op-starlette",
            "no-op behind a Starlette route",
            _uvicorn("benchmarks.noop:starlette"),
            expect_many='"success":true',
            calls_sink=False,
        ),
        Contender(REFERENCE, "the obvious design", _uvicorn("benchmarks.reference:app", "on"), _REFERENCE),
        Contender(
            ENVOY,
            "Envoy's transcoder",
            envoy.command,
            body=bodies.message_body,
            expect_many='"success":true',
        ),
        Contender(LOGBRIDGE, "logbridge", _logbridge()),
        Contender(UNCOALESCED, "logbridge without coalescing", _logbridge(), {"LOGBRIDGE_COALESCE": "false"}),
        Contender(DURABLE, "logbridge, durable", _logbridge(), _SPOOL),
        Contender(TWO_WORKERS, "logbridge, two workers", _logbridge("--workers", "2"), cores=2),
        Contender(BESIDE_BUSY, "logbridge, the other core busy", _logbridge(), other_core_busy=True),
        Contender(
            KEYED,
            "logbridge, with a key",
            _logbridge_with_keys,
            {"LOGBRIDGE_KEYS_FILE": "{folder}/keys.json"},
            headers={"Authorization": f"Bearer {KEY}"},
        ),
        Contender(
            GZIPPED,
            "logbridge, bodies in gzip",
            _logbridge(),
            body=bodies.gzipped,
            headers={"Content-Encoding": "gzip"},
        ),
        Contender(PATIENT, "logbridge that waits two minutes", _logbridge(), _PATIENT),
    )
}


def available() -> dict[str, Contender]:
    """The contenders that this machine can start."""
    return {name: c for name, c in CONTENDERS.items() if name != ENVOY or envoy.installed()}

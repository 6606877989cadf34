"""LOGBRIDGE_SPOOL as a stream of NATS JetStream: nats://host:port,host:port?stream=logs&replicas=3."""

import re
from urllib.parse import parse_qsl, urlsplit

from logbridge.domain.policy import QueuePolicy

QUEUE_SCHEMES = ("nats", "tls")
_PORT_DEFAULT = 4222
_SERVER = re.compile(r"([\w.-]+|\[[0-9A-Fa-f:.]+\])(?::(\d{1,5}))?", re.ASCII)
# What NATS allows in the name of a stream is more, and differs between its versions and file systems.
_STREAM = re.compile(r"[\w-]{1,64}", re.ASCII)
_SUBJECT = re.compile(r"[\w-]+(\.[\w-]+)*", re.ASCII)
_NUMBERS = {"replicas": (1, 5), "ack_wait_s": (3, 3600), "ack_pending_max": (1, 1_000_000)}
_SWITCHES = ("create", "deliver")
_OPTIONS = ("stream", "subject", *_SWITCHES, *_NUMBERS)


def is_queue_url(url: str) -> bool:
    """Whether this names a stream, not a directory."""
    return urlsplit(url).scheme in QUEUE_SCHEMES


def parse_queue_url(url: str) -> QueuePolicy:
    """The stream that a URL names. Raises ValueError that says what is allowed."""
    parts = urlsplit(url)
    if parts.scheme not in QUEUE_SCHEMES or not parts.netloc or parts.path.strip("/") or parts.fragment:
        raise ValueError("allowed is nats://host:port,host:port?stream=name, or tls:// in place of nats://")
    if "@" in parts.netloc:
        raise ValueError("who you are belongs in LOGBRIDGE_SPOOL_USER and LOGBRIDGE_SPOOL_PASSWORD, not here")
    given = _options(parts.query)
    stream = given.get("stream", "logbridge")
    subject = given.get("subject", stream)
    if not _STREAM.fullmatch(stream):
        raise ValueError("stream is a name of at most 64 letters, digits, _ and -")
    if not _SUBJECT.fullmatch(subject) or len(subject) > 255:
        raise ValueError("subject is names of letters, digits, _ and -, with dots between them")
    if subject == f"{stream}-dead":
        raise ValueError(f"subject={subject} is where the dead letters go; choose another")
    return QueuePolicy(
        servers=tuple(map(_server, parts.netloc.split(","))),
        tls=parts.scheme == "tls",
        stream=stream,
        subject=subject,
        replicas=_number("replicas", given.get("replicas", "1")),
        create=_switch("create", given.get("create", "true")),
        deliver=_switch("deliver", given.get("deliver", "true")),
        ack_wait_s=_number("ack_wait_s", given.get("ack_wait_s", "30")),
        ack_pending_max=_number("ack_pending_max", given.get("ack_pending_max", "20000")),
    )


def _options(query: str) -> dict[str, str]:
    pairs = parse_qsl(query, keep_blank_values=True)
    given = dict(pairs)
    for name in given:
        if name not in _OPTIONS:
            raise ValueError(f"there is no option {name[:40]!r}; allowed are {', '.join(_OPTIONS)}")
    if len(given) < len(pairs):
        raise ValueError("each option may be given once")
    return given


def _server(text: str) -> str:
    match = _SERVER.fullmatch(text)
    port = int(match[2] or _PORT_DEFAULT) if match else 0
    if match is None or not 0 < port < 65_536:
        raise ValueError(
            f"{text[:100]!r} is no server; allowed is host:port, several with a comma between them"
        )
    return f"{match[1]}:{port}"


def _number(name: str, text: str) -> int:
    low, high = _NUMBERS[name]
    if not text.isascii() or not text.isdecimal() or len(text) > 9 or not low <= int(text) <= high:
        raise ValueError(f"{name} is a whole number from {low} to {high}")
    return int(text)


def _switch(name: str, text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError(f"{name} is true or false")
    return text == "true"

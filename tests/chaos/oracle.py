"""The oracle: it issues every log that is sent, and remembers what was promised for it."""

import json
import re
from collections import Counter
from random import Random
from typing import Any

from msgspec import Struct

ID_KEY = "oracle_id"
_REASON_CHARACTERS = 90
_LEVELS = ("DEBUG", "INFO", "WARN", "ERROR", "FATAL")
_TEXTS = (
    "order paid",
    "naïve café",
    "日志已写入",
    "🧨💥",
    "nul\0inside",
    "line\nbreak\ttab\r\n",
    '"quoted" \\ and /',
    "\u202eright to left",
    "e\u0301 combined",
    "\x1b[31mred\x7f",
    "'; DROP TABLE logs; --",
    "  spaces  ",
    "\ufeffmark",
    "\U0010ffff",
)
_TIMES = (
    "2024-08-30T10:30:45Z",
    "2024-08-30T10:30:45.123456+08:00",
    "1999-12-31T23:59:59.9-05:30",
)


class Content(Struct, frozen=True):
    """What a store must hold of a log. timestamp: empty where the bridge sets it on arrival."""

    message: str
    service_name: str
    level: str
    timestamp: str
    metadata: dict[str, str]
    trace_id: str
    span_id: str


class Issued(Struct, frozen=True):
    """A log as a client sends it."""

    log_id: str
    body: dict[str, Any]


class Oracle:
    """Ids of one leg, what was sent under them, and what was answered.

    sent: content by id. obligations: ids that a 2xx acknowledged. last_answers: how the last answer for an
    id read, where it was not acknowledged: "refused", "busy" or "unknown". statuses: HTTP answers, 0 for
    none. reasons: how often each kind of failure was told, without its numbers. resent_ids: sent again by a
    client although the outcome was unknown.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self.sent: dict[str, Content] = {}
        self.obligations: set[str] = set()
        self.last_answers: dict[str, str] = {}
        self.statuses: Counter[int] = Counter()
        self.reasons: Counter[str] = Counter()
        self.resent_ids: set[str] = set()

    def issue(self, rng: Random) -> Issued:
        """A new log with an id that no other has."""
        log_id = f"{self._name}-{len(self.sent):06d}"
        body: dict[str, Any] = {
            "log_id": log_id,
            "message": f"{rng.choice(_TEXTS)} {_filler(rng)}",
            "service_name": rng.choice(("shop", "billing", "搜索")),
            "level": rng.choice(_LEVELS),
            "metadata": {ID_KEY: log_id, **_metadata(rng)},
        }
        if rng.random() < 0.3:
            body |= {"trace_id": f"{rng.getrandbits(64):016x}", "span_id": rng.choice(_TEXTS)}
        if rng.random() < 0.3:
            body["timestamp"] = rng.choice(_TIMES)
        if rng.random() < 0.3:
            body["adv_id"] = rng.getrandbits(70)
        self.sent[log_id] = _expected(body)
        self.last_answers[log_id] = "unknown"
        return Issued(log_id, body)

    def saw(self, status: int, detail: str) -> None:
        """Count an answer, and what it says when it is a failure."""
        self.statuses[status] += 1
        if detail:
            self.reasons[f"{status} {re.sub(r'[0-9]+', '#', detail)[:_REASON_CHARACTERS]}"] += 1

    def acknowledge(self, log_id: str) -> None:
        """From now on this log must never be lost."""
        self.obligations.add(log_id)
        self.last_answers.pop(log_id, None)

    def not_acknowledged(self, log_id: str, answer: str) -> None:
        """The answer for this log was no acknowledgement."""
        if log_id not in self.obligations:
            self.last_answers[log_id] = answer


def _filler(rng: Random) -> str:
    """Mostly nothing, sometimes some kilobytes, seldom close to the limit of one entry."""
    dice = rng.random()
    if dice < 0.9:
        return "." * rng.randrange(100)
    characters = rng.randrange(1_000, 10_000) if dice < 0.99 else rng.randrange(50_000, 200_000)
    return f"{rng.getrandbits(64):016x}" * (characters // 16)


def _metadata(rng: Random) -> dict[str, Any]:
    values: dict[str, Any] = {
        "text": rng.choice(_TEXTS),
        "number": rng.randrange(-(10**20), 10**20),
        "yes": True,
        "nothing": None,
        "nested": {"list": [1, 2.5, "drei"], "text": rng.choice(_TEXTS)},
        rng.choice(_TEXTS): "",
    }
    return {name: values[name] for name in rng.sample(list(values), rng.randrange(len(values)))}


def _expected(body: dict[str, Any]) -> Content:
    """What the REST contract says of this body, in code of our own."""
    given = {"adv_id": body.get("adv_id"), **body["metadata"]}
    return Content(
        message=body["message"],
        service_name=body["service_name"],
        level=body["level"],
        timestamp=body.get("timestamp", ""),
        metadata={
            name: value
            if isinstance(value, str)
            else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
            for name, value in given.items()
            if value is not None
        },
        trace_id=body.get("trace_id", ""),
        span_id=body.get("span_id", ""),
    )

"""Whose traces work belongs to (W3C Trace Context): passed on to the log service, never put into an entry."""

import re
from collections.abc import Mapping, Sequence
from contextvars import Context, ContextVar
from typing import Protocol

from msgspec import Struct

# The standard asks that so much is passed on; what is longer is left out (section 3.3.1.5).
STATE_CHARACTERS_MAX = 512
_MEMBERS_MAX = 32
# Section 3.2.2: a later version may go on after these fields.
_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII)
_KNOWN_FLAGS = 0x03
# Section 3.3.1.3.
_MEMBER = re.compile(
    r"([a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})"
    r"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]",
    re.ASCII,
)


class Trace(Struct, frozen=True):
    """A place in somebody's trace. trace_id: 32 hex digits, span_id: 16, flags: 2. state: its tracestate."""

    trace_id: str
    span_id: str
    flags: str = "00"
    state: str = ""

    @property
    def parent(self) -> str:
        """As a traceparent."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}"

    @property
    def sampled(self) -> bool:
        """Whether its caller recorded it."""
        return bool(int(self.flags, 16) & 1)


# Of the work that runs: one of a request, several of a batch that was made of several requests.
TRACES: ContextVar[tuple[Trace, ...]] = ContextVar("traces", default=())


def context_of(traces: tuple[Trace, ...]) -> Context:
    """A context for what is done for several at once: it has these traces, and nothing of one of them."""
    context = Context()
    if traces:
        context.run(TRACES.set, traces)
    return context


def parse_trace(parents: Sequence[str], states: Sequence[str] = ()) -> Trace | None:
    """The trace of ``traceparent`` and ``tracestate`` headers; None without a valid traceparent.

    A tracestate that is not valid, or too long, counts as none (section 3.3.1.5 and 4.3).
    """
    match = _PARENT.fullmatch(parents[0].strip()) if len(parents) == 1 else None
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    if version == "ff" or (version == "00" and more) or not (int(trace_id, 16) and int(span_id, 16)):
        return None
    if version != "00":
        flags = f"{int(flags, 16) & _KNOWN_FLAGS:02x}"
    return Trace(trace_id, span_id, flags, _state_of(states))


def _state_of(states: Sequence[str]) -> str:
    """Several headers are one list (section 3.3.1)."""
    members = [member.strip(" \t") for state in states for member in state.split(",")]
    members = [member for member in members if member]
    matches = [_MEMBER.fullmatch(member) for member in members[: _MEMBERS_MAX + 1]]
    keys = {match[1] for match in matches if match}
    state = ",".join(members)
    valid = len(keys) == len(members) <= _MEMBERS_MAX and len(state) <= STATE_CHARACTERS_MAX
    return state if valid else ""


class Span(Protocol):
    """A stretch of work that is recorded."""

    @property
    def trace(self) -> Trace:
        """Its place, for whoever is called."""
        ...

    def end(self, attributes: Mapping[str, str | int], fault: str = "") -> None:
        """It is over. fault: what went wrong, empty for nothing."""
        ...


class Tracer(Protocol):
    """Records spans, and hands them to whoever collects them."""

    def begin(
        self, name: str, attributes: Mapping[str, str | int], traces: tuple[Trace, ...], *, inbound: bool
    ) -> Span:
        """A span begins now. It belongs to its trace if there is one; to several it is linked.

        inbound: somebody asked us, else we ask somebody. attributes: by the conventions of OpenTelemetry.
        """
        ...

    async def aclose(self, within_s: float) -> None:
        """Hand over what is left, in so many seconds at most."""
        ...

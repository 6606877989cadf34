"""W3C Trace Context: which headers are a trace, and which count as none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbridge.domain.trace import STATE_CHARACTERS_MAX, TRACES, Trace, context_of, parse_trace

ID, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{ID}-{SPAN}-01"
HEX = st.text("0123456789abcdef", min_size=1)


@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.integers(0, 255))
def test_a_valid_parent_is_passed_on_as_it_came(trace: int, span: int, flags: int) -> None:
    """Of version 00 the traceparent that goes out is the one that came in, with all of its flags."""
    parent = f"00-{trace:032x}-{span:016x}-{flags:02x}"
    parsed = parse_trace([parent])
    assert parsed is not None
    assert parsed.parent == parent
    assert parsed.sampled == bool(flags & 1)


@pytest.mark.parametrize(
    "parents",
    [
        [],
        [""],
        [PARENT, PARENT],
        [PARENT.upper()],
        [f"ff-{ID}-{SPAN}-01"],
        [f"00-{'0' * 32}-{SPAN}-01"],
        [f"00-{ID}-{'0' * 16}-01"],
        [f"{PARENT}-more"],
        [PARENT[:-1]],
        [f"01-{ID}-{SPAN}-01more"],
        [f"{PARENT}\n"[:-3] + "\n\n\n"],
        [PARENT.replace("0af", "٠af")],
    ],
)
def test_what_is_not_valid_is_none(parents: list[str]) -> None:
    """A traceparent that breaks a rule of the standard, or is not alone, counts as none."""
    assert parse_trace(parents, ["a=b"]) is None


@given(st.lists(st.text(max_size=80), max_size=2), st.lists(st.text(max_size=80), max_size=2))
def test_anything_is_taken_without_a_fault(parents: list[str], states: list[str]) -> None:
    """Whatever comes, the answer is a valid trace or none, and what is passed on is printable ASCII."""
    for trace in (parse_trace(parents, states), parse_trace([PARENT], states)):
        assert trace is None or (trace.parent + trace.state).isascii()
        assert trace is None or (trace.parent + trace.state).isprintable()


def test_a_later_version_is_read_as_ours() -> None:
    """What follows the known fields is left out, and so are unknown flags."""
    assert parse_trace([f"cc-{ID}-{SPAN}-ff-what-else"]) == Trace(ID, SPAN, "03")


@pytest.mark.parametrize(
    ("states", "state"),
    [
        ([], ""),
        (["rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"], "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"),
        (["a=1", " b=2 ,, 0c@d=3 "], "a=1,b=2,0c@d=3"),
        (["a=1,a=2"], ""),
        (["A=1"], ""),
        (["a=1,b"], ""),
        (["a=\x7f"], ""),
        (["a=é"], ""),
        (
            [",".join(f"k{number}=v" for number in range(32))],
            ",".join(f"k{number}=v" for number in range(32)),
        ),
        ([",".join(f"k{number}=v" for number in range(33))], ""),
        (["a=" + "b" * 250 + ",c=" + "d" * 256], "a=" + "b" * 250 + ",c=" + "d" * 256),
        (["a=" + "b" * 254 + ",c=" + "d" * 254 + ",e=f"], ""),
    ],
)
def test_the_state_is_passed_on_or_left_out(states: list[str], state: str) -> None:
    """A tracestate that is valid, of up to 512 characters, stays; else the trace goes on without it."""
    assert parse_trace([PARENT], states) == Trace(ID, SPAN, "01", state)
    assert len(state) <= STATE_CHARACTERS_MAX


def test_a_context_for_several_has_nothing_of_one() -> None:
    """The context has the traces that it is made with, whatever the one around it has."""
    before = TRACES.set((Trace(ID, SPAN),))
    try:
        assert context_of(()).run(TRACES.get) == ()
        several = (Trace(ID, "1" * 16), Trace(ID, "2" * 16))
        assert context_of(several).run(TRACES.get) == several
    finally:
        TRACES.reset(before)

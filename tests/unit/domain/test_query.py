"""Questions that are narrowed to what a caller may see."""

from hypothesis import given
from hypothesis import strategies as st

from logbridge.domain.errors import ServiceForbidden
from logbridge.domain.query import LogFilter
from tests.factories import make_entry

NAMES = ("a", "b", "c")
SERVICES = st.frozensets(st.sampled_from(NAMES))


@given(asked=st.sampled_from(("", *NAMES)), before=SERVICES, allowed=SERVICES)
def test_narrowing_is_both_conditions_at_once(
    asked: str, before: frozenset[str], allowed: frozenset[str]
) -> None:
    """What is found was asked for and is allowed; only a question that can find nothing is forbidden."""
    which = LogFilter(service_name=asked, services=before)
    wanted = {
        name for name in NAMES
        if which.matches(make_entry(service_name=name)) and (not allowed or name in allowed)
    }  # fmt: skip
    try:
        narrowed = which.within(allowed)
    except ServiceForbidden:
        assert wanted == set()
    else:
        assert {name for name in NAMES if narrowed.matches(make_entry(service_name=name))} == wanted

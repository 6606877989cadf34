"""Requests are counted by few names, whatever callers invent."""

from hypothesis import given
from hypothesis import strategies as st

from logbridge.domain.measures import Measures
from logbridge.entrypoints.http.meter import METHODS, OTHER, Refusal, RequestMeter

ROUTES = ("/write", "/query")


@given(st.lists(st.tuples(st.text() | st.sampled_from(["GET", "POST"]), st.text() | st.sampled_from(ROUTES))))
def test_what_callers_invent_is_other(requests: list[tuple[str, str]]) -> None:
    """However many methods and paths there are, those that are not ours share one name; none is lost."""
    measures = Measures()
    meter = RequestMeter(measures, ROUTES)
    for method, path in requests:
        meter.note({"method": method, "path": path}, 404, 0.0, "")
    assert {method for method, _, _ in measures.counts.requests} <= {*METHODS, OTHER}
    assert {route for _, route, _ in measures.counts.requests} <= {*ROUTES, OTHER}
    assert sum(each.count for each in measures.counts.requests.values()) == len(requests)


def test_a_refusal_is_counted_with_its_request() -> None:
    """By why; a request that was not refused has none."""
    measures = Measures()
    meter = RequestMeter(measures, ROUTES)
    for refusal in ("", Refusal.RATE):
        meter.note({"method": "POST", "path": "/write"}, 429, 0.0, refusal)
    assert measures.counts.refusals == {"too often": 1}
    assert measures.counts.requests[("POST", "/write", 429)].count == 2

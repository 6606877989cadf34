"""Places in several stores as one number."""

from hypothesis import given
from hypothesis import strategies as st

from logbridge.adapters.services.place import place_of, sequence_at
from logbridge.domain.query import SEQUENCE_MAX
from logbridge.entrypoints.http.tail import PLACE_DIGITS_MAX
from logbridge.entrypoints.settings.urls import SERVICES_MAX

_ADDRESSES = st.integers(0, 999).map(lambda number: f"10.0.0.{number}:50051")
_PLACES = st.dictionaries(_ADDRESSES, st.integers(0, SEQUENCE_MAX), min_size=1, max_size=8)


@given(_PLACES)
def test_each_store_finds_its_own_part(sequences: dict[str, int]) -> None:
    """Whatever else is in a place, and in whatever order, each address has its own sequence back."""
    place = place_of(sequences)
    assert {address: sequence_at(address, place) for address in sequences} == sequences
    assert sequence_at("elsewhere:1", place) is None


def test_no_place_is_no_part() -> None:
    """Who follows from now on has no place anywhere."""
    assert sequence_at("a:1", None) is None
    assert sequence_at("a:1", 0) is None


def test_the_longest_place_can_be_asked_for() -> None:
    """As many log services as there may be, each at its last sequence, fit into a Last-Event-ID."""
    longest = place_of({f"host-{number}:50051": SEQUENCE_MAX for number in range(SERVICES_MAX)})
    assert len(str(longest)) <= PLACE_DIGITS_MAX

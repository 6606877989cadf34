"""Which X-Request-ID is taken over."""

import uuid

import pytest

from logbridge.entrypoints.http.recorded import what_was_told
from logbridge.entrypoints.request_id import HEADER, new_request_id, request_id_of


@pytest.mark.parametrize("given", [b"a", b"A-z_0.9", b"x" * 128])
def test_a_good_id_is_kept(given: bytes) -> None:
    """1 to 128 letters, digits, dots, dashes and underscores are the id of the request."""
    assert request_id_of([given]) == given
    assert what_was_told([(HEADER, given)]) == (given, ())


@pytest.mark.parametrize("given", [[], [b""], [b"x" * 129], [b"a b"], [b"a\n"], ["é".encode()], [b"a", b"b"]])
def test_any_other_gets_a_new_one(given: list[bytes]) -> None:
    """What is too long, of other characters, or there twice, is replaced by a UUIDv7."""
    made = request_id_of(given)
    assert made not in given
    assert uuid.UUID(made.decode()).version == 7


def test_ids_differ() -> None:
    """Two requests never share a new id."""
    assert len({new_request_id() for _ in range(1000)}) == 1000

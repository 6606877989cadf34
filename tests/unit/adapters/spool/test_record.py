import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbridge.adapters.spool.record import DamagedRecord, decode_record, encode_record, find_records
from tests.factories import make_entry

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)


@given(sequence=st.integers(0, 2**63 - 1), message=_TEXT, metadata=st.dictionaries(_TEXT, _TEXT, max_size=3))
def test_a_record_gives_its_entry_back(sequence: int, message: str, metadata: dict[str, str]) -> None:
    """Whatever an entry holds, its record holds, and it is found among other bytes."""
    entry = make_entry(message=message, metadata=metadata, timestamp_assigned=True)
    raw = encode_record(sequence, entry)
    assert decode_record(raw, sequence) == entry
    assert list(find_records(b"LBR1 no record " + raw + b"\x00LBR1")) == [(sequence, raw)]


@given(st.data())
def test_any_flipped_bit_is_seen(data: st.DataObject) -> None:
    """A record with a single bit changed anywhere is no record any more."""
    raw = bytearray(encode_record(7, make_entry(id="a")))
    place = data.draw(st.integers(0, 8 * len(raw) - 1))
    raw[place // 8] ^= 1 << place % 8
    with pytest.raises(DamagedRecord):
        decode_record(bytes(raw), 7)
    assert list(find_records(bytes(raw))) == []


def test_a_record_in_another_place_is_not_taken() -> None:
    """The record of another entry, or one with bytes behind it, is not the one that is asked for."""
    raw = encode_record(7, make_entry())
    for wrong, sequence in ((raw, 8), (raw + b"x", 7), (raw[:-1], 7), (b"", 7)):
        with pytest.raises(DamagedRecord):
            decode_record(wrong, sequence)

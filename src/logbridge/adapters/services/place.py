"""Places in several stores as one number, which says itself which store each part is of."""

from collections.abc import Mapping
from zlib import crc32

_SEQUENCE_BITS = 63
_PART_BITS = 32 + _SEQUENCE_BITS


def place_of(sequences: Mapping[str, int]) -> int:
    """One number for a sequence at each address; at most 29 digits for each."""
    place = 0
    for address, sequence in sequences.items():
        place = place << _PART_BITS | crc32(address.encode()) << _SEQUENCE_BITS | sequence
    return place


def sequence_at(address: str, place: int | None) -> int | None:
    """The part of this address, None if the place has none: it begins with what comes from now on."""
    name = crc32(address.encode())
    while place:
        part = place & ((1 << _PART_BITS) - 1)
        if part >> _SEQUENCE_BITS == name:
            return part & ((1 << _SEQUENCE_BITS) - 1)
        place >>= _PART_BITS
    return None

"""The corpus of the fuzzer, without the fuzzer: whatever was a fault once stays mended."""

from pathlib import Path
from typing import Any

import pytest
from fuzz import __main__ as program
from fuzz.targets import TARGETS, Disagreement, _agree
from hypothesis import given
from hypothesis import strategies as st

CORPUS = Path(program.CORPUS)


def kept() -> list[Any]:
    files = sorted(CORPUS.glob("*/*"))
    return [pytest.param(file.parent.name, file, id=f"{file.parent.name}-{file.name}") for file in files]


@pytest.mark.parametrize(("name", "file"), kept())
def test_the_corpus_ends_well(name: str, file: Path) -> None:
    """Every input that is kept ends as its target is documented to end."""
    TARGETS[name](file.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
@given(data=st.binary())
def test_any_bytes_end_well(name: str, data: bytes) -> None:
    """So do bytes of any kind."""
    TARGETS[name](data)


def test_every_target_has_a_corpus() -> None:
    """Each target is in the program's list, with inputs of its own."""
    assert set(TARGETS) == set(program.TARGETS) == {folder.name for folder in CORPUS.iterdir()}


def test_a_disagreement_is_a_fault() -> None:
    """A difference to the standard library is not passed over."""
    with pytest.raises(Disagreement):
        _agree(1, 2)

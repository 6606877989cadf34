"""Where an import stands."""

import io
from pathlib import Path

from logbridge.entrypoints.commands.import_state import (
    Progress,
    load_progress,
    save_progress,
    seam_of,
    state_file,
)


def test_progress_survives_and_the_file_may_grow(tmp_path: Path) -> None:
    """What was saved is loaded again as long as the bytes before the offset are the same."""
    state = tmp_path / "deep" / "state.json"
    saved = Progress(4, 1, seam_of(io.BytesIO(b"one\n"), 4))
    save_progress(state, saved)
    assert load_progress(state, io.BytesIO(b"one\ntwo\n")) == saved


def test_another_file_at_the_path_is_a_new_generation(tmp_path: Path) -> None:
    """A replaced or shorter file begins at its first line, under ids of its own."""
    state = tmp_path / "state.json"
    save_progress(state, Progress(4, 1, seam_of(io.BytesIO(b"one\n"), 4), 2))
    for content in (b"ONE\n", b"o"):
        assert load_progress(state, io.BytesIO(content)) == Progress(generation=3)


def test_unreadable_state_starts_at_the_beginning(tmp_path: Path) -> None:
    """A broken state file is no obstacle: ids keep the lines single."""
    (tmp_path / "state.json").write_text("{")
    assert load_progress(tmp_path / "state.json", io.BytesIO(b"one\n")) == Progress()


def test_state_belongs_to_file_bridge_and_service(tmp_path: Path) -> None:
    """Another bridge or another service is another import."""
    states = {
        state_file(tmp_path / "a", url, name) for url in ("http://a", "http://b") for name in (None, "s")
    }
    assert len(states) == 4

import pytest

from logbridge.entrypoints.commands.options import told_unknown


def test_a_slip_of_the_pen_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A variable with our prefix that no setting has is named in one line, and known ones are not."""
    monkeypatch.setenv("LOGBRIDGE_SNK", "x")
    monkeypatch.setenv("LOGBRIDGE_SINK", "memory://")
    assert told_unknown() == ["LOGBRIDGE_SNK"]
    err = capsys.readouterr().err
    assert err.startswith("logbridge: LOGBRIDGE_SNK is no setting")
    assert err.count("\n") == 1

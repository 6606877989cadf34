import logging

import pytest

from logbridge.entrypoints.exposure import is_reachable, warn_of_open_doors
from logbridge.entrypoints.settings import Settings


@pytest.mark.parametrize(
    ("host", "reachable"),
    [
        ("0.0.0.0", True),
        ("::", True),
        ("192.0.2.1", True),
        ("::ffff:192.0.2.1", True),
        ("127.0.0.1", False),
        ("127.1.2.3", False),
        ("::1", False),
        ("::ffff:127.0.0.1", False),
        ("localhost", False),
        ("a" * 300, False),
    ],
)
def test_which_hosts_others_can_reach(host: str, reachable: bool) -> None:
    """Loopback in any notation is this machine's own; what leads nowhere is nobody's."""
    assert is_reachable(host) is reachable


@pytest.mark.parametrize(
    ("host", "keys_file", "warnings"), [("0.0.0.0", "", 1), ("127.0.0.1", "", 0), ("0.0.0.0", "keys.json", 0)]
)
def test_one_warning_where_anybody_may_come_in(
    host: str, keys_file: str, warnings: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Open to the network without keys: one warning that names the setting; otherwise none."""
    warn_of_open_doors(Settings(keys_file=keys_file), "logbridge", host)
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * warnings
    assert all("LOGBRIDGE_KEYS_FILE" in line and host in line for line in caplog.messages)

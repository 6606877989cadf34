"""LOGBRIDGE_SPOOL as a stream: what it may say, and what is said of anything else."""

import importlib.util
from importlib.machinery import ModuleSpec

import pytest

from logbridge.domain.errors import InvalidSetting
from logbridge.domain.policy import QueuePolicy
from logbridge.entrypoints.cli import run
from logbridge.entrypoints.settings import Settings, explain, load
from logbridge.entrypoints.settings.queue_url import parse_queue_url
from logbridge.entrypoints.spools import holding_spool, open_inventory


def test_defaults() -> None:
    """A server is all that is needed."""
    assert parse_queue_url("nats://nats") == QueuePolicy(("nats:4222",))
    assert parse_queue_url("nats://nats").dead == "logbridge-dead"


def test_every_option() -> None:
    """Several servers, TLS, and each option."""
    url = "tls://a:1,[::1]:2?stream=logs&subject=app.logs&replicas=3&create=false&deliver=false"
    assert parse_queue_url(f"{url}&ack_wait_s=5&ack_pending_max=10") == QueuePolicy(
        ("a:1", "[::1]:2"),
        tls=True,
        stream="logs",
        subject="app.logs",
        replicas=3,
        create=False,
        deliver=False,
        ack_wait_s=5,
        ack_pending_max=10,
    )
    assert parse_queue_url("nats://a?stream=logs").subject == "logs"


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("nats://", "allowed is nats://host:port"),
        ("nats://a/path", "allowed is nats://host:port"),
        ("nats://user:s3cret@a", "LOGBRIDGE_SPOOL_PASSWORD, not here"),
        ("nats://a,", "'' is no server"),
        ("nats://a:0", "is no server"),
        ("nats://a:70000", "is no server"),
        ("nats://a?streams=x", "there is no option 'streams'; allowed are stream, subject"),
        ("nats://a?stream=x&stream=y", "each option may be given once"),
        ("nats://a?stream=a.b", "stream is a name"),
        ("nats://a?stream=", "stream is a name"),
        ("nats://a?subject=a.*", "subject is names"),
        ("nats://a?stream=x&subject=x-dead", "where the dead letters go"),
        ("nats://a?replicas=6", "replicas is a whole number from 1 to 5"),
        ("nats://a?replicas=three", "replicas is a whole number from 1 to 5"),
        ("nats://a?ack_wait_s=2", "ack_wait_s is a whole number from 3 to 3600"),
        ("nats://a?deliver=yes", "deliver is true or false"),
        ("http://a", "allowed is sqlite:///directory"),
    ],
)
def test_what_makes_no_sense_is_named(url: str, told: str) -> None:
    """It stops the start with one line that says what is allowed, and shows no password."""
    with pytest.raises(InvalidSetting) as error:
        load({}, {"LOGBRIDGE_SPOOL": url}, None)
    assert told in str(error.value)
    assert "s3cret" not in str(error.value)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"LOGBRIDGE_SPOOL_USER": "u"}, "is for LOGBRIDGE_SPOOL=nats://host:port"),
        ({"LOGBRIDGE_SPOOL": "nats://a", "LOGBRIDGE_SPOOL_PASSWORD": "s3cret"}, "needs LOGBRIDGE_SPOOL_USER"),
        ({"LOGBRIDGE_SPOOL": "nats://a", "LOGBRIDGE_SPOOL_CA": "ca.pem"}, "nats:// has no TLS"),
    ],
)
def test_settings_that_do_not_fit_together(given: dict[str, str], told: str) -> None:
    """Who we are, and CAs, are for servers that ask; and the password is shown to nobody."""
    with pytest.raises(InvalidSetting) as error:
        load({}, given, None)
    assert told in str(error.value)
    assert "s3cret" not in str(error.value)


def test_the_password_is_shown_to_nobody() -> None:
    """`logbridge config` says only that there is one."""
    given = {"LOGBRIDGE_SPOOL": "nats://a", "LOGBRIDGE_SPOOL_USER": "u", "LOGBRIDGE_SPOOL_PASSWORD": "s3cret"}
    values = {each.variable: each.value for each in explain({}, given, None)}
    assert values["LOGBRIDGE_SPOOL_PASSWORD"] == "(set)"


def test_without_nats_py_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything starts, and for the commands as well."""
    find = importlib.util.find_spec

    def without(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name == "nats" else find(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    settings = Settings(spool="nats://127.0.0.1")
    with (
        pytest.raises(InvalidSetting, match=r"pip install 'logbridge\[nats\]'"),
        holding_spool(settings, look=False),
    ):
        pass
    with pytest.raises(InvalidSetting, match=r"pip install 'logbridge\[nats\]'"):
        open_inventory(settings)


def test_a_ca_that_cannot_be_read_is_named() -> None:
    """With the setting that names it."""
    settings = Settings(spool="tls://127.0.0.1", spool_ca="/none/ca.pem")
    with pytest.raises(InvalidSetting, match=r"LOGBRIDGE_SPOOL_CA=/none/ca\.pem"):
        open_inventory(settings)


def test_forward_needs_a_stream(capsys: pytest.CaptureFixture[str]) -> None:
    """A spool on a disk is emptied by the bridge that holds it."""
    assert run(["forward", "--spool", "sqlite:///spool"]) == 2
    assert "forward empties a stream" in capsys.readouterr().err

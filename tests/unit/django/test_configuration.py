"""LOGBRIDGE of Django's settings: what it may be, and who says so."""

from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from logbridge.django.configuration import Configuration, read

URL = "grpc://localhost:50051"


def test_the_url_alone_is_enough() -> None:
    """The rest has defaults."""
    with override_settings(LOGBRIDGE={"URL": URL}):
        assert read() == Configuration(URL, None, "django", "")
        assert run_checks() == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "LOGBRIDGE is not set"),
        ("grpc://x:1", "LOGBRIDGE: Expected `object`, got `str`"),
        ({}, "LOGBRIDGE: Object missing required field `URL`"),
        ({"URL": ""}, 'LOGBRIDGE["URL"]: Expected `str` of length >= 1'),
        ({"URL": 5}, 'LOGBRIDGE["URL"]: Expected `str`, got `int`'),
        ({"URL": URL, "NAME": "x"}, "LOGBRIDGE: Object contains unknown field `NAME`"),
        ({"URL": URL, "OPEN": "read"}, "LOGBRIDGE[\"OPEN\"]: Invalid enum value 'read'"),
        ({"URL": "http://localhost:8001"}, "LOGBRIDGE[\"URL\"] is 'http://localhost:8001': expected grpc://"),
        ({"URL": "grpc://"}, "LOGBRIDGE[\"URL\"] is 'grpc://': expected grpc://host:port"),
    ],
)
def test_what_makes_no_sense_is_told(given: Any, message: str) -> None:
    """By the checks of Django with an example, and by whoever uses it."""
    with override_settings(LOGBRIDGE=given):
        with pytest.raises(ImproperlyConfigured) as raised:
            read()
        [error] = run_checks()
    assert str(raised.value).startswith(message)
    assert (error.id, error.msg) == ("logbridge.E001", str(raised.value))
    assert "LOGBRIDGE = {" in error.hint


def test_the_key_is_never_shown() -> None:
    """Not even where it is what is wrong."""
    with (
        override_settings(LOGBRIDGE={"URL": URL, "KEY": ["s3cret"]}),
        pytest.raises(ImproperlyConfigured) as raised,
    ):
        read()
    assert "s3cret" not in str(raised.value)

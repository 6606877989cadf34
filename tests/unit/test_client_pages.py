"""The pages of the clients against their code: settings with their defaults, calls and errors."""

import inspect
import re
from typing import Any

import msgspec
import pytest

from logbridge import LogBridgeHandler, StructlogProcessor
from logbridge.django.configuration import Configuration
from logbridge.domain.policy import BackgroundPolicy
from logbridge.http import AsyncClient, Client, errors
from logbridge.http.base import BridgeClient
from tests.unit.test_docs import text_of

# For tests; what a page says of settings is for programs.
OF_TESTS = {"transport", "monotonic", "jitter", "sleep"}
ROW = re.compile(r"^\| `(\w+)` \| (?:`([^`]*)`)? ?\|", re.MULTILINE)


def section(page: str, heading: str) -> str:
    return text_of(page).partition(f"{heading}\n")[2].partition("\n#")[0]


def arguments_of(function: Any) -> dict[str, str]:
    """Names and defaults of what a program may give, as a page shows them."""
    given = {
        name: parameter
        for name, parameter in inspect.signature(function).parameters.items()
        if name not in OF_TESTS | {"self"} and parameter.kind is not parameter.VAR_KEYWORD
    }
    return {name: _shown(parameter.default) for name, parameter in given.items()}


def _shown(default: object) -> str:
    return "" if default is inspect.Parameter.empty else repr(default)


def test_the_settings_of_log_are_documented() -> None:
    """docs/python.md has each with its default, in the order of the code."""
    rows = ROW.findall(section("docs/python.md", "### Settings of `log`"))
    defaults = msgspec.structs.asdict(BackgroundPolicy())
    assert rows == [*((name, repr(value)) for name, value in defaults.items()), ("on_drop", "None")]


def test_the_settings_of_the_http_client_are_documented() -> None:
    """docs/python-http.md has each with its default; retry_s is one of log(), too, with another default."""
    rows = dict(ROW.findall(section("docs/python-http.md", "## Settings")))
    assert rows.pop("retry_s") == "30.0"
    assert rows == arguments_of(BridgeClient)


def test_the_calls_of_the_http_client_are_documented() -> None:
    """docs/python-http.md has each public call of both clients."""
    page = section("docs/python-http.md", "## Five lines")
    for kind in (Client, AsyncClient):
        calls = [name for name in dir(kind) if not name.startswith("_")]
        assert [name for name in calls if not re.search(rf"`{name}\b", page)] == []


def test_the_errors_of_the_http_client_are_documented() -> None:
    """docs/python-http.md has a row for each."""
    kinds = [value for value in vars(errors).values() if isinstance(value, type)]
    names = [kind.__name__ for kind in kinds if kind.__module__ == errors.__name__]
    rows = re.findall(r"^\| `(\w+)` \|", section("docs/python-http.md", "## Errors"), re.MULTILINE)
    assert sorted(rows) == sorted(names)


@pytest.mark.parametrize(
    ("page", "kind"),
    [("docs/python-logging.md", LogBridgeHandler), ("docs/structlog.md", StructlogProcessor)],
)
def test_the_settings_of_handlers_are_documented(page: str, kind: type) -> None:
    """Each argument is named on its page, with the default where there is a table."""
    text = section(page, "## Settings")
    arguments = arguments_of(kind.__init__)  # type: ignore[misc]  # of the class, not of an instance
    assert [name for name in arguments if f"`{name}`" not in text] == []
    assert {name: shown for name, shown in ROW.findall(text) if shown} == {
        name: shown for name, shown in arguments.items() if f"| `{name}` | `" in text
    }


def test_the_settings_of_django_are_documented() -> None:
    """docs/django.md has each name of LOGBRIDGE."""
    rows = re.findall(r"^\| `([A-Z_]+)` \|", section("docs/django.md", "## Settings"), re.MULTILINE)
    assert rows == [name.upper() for name in Configuration.__struct_fields__]

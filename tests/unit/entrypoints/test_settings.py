import re
from pathlib import Path

import pytest

from logbridge.domain.errors import InvalidSetting
from logbridge.entrypoints.settings import (
    SETTINGS,
    Settings,
    check_sink_url,
    explain,
    load,
    parse_headers,
    sink_address,
    unknown_variables,
)
from logbridge.entrypoints.settings.described import SECRETS


def test_defaults_are_those_of_the_contract() -> None:
    """With nothing set, the contract's defaults hold."""
    settings = load(environ={}, env_file=None)
    assert settings == Settings()
    assert (settings.host, settings.port, settings.max_batch_size) == ("0.0.0.0", 8001, 1000)
    assert settings.sink_url == "grpc://localhost:50051"
    assert settings.bridge_url == "http://127.0.0.1:8001"


def test_order_of_sources(tmp_path: Path) -> None:
    """Flags win over variables, variables over the file, the file over the default; explain() says which."""
    file = tmp_path / ".env"
    file.write_text("PORT=1\nHOST=file\nLOGBRIDGE_APP_NAME=${HOST}\n")
    args = ({"port": "3"}, {"PORT": "2", "HOST": "env", "LOG_LEVEL": ""}, file)
    settings = load(*args)
    assert (settings.port, settings.host, settings.app_name, settings.log_level) == (
        3,
        "env",
        "${HOST}",
        "INFO",
    )
    origins = {row.variable: row.origin for row in explain(*args)}
    assert (origins["PORT"], origins["HOST"]) == ("flag", "environment")
    assert (origins["LOGBRIDGE_APP_NAME"], origins["DEBUG"]) == (str(file), "default")


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("PORT", "80x", "whole number from 0 to 65535"),
        ("PORT", "70000", "whole number from 0 to 65535"),
        ("DEBUG", "maybe", "true and false"),
        ("LOG_LEVEL", "loud", "WARNING"),
        ("MAX_BATCH_SIZE", "0", "whole number from 1"),
        ("LOGBRIDGE_OPEN", "read,all", "read, test"),
        ("LOGBRIDGE_SINK", "http://x", "grpc://host:port"),
        ("LOGBRIDGE_SINK", "grpc://x", "grpc://host:port"),
        ("LOGBRIDGE_SINK", "grpc://x:0", "grpc://host:port"),
        ("LOGBRIDGE_SINK", "grpc://x:99999", "grpc://host:port"),
        ("LOGBRIDGE_SINK", "grpc://me@x:1", "grpc://host:port"),
        ("LOGBRIDGE_SINK", "otlp://x", "otlp://host:port"),
        ("LOGBRIDGE_SINK", "otlp://x:1/v1/logs", "otlp://host:port"),
        ("LOGBRIDGE_SINK", "otlp+http://x", r"otlp\+http://host:port/v1/logs"),
        ("LOGBRIDGE_SINK", "otlp+http://me@x:1", r"otlp\+http://host:port/v1/logs"),
        ("LOGBRIDGE_SINK", "otlp+https://x:1/v1/logs?key=1", r"otlp\+https://host:port/v1/logs"),
        ("LOGBRIDGE_SINK", "otlp+https://x:1/a b", r"otlp\+https://host:port/v1/logs"),
        ("LOGBRIDGE_KEY_RATE", "1/s", "LOGBRIDGE_KEYS_FILE"),
        ("LOGBRIDGE_STORE", "sqlite://x", "sqlite:///file"),
        ("LOGBRIDGE_URL", "localhost:8001", "http://host:port"),
        ("LOGBRIDGE_URL", "http://localhost:12x", "http://host:port"),
        ("LOGBRIDGE_DOCS_PATH", "docs", "begins with /"),
        ("LOGBRIDGE_DOCS_PATH", "/redoc", "path of its own"),
        ("LOGBRIDGE_REQUEST_TIMEOUT_S", "0", "above 0"),
        ("LOGBRIDGE_LOG_FORMAT", "xml", "auto, json, text"),
        ("LOGBRIDGE_OTLP_TRACES_URL", "collector:4318", "http://host:port/v1/traces"),
        ("LOGBRIDGE_OTLP_TRACES_URL", "http://collector:4318", "http://host:port/v1/traces"),
        ("LOGBRIDGE_OTLP_TRACES_URL", "https://me@x/v1/traces", "http://host:port/v1/traces"),
        ("LOGBRIDGE_OTLP_TRACES_URL", "http://x:99999/v1/traces", "http://host:port/v1/traces"),
        ("LOGBRIDGE_OTLP_TRACES_RATIO", "1.1", "number from 0 to 1"),
        ("LOGBRIDGE_ENTRY_BYTES_MAX", "4000000", "whole number|fit a message"),
    ],
)
def test_a_wrong_value_names_itself(name: str, value: str, allowed: str) -> None:
    """A wrong value is refused in one line with its name, the value and what is allowed."""
    environ = {name: value, "LOGBRIDGE_GRPC_MESSAGE_BYTES_MAX": "1000000"}
    with pytest.raises(InvalidSetting, match=allowed) as caught:
        load(environ=environ, env_file=None)
    assert str(caught.value).startswith(f"{name}={value.replace('me@', '(set)@')}: ")
    assert "\n" not in str(caught.value)


def test_no_secret_is_shown() -> None:
    """Of keys only whether they are set, of URLs no password: neither in the table nor in an error."""
    environ = {"LOGBRIDGE_KEY": "lbk_1", "LOGBRIDGE_SINK_KEY": "lbk_2", "LOGBRIDGE_URL": "http://me:pw@h:1"}
    told = {row.variable: row.value for row in explain({}, environ, None)}
    assert told["LOGBRIDGE_KEY"] == told["LOGBRIDGE_SINK_KEY"] == "(set)"
    assert told["LOGBRIDGE_URL"] == "http://(set)@h:1"
    assert {"lbk_1", "lbk_2"}.isdisjoint(told.values())
    with pytest.raises(InvalidSetting) as caught:
        load({}, {"LOGBRIDGE_SINK": "http://me:pw@h:1"}, None)
    assert "pw" not in str(caught.value)
    for url in ("http://me:p@pw@h:1", "grpc://me:p/pw@h:1"):
        with pytest.raises(InvalidSetting) as caught:
            load({}, {"LOGBRIDGE_SINK": url}, None)
        assert "pw" not in str(caught.value)
    for name in ("LOGBRIDGE_KEY", "LOGBRIDGE_SINK_KEY"):
        for key in ("lbk_a\nb", "lbk_é", "two words"):
            with pytest.raises(InvalidSetting, match=rf"^{name}=\(set\): expected a key"):
                load({}, {name: key}, None)
    assert {setting.field for setting in SETTINGS if "secret" in setting.description} == SECRETS


def test_strangers_have_no_rights_beside_keys() -> None:
    """LOGBRIDGE_OPEN together with a keys file stops the start, and the line names both."""
    environ = {"LOGBRIDGE_OPEN": "test,read", "LOGBRIDGE_KEYS_FILE": "keys.json"}
    with pytest.raises(InvalidSetting, match=r"^LOGBRIDGE_OPEN=read,test: .*LOGBRIDGE_KEYS_FILE"):
        load({}, environ, None)


def test_a_wrong_flag_is_named_as_a_flag() -> None:
    """An operator is told of the flag that they wrote, not of a variable that they did not."""
    with pytest.raises(InvalidSetting, match=r"^--max-batch-size=x: "):
        load({"max_batch_size": "x"}, {}, None)


@pytest.mark.parametrize(("text", "value"), [("1", True), ("yes", True), ("Off", False), ("false", False)])
def test_booleans(text: str, value: bool) -> None:
    """The usual spellings of yes and no are read."""
    assert load(environ={"DEBUG": text}, env_file=None).debug is value


def test_names_and_lists() -> None:
    """Levels have their other names and any letter case; lists are by comma; IPv6 hosts make valid URLs."""
    environ = {"LOG_LEVEL": "warn", "LOGBRIDGE_OPEN": " read, test", "GRPC_SERVER_HOST": "::1"}
    settings = load(environ=environ, env_file=None)
    assert (settings.log_level, settings.open) == ("WARNING", {"read", "test"})
    assert settings.sink_url == "grpc://[::1]:50051"
    assert (
        load(environ={"LOGBRIDGE_SINK": "memory://", "LOGBRIDGE_STORE": "memory://"}).sink_url == "memory://"
    )


@pytest.mark.parametrize(
    ("url", "scheme", "address"),
    [
        ("otlp://x:4317", "otlp", "x:4317"),
        ("otlps://[::1]:4317/", "otlps", "[::1]:4317"),
        ("otlp+http://x:4318", "otlp+http", "x:4318/v1/logs"),
        ("otlp+http://x:4318/", "otlp+http", "x:4318/v1/logs"),
        ("otlp+https://x:443/otlp/v1/logs", "otlp+https", "x:443/otlp/v1/logs"),
    ],
)
def test_addresses_of_otlp_receivers(url: str, scheme: str, address: str) -> None:
    """Over HTTP the path is /v1/logs where none is named; people see the address without its scheme."""
    assert check_sink_url(url) == (scheme, address)
    assert sink_address(url) == address
    assert sink_address("memory://") == "memory://"


@pytest.mark.parametrize(
    ("url", "scheme", "address"),
    [
        ("grpc://a:1,b:2", "grpc", "a:1,b:2"),
        ("grpcs://[::1]:1,b:2/", "grpcs", "[::1]:1,b:2"),
        ("grpc+dns://logs.internal:50051", "grpc+dns", "logs.internal:50051"),
        ("grpcs+dns://logs.internal:50051/", "grpcs+dns", "logs.internal:50051"),
    ],
)
def test_addresses_of_several_log_services(url: str, scheme: str, address: str) -> None:
    """By comma, or all addresses of a name."""
    assert check_sink_url(url) == (scheme, address)
    assert sink_address(url) == address


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("grpc://a:1,", "allowed are grpc://host:port"),
        ("grpc://a:1,b", "allowed are grpc://host:port"),
        ("grpc://a:1,grpc://b:1", "allowed are grpc://host:port"),
        ("otlp://a:1,b:2", "allowed are grpc://host:port"),
        ("grpc+dns://a:1,b:1", "allowed are grpc://host:port"),
        ("grpc://a:1,b:1,a:1", "each log service is named once"),
        ("grpc://" + ",".join(f"a:{port}" for port in range(1, 66)), "64 log services at most, got 65"),
    ],
)
def test_addresses_that_are_none(url: str, reason: str) -> None:
    """What is wrong with them stops the start."""
    with pytest.raises(ValueError, match=reason):
        check_sink_url(url)


def test_headers_of_otlp() -> None:
    """They have the form of OTEL_EXPORTER_OTLP_HEADERS: pairs by comma, values percent-decoded."""
    assert parse_headers("X-Tenant = shop, api-key=a%2Cb%3D=,,") == (
        ("x-tenant", "shop"),
        ("api-key", "a,b=="),
    )
    environ = {"LOGBRIDGE_SINK": "otlp://x:4317", "LOGBRIDGE_SINK_HEADERS": "a=s3cret"}
    assert not any("s3cret" in row.value for row in explain({}, environ, None))
    assert load({}, environ, None).sink_headers == "a=s3cret"


@pytest.mark.parametrize(
    ("headers", "more", "words"),
    [
        ("s3cret", {}, "allowed are headers such as"),
        ("a b=s3cret", {}, "allowed are headers such as"),
        ("a=s3cret%0Ax", {}, "allowed are headers such as"),
        ("a=s3cret%C3%A9", {}, "allowed are headers such as"),
        ("Host=s3cret", {}, "the header host cannot be set here"),
        ("grpc-timeout=s3cret", {}, "the header grpc-timeout cannot be set here"),
        ("a-bin=s3cret", {}, "the header a-bin cannot be set here"),
        ("a=s3cret", {"LOGBRIDGE_SINK": "grpc://x:1"}, "is for OTLP receivers"),
        ("authorization=s3cret", {"LOGBRIDGE_SINK_KEY": "k"}, "set one of the two"),
    ],
)
def test_headers_that_cannot_be(headers: str, more: dict[str, str], words: str) -> None:
    """Headers that break a request, or would not be sent, stop the start; nobody is shown their values."""
    environ = {"LOGBRIDGE_SINK": "otlp://x:4317", "LOGBRIDGE_SINK_HEADERS": headers} | more
    with pytest.raises(InvalidSetting, match=words) as told:
        load({}, environ, None)
    assert "s3cret" not in str(told.value)


def test_an_unreadable_file_stops_the_start(tmp_path: Path) -> None:
    """A file that is no text is named, instead of being passed over."""
    file = tmp_path / ".env"
    file.write_bytes(b"PORT=\xff\xfe")
    with pytest.raises(InvalidSetting, match="cannot be read"):
        load(environ={}, env_file=file)


def test_every_setting_is_described() -> None:
    """Each field has a variable, a flag, a default and a description."""
    assert {setting.field for setting in SETTINGS} == set(Settings.__struct_fields__)
    assert all(setting.description and setting.flag.startswith("--") for setting in SETTINGS)


def test_every_limit_says_what_it_holds_for() -> None:
    """A limit of each worker says so in its description too, and no other setting does."""
    limits = {setting.field for setting in SETTINGS if setting.holds_for}
    named = {field for field in Settings.__struct_fields__ if re.search(r"_(max|min|s|rate)$|^max_", field)}
    assert limits == named
    of_workers = {setting.field for setting in SETTINGS if setting.holds_for == "each worker"}
    assert of_workers == {setting.field for setting in SETTINGS if "for each worker" in setting.description}


def test_slips_of_the_pen_are_found() -> None:
    """Names with our prefix that no setting has are reported."""
    environ = {"LOGBRIDGE_SNK": "x", "LOGBRIDGE_SINK": "memory://", "PATH": "x"}
    assert unknown_variables(environ, None) == ["LOGBRIDGE_SNK"]

"""docs/proxy.md and the files of deploy/ against each other, and against the settings."""

import re
from pathlib import Path

import pytest

from logbridge.entrypoints.settings import Settings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "proxy.md").read_text(encoding="utf-8")
FILES = {
    "nginx": "deploy/nginx/logbridge.conf",
    "caddyfile": "deploy/caddy/Caddyfile",
    "yaml": "deploy/envoy/envoy.yaml",
}
DEFAULTS = Settings()


def text_of(language: str) -> str:
    return (ROOT / FILES[language]).read_text(encoding="utf-8")


def plain(text: str) -> str:
    """Without indentation."""
    return "\n".join(line.strip() for line in text.strip().splitlines())


@pytest.mark.parametrize("language", FILES)
def test_an_example_is_a_part_of_its_file(language: str) -> None:
    """What the page shows of a file stands there, line by line."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    assert blocks
    for block in blocks:
        assert f"\n{plain(block)}\n" in f"\n{plain(text_of(language))}\n"


def test_what_the_table_says_stands_in_the_files() -> None:
    """Each directive in the table of limits is in the file of its column, and each default is the code's."""
    table = PAGE.partition("| what | bridge |")[2].partition("\n\n")[0]
    rows = [line.split("|")[2:6] for line in table.splitlines()[2:]]
    assert len(rows) > 5
    for bridge, *proxies in rows:
        for name, value in re.findall(r"`LOGBRIDGE_([A-Z_]+)` ([\d.]+)", bridge):
            assert getattr(DEFAULTS, name.lower()) == float(value)
        for language, cell in zip(FILES, proxies, strict=True):
            for directive in re.findall(r"`([^`]+[ =:][^`]+)`", cell):
                assert directive in text_of(language)


def seconds(pattern: str, language: str) -> list[float]:
    """The times that a file has by this name; ms or s."""
    found = re.findall(rf"\b{pattern}[ =:]+([\d.]+)(m?s)\b", text_of(language))
    assert found, (pattern, language)
    return [float(number) / (1000 if unit == "ms" else 1) for number, unit in found]


@pytest.mark.parametrize(
    ("language", "names"),
    [
        ("nginx", ("keepalive_timeout", "fail_timeout")),
        ("caddyfile", ("keepalive", "health_interval")),
        ("yaml", ("idle_timeout", "interval", "no_traffic_interval", "unhealthy_interval")),
    ],
)
def test_what_must_happen_within_the_notice_does(language: str, names: tuple[str, ...]) -> None:
    """Idle connections end, and checks come, in less than LOGBRIDGE_DRAIN_NOTICE_S by default."""
    for name in names:
        times = seconds(rf"(?<!stream_){name}", language)
        assert max(times) < DEFAULTS.drain_notice_s < DEFAULTS.idle_timeout_s


def test_nginx_has_the_limits_of_the_bridge() -> None:
    """Its body limit is ours, in bytes; it waits longer than we take."""
    megabytes = re.search(r"client_max_body_size (\d+)m;", text_of("nginx"))
    assert megabytes is not None
    assert int(megabytes[1]) * 2**20 == DEFAULTS.body_bytes_max
    assert min(seconds("proxy_read_timeout", "nginx")) > DEFAULTS.request_timeout_s
    assert seconds("client_body_timeout", "nginx") == [DEFAULTS.stream_idle_timeout_s]
    assert min(seconds("proxy_send_timeout", "nginx")) > DEFAULTS.stream_batch_timeout_s

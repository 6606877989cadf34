"""openapi and config: what logbridge would do, without doing it."""

import asyncio
from typing import Annotated

import httpx
import msgspec
from cyclopts import Parameter

from logbridge.entrypoints.commands import terminal
from logbridge.entrypoints.commands.ending import Exit
from logbridge.entrypoints.commands.options import SettingFlags, given
from logbridge.entrypoints.container import Container, close
from logbridge.entrypoints.settings import Settings, explain, load


def openapi(*, flags: SettingFlags | None = None) -> Exit:
    """Print the OpenAPI 3.1 document of the bridge, as it serves it.

    Example: logbridge openapi > openapi.json
    """
    document = asyncio.run(_served_document(load(given(flags))))
    terminal.line(msgspec.json.format(document, indent=2).decode())
    return Exit.FINE


async def _served_document(settings: Settings) -> bytes:
    # The server's own answer, asked inside this process, so that the two can never differ.
    from logbridge.entrypoints.http.app import create_app

    container = Container(msgspec.structs.replace(settings, sink="memory://"))
    transport = httpx.ASGITransport(create_app(container))
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return (await client.get(settings.openapi_path)).raise_for_status().content
    finally:
        await close(container)


def config(
    *, json: Annotated[bool, Parameter(negative=())] = False, flags: SettingFlags | None = None
) -> Exit:
    """Print the effective settings, and where each comes from: flag, environment, .env or default.

    Example: logbridge config --port 9000

    Parameters
    ----------
    json
        Print a JSON array.
    """
    explained = explain(given(flags))
    if json:
        terminal.json_line([setting._asdict() for setting in explained])
    else:
        terminal.table("Settings", ["Variable", "Value", "From", "Holds for", "Meaning"], explained)
    return Exit.FINE

"""One table of operations: the routes and the OpenAPI document are both made from it."""

import msgspec
from starlette.routing import Route

from logbridge.entrypoints.http.operation import Operation, Parts
from logbridge.entrypoints.http.operations.about import about, session
from logbridge.entrypoints.http.operations.reading import reading
from logbridge.entrypoints.http.operations.watching import watching
from logbridge.entrypoints.http.operations.writing import OTLP, writing
from logbridge.entrypoints.http.schema import Endpoint, Root
from logbridge.entrypoints.settings import Settings


def operations(prefix: str) -> tuple[Operation, ...]:
    """Every operation of the API under its base path."""
    groups = {
        "write": writing(prefix),
        "otlp": (OTLP,),
        "read": reading(prefix),
        "watch": watching(prefix),
        "session": session(prefix),
        "health": about(prefix),
    }
    return tuple(
        msgspec.structs.replace(operation, tag=tag) for tag, group in groups.items() for operation in group
    )


def api_routes(table: tuple[Operation, ...], parts: Parts) -> list[Route]:
    """A Starlette route for every operation."""
    return [
        Route(
            operation.path,
            operation.handler(parts),
            methods=[operation.method],
            name=operation.name,
        )
        for operation in table
    ]


def root_of(table: tuple[Operation, ...], settings: Settings, version: str) -> Root:
    """What the root address answers."""
    root = settings.root_path
    endpoints = [Endpoint(operation.method, root + operation.path, operation.summary) for operation in table]
    return Root(settings.app_name, version, root + settings.docs_path, endpoints)

"""The OpenAPI 3.1 document, made from the table of operations and the types that check requests."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from logbridge import __version__
from logbridge.entrypoints.http.operation import Operation, Parameter, Response
from logbridge.entrypoints.http.problems import JSON, PROBLEM
from logbridge.entrypoints.http.schema import (
    WRITE_EXAMPLE,
    ConcurrentTestRequest,
    Problem,
    WriteRequest,
    level_pattern,
)
from logbridge.entrypoints.settings import Settings

_REF = "#/components/schemas/{name}"


def openapi_document(table: tuple[Operation, ...], settings: Settings) -> dict[str, Any]:
    """The document as builtin values, ready for JSON."""
    paths: dict[str, Any] = {}
    for operation in table:
        described = _operation(operation)
        if operation.right is not None or operation.asks_who:
            described["security"] = _security(settings)
        paths.setdefault(operation.path, {})[operation.method.lower()] = described
    return {
        "openapi": "3.1.0",
        "info": {
            "title": settings.app_name,
            "version": __version__,
            "description": "Programs send logs over HTTP; the bridge hands them to a gRPC log service.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        # Without a known prefix relative to the document: it holds behind a proxy that adds one, too.
        "servers": [
            {
                "url": settings.root_path or _root_from(settings.openapi_path),
                "description": "This bridge",
            }
        ],
        "paths": paths,
        "components": {"schemas": _components(table, settings), "securitySchemes": _SECURITY_SCHEMES},
    }


_SECURITY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A key made by `logbridge key create`."},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same key."},
}


def _security(settings: Settings) -> list[dict[str, list[str]]]:
    either: list[dict[str, list[str]]] = [{name: []} for name in _SECURITY_SCHEMES]
    return either if settings.keys_file else [{}, *either]


def _root_from(path: str) -> str:
    return "../" * (path.count("/") - 1) or "./"


def _operation(operation: Operation) -> dict[str, Any]:
    document: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [operation.tag],
        "responses": {str(status): _response(answer) for status, answer in operation.responses.items()},
    }
    document["responses"]["default"] = {
        "description": "Any other error, such as 408 for what came too slowly, 431 for too large a head.",
        "content": {PROBLEM: {"schema": _schema((Problem,))}},
    }
    if operation.description:
        document["description"] = operation.description
    if operation.parameters:
        document["parameters"] = [_parameter(parameter) for parameter in operation.parameters]
    content = _texts(operation.request_texts)
    if operation.request is not None:
        content[JSON] = {"schema": _schema((operation.request,)), "example": operation.request_example}
    if content:
        document["requestBody"] = {"required": True, "content": content}
    return document


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": parameter.where,
        "description": parameter.description,
        "schema": parameter.schema,
    }


def _response(response: Response) -> dict[str, Any]:
    example = msgspec.to_builtins(response.example)
    content = {response.media_type: {"schema": _schema(response.types), "example": example}}
    return {"description": response.description, "content": content | _texts(response.texts)}


def _texts(examples: Mapping[str, str]) -> dict[str, Any]:
    return {media_type: {"schema": _schema((str,)), "example": text} for media_type, text in examples.items()}


def _schema(types: tuple[type, ...]) -> dict[str, Any]:
    schemas = [_reference(kind) for kind in types]
    return schemas[0] if len(schemas) == 1 else {"allOf": schemas}


def _reference(kind: type) -> dict[str, Any]:
    return msgspec.json.schema_components([kind], ref_template=_REF)[0][0]


def _components(table: Iterable[Operation], settings: Settings) -> dict[str, Any]:
    types: list[type] = [Problem]
    for operation in table:
        types += [operation.request] if operation.request else []
        types += [kind for response in operation.responses.values() for kind in response.types]
    _, components = msgspec.json.schema_components(list(dict.fromkeys(types)), ref_template=_REF)
    write, test = WriteRequest.__name__, ConcurrentTestRequest.__name__
    return components | {write: _open(components[write]), test: _bounded(components[test], settings)}


def _bounded(test_request: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """The request of a concurrent test says how large one may be here."""
    limits = {"count": settings.max_concurrent_requests, "max_workers": settings.max_concurrent_workers}
    properties = dict(test_request["properties"])
    for name, most in limits.items():
        bounds = {"type": "integer", "minimum": 1, "maximum": most}
        properties[name] = properties[name] | {"anyOf": [bounds, {"type": "null"}]}
    return test_request | {"properties": properties}


def _open(write_request: dict[str, Any]) -> dict[str, Any]:
    """The write request says that other names are welcome, and which levels are read."""
    level = write_request["properties"]["level"] | {
        "pattern": level_pattern(),
        "examples": ["INFO", "warning"],
    }
    timestamp = write_request["properties"]["timestamp"] | {
        "anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]
    }
    properties = write_request["properties"] | {"level": level, "timestamp": timestamp}
    return write_request | {
        "properties": properties,
        "additionalProperties": True,
        "examples": [WRITE_EXAMPLE],
    }

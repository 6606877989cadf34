"""LOGBRIDGE_ROOT_PATH: the path prefix under which a proxy offers the bridge.

It is taken off where a request comes in, if it is there. So a proxy may take it off itself or pass it on,
probes and Prometheus may ask without it, and routes, counts and checks know one path for each thing. Whatever
names a path to a caller puts it in front.
"""

from urllib.parse import unquote

from starlette.routing import Route
from starlette.types import Receive, Scope

from logbridge.entrypoints.http.endpoints import Plain
from logbridge.entrypoints.http.problems import Answer


def own_path(raw: bytes, root_path: str) -> str:
    """The decoded path of a request, without the prefix. raw: as it was sent.

    The prefix alone stays as it is: ``at_prefix`` answers there.
    """
    path = raw.decode("ascii")
    if "%" in path:
        path = unquote(path)
    return path[len(root_path) :] if root_path and path.startswith(f"{root_path}/") else path


def at_prefix(root_path: str) -> list[Route]:
    """What leads from the prefix to the root under it, from where relative addresses of pages hold."""

    async def lead(_scope: Scope, _receive: Receive) -> Answer:
        return Answer(308, b"", "text/plain", {"Location": f"{root_path}/"})

    return [Route(root_path, Plain(lead), methods=["GET"], name="root_path")] if root_path else []

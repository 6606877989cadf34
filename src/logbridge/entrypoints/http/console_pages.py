"""The console: one page of plain modules, which asks this bridge only (see the folder console/).

All addresses in it are relative, so that it also works behind a proxy that adds a path prefix.
"""

import hashlib
from collections.abc import Iterable, Iterator
from html import escape
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope

from logbridge.domain.access import Scope as Right
from logbridge.domain.errors import LogbridgeError
from logbridge.entrypoints.http.access import Gate
from logbridge.entrypoints.http.docs_pages import ASSET_HEADERS, VENDOR, content_type
from logbridge.entrypoints.http.endpoints import Plain
from logbridge.entrypoints.http.problems import Answer
from logbridge.entrypoints.settings import Settings

FOLDER = Path(__file__).parent / "console"
PATH = "/console"
_PAGE = "index.html"
_VENDORED = ("uPlot.iife.min.js", "uPlot.min.css")
_HEADERS = {
    "Cache-Control": "no-cache",
    "Vary": "Accept",
    "Referrer-Policy": "no-referrer",
    # For browsers that do not know frame-ancestors.
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}


class Console:
    """The page, for whom the bridge shows anything; with keys for everybody, as it asks for one itself."""

    def __init__(self, gate: Gate, settings: Settings) -> None:
        self._gate = gate
        self._assets = dict(_assets())
        self._folder = _digest(self._assets.values())
        self._page = self._made(settings)

    def routes(self) -> list[Route]:
        """The page and, under it, what it loads."""
        assets = f"{PATH}/assets/{self._folder}/{{name}}"
        return [
            Route(PATH, Plain(self._show), methods=["GET"], name="console"),
            Route(assets, self._asset, name="console_assets"),
        ]

    def at_root(self, json: Answer) -> Route:
        """The root: the page for browsers that may see it, JSON for everybody else."""

        async def root(scope: Scope, receive: Receive) -> Answer:
            if not _is_browser(scope):
                return json
            try:
                return await self._show(scope, receive)
            except LogbridgeError:
                return json

        return Route("/", Plain(root), methods=["GET"])

    async def _show(self, scope: Scope, _receive: Receive) -> Answer:
        if not self._gate.has_keys:
            self._gate.admit(scope, Right.READ)
        return self._page

    def _made(self, settings: Settings) -> Answer:
        text = (FOLDER / _PAGE).read_text(encoding="utf-8")
        names = {
            "title": settings.app_name,
            "assets": f"{PATH[1:]}/assets/{self._folder}",
            "api": settings.api_prefix[1:],
            "docs": settings.docs_path[1:],
            "stats": f"{settings.root_path}{settings.api_prefix}/stats",
        }
        for name, value in names.items():
            text = text.replace(f"{{{name}}}", escape(value))
        return Answer(200, text.encode(), "text/html; charset=utf-8", _HEADERS)

    async def _asset(self, request: Request) -> Response:
        # Looked up by name and never joined to a folder: no path can lead out of it.
        name = request.path_params["name"]
        if name not in self._assets:
            raise HTTPException(404)
        return Response(self._assets[name], media_type=content_type(name), headers=ASSET_HEADERS)


def _assets() -> Iterator[tuple[str, bytes]]:
    for path in sorted(FOLDER.iterdir()):
        if path.name != _PAGE:
            yield path.name, path.read_bytes()
    for name in _VENDORED:
        yield name, (VENDOR / "uplot" / name).read_bytes()


def _digest(contents: Iterable[bytes]) -> str:
    """The name of the folder that they are served from: what is there never changes."""
    together = hashlib.sha256()
    for content in contents:
        together.update(hashlib.sha256(content).digest())
    return together.hexdigest()[:16]


def _is_browser(scope: Scope) -> bool:
    return any(name == b"accept" and b"text/html" in value for name, value in scope["headers"])

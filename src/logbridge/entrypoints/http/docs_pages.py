"""Swagger UI and ReDoc, served from the npm releases under vendor/: no request leaves this host.

All addresses in the pages are relative, so that they also work behind a proxy that adds a path prefix.
"""

import hashlib
import posixpath
from collections.abc import Mapping
from html import escape
from pathlib import Path

import msgspec
from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Route

from logbridge.entrypoints.settings import Settings

VENDOR = Path(__file__).parent / "vendor"

_CONTENT_TYPES = {".js": "text/javascript", ".css": "text/css", ".png": "image/png", ".svg": "image/svg+xml"}
# X-Content-Type-Options comes with every answer of the server.
# Every address of an asset names its version or its digest: what is there never changes.
ASSET_HEADERS = {"Cache-Control": "public, max-age=31536000, immutable"}
_PAGE_HEADERS = {
    "Cache-Control": "no-cache",
    "Referrer-Policy": "no-referrer",
    # For browsers that do not know frame-ancestors.
    "X-Frame-Options": "DENY",
    # Both pages write style elements at run time; ReDoc's search is a worker made from a blob.
    "Content-Security-Policy": (
        "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "worker-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
}

_SWAGGER_SCRIPT = """\
"use strict";
const root = document.getElementById("docs");
SwaggerUIBundle({
  domNode: root,
  url: new URL(root.dataset.openapi, document.baseURI).href,
  validatorUrl: null,
  deepLinking: true,
  displayRequestDuration: true,
});
"""

# ReDoc loads its vendor's logo from another host. An image that cannot be decoded goes the way of one that
# cannot be loaded: ReDoc hears the error and removes it. React sets both the attribute and the property.
_REDOC_SCRIPT = """\
"use strict";
const local = (source) => {
  const url = new URL(source, document.baseURI);
  return url.protocol === "data:" || url.origin === location.origin ? source : "data:,";
};
const image = HTMLImageElement.prototype;
const property = Object.getOwnPropertyDescriptor(image, "src");
Object.defineProperty(image, "src", {
  ...property,
  set(source) { property.set.call(this, local(source)); },
});
image.setAttribute = function (name, value) {
  const checked = name.toLowerCase() === "src" ? local(value) : value;
  Element.prototype.setAttribute.call(this, name, checked);
};
const root = document.getElementById("docs");
const fontFamily = "system-ui, sans-serif";
Redoc.init(
  new URL(root.dataset.openapi, document.baseURI).href,
  { theme: { typography: { fontFamily, headings: { fontFamily } } } },
  root,
);
"""

_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" type="image/png" href="{icon}">
{styles}</head>
<body style="margin: 0">
<div id="docs" data-openapi="{openapi}"></div>
{scripts}</body>
</html>
"""


class VendoredPackage(Struct, frozen=True):
    """One npm release of which files are vendored, as vendor/vendored.json lists it.

    integrity: the hash of the whole release, as npm gives it. sha256: file name → hex digest.
    """

    name: str
    version: str
    licence: str
    integrity: str
    sha256: dict[str, str]


class _Asset(Struct, frozen=True):
    content_type: str
    content: Path | bytes


def vendored_packages() -> list[VendoredPackage]:
    """The npm releases under vendor/."""
    return msgspec.json.decode((VENDOR / "vendored.json").read_bytes(), type=list[VendoredPackage])


def docs_routes(settings: Settings) -> list[Route]:
    """The routes of Swagger UI, of ReDoc and, under ``<docs_path>/assets/``, of what they load."""
    swagger_script, redoc_script = _script("swagger", _SWAGGER_SCRIPT), _script("redoc", _REDOC_SCRIPT)
    assets = _vendored_assets() | dict([swagger_script, redoc_script])
    swagger, redoc = _folders("swagger-ui-dist", "redoc")
    icon = f"{swagger}/favicon-32x32.png"
    swagger_page = _page(
        settings,
        settings.docs_path,
        icon=icon,
        styles=[f"{swagger}/swagger-ui.css"],
        scripts=[f"{swagger}/swagger-ui-bundle.js", swagger_script[0]],
    )
    redoc_page = _page(
        settings,
        settings.redoc_path,
        icon=icon,
        scripts=[f"{redoc}/redoc.standalone.js", redoc_script[0]],
    )
    return [
        _page_route(settings.docs_path, "swagger_ui", swagger_page),
        _page_route(settings.redoc_path, "redoc", redoc_page),
        _assets_route(settings.docs_path, assets),
    ]


def _folders(*names: str) -> list[str]:
    versions = {package.name: package.version for package in vendored_packages()}
    return [f"{name}-{versions[name]}" for name in names]


def _vendored_assets() -> dict[str, _Asset]:
    return {
        f"{package.name}-{package.version}/{file}": _Asset(content_type(file), VENDOR / package.name / file)
        for package in vendored_packages()
        for file in package.sha256
    }


def content_type(file: str) -> str:
    """The media type of a file by its name."""
    return _CONTENT_TYPES.get(posixpath.splitext(file)[1], "text/plain")


def _script(name: str, source: str) -> tuple[str, _Asset]:
    content = source.encode()
    digest = hashlib.sha256(content).hexdigest()[:16]
    return f"{name}-{digest}.js", _Asset("text/javascript", content)


def _page(
    settings: Settings, path: str, *, icon: str, scripts: list[str], styles: list[str] | None = None
) -> str:
    def address(asset: str) -> str:
        return _relative(f"{settings.docs_path}/assets/{asset}", path)

    links = [f'<link rel="stylesheet" href="{address(style)}">\n' for style in styles or []]
    tags = [f'<script src="{address(script)}"></script>\n' for script in scripts]
    return _PAGE.format(
        title=escape(settings.app_name),
        icon=address(icon),
        openapi=_relative(settings.openapi_path, path),
        styles="".join(links),
        scripts="".join(tags),
    )


def _relative(target: str, page: str) -> str:
    return escape(posixpath.relpath(target, posixpath.dirname(page)))


def _page_route(path: str, name: str, page: str) -> Route:
    async def show(_: Request) -> Response:
        return HTMLResponse(page, headers=_PAGE_HEADERS)

    return Route(path, show, name=name, include_in_schema=False)


def _assets_route(docs_path: str, assets: Mapping[str, _Asset]) -> Route:
    async def serve(request: Request) -> Response:
        # Looked up by name and never joined to a folder: no path can lead out of it.
        asset = assets.get(request.path_params["name"])
        if asset is None:
            raise HTTPException(404)
        if isinstance(asset.content, bytes):
            return Response(asset.content, media_type=asset.content_type, headers=ASSET_HEADERS)
        return FileResponse(asset.content, media_type=asset.content_type, headers=ASSET_HEADERS)

    return Route(f"{docs_path}/assets/{{name:path}}", serve, name="docs_assets", include_in_schema=False)

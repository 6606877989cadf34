"""The limit: a POST that reads its body and answers; plain ASGI, and behind a Starlette route."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

BODY = b'{"success":true,"log_id":"0197a2c4-5d1e-7cc3-98a8-2f1d7f6f3b10","error_message":""}'
HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())]


async def plain(scope: Scope, receive: Receive, send: Send) -> None:
    """The ASGI application."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body", False):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})


async def _write(request: Request) -> Response:
    await request.body()
    return Response(BODY, media_type="application/json")


starlette = Starlette(routes=[Route("/api/v1/logs/write", _write, methods=["POST"])])

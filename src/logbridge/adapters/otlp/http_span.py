"""The span that records a request, by the conventions of OpenTelemetry for HTTP clients."""

import httpx

from logbridge.domain.trace import Trace, Tracer

_PORTS = {"http": 80, "https": 443}


class RecordedPost:
    """It begins now. trace: its place, for whoever is asked. code: the status that came, None without one."""

    def __init__(self, tracer: Tracer, url: httpx.URL, traces: tuple[Trace, ...]) -> None:
        attributes: dict[str, str | int] = {
            "http.request.method": "POST",
            "url.full": str(url),
            "server.address": url.host,
            "server.port": url.port or _PORTS[url.scheme],
        }
        self._span = tracer.begin("POST", attributes, traces, inbound=False)
        self.trace = self._span.trace
        self.code: int | None = None

    def end(self) -> None:
        """The answer is there, or nobody waits for it any more."""
        if self.code is None:
            self._span.end({}, "no_answer")
        else:
            self._span.end(
                {"http.response.status_code": self.code}, str(self.code) if self.code >= 400 else ""
            )

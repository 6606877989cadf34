"""The field's Django views: write a log, and two tests that make load. Synchronous, for WSGI and ASGI."""

import functools
import os
import threading
from collections.abc import Callable
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from logbridge.django.configuration import Configuration, read
from logbridge.django.load import plan_of, run_batches, run_single_writes, shown
from logbridge.domain.entry import classify
from logbridge.domain.errors import EntryTooLarge, InvalidEntry, InvalidRequest
from logbridge.domain.policy import RequestLimits
from logbridge.entrypoints.container import build_maker
from logbridge.entrypoints.http.access import is_local
from logbridge.entrypoints.http.decode import decode_json
from logbridge.entrypoints.http.problems import RequestRejected
from logbridge.entrypoints.http.proxies import Proxies
from logbridge.entrypoints.python.sync_client import LogServiceClient
from logbridge.entrypoints.settings import load

Answer = tuple[int, dict[str, Any]]
# What the log service did, or did not do, is not the fault of who asks.
NOT_TAKEN = 502
_opening = threading.Lock()
_NO_PROXIES = Proxies(())


def _view(answer: Callable[[HttpRequest, Configuration], Answer]) -> Any:
    """A view of POST that answers JSON, of a bad request ``{"success": false, "error": why}``.

    Exempt from CSRF protection: the callers are programs, which have no token, and there is nothing that a
    forged request could borrow; no session and no cookie is looked at. What makes load looks at the Origin.
    """

    @csrf_exempt
    @require_POST
    @functools.wraps(answer)
    def view(request: HttpRequest) -> JsonResponse:
        try:
            status, content = answer(request, read())
        except RequestRejected as error:
            status, content = error.status, _error(error)
        except EntryTooLarge as error:
            status, content = 413, _error(error)
        except (InvalidEntry, InvalidRequest) as error:
            status, content = 400, _error(error)
        return JsonResponse(content, status=status)

    return view


def _error(error: Exception) -> dict[str, Any]:
    return {"success": False, "error": str(error)}


@_view
def write_log(request: HttpRequest, configuration: Configuration) -> Answer:
    """``{"message": …, any fields of REST}`` -> a write result; 502 where the log service did not take it."""
    given = decode_json(_body(request), InvalidEntry)
    if not isinstance(given, dict):
        raise RequestRejected(400, "expected a JSON object with a message")
    if not given.get("message"):
        raise RequestRejected(400, "message: it is missing or empty")
    fields = {name: value for name, value in given.items() if value is not None}
    entry = {"service_name": configuration.service_name} | fields
    build_maker(load()).make(classify(entry))
    # A batch of one: a field may have any name, also one that is a parameter in Python.
    result = _client(configuration).batch_write_logs([entry])["results"][0]
    return 200 if result["success"] else NOT_TAKEN, result


@_view
def batch_write_test(request: HttpRequest, configuration: Configuration) -> Answer:
    """``{"count": 1000}`` -> the counts of so many generated logs, written in batches."""
    _check_caller(request, configuration)
    limits = _limits()
    plan = plan_of(_body(request), limits, count=1_000, workers=1)
    report = run_batches(plan, _client(configuration), configuration.service_name, limits.batch_entries_max)
    content = shown(report)
    content["results"] = content.pop("sample_results")
    del content["max_workers"]
    return 200 if content["success"] else NOT_TAKEN, content


@_view
def concurrent_test(request: HttpRequest, configuration: Configuration) -> Answer:
    """``{"count": 10000, "max_workers": 50}`` -> the counts of so many generated logs, each written alone."""
    _check_caller(request, configuration)
    plan = plan_of(_body(request), _limits(), count=10_000, workers=50)
    report = run_single_writes(plan, _client(configuration), configuration.service_name)
    content = shown(report)
    return 200 if content["success"] else NOT_TAKEN, content


def _body(request: HttpRequest) -> bytes:
    try:
        body: bytes = request.body
    except RequestDataTooBig as error:
        raise RequestRejected(
            413, f"the body is larger than DATA_UPLOAD_MAX_MEMORY_SIZE allows: {error}"
        ) from None
    return body


def _check_caller(request: HttpRequest, configuration: Configuration) -> None:
    """Raises RequestRejected for strangers: who may make load here could keep the program busy."""
    headers = [
        (name.lower().encode("latin-1", "replace"), value.encode("latin-1", "replace"))
        for name, value in request.headers.items()
    ]
    scope = {"client": (request.META.get("REMOTE_ADDR", ""), 0), "headers": headers}
    if configuration.open != "test" and not is_local(scope, _NO_PROXIES):
        raise RequestRejected(
            403,
            f"{request.path} answers callers on this machine only; "
            'LOGBRIDGE["OPEN"] = "test" in Django\'s settings opens it to others',
        )


def _limits() -> RequestLimits:
    settings = load()
    return RequestLimits(
        settings.max_batch_size, settings.max_concurrent_requests, settings.max_concurrent_workers
    )


def _client(configuration: Configuration) -> LogServiceClient:
    with _opening:
        return _client_of(os.getpid(), configuration)


@functools.lru_cache(maxsize=1)
def _client_of(pid: int, configuration: Configuration) -> LogServiceClient:
    # One of each process: connections are not for a child that was forked.
    del pid
    return LogServiceClient(configuration.url, key=configuration.key)

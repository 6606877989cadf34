"""A Django project that logs by its settings alone, and the field's views, before a real log service."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.processes import Bridge, bridge, end, free_port, log_service, read_until, until
from tests.unit.test_docs import blocks_of

LOGGING, APP, URLS = blocks_of("docs/django.md", "python")
COUNTS = {"success", "total_count", "success_count", "failed_count", "duration_seconds", "logs_per_second"}
FAILED = "Internal Server Error: /shown/"
# What a project has beside what the page says.
PROJECT = """
SECRET_KEY = "of a test"
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "urls"
USE_TZ = True
"""
VIEWS = """
import logging

def shown(request):
    logging.getLogger("shop").info("order %s is shown", 7, extra={"order": 7})
    raise RuntimeError("on purpose")

urlpatterns.append(path("shown/", shown))
"""
WSGI = """
import os
from wsgiref.simple_server import make_server
from django.core.wsgi import get_wsgi_application
os.environ["DJANGO_SETTINGS_MODULE"] = "project_settings"
server = make_server("127.0.0.1", 0, get_wsgi_application())
print(f"listens at http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
"""
ASGI = """
import os, socket
import uvicorn
from django.core.asgi import get_asgi_application
os.environ["DJANGO_SETTINGS_MODULE"] = "project_settings"
application = get_asgi_application()
listening = socket.create_server(("127.0.0.1", 0))
print(f"listens at http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
uvicorn.Server(uvicorn.Config(application, lifespan="off", log_config=None)).run(sockets=[listening])
"""


@contextlib.contextmanager
def project(folder: Path, server: str, sink: str, url: str) -> Iterator[httpx.Client]:
    """A client of a Django project that is what the page says, with a server of its own."""
    settings = LOGGING.replace("http://127.0.0.1:8001", url) + APP.replace("localhost:50051", sink)
    (folder / "project_settings.py").write_text(settings + PROJECT)
    (folder / "urls.py").write_text(URLS + VIEWS)
    (folder / "server.py").write_text(server)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LOGBRIDGE_")}
    process = subprocess.Popen(
        [sys.executable, "server.py"],
        cwd=folder,
        env=kept | {"MAX_CONCURRENT_WORKERS": "20"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        address = read_until(process.stdout, r"listens at (http://[\d.:]+)")[1]
        with httpx.Client(base_url=address, timeout=60) as client:
            yield client
    finally:
        print(end(process)[1])  # pytest shows it beside a failure


def stored(running: Bridge) -> dict[str, Any]:
    """The project's own logs, by their message."""
    asked = {"service_name": "shop", "limit": 100}
    logs = running.client.get("/api/v1/logs/query", params=asked).json()["logs"]
    return {log["message"]: log for log in logs}


@pytest.mark.parametrize("server", [WSGI, ASGI], ids=["wsgi", "asgi"])
def test_a_project_by_its_settings(server: str, tmp_path: Path) -> None:
    """What a view logs and raises arrives with its metadata; the field's views answer as REST says."""
    port = free_port()
    sink = f"127.0.0.1:{port}"
    with (
        log_service(tmp_path, port),
        bridge(tmp_path, f"grpc://{sink}", LOGBRIDGE_OPEN="read") as running,
    ):
        with project(tmp_path, server, sink, str(running.client.base_url)) as client:
            assert client.get("/shown/").status_code == 500
            written = client.post("/api/write_log/", json={"message": "one", "adv_id": 7, "level": "error"})
            assert (written.status_code, written.json()["success"]) == (200, True)
            missing = client.post("/api/write_log/", json={"level": "INFO"})
            assert (missing.status_code, missing.json()["success"]) == (400, False)
            assert "message" in missing.json()["error"]
            batch = client.post("/api/batch_write_test/", json={"count": 1200}).json()
            assert batch.keys() >= COUNTS | {"results"}
            assert (batch["success_count"], len(batch["results"])) == (1200, 10)
            test = client.post("/api/concurrent_test/", json={"count": 300, "max_workers": 5}).json()
            assert test.keys() >= COUNTS | {"max_workers", "sample_results"}
            assert (test["total_count"], test["success_count"], test["failed_count"]) == (300, 300, 0)
            for path in ("batch_write_test", "concurrent_test"):
                assert client.post(f"/api/{path}/", json={"count": 10_001}).status_code == 400
            workers = client.post("/api/concurrent_test/", json={"count": 1, "max_workers": 21})
            assert "MAX_CONCURRENT_WORKERS=20" in workers.json()["error"]
            # What still waits in the handler when the project is ended is lost.
            until(lambda: {"order 7 is shown", FAILED} <= stored(running).keys())
        by_message = stored(running)
        assert by_message["one"]["metadata"] == {"adv_id": "7"}
        assert by_message["one"]["id"] == written.json()["log_id"]
        assert by_message["order 7 is shown"]["metadata"]["order"] == "7"
        failed = by_message[FAILED]
        assert failed["level"] == "ERROR"
        assert failed["metadata"]["exception.message"] == "on purpose"
        assert "urls.py" in failed["metadata"]["exception.stacktrace"]
        generated = running.client.get(
            "/api/v1/logs/query", params={"service_name": "shop-concurrent-test", "limit": 1}
        )
        assert generated.json()["total_count"] == 1500


def test_a_project_whose_log_service_is_away(tmp_path: Path) -> None:
    """The view says so, with the id to send the log again with; what only logs goes on."""
    sink = f"127.0.0.1:{free_port()}"
    with project(tmp_path, WSGI, sink, f"http://127.0.0.1:{free_port()}") as client:
        answer = client.post("/api/write_log/", json={"message": "one", "log_id": "mine"})
        assert answer.status_code == 502
        assert (answer.json()["success"], answer.json()["log_id"]) == (False, "mine")
        assert sink in answer.json()["error_message"]
        assert client.get("/shown/").status_code == 500

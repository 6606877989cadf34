"""The benchmarks' log service, asked by a real gRPC client, and their load against a real server."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc
import pytest
from benchmarks import bodies, processes
from benchmarks.contenders import CONTENDERS, LOGBRIDGE
from benchmarks.measure import set_up
from benchmarks.quick import count_work
from benchmarks.scenarios import Peer

from logbridge.adapters.grpc import logservice_pb2 as pb

BATCH = 1_000
CALLS = 300


@pytest.fixture
def sink() -> Iterator[tuple["subprocess.Popen[str]", int]]:
    """A counting log service, and its port."""
    with processes.sink(distinct=True) as started:
        yield started


@pytest.fixture
async def channel(sink: tuple["subprocess.Popen[str]", int]) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to it."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{sink[1]}") as opened:
        yield opened


async def write(channel: grpc.aio.Channel, log_id: str) -> pb.WriteLogResponse:
    call = channel.unary_unary(
        "/logservice.LogService/WriteLog",
        request_serializer=pb.WriteLogRequest.SerializeToString,
        response_deserializer=pb.WriteLogResponse.FromString,
    )
    response: pb.WriteLogResponse = await call(
        pb.WriteLogRequest(log_entry=pb.LogEntry(id=log_id)), timeout=30
    )
    return response


async def test_many_calls_at_once_each_get_their_own_id(
    sink: tuple["subprocess.Popen[str]", int], channel: grpc.aio.Channel
) -> None:
    """Answers go to the calls that they belong to, and every entry is counted."""
    ids = [f"id-{number}" for number in range(CALLS)]
    answers = await asyncio.gather(*(write(channel, log_id) for log_id in ids))
    assert [answer.log_id for answer in answers] == ids
    assert all(answer.success for answer in answers)
    assert processes.counted(sink[0]) == (CALLS, CALLS, CALLS)


async def test_a_batch_gets_all_its_ids(
    sink: tuple["subprocess.Popen[str]", int], channel: grpc.aio.Channel
) -> None:
    """A batch larger than a frame is one call, and its ids come back in order; an id twice is one id."""
    call = channel.unary_unary(
        "/logservice.LogService/BatchWriteLog",
        request_serializer=pb.BatchWriteLogRequest.SerializeToString,
        response_deserializer=pb.BatchWriteLogResponse.FromString,
    )
    ids = [f"id-{number}" for number in range(BATCH - 1)] + ["id-0"]
    entries = [pb.LogEntry(id=log_id, message="x" * 300) for log_id in ids]
    answer = await call(pb.BatchWriteLogRequest(log_entries=entries), timeout=30)
    assert answer.success
    assert list(answer.log_ids) == ids
    assert processes.counted(sink[0]) == (1, BATCH, BATCH - 1)


async def test_a_stalled_log_service_takes_everything_and_answers_nothing(
    sink: tuple["subprocess.Popen[str]", int], channel: grpc.aio.Channel
) -> None:
    """After the order to stall a write is counted, and gets no answer; those before it got theirs."""
    await write(channel, "before")
    processes.counted(sink[0], "stall")
    hanging = asyncio.ensure_future(write(channel, "after"))
    while processes.counted(sink[0]).entries < 2:  # noqa: ASYNC110 (another process counts)
        await asyncio.sleep(0)
    assert not hanging.done()
    hanging.cancel()


def test_the_load_counts_what_the_bridge_acknowledged(tmp_path: Path) -> None:
    """A short load through a real bridge: no failure, and the log service has at least what was answered."""
    contender = CONTENDERS[LOGBRIDGE]
    body = tmp_path / "body"
    body.write_bytes(bodies.body(1))
    with set_up(contender, Peer.COUNTING) as setting:
        command = [sys.executable, "-m", "benchmarks.load", "--port", str(setting.port), "--body", str(body)]
        command += [
            "--connections",
            "5",
            "--warmup-s",
            "0",
            "--measured-s",
            "0.2",
            "--expect",
            contender.expect_one,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        result = json.loads(done.stdout.splitlines()[-1])
        assert result["failures"] == 0
        assert setting.sink is not None
        assert processes.counted(setting.sink).entries >= result["requests"] > 0


def test_answered_writes_leave_no_memory() -> None:
    """The counted work of the short form: what was answered is forgotten."""
    assert count_work().blocks_left < 1

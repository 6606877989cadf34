"""Which log services there are: those of a name, resolved again and again."""

import asyncio
import logging
import socket
from collections.abc import Sequence

import pytest

from logbridge.adapters.services.members import NamedMembers, resolved
from logbridge.adapters.services.peer import Peer
from logbridge.domain.ports import Deadline
from tests.unit.adapters.services.fakes import Clock, Service, joined

FOREVER = Deadline(1e9)


class Names:
    """A name server of one name: what it answers next, or the error."""

    def __init__(self, *addresses: str) -> None:
        self.answer: Sequence[str] | OSError = addresses
        self.asked = 0

    async def __call__(self) -> Sequence[str]:
        self.asked += 1
        if isinstance(self.answer, OSError):
            raise self.answer
        return self.answer


class Scene:
    """Members of a name, and every log service that was ever joined."""

    def __init__(self, *addresses: str, members_max: int = 10) -> None:
        self.names, self.clock = Names(*addresses), Clock()
        self.services: dict[str, Service] = {}
        self.members = NamedMembers(
            "logs:1", self.join, self.names, every_s=5, members_max=members_max, monotonic=self.clock
        )

    def join(self, address: str) -> Peer:
        self.services[address] = Service(address)
        return joined(self.services[address], self.clock)

    async def present(self) -> list[str]:
        """The addresses of those that are there, once what is under way is done."""
        await self.members.present(FOREVER)
        for _ in range(5):
            await asyncio.sleep(0)
        return [peer.address for peer in self.members.peers]


async def test_the_first_answer_is_waited_for() -> None:
    """The first write already knows all addresses."""
    scene = Scene("a:1", "b:1")
    assert [peer.address for peer in await scene.members.present(FOREVER)] == ["a:1", "b:1"]


async def test_a_name_is_resolved_again_after_its_time() -> None:
    """No more often; who is new joins, who is gone is closed, who stays keeps its connection."""
    scene = Scene("a:1", "b:1")
    await scene.present()
    stays = scene.members.at("b:1")
    scene.names.answer = ("b:1", "c:1")
    assert await scene.present() == ["a:1", "b:1"]
    scene.clock.now_s += 6
    assert await scene.present() == ["b:1", "c:1"]
    assert scene.names.asked == 2
    assert scene.members.at("b:1") is stays
    assert scene.members.at("a:1") is None
    assert {address: service.closed for address, service in scene.services.items()} == {
        "a:1": True,
        "b:1": False,
        "c:1": False,
    }


async def test_a_name_that_does_not_resolve_keeps_its_members(caplog: pytest.LogCaptureFixture) -> None:
    """It is told once, and asked again."""
    scene = Scene("a:1")
    await scene.present()
    scene.names.answer = socket.gaierror(-2, "Name or service not known")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            scene.clock.now_s += 6
            assert await scene.present() == ["a:1"]
    assert [record.getMessage() for record in caplog.records] == [
        "logs:1 cannot be resolved: Name or service not known; those that were known are used: 1"
    ]
    scene.names.answer = ("a:1", "b:1")
    scene.clock.now_s += 6
    assert await scene.present() == ["a:1", "b:1"]


async def test_further_addresses_are_named_and_not_used(caplog: pytest.LogCaptureFixture) -> None:
    """Beyond the limit there is a line in the log, no silence."""
    scene = Scene("a:1", "b:1", "c:1", members_max=2)
    with caplog.at_level(logging.WARNING):
        assert await scene.present() == ["a:1", "b:1"]
    assert "logs:1 has 3 addresses, more than the 2 that are used" in caplog.text


async def test_closing_ends_what_is_asked() -> None:
    """A name server that does not answer holds nobody up."""
    scene = Scene("a:1")
    await scene.present()
    answered = asyncio.Event()

    async def hang() -> Sequence[str]:
        await answered.wait()
        return ()

    scene.members._resolve = hang
    scene.clock.now_s += 6
    await scene.members.present(FOREVER)
    await scene.members.aclose()
    assert scene.services["a:1"].closed


async def test_addresses_of_a_name() -> None:
    """An address resolves to itself; IPv6 has brackets; a name that is none raises OSError."""
    assert await resolved("127.0.0.1", 50051) == ["127.0.0.1:50051"]
    assert await resolved("::1", 50051) == ["[::1]:50051"]
    with pytest.raises(socket.gaierror):
        await resolved("no-such-name.invalid", 50051)
    with pytest.raises(OSError, match="no name"):
        await resolved("x" * 64 + ".test", 50051)

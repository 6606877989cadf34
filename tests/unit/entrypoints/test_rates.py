"""How many requests a key and an address may make."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from logbridge.domain.access import Caller
from logbridge.domain.errors import RateExceeded
from logbridge.entrypoints.rates import Counters, Rates
from tests.unit.entrypoints.http.serving import API, FAST, serving

SHOP = Caller(name="shop", key_id="0123456789ab")


class Clock:
    """A time that a test moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def rejected(rates: Rates, who: str | Caller) -> RateExceeded:
    """What one request more of this address or key gets."""
    with pytest.raises(RateExceeded) as caught:
        count(rates, who)
    return caught.value


def count(rates: Rates, who: str | Caller) -> None:
    if isinstance(who, str):
        rates.count_address(who)
    else:
        rates.count_key(who)


@pytest.mark.parametrize("who", ["192.0.2.1", "2001:db8::1", SHOP, replace(SHOP, rate="2/m")])
def test_beyond_its_rate_it_is_told_when_to_come_back(who: str | Caller) -> None:
    """The error names who is limited, by what and until when; then there is room again."""
    clock = Clock()
    rates = Rates("2/m", "2/m", clock)
    count(rates, who)
    clock.now_s += 15.5
    count(rates, who)
    error = rejected(rates, who)
    assert error.retry_after_s == 45
    assert "may make 2 requests a minute" in str(error)
    assert ("shop" if isinstance(who, Caller) else who.rpartition("::")[0]) in str(error)
    clock.now_s += 44.5
    count(rates, who)
    count(rates, who)
    rejected(rates, who)


def test_a_key_of_its_own_rate() -> None:
    """The key's own rate counts instead of the setting's, also where that is larger."""
    rates = Rates(key_rate="1/h")
    own = Caller(name="own", key_id="1", rate="3/h")
    for _ in range(3):
        count(rates, own)
    assert "its --rate" in str(rejected(rates, own))
    count(rates, SHOP)
    assert "LOGBRIDGE_KEY_RATE" in str(rejected(rates, SHOP))


def test_each_has_a_count_of_its_own() -> None:
    """No address uses up another's; of IPv6 a network counts as one, mapped IPv4 as IPv4."""
    rates = Rates(address_rate="1/h")
    count(rates, "192.0.2.1")
    count(rates, "192.0.2.2")
    rejected(rates, "::ffff:192.0.2.1")
    count(rates, "2001:db8:0:1::1")
    count(rates, "2001:db8:0:2::1")
    rejected(rates, "2001:db8:0:1:ffff::1")


def test_without_rates_nothing_is_counted() -> None:
    """Empty settings let everything through."""
    rates = Rates()
    for _ in range(100):
        count(rates, SHOP)
        count(rates, "192.0.2.1")


def test_counters_are_bounded() -> None:
    """However many addresses come, no more are remembered; those that find no room share one count."""
    clock = Clock()
    counters = Counters(clock, counters_max=3)
    for number in range(3):
        assert counters.incr(f"known-{number}", 60) == 1
    assert [counters.incr(f"new-{number}", 60) for number in range(100)] == [*range(1, 101)]
    assert counters.incr("known-0", 60) == 2
    assert len(counters) == 4
    assert (counters.get("new-1"), counters.get_expiry("new-1")) == (100, clock() + 60)
    clock.now_s += 60
    assert counters.incr("new-1", 60) == 1
    assert len(counters) == 1


def test_counters_are_what_the_library_expects() -> None:
    """They can be asked, cleared and reset."""
    counters = Counters(Clock())
    counters.incr("one", 60)
    counters.incr("two", 3600)
    counters.clear("one")
    assert (counters.check(), counters.get("one"), counters.get("two")) == (True, 0, 1)
    assert counters.reset() == 1
    assert counters.get_expiry("two") == 1000


async def test_an_address_that_asks_too_often() -> None:
    """Its writes and questions get 429 with Retry-After, whatever they are; another address is served."""
    settings = replace(FAST, address_rate="2/h", open=frozenset({"read"}))
    async with serving(settings=settings, peer="192.0.2.1") as client:
        answers = [await client.post(f"{API}/write", json={"message": "a"}) for _ in range(3)]
        answers.append(await client.get(f"{API}/query"))
        answers.append(await client.get(f"{API}/tail"))
        answers.append(await client.get(f"{API}/session"))
        alive = await client.get("/livez")
    assert [answer.status_code for answer in answers] == [200, 200, 429, 429, 429, 429]
    assert all(0 < int(answer.headers["retry-after"]) <= 3600 for answer in answers[2:])
    assert answers[2].json()["success"] is False
    assert alive.status_code == 200


async def test_a_wrong_key_counts_against_the_address(tmp_path: Path) -> None:
    """Whoever guesses keys gets 429 after so many, even with a right one."""
    file = tmp_path / "keys.json"
    file.write_text('{"version": 1, "keys": []}')
    settings = replace(FAST, address_rate="2/h", keys_file=str(file))
    async with serving(settings=settings) as client:
        statuses = [
            (await client.get(f"{API}/session", headers={"x-api-key": "wrong"})).status_code for _ in range(3)
        ]
    assert statuses == [401, 401, 429]

"""How many requests a key, and a client's address, may make."""

import functools
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, ip_network
from pathlib import Path

from limits import RateLimitItem, RateLimitItemPerSecond
from limits.storage import Storage
from limits.strategies import FixedWindowRateLimiter

from logbridge.domain.access import Caller
from logbridge.domain.errors import RateExceeded
from logbridge.entrypoints.addresses import parse_address
from logbridge.entrypoints.settings import parse_rate
from logbridge.entrypoints.shared_counters import SharedCounters

# Counters at once. Beyond them the newcomers share one: memory ends, and the limit does not.
COUNTERS_MAX = 50_000
_REMEMBERED = 1024
_UNITS = {1: "second", 60: "minute", 3600: "hour"}
_OTHERS = ""
# Whoever has one address of IPv6 has a network of them.
_IPV6_PREFIX = 64


class Counters(Storage):
    """A storage for ``limits``, bounded and without a thread: its own one keeps any number of keys.

    now: gives seconds that never go back. Windows of one length end in the order in which they began, so
    there is a row for each length, and its first ones are the old ones.
    """

    STORAGE_SCHEME = None

    def __init__(self, now: Callable[[], float] = time.monotonic, counters_max: int = COUNTERS_MAX) -> None:
        super().__init__()
        self._now = now
        self._counters_max = counters_max
        # By length in seconds: key → its count, and when its window ends.
        self._rows: dict[int, OrderedDict[str, tuple[int, float]]] = {}

    def __len__(self) -> int:
        return sum(len(row) for row in self._rows.values())

    @property
    def base_exceptions(self) -> type[Exception]:
        """See limits."""
        return OSError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """See limits."""
        now_s = self._now()
        row = self._rows.setdefault(expiry, OrderedDict())
        while row and next(iter(row.values()))[1] <= now_s:
            row.popitem(last=False)
        if key not in row and len(row) >= self._counters_max:
            key = _OTHERS
        count, ends_s = row.get(key, (0, now_s + expiry))
        row[key] = (count + amount, ends_s)
        return count + amount

    def get(self, key: str) -> int:
        """See limits."""
        return self._counter(key)[0]

    def get_expiry(self, key: str) -> float:
        """When its window ends, as ``now`` counts."""
        return self._counter(key)[1]

    def _counter(self, key: str) -> tuple[int, float]:
        for name in (key, _OTHERS):
            for row in self._rows.values():
                if name in row:
                    return row[name]
        return 0, self._now()

    def check(self) -> bool:
        """See limits."""
        return True

    def clear(self, key: str) -> None:
        """See limits."""
        for row in self._rows.values():
            row.pop(key, None)

    def reset(self) -> int | None:
        """See limits."""
        count = len(self)
        self._rows.clear()
        return count


class Rates:
    """Counts requests by address and by key, and rejects those beyond their rate.

    address_rate, key_rate: such as ``1000/s``, empty for none; a key may have another rate of its own. now:
    gives seconds that never go back. shared: the folder of files with which several processes count
    together; None for one that counts for itself.
    """

    def __init__(
        self,
        address_rate: str = "",
        key_rate: str = "",
        now: Callable[[], float] = time.monotonic,
        shared: Path | None = None,
    ) -> None:
        self._address_rate = address_rate
        self._key_rate = key_rate
        self._now = now
        self._addresses = _limiter(now, shared, "addresses")
        self._keys = _limiter(now, shared, "keys")

    def count_address(self, address: str) -> None:
        """One request of this client's address. Raises RateExceeded."""
        if not self._address_rate:
            return
        network = _network_of(address)
        self._count(
            self._addresses, network, self._address_rate, f"the address {network}", "LOGBRIDGE_ADDRESS_RATE"
        )

    def count_key(self, caller: Caller) -> None:
        """One request of this key. Raises RateExceeded."""
        if rate := caller.rate or self._key_rate:
            source = "its --rate" if caller.rate else "LOGBRIDGE_KEY_RATE"
            self._count(self._keys, caller.key_id, rate, f"the key {caller.name}", source)

    def _count(self, limiter: FixedWindowRateLimiter, key: str, rate: str, who: str, source: str) -> None:
        item = _item(rate)
        if limiter.hit(item, key):
            return
        left_s = limiter.get_window_stats(item, key).reset_time - self._now()
        unit = _UNITS[item.get_expiry()]
        raise RateExceeded(
            f"{who} may make {item.amount} requests a {unit} ({source})", max(1, math.ceil(left_s))
        )


def _limiter(now: Callable[[], float], shared: Path | None, name: str) -> FixedWindowRateLimiter:
    return FixedWindowRateLimiter(
        Counters(now) if shared is None else SharedCounters(shared / f"counted-{name}", now)
    )


@functools.lru_cache(_REMEMBERED)
def _item(rate: str) -> RateLimitItem:
    requests, seconds = parse_rate(rate)
    return RateLimitItemPerSecond(requests, seconds)


@functools.lru_cache(_REMEMBERED)
def _network_of(host: str) -> str:
    """An address of IPv4, or the network of one of IPv6."""
    address = parse_address(host)
    if isinstance(address, IPv6Address):
        return str(ip_network((int(address), _IPV6_PREFIX), strict=False))
    return str(address or host[:100])

"""Who may do what: scopes, the keys that carry them, and the caller that a key lets in."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from logbridge.domain.timestamp import epoch_us


class Scope(StrEnum):
    """A right. ADMIN is all of them, and what shows or changes the bridge itself."""

    WRITE = "write"
    READ = "read"
    TEST = "test"
    ADMIN = "admin"


class Caller(Struct, frozen=True):
    """Who asks.

    name, key_id: of the key, empty for somebody without one. services: whose logs it may write and read,
    empty for any. rate: requests it may make, such as ``1000/s``; empty for what the settings say.
    """

    name: str = ""
    key_id: str = ""
    scopes: frozenset[Scope] = frozenset()
    services: frozenset[str] = frozenset()
    rate: str = ""

    def may(self, scope: Scope) -> bool:
        """Whether it has this right."""
        return scope in self.scopes or Scope.ADMIN in self.scopes


class Key(Struct, frozen=True, kw_only=True):
    """A key as it is kept: never the key itself, which nobody can find out from this.

    id: the part of the key that is no secret. hash: SHA-256 of the whole key, in hex digits. created_at,
    expires_at, revoked_at: RFC 3339, empty for never. Raises ValueError for an expiry that is no time, and
    for a service without a name: it would stand for any.
    """

    id: str
    name: str
    hash: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    scopes: frozenset[Scope]
    services: frozenset[str] = frozenset()
    rate: Annotated[str, Meta(pattern="^([1-9][0-9]{0,8}/[smh])?$")] = ""
    created_at: str
    expires_at: str = ""
    revoked_at: str = ""

    def __post_init__(self) -> None:
        _ = self.expires_at and epoch_us(self.expires_at)
        if not all(name.strip() for name in self.services):
            raise ValueError("a service has a name")

    def state(self, now_us: int) -> str:
        """``valid``, ``revoked`` or ``expired``."""
        if self.revoked_at:
            return "revoked"
        return "expired" if self.expires_at and epoch_us(self.expires_at) <= now_us else "valid"

    @property
    def caller(self) -> Caller:
        """Whom it lets in."""
        return Caller(self.name, self.id, self.scopes, self.services, self.rate)

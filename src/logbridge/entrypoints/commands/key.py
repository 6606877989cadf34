"""key: make, list and revoke the keys that callers need."""

import re
from dataclasses import dataclass
from typing import Annotated

from cyclopts import App, Parameter

from logbridge.adapters.keys.ring import new_key
from logbridge.domain.access import Key, Scope
from logbridge.domain.timestamp import epoch_us, rfc3339_utc
from logbridge.entrypoints.clock import now_us, utc_now
from logbridge.entrypoints.commands import terminal
from logbridge.entrypoints.commands.ending import Exit, UsageError
from logbridge.entrypoints.settings import Settings, load, parse_rate
from logbridge.entrypoints.stores import keys_file

key = App(
    name="key",
    group="Look after who gets in",
    help="Make, list and revoke keys. A running bridge sees a change within a second.",
)
_NAME = re.compile(r"[\w.@-]{1,64}")
_LIFE = re.compile(r"([1-9][0-9]{0,4})([dhm])", re.ASCII)
_LIFE_S = {"d": 86_400, "h": 3600, "m": 60}


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class KeysAddress:
    """Which keys file a command works on."""

    keys_file: Annotated[
        str | None,
        Parameter(help="The file of keys (LOGBRIDGE_KEYS_FILE), such as ./data/keys.json."),
    ] = None

    @property
    def flags(self) -> dict[str, str]:
        """The flag that was given, as settings.load() takes it."""
        return {} if self.keys_file is None else {"keys_file": self.keys_file}


_SETTINGS_ONLY = KeysAddress()


@key.command
def create(
    name: str,
    /,
    *,
    scope: Annotated[tuple[Scope, ...], Parameter(negative=())],
    service: Annotated[tuple[str, ...], Parameter(negative=())] = (),
    rate: str = "",
    expires: str = "",
    json: Annotated[bool, Parameter(negative=())] = False,
    address: KeysAddress = _SETTINGS_ONLY,
) -> Exit:
    """Make a key and print it, once: the file keeps only its hash, and nobody can print it again.

    Example: logbridge key create shop --scope write --service shop --rate 1000/s --expires 90d

    Parameters
    ----------
    name
        What you call it: whose key it is. Letters, digits, and . _ @ -
    scope
        What it may do, may be given again: write, read, test (the concurrent test), admin (everything).
    service
        The only service whose logs it may write and read; may be given again. Without one, any.
    rate
        The most requests it may make, such as 1000/s; without it LOGBRIDGE_KEY_RATE.
    expires
        When it ends: RFC 3339, or a time from now, such as 90d, 12h or 30m. Without it never.
    json
        Print the key and what it may do as JSON.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r}: a name has 1 to 64 letters, digits, or . _ @ -")
    if not scope:
        raise UsageError("--scope: give one or more of write, read, test, admin")
    if not all(each.strip() for each in service):
        raise UsageError("--service: it is empty; leave it out for any service")
    secret, key_id, hashed = new_key()
    made = Key(
        id=key_id,
        name=name,
        hash=hashed,
        scopes=frozenset(scope),
        services=frozenset(service),
        rate=_checked_rate(rate),
        created_at=utc_now(),
        expires_at=_expiry(expires),
    )
    file = keys_file(_settings(address))
    file.add(made)
    if json:
        terminal.json_line({"key": secret, **_shown(made)})
    else:
        terminal.line(secret)
        terminal.notice(f"key {name} added to {file.path}; it is shown this once only")
    return Exit.FINE


@key.command(name="list")
def list_keys(
    *, json: Annotated[bool, Parameter(negative=())] = False, address: KeysAddress = _SETTINGS_ONLY
) -> Exit:
    """Show all keys, what each may do, and which are revoked or expired. Never the keys themselves.

    The JSON has their ids and when they were made, as well.

    Example: logbridge key list --json

    Parameters
    ----------
    json
        Print a JSON array.
    """
    shown = [_shown(each) for each in keys_file(_settings(address)).read()]
    if json:
        terminal.json_line(shown)
    else:
        columns = ["Name", "State", "Scopes", "Services", "Rate", "Expires"]
        terminal.table(f"Keys ({len(shown)})", columns, [_row(each) for each in shown])
    return Exit.FINE


@key.command
def revoke(
    name: str,
    /,
    *,
    json: Annotated[bool, Parameter(negative=())] = False,
    address: KeysAddress = _SETTINGS_ONLY,
) -> Exit:
    """End a key: within a second it opens nothing any more, nor do the sessions that began with it.

    Example: logbridge key revoke shop

    Parameters
    ----------
    name
        The key's name, as `logbridge key list` shows it.
    json
        Print the key as JSON.
    """
    file = keys_file(_settings(address))
    revoked = file.revoke(name, utc_now())
    if json:
        terminal.json_line(_shown(revoked))
    else:
        terminal.line(f"key {name} ({revoked.id}) is revoked")
    return Exit.FINE


def _settings(address: KeysAddress) -> Settings:
    settings = load(address.flags)
    if not settings.keys_file:
        raise UsageError("LOGBRIDGE_KEYS_FILE is not set: name the file of keys, here or with --keys-file")
    return settings


def _checked_rate(text: str) -> str:
    if not text:
        return ""
    try:
        parse_rate(text)
    except ValueError as error:
        raise UsageError(f"--rate {text}: {error}") from None
    return text.strip()


def _expiry(text: str) -> str:
    if not text:
        return ""
    match = _LIFE.fullmatch(text)
    try:
        if match is not None:
            return rfc3339_utc(now_us() + int(match[1]) * _LIFE_S[match[2]] * 1_000_000)
        if epoch_us(text) <= now_us():
            raise UsageError(f"--expires {text}: has passed")
    except (ValueError, OverflowError) as error:
        raise UsageError(f"--expires {text}: {error}; or a time from now, such as 90d, 12h, 30m") from None
    return text


def _shown(each: Key) -> dict[str, object]:
    return {
        "name": each.name,
        "id": each.id,
        "state": each.state(now_us()),
        "scopes": sorted(each.scopes),
        "services": sorted(each.services),
        "rate": each.rate,
        "created_at": each.created_at,
        "expires_at": each.expires_at,
        "revoked_at": each.revoked_at,
    }


def _row(shown: dict[str, object]) -> list[str]:
    names = ("name", "state", "scopes", "services", "rate")
    values = [shown[name] for name in names]
    expires = str(shown["expires_at"]).partition(".")[0]  # to the second
    return [" ".join(value) if isinstance(value, list) else str(value) for value in values] + [expires]

"""spool: what waits on this disk to be delivered, and what the log service refused for good."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

from cyclopts import App, Parameter

from logbridge.entrypoints.commands import terminal
from logbridge.entrypoints.commands.ending import Exit, UsageError
from logbridge.entrypoints.commands.options import SettingFlags, given
from logbridge.entrypoints.results import entry_as_request
from logbridge.entrypoints.settings import load
from logbridge.entrypoints.spools import open_inventory

spool = App(
    name="spool",
    group="Look after what is kept",
    help="Look after the spool that LOGBRIDGE_SPOOL names, while a bridge uses it or while none runs.",
)

_LIMIT_DEFAULT = 100
Flag = Annotated[bool, Parameter(negative=())]


@spool.command
def status(*, json: Flag = False, flags: SettingFlags | None = None) -> Exit:
    """Show how much waits, since when, how many dead letters there are, and what damaged files cost.

    Example: logbridge spool status --spool sqlite:////var/lib/logbridge/spool

    Parameters
    ----------
    json
        Print a JSON object.
    """
    found = open_inventory(load(given(flags))).status()
    if json:
        terminal.json_line(found)
        return Exit.FINE
    in_files = found.files or found.damaged
    rows = [
        ("waiting", str(found.waiting), f"the oldest since {found.oldest}" if found.oldest else ""),
        ("dead letters", str(found.dead), "refused for good; `logbridge spool list` says why"),
        ("bytes", str(found.bytes), "of all entries"),
        ("delivered", str(found.delivered), "since the spool was made"),
        ("sent again", *_sent_again(found.resent)),
    ]
    rows += (
        [
            ("files", str(found.files), "one for each worker"),
            ("damaged files", str(len(found.damaged)), "set aside in the folder damaged"),
            ("saved", str(sum(report.found for report in found.damaged)), "entries of damaged files"),
            (
                "lost",
                str(sum(report.lost for report in found.damaged)),
                "with damaged files; --json names them",
            ),
        ]
        if in_files
        else []
    )
    terminal.table("Spool", ["What", "Count", "Meaning"], rows)
    return Exit.FINE


def _sent_again(resent: int | None) -> tuple[str, str]:
    if resent is None:
        return "?", "each worker counts its own: logbridge_spool_resent_logs_total in its /metrics"
    return str(resent), "after an outcome that was unknown: possible duplicates"


@spool.command(name="list")
def list_entries(
    *,
    waiting: Flag = False,
    limit: int = _LIMIT_DEFAULT,
    json: Flag = False,
    flags: SettingFlags | None = None,
) -> Exit:
    """List the dead letters with their reasons, oldest first; with --waiting what waits to be delivered.

    Example: logbridge spool list --limit 20

    Parameters
    ----------
    waiting
        What waits, in place of the dead letters.
    limit
        The most rows.
    json
        Print a JSON object a line.
    """
    if limit < 1:
        raise UsageError(f"--limit {limit}: expected 1 or more")
    kept = open_inventory(load(given(flags))).entries(dead=not waiting)
    found = [one for one, _ in zip(kept, range(limit), strict=False)]
    if json:
        for one in found:
            terminal.json_line(
                {"since": one.since, "reason": one.reason, "entry": entry_as_request(one.entry)}
            )
        return Exit.FINE
    rows = [
        (one.since, one.entry.id, one.entry.service_name, one.entry.message[:80], one.reason) for one in found
    ]
    title = "Waiting" if waiting else "Dead letters"
    terminal.table(title, ["Since", "Id", "Service", "Message", "Reason"], rows)
    return Exit.FINE


@spool.command
def retry(*, json: Flag = False, flags: SettingFlags | None = None) -> Exit:
    """Put all dead letters back into the spool, after what made the log service refuse them was mended.

    Example: logbridge spool retry

    Parameters
    ----------
    json
        Print a JSON object.
    """
    inventory = open_inventory(load(given(flags)))
    with _progress("retry") as tick:
        count = inventory.retry(tick)
    _tell({"retried": count}, f"{count} dead letters wait again", as_json=json)
    return Exit.FINE


@spool.command
def export(*, waiting: Flag = False, flags: SettingFlags | None = None) -> Exit:
    """Print the dead letters as NDJSON, in the form that `logbridge import` reads; with --waiting what waits.

    Example: logbridge spool export > dead-letters.ndjson

    Parameters
    ----------
    waiting
        What waits, in place of the dead letters.
    """
    inventory = open_inventory(load(given(flags)))
    found = inventory.status()
    total = found.waiting if waiting else found.dead
    with _progress("export", shown=not sys.stdout.isatty()) as tick:
        for number, kept in enumerate(inventory.entries(dead=not waiting), start=1):
            terminal.json_line(entry_as_request(kept.entry))
            tick(number, total)
    return Exit.FINE


@spool.command
def purge(
    *, waiting: Flag = False, yes: Flag = False, json: Flag = False, flags: SettingFlags | None = None
) -> Exit:
    """Delete all dead letters for ever; with --waiting what waits to be delivered. Export them first.

    Example: logbridge spool purge --yes

    Parameters
    ----------
    waiting
        What waits, in place of the dead letters: acknowledged logs are lost by that.
    yes
        Needed: nothing is deleted without it.
    json
        Print a JSON object.
    """
    inventory = open_inventory(load(given(flags)))
    if not yes:
        found = inventory.status()
        count, what = (found.waiting, "waiting entries") if waiting else (found.dead, "dead letters")
        raise UsageError(f"this deletes {count} {what} for ever: add --yes")
    with _progress("purge") as tick:
        count = inventory.purge(tick, dead=not waiting)
    _tell({"purged": count}, f"{count} deleted", as_json=json)
    return Exit.FINE


@contextmanager
def _progress(what: str, *, shown: bool = True) -> Iterator[Callable[[int, int], None]]:
    """A bar, on a terminal only."""
    with terminal.progress_bar(shown=shown) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _tell(result: dict[str, int], text: str, *, as_json: bool) -> None:
    if as_json:
        terminal.json_line(result)
    else:
        terminal.line(text)

"""top: a bridge at work, in a terminal."""

import asyncio
import contextlib
import io
import signal
import sys
import time
from collections.abc import Coroutine
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.live import Live

from logbridge.entrypoints.commands import bridge, keyboard, terminal
from logbridge.entrypoints.commands.ending import Exit
from logbridge.entrypoints.commands.figures import ASCII, BLOCKS, Glyphs, span
from logbridge.entrypoints.commands.options import BridgeAddress
from logbridge.entrypoints.commands.top_feed import Lost, Watched, ask_once, decoded, follow
from logbridge.entrypoints.commands.top_screen import plain_lines, screen
from logbridge.entrypoints.settings import shown

_DRAWN_EVERY_S = 1.0  # also where nothing new comes
_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def top(
    *,
    once: Annotated[bool, Parameter(negative=())] = False,
    json: Annotated[bool, Parameter(negative=())] = False,
    address: BridgeAddress | None = None,
) -> Exit:
    """Watch a bridge at work: how fast, what is under way, what failed and why. q ends it, p pauses.

    Without a terminal it prints one look as text.

    Example: logbridge top --url http://127.0.0.1:8001

    Parameters
    ----------
    once
        Print one look as text, and end.
    json
        Print a look each second as a line of JSON; with --once a single one.
    """
    url = bridge.url_of(address)
    if json and not once:
        asyncio.run(_until_told(_lines(url)))
    elif json:
        terminal.json_line(decoded(ask_once(url)))
    elif once or not _is_screen():
        _print_once(url)
    else:
        view = _View(url)
        asyncio.run(_until_told(view.run()))
    return Exit.FINE


def _is_screen() -> bool:
    return sys.stdout.isatty() and not Console(file=sys.stdout).is_dumb_terminal


def _glyphs() -> Glyphs:
    """What stdout can show; from now on it writes a question mark for whatever else it cannot."""
    if (sys.stdout.encoding or "").lower().startswith("utf"):
        return BLOCKS
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    return ASCII


def _print_once(url: str) -> None:
    watched = Watched(decoded(ask_once(url)))
    for line in plain_lines(watched, shown("url", url), "once", _glyphs()):
        terminal.line(line)


async def _until_told(work: Coroutine[None, None, None]) -> None:
    """Do it until it ends, or somebody ends the command: that is no error."""
    working = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    for number in _ENDINGS:
        loop.add_signal_handler(number, working.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await working


async def _lines(url: str) -> None:
    """A look each second as a line of JSON."""
    async with contextlib.aclosing(follow(url)) as news:
        async for one in news:
            if isinstance(one, Lost):
                terminal.notice(f"{shown('url', url)} is lost ({one.why}), connecting again")
            else:
                terminal.json_line(decoded(one))


class _View:
    """The live view of the bridge at ``url``."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._console = Console(file=sys.stdout)
        self._glyphs = _glyphs()
        self._watched: Watched | None = None
        self._frozen: Watched | None = None
        self._lost: Lost | None = None
        self._lost_since_s = 0.0
        self._changed = asyncio.Event()
        self._ended = False

    async def run(self) -> None:
        """Until q is pressed. Raises what the feed raises, when the terminal is as it was."""
        feeding = asyncio.ensure_future(self._feed())
        feeding.add_done_callback(lambda _: self._changed.set())
        try:
            await self._changed.wait()
            if not feeding.done():
                await self._draw_until_the_end(feeding)
        finally:
            feeding.cancel()
            await asyncio.wait([feeding])
        if not feeding.cancelled():
            feeding.result()

    async def _draw_until_the_end(self, feeding: "asyncio.Future[None]") -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGWINCH, self._changed.set)
        live = Live(
            console=self._console,
            screen=True,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        with keyboard.listening(self._press, self._end), live:
            while (watched := self._frozen or self._watched) and not (self._ended or feeding.done()):
                self._changed.clear()
                width, height = self._console.size
                url, state = shown("url", self._url), self._state()
                live.update(screen(watched, url, state, width, height, self._glyphs), refresh=True)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), _DRAWN_EVERY_S)

    def _state(self) -> tuple[str, str]:
        if self._lost is not None:
            lost_s = time.monotonic() - self._lost_since_s
            return f"LOST for {span(lost_s)}, connecting again: {self._lost.why}", "bold red"
        return ("PAUSED", "bold yellow") if self._frozen else ("live", "green")

    async def _feed(self) -> None:
        async with contextlib.aclosing(follow(self._url)) as news:
            async for one in news:
                self._hear(one)
                self._changed.set()

    def _hear(self, one: str | Lost) -> None:
        if isinstance(one, Lost):
            self._lost_since_s = self._lost_since_s if self._lost else time.monotonic()
            self._lost = one
            return
        self._lost = None
        look = decoded(one)
        if self._watched is None:
            self._watched = Watched(look)
        else:
            self._watched.see(look)

    def _press(self, key: str) -> None:
        if key in "qQ":
            self._end()
        elif key in "pP" and self._watched is not None:
            self._frozen = None if self._frozen else self._watched.copy()
            self._changed.set()

    def _end(self) -> None:
        self._ended = True
        self._changed.set()

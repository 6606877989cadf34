"""Single keys of a terminal, without Enter and without an echo."""

import asyncio
import contextlib
import os
import re
import sys
import termios
from collections.abc import Callable, Iterator
from typing import Any

# Arrows and function keys are an escape and letters, which nobody pressed.
_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|O.)?")
_LOCAL_FLAGS, _CHARACTERS = 3, 6  # places in what termios.tcgetattr() gives


@contextlib.contextmanager
def listening(press: Callable[[str], None], gone: Callable[[], None]) -> Iterator[None]:
    """Call ``press`` with each key, in the running loop, and ``gone`` when the terminal is.

    At the end the terminal is as it was. Without a terminal for input nothing is called.
    """
    if not sys.stdin.isatty():
        yield
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    loop = asyncio.get_running_loop()

    def read() -> None:
        try:
            keys = os.read(descriptor, 1024)
        except OSError:  # the terminal hung up
            keys = b""
        if not keys:
            loop.remove_reader(descriptor)
            gone()
        for key in _SEQUENCE.sub("", keys.decode("latin-1")):
            press(key)

    termios.tcsetattr(descriptor, termios.TCSADRAIN, _single_keys(descriptor))
    loop.add_reader(descriptor, read)
    try:
        yield
    finally:
        loop.remove_reader(descriptor)
        with contextlib.suppress(termios.error):  # it hung up
            termios.tcsetattr(descriptor, termios.TCSAFLUSH, before)


def _single_keys(descriptor: int) -> list[Any]:
    attributes = termios.tcgetattr(descriptor)
    attributes[_LOCAL_FLAGS] &= ~(termios.ICANON | termios.ECHO)
    characters = list(attributes[_CHARACTERS])
    characters[termios.VMIN], characters[termios.VTIME] = 1, 0
    # Suspended, a program would leave the shell on its other screen.
    characters[termios.VSUSP] = b"\0"
    attributes[_CHARACTERS] = characters
    return attributes

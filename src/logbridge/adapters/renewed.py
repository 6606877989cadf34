"""What is made of files, and made again when one of them has changed, without a restart."""

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from logbridge.domain.errors import LogbridgeError

logger = logging.getLogger(__name__)
T = TypeVar("T")

# How often files are looked at, and so for how long an old one may still count.
LOOK_EVERY_S = 1.0


class Renewed(Generic[T]):
    """``current`` is what was made of the files last; ``renew`` looks whether they have changed.

    Files that cannot be used leave it as it is, are told in the log once, and are tried again with each look:
    one may become readable without a change that shows. title: of what is made. make: raises ``wrong`` for
    such files, and so does this at first. monotonic: a clock in seconds.
    """

    def __init__(
        self,
        title: str,
        paths: Sequence[Path],
        make: Callable[[], T],
        wrong: type[LogbridgeError],
        monotonic: Callable[[], float],
    ) -> None:
        self._title = title
        self._paths = paths
        self._make = make
        self._wrong = wrong
        self._monotonic = monotonic
        self._seen = self._look()
        self._told = ""
        self._look_at_s = monotonic() + LOOK_EVERY_S
        self.current = make()

    def renew(self) -> bool:
        """Look at the files, unless that was less than a second ago. True if ``current`` is a new one."""
        now_s = self._monotonic()
        if now_s < self._look_at_s:
            return False
        self._look_at_s = now_s + LOOK_EVERY_S
        seen = self._look()
        return seen != self._seen and self._make_again(seen)

    def _make_again(self, seen: object) -> bool:
        try:
            made = self._make()
        except self._wrong as error:
            if self._look() == seen:  # else they are being replaced: the next look finds them whole
                self._tell(str(error))
            return False
        if self._look() != seen:
            return False
        self.current, self._seen, self._told = made, seen, ""
        logger.info("%s read again", self._title)
        return True

    def _tell(self, error: str) -> None:
        if error != self._told:
            logger.error("the %s stays as it was: %s", self._title, error)
        self._told = error

    def _look(self) -> object:
        return [_look_at(path) for path in self._paths]


def _look_at(path: Path) -> object:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_size

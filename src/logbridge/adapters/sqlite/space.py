"""The space of the SQLite store: how much logs take, and giving back what removed ones left behind.

Each step of the generators here is one short transaction; between two of them others write.
"""

import sqlite3
from collections.abc import Iterator

# About 20 ms of a slow disk each.
_MERGED_PAGES = 100
_GIVEN_BACK_PAGES = 256


def used_bytes(connection: sqlite3.Connection) -> int:
    """Bytes of all pages in use, without the free ones that the next logs will fill."""
    return (_number(connection, "page_count") - free_pages(connection)) * _number(connection, "page_size")


def free_pages(connection: sqlite3.Connection) -> int:
    """Pages of the file that hold nothing."""
    return _number(connection, "freelist_count")


def gives_back(connection: sqlite3.Connection) -> bool:
    """Whether free pages can leave the file; in files of version 1 they cannot before a full VACUUM."""
    return _number(connection, "auto_vacuum") == 2


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])


def merge_text(connection: sqlite3.Connection) -> Iterator[None]:
    """Merge the text index into one piece: only then do removed logs leave it.

    Their removal at first adds to it, and by itself it merges pieces of like size only: an old large one may
    wait for ever.
    """
    # A negative number begins a merge of all pieces, positive ones go on with it (fts5, "the merge command").
    pages = -_MERGED_PAGES
    while True:
        before = connection.total_changes
        connection.execute("INSERT INTO logs_text (logs_text, rank) VALUES ('merge', ?)", (pages,))
        if connection.total_changes - before < 2:  # as fts5 says that nothing is left to merge
            return
        pages = _MERGED_PAGES
        yield


def give_back(connection: sqlite3.Connection) -> Iterator[None]:
    """Give free pages back to the file system; the file shrinks with the next checkpoint."""
    # What others set free meanwhile is for the next time, so that there is an end.
    free = free_pages(connection) if gives_back(connection) else 0
    for _ in range(0, free, _GIVEN_BACK_PAGES):
        # Not execute(): Python steps a statement without columns once, which gives back one page.
        connection.executescript(f"PRAGMA incremental_vacuum({_GIVEN_BACK_PAGES})")
        yield

"""What was superseded on the mirror, since when, and until when a timestamp that led to it may still be believed.

A device or a cache may hold a timestamp until it expires, and asks for what that one led to. So a file counts from the
moment at which a timestamp was signed that leads elsewhere, not from its own age.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mirror import layout

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable


class Times(NamedTuple):
    """Seconds since 1970: when a file was superseded, and when the last timestamp that led to it expires."""

    since: float
    until: float


class Superseded:
    """The table of superseded files; changes belong into a transaction of the caller's."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def add(self, path: str) -> None:
        """Note that the next timestamp leads to this file no more; `date` says when that was."""
        self._connection.execute("INSERT OR REPLACE INTO superseded (path) VALUES (?)", (path,))

    def date(self, now: float, expires: float) -> None:
        """Date what was added, now that a timestamp replaces one that expires at `expires`."""
        self._connection.execute(
            "INSERT INTO superseded VALUES (?, ?, ?) ON CONFLICT (path) DO UPDATE SET since = excluded.since,"
            " until = max(coalesce(until, 0), excluded.until)",
            (layout.TIMESTAMP, now, expires),
        )
        # a timestamp before it may live longer: its days were others, or the clock was ahead
        self._connection.execute(
            "UPDATE superseded SET since = ?1, until = (SELECT until FROM superseded WHERE path = ?2)"
            " WHERE since IS NULL",
            (now, layout.TIMESTAMP),
        )

    def times(self, path: str) -> Times | None:
        """Tell when a file was superseded; None if nobody noted it."""
        row = self._connection.execute(
            "SELECT since, until FROM superseded WHERE path = ? AND since IS NOT NULL", (path,)
        ).fetchone()
        return Times(*row) if row else None

    def see(self, path: str, now: float, expires: float) -> None:
        """Note a superseded file that was found: it may have been in force until now, under any timestamp so far."""
        before = self.times(layout.TIMESTAMP)
        self._connection.execute(
            "INSERT OR REPLACE INTO superseded VALUES (?, ?, ?)",
            (path, now, max(expires, before.until if before else 0.0)),
        )

    def forget(self, paths: Iterable[str]) -> None:
        """Forget files that are removed."""
        self._connection.executemany("DELETE FROM superseded WHERE path = ?", ((path,) for path in paths))

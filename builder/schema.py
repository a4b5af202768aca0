"""The catalogue's tables, and how an older catalogue becomes a current one.

`ota` is the table that other tools may read; the others hold what rendering needs beside it. A catalogue's
schema number is SQLite's `user_version`; migration N takes a catalogue from number N to N+1.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from builder.errors import CatalogueError, NotACatalogueError, catalogue_trouble

if TYPE_CHECKING:
    from collections.abc import Iterator

_FIRST = """
CREATE TABLE ota (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    branch TEXT NOT NULL,
    content TEXT NOT NULL
);
CREATE TABLE package (
    folded TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    stale INTEGER NOT NULL  -- the publish that its page for people does not show yet; 0: it shows all
) WITHOUT ROWID;
CREATE INDEX package_stale ON package (name) WHERE stale;
CREATE TABLE branch (
    id INTEGER PRIMARY KEY,
    package TEXT NOT NULL,
    name TEXT NOT NULL,
    folded TEXT NOT NULL,
    older TEXT NOT NULL DEFAULT '',  -- the list's `older`, as it is rendered
    UNIQUE (package, folded)
);
CREATE TABLE segment (
    id INTEGER PRIMARY KEY,
    branch INTEGER NOT NULL REFERENCES branch (id),
    highest BLOB,  -- order key of the highest version that belongs here; NULL: the list itself
    reference TEXT NOT NULL DEFAULT '',  -- its element of `older`
    frame TEXT NOT NULL DEFAULT '{}'  -- the list's keys that are kept without being known
);
CREATE INDEX segment_order ON segment (branch, highest);
CREATE TABLE release (
    ota INTEGER PRIMARY KEY REFERENCES ota (id),
    branch INTEGER NOT NULL REFERENCES branch (id),
    segment INTEGER NOT NULL REFERENCES segment (id),
    folded TEXT NOT NULL,
    order_key BLOB NOT NULL,
    offered INTEGER NOT NULL,
    blob TEXT NOT NULL,
    size INTEGER NOT NULL,
    published TEXT NOT NULL,
    entry TEXT NOT NULL,  -- its element of `releases`, as it is rendered
    UNIQUE (branch, folded)
);
CREATE INDEX release_segment ON release (segment, order_key);
CREATE INDEX release_order ON release (branch, order_key);
CREATE INDEX release_blob ON release (blob, size);
CREATE TABLE outbox (
    position INTEGER PRIMARY KEY,
    path TEXT NOT NULL,
    data BLOB NOT NULL
);
CREATE TABLE publish (number INTEGER NOT NULL);
INSERT INTO publish VALUES (0);
"""

_TRUST = """
CREATE TABLE root (
    version INTEGER PRIMARY KEY,
    data BLOB NOT NULL,
    bridged REAL,  -- since when what is published verifies under it, in seconds since 1970
    published REAL,  -- since when devices can have it; NULL: it waits for caches
    settled INTEGER NOT NULL DEFAULT 0  -- nothing is signed for the root before it any more
);
CREATE TABLE role (
    name TEXT PRIMARY KEY,
    version INTEGER NOT NULL,  -- the highest that was ever reserved; it never falls
    expires TEXT NOT NULL,
    data BLOB,  -- the file, of roles that are not made anew with every signature
    active INTEGER NOT NULL DEFAULT 1  -- 0: nobody delegates to it any more, but snapshots name it for ever
) WITHOUT ROWID;
ALTER TABLE branch ADD COLUMN role TEXT NOT NULL DEFAULT '';  -- whose target the release list is
ALTER TABLE branch ADD COLUMN list_sha256 TEXT NOT NULL DEFAULT '';
ALTER TABLE branch ADD COLUMN list_size INTEGER NOT NULL DEFAULT 0;
CREATE INDEX branch_role ON branch (role, package, name);
ALTER TABLE release ADD COLUMN withdrawn INTEGER NOT NULL DEFAULT 0;  -- its publisher took it out of the list
DROP INDEX release_segment;
CREATE INDEX release_segment ON release (segment, order_key) WHERE NOT withdrawn;
"""

_CACHES = """
ALTER TABLE root ADD COLUMN longest_age REAL NOT NULL DEFAULT 0;  -- the greatest cache.longest_age of its rotation
CREATE TABLE superseded (
    path TEXT PRIMARY KEY,
    since REAL,  -- when a timestamp was signed that does not lead to it, in seconds since 1970; NULL: is being signed
    until REAL  -- when the last timestamp that led to it expires
) WITHOUT ROWID;
CREATE INDEX superseded_now ON superseded (path) WHERE since IS NULL;
"""

MIGRATIONS = (_FIRST, _TRUST, _CACHES)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring a catalogue to the current schema, in one transaction each step.

    Raises:
        CatalogueError: it was written by a newer release of otamirror, or cannot be read now.
        NotACatalogueError: it is something else.
    """
    try:
        number = _number(connection)
    except sqlite3.OperationalError as error:  # locked, or a failing disk: that says nothing about what it is
        raise CatalogueError(f"it cannot be read: {catalogue_trouble(error)}") from error
    except sqlite3.DatabaseError as error:
        raise NotACatalogueError(f"not a catalogue: {error}; `otamirror recover` makes a new one") from error
    if number > len(MIGRATIONS):
        raise CatalogueError(
            f"its schema has the number {number}, this release of otamirror knows {len(MIGRATIONS)} at most: "
            "use the release that wrote it"
        )
    while number < len(MIGRATIONS):
        number = _step(connection)


def _step(connection: sqlite3.Connection) -> int:
    """Take one step, if another process has not taken it meanwhile; returns the number that was reached."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        number = _number(connection)
        if number == 0:
            _require_empty(connection)
        if number < len(MIGRATIONS):
            for statement in _statements(MIGRATIONS[number]):
                connection.execute(statement)
            number += 1
            connection.execute(f"PRAGMA user_version = {number}")
        connection.execute("COMMIT")
    except Exception:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return number


def _require_empty(connection: sqlite3.Connection) -> None:
    if connection.execute("SELECT 1 FROM sqlite_master").fetchone():
        raise NotACatalogueError("not a catalogue: another program's tables are in it")


def _statements(script: str) -> Iterator[str]:
    """Take a script apart, in which every statement ends with its line."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _number(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])

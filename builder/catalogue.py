"""The catalogue: every accepted release, and what is committed but may not be published yet (the outbox).

SQLite in WAL mode with `synchronous=FULL`, so a commit is durable when it returns. The table `ota` is the contract's;
`builder/schema.py` tells of the others. How releases are filed in branches is `builder/shelf.py`.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from builder import schema
from builder.errors import CatalogueError, NotACatalogueError
from builder.pages import Page, Pages
from mirror import releases

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_BUSY_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Row:
    """One release as the catalogue has it.

    Attributes:
        is_offered: whether everybody may have it: `maxVersion` is the highest of these.
        is_withdrawn: whether its publisher took it out of the list; its version stays taken.
        yanked: what its list says of why no device takes it any more; None if it is not yanked.
    """

    package: str
    branch: str
    version: str
    content: str
    blob: str
    size: int
    published: str
    is_offered: bool = True
    is_withdrawn: bool = False
    yanked: Mapping[str, str] | None = None

    @classmethod
    def of(cls, *columns: Any) -> Row:
        """Make one of the columns of `_ROWS`."""
        *first, offered, withdrawn, entry = columns
        yanked = releases.parse_entry(json.loads(entry)).yanked if _YANKED in entry else None
        row = cls(*first)
        return replace(
            row, is_offered=bool(offered), is_withdrawn=bool(withdrawn), yanked=None if withdrawn else yanked
        )

    @property
    def state(self) -> str:
        """What people should know of it before they take it; empty if nothing."""
        if self.is_withdrawn:
            return "withdrawn"
        if self.yanked is None:
            return "" if self.is_offered else "not offered to all"
        reason, replacement = self.yanked.get("reason"), self.yanked.get("replacement")
        why = f"yanked: {reason}" if reason else "yanked"
        return f"{why}; take {replacement} instead" if replacement else why


_YANKED = '"yanked"'
_ROWS = """
SELECT ota.name, ota.branch, ota.version, ota.content, release.blob, release.size, release.published,
    release.offered, release.withdrawn, release.entry
FROM branch JOIN release ON release.branch = branch.id JOIN ota ON ota.id = release.ota
"""


class Catalogue:
    """An open catalogue; one writer at a time."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    @classmethod
    @contextlib.contextmanager
    def open(cls, path: Path, factory: type[sqlite3.Connection] = sqlite3.Connection) -> Iterator[Catalogue]:
        """Open the catalogue at `path`, making or migrating it if need be.

        Raises:
            CatalogueError: it cannot be opened, or is of a newer schema.
            NotACatalogueError: it is something else.
        """
        _check_header(path)
        try:
            connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, factory=factory)
        except sqlite3.OperationalError as error:
            raise CatalogueError(f"{path} cannot be opened: {error}") from error
        with contextlib.closing(connection):
            try:
                schema.migrate(connection)
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
            except CatalogueError as error:
                raise type(error)(f"{path}: {error}") from error
            yield cls(connection)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what is done inside, durably, or nothing of it."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.connection.execute("COMMIT")
        except Exception:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise

    def set_outbox(self, pages: Pages) -> int:
        """Replace the outbox by what is to be published now; returns the number of this publish."""
        self.connection.execute("DELETE FROM outbox")
        self.connection.executemany(
            "INSERT INTO outbox (path, data) VALUES (?, ?)",
            ((page.path, page.data) for page in (*pages.immutable, *pages.pointers)),
        )
        (number,) = self.connection.execute("UPDATE publish SET number = number + 1 RETURNING number").fetchone()
        return int(number)

    def outbox(self) -> Pages:
        """Return what the last commit wanted published."""
        rows = self.connection.execute("SELECT path, data FROM outbox ORDER BY position")
        return Pages.of(Page(path, data) for path, data in rows)

    def publish_number(self) -> int:
        """Return the number of the last publish that was committed; 0 before the first."""
        (number,) = self.connection.execute("SELECT number FROM publish").fetchone()
        return int(number)

    def releases(self, package: str | None = None, branch: str | None = None) -> Iterator[Row]:
        """Yield releases by package and branch, the highest version first."""
        rows = self.connection.execute(
            f"{_ROWS} WHERE (:package IS NULL OR branch.package = :package)"
            " AND (:branch IS NULL OR branch.name = :branch)"
            " ORDER BY branch.package, branch.name, release.order_key DESC",
            {"package": package, "branch": branch},
        )
        return (Row.of(*row) for row in rows)

    def newest(self, package: str, branch: str, most: int) -> list[Row]:
        """Return the highest `most` releases of one branch, highest first."""
        rows = self.connection.execute(
            # by the branch's number, so that the index gives the order and nothing is sorted
            f"{_ROWS} WHERE release.branch = (SELECT id FROM branch WHERE package = ? AND name = ?)"  # noqa: S608 - our own words
            " ORDER BY release.order_key DESC LIMIT ?",
            (package, branch, most),
        )
        return [Row.of(*row) for row in rows]

    def offered(self, package: str, branch: str) -> Row | None:
        """Return the release that `maxVersion` answers; None if none is offered to all."""
        row = self.connection.execute(
            f"{_ROWS} WHERE release.branch = (SELECT id FROM branch WHERE package = ? AND name = ?)"  # noqa: S608 - our own words
            " AND release.offered ORDER BY release.order_key DESC LIMIT 1",
            (package, branch),
        ).fetchone()
        return Row.of(*row) if row else None

    def find(self, package: str, branch: str, version: str) -> Row | None:
        """Return one release; None if there is none of that name."""
        row = self.connection.execute(
            f"{_ROWS} WHERE branch.package = ? AND branch.name = ? AND release.folded = ? AND ota.version = ?",
            (package, branch, version.lower(), version),
        ).fetchone()
        return Row.of(*row) if row else None

    def blob_size(self, sha256: str) -> int | None:
        """Return the size in bytes of a blob that some release names; None if none does."""
        row = self.connection.execute("SELECT size FROM release WHERE blob = ? LIMIT 1", (sha256,)).fetchone()
        return row[0] if row else None

    def blobs(self) -> Iterator[tuple[str, int]]:
        """Yield the hash and the size of every blob that a release names."""
        yield from self.connection.execute("SELECT blob, max(size) FROM release GROUP BY blob ORDER BY blob")

    def is_empty(self) -> bool:
        """Tell whether there is no release at all."""
        return self.connection.execute("SELECT 1 FROM release LIMIT 1").fetchone() is None

    def count(self) -> int:
        """Return the number of releases."""
        (number,) = self.connection.execute("SELECT count(*) FROM release").fetchone()
        return int(number)

    def packages(self) -> list[tuple[str, int, str]]:
        """Return every package with the number of its releases and the time of its newest."""
        return self.connection.execute(
            "SELECT branch.package, count(*), max(release.published)"
            " FROM branch JOIN release ON release.branch = branch.id GROUP BY branch.package ORDER BY branch.package"
        ).fetchall()

    def all_branches(self) -> Iterator[tuple[str, str, int, str, str]]:
        """Yield package, name, number of listed releases, time of the newest and offered version of every branch.

        They come without regard to case; the version is that of `maxVersion`, empty if none is offered.
        """
        yield from self.connection.execute(
            "SELECT branch.package, branch.name, sum(NOT release.withdrawn), max(release.published), coalesce((SELECT"
            " ota.version FROM release AS best JOIN ota ON ota.id = best.ota WHERE best.branch = branch.id"
            " AND best.offered ORDER BY best.order_key DESC LIMIT 1), '')"
            " FROM package JOIN branch ON branch.package = package.name JOIN release ON release.branch = branch.id"
            " GROUP BY package.folded, branch.folded ORDER BY package.folded, branch.folded"
        )

    def branches(self, package: str) -> list[tuple[str, int]]:
        """Return the branches of a package with the number of their listed releases."""
        return self.connection.execute(
            "SELECT branch.name, sum(NOT release.withdrawn) FROM branch JOIN release ON release.branch = branch.id"
            " WHERE branch.package = ? GROUP BY branch.id ORDER BY branch.name",
            (package,),
        ).fetchall()

    def stale_packages(self) -> list[str]:
        """Return the packages whose pages for people are older than their releases."""
        return [name for (name,) in self.connection.execute("SELECT name FROM package WHERE stale ORDER BY name")]

    def mark_fresh(self, packages: list[str], number: int) -> None:
        """Remember that the pages of `packages` show all publishes up to this number."""
        with self.transaction():
            self.connection.executemany(
                "UPDATE package SET stale = 0 WHERE folded = ? AND stale <= ?",
                ((name.lower(), number) for name in packages),
            )


def _check_header(path: Path) -> None:
    """Refuse what SQLite did not write before SQLite opens it in earnest: it would remove the log beside it as stale.

    SQLite itself has to look. Were the file opened and closed here, all locks of this process on it would be gone, and
    the next process that closes the catalogue would take the log away from those who still write to it.
    """
    if not path.exists():
        return
    try:
        probe = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
        with contextlib.closing(probe):
            probe.execute("PRAGMA schema_version")
    except sqlite3.OperationalError as error:
        raise CatalogueError(f"{path} cannot be opened: {error}") from error
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_NOTADB:
            raise NotACatalogueError(
                f"{path} is not a catalogue; `otamirror recover` makes a new one from the mirror"
            ) from error

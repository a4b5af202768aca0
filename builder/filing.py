"""The catalogue's rows of branches, segments and releases: how each is found, made and changed.

What is spelled like an existing name but for its case is refused here. Which release belongs where is decided by
`builder/shelf.py`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from builder.errors import CaseCollisionError
from builder.superseded import Superseded
from mirror import layout, releases
from mirror.version import bounds_of_equals, sort_key

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterable, Mapping

    from mirror.content import Content
    from mirror.releases import Entry, Segment


@dataclass(frozen=True, slots=True)
class Filed:
    """A release as it is filed.

    Attributes:
        segment: which segment has it; of no meaning for one that was withdrawn.
        is_withdrawn: whether its publisher took it out of the list.
        content: its content.json.
        entry: its element of `releases`, as it is rendered.
    """

    number: int
    segment: int
    is_withdrawn: bool
    content: str
    entry: str

    def is_same(self, entry: Entry) -> bool:
        """Tell whether a list speaks of this very release; it may say anew whether it is yanked, and the like."""
        own = releases.parse_entry(json.loads(self.entry))
        return _identity(own) == _identity(entry)


class Filing:
    """Access to the rows; changes belong into a transaction of the caller's."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def find_branch(self, package: str, branch: str) -> int | None:
        """Find a branch.

        Raises:
            CaseCollisionError: package or branch differ from an existing one only in case.
        """
        known = self._one("SELECT name FROM package WHERE folded = ?", package.lower())
        if known and known[0] != package:
            raise CaseCollisionError("package", package, known[0])
        row = self._one("SELECT name, id FROM branch WHERE package = ? AND folded = ?", package, branch.lower())
        if row and row[0] != branch:
            raise CaseCollisionError("branch", branch, row[0])
        return row[1] if row else None

    def make_branch(self, package: str, branch: str) -> int:
        """Make a branch that is not there, with an empty list."""
        self._connection.execute("INSERT OR IGNORE INTO package VALUES (?, ?, 1)", (package.lower(), package))
        number = self._insert(
            "INSERT INTO branch (package, name, folded) VALUES (?, ?, ?)", package, branch, branch.lower()
        )
        self._insert("INSERT INTO segment (branch) VALUES (?)", number)
        return number

    def mark_stale(self, package: str) -> None:
        """Remember that the page of a package is older than its releases."""
        self._connection.execute(
            "UPDATE package SET stale = (SELECT number + 1 FROM publish) WHERE folded = ?", (package.lower(),)
        )

    def find(self, branch: int, version: str) -> Filed | None:
        """Find a release of a branch.

        Raises:
            CaseCollisionError: the version differs from an existing one only in case.
        """
        row = self._one(
            "SELECT ota.version, ota.id, release.segment, release.withdrawn, ota.content, release.entry"
            " FROM release JOIN ota ON ota.id = release.ota WHERE release.branch = ? AND release.folded = ?",
            branch,
            version.lower(),
        )
        if not row:
            return None
        if row[0] != version:
            raise CaseCollisionError("version", version, row[0])
        return Filed(row[1], row[2], bool(row[3]), row[4], row[5])

    def equal(self, branch: int, version: str) -> str | None:
        """Find a version of a branch that is this one but for its spelling, withdrawn ones too."""
        row = self._one(
            "SELECT ota.version FROM release JOIN ota ON ota.id = release.ota"
            " WHERE release.branch = ? AND release.order_key >= ? AND release.order_key < ? LIMIT 1",
            branch,
            *bounds_of_equals(version),
        )
        return row[0] if row else None

    def insert(self, branch: int, segment: int, content: Content, entry: Entry) -> int:
        """File a release that is not there; returns its number."""
        number = self._insert(
            "INSERT INTO ota (name, version, branch, content) VALUES (?, ?, ?, ?)",
            content.package,
            content.version,
            content.branch,
            content.canonical().decode(),
        )
        self._insert(
            "INSERT INTO release (ota, branch, segment, folded, order_key, offered, blob, size, published, entry)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            number,
            branch,
            segment,
            content.version.lower(),
            sort_key(content.version),
            _is_offered(entry),
            entry.sha256,
            entry.size,
            entry.published,
            releases.fragment(entry),
        )
        return number

    def relist(self, filed: Filed, segment: int, entry: Entry) -> None:
        """Have a segment list a release that is there, with what its list says of it now."""
        text = releases.fragment(entry)
        if (filed.segment, filed.is_withdrawn, filed.entry) == (segment, False, text):
            return
        self._connection.execute(
            "UPDATE release SET segment = ?, offered = ?, published = ?, entry = ?, withdrawn = 0 WHERE ota = ?",
            (segment, _is_offered(entry), entry.published, text, filed.number),
        )

    def withdraw(self, numbers: Iterable[int], segment: int) -> None:
        """Take releases out of their list; their content.json stay, and nothing else ever gets their versions."""
        self._connection.executemany(
            "UPDATE release SET withdrawn = 1, offered = 0, segment = ? WHERE ota = ?",
            ((segment, number) for number in numbers),
        )

    def listed(self, segment: int) -> set[int]:
        """Return the releases that a segment lists."""
        rows = self._connection.execute("SELECT ota FROM release WHERE segment = ? AND NOT withdrawn", (segment,))
        return {number for (number,) in rows}

    def head(self, branch: int) -> int:
        """Return the segment that is the list itself."""
        return int(self._row("SELECT id FROM segment WHERE branch = ? AND highest IS NULL", branch)[0])

    def older(self, branch: int) -> dict[int, str]:
        """Return the older segments, the highest first, each with its element of `older`."""
        rows = self._connection.execute(
            "SELECT id, reference FROM segment WHERE branch = ? AND highest IS NOT NULL ORDER BY highest DESC",
            (branch,),
        )
        return dict(rows.fetchall())

    def segment_for(self, branch: int, version: str) -> int:
        """Find where a version belongs: the lowest segment that reaches up to it, else the list itself."""
        row = self._one(
            "SELECT id FROM segment WHERE branch = ? AND highest >= ? ORDER BY highest LIMIT 1",
            branch,
            sort_key(version),
        )
        return int(row[0]) if row else self.head(branch)

    def make_segment(self, branch: int, highest: bytes) -> int:
        """Make an older segment, for versions up to the one with this order key."""
        return self._insert("INSERT INTO segment (branch, highest) VALUES (?, ?)", branch, highest)

    def remove_segments(self, numbers: Collection[int]) -> None:
        """Remove segments that list nothing any more."""
        self._supersede(dict.fromkeys(numbers, ""))
        self._connection.executemany("DELETE FROM segment WHERE id = ?", ((number,) for number in numbers))

    def set_frame(self, segment: int, frame: Mapping[str, Any]) -> None:
        """Keep a list's own further keys."""
        self._connection.execute("UPDATE segment SET frame = ? WHERE id = ?", (json.dumps(frame), segment))

    def refer(self, branch: int, references: Mapping[int, Segment]) -> None:
        """Keep what a list says of these older segments, and the whole of its `older`."""
        self._supersede({number: part.sha256 for number, part in references.items()})
        self._connection.executemany(
            "UPDATE segment SET reference = ? WHERE id = ?",
            ((releases.fragment(part), number) for number, part in references.items()),
        )
        older = ",".join(self.older(branch).values())
        self._connection.execute("UPDATE branch SET older = ? WHERE id = ?", (older, branch))

    def _supersede(self, segments: Mapping[int, str]) -> None:
        """Note the files of segments that are others from now on; "" stands for none."""
        for number, sha256 in segments.items():
            row = self._one(
                "SELECT branch.package, branch.name, segment.reference"
                " FROM segment JOIN branch ON branch.id = segment.branch WHERE segment.id = ?",
                number,
            )
            before = json.loads(row[2])["sha256"] if row and row[2] else ""
            if before not in {"", sha256}:
                Superseded(self._connection).add(layout.hashed_release_list(row[0], row[1], before))

    def split(self, branch: int, segment: int) -> set[int]:
        """Keep a segment within bounds; returns the new segment, if one had to be made."""
        (count,) = self._row("SELECT count(*) FROM release WHERE segment = ? AND NOT withdrawn", segment)
        if count <= releases.MOST:
            return set()
        (highest,) = self._row(
            "SELECT order_key FROM release WHERE segment = ? AND NOT withdrawn ORDER BY order_key LIMIT 1 OFFSET ?",
            segment,
            releases.CUT - 1,
        )
        lower = self.make_segment(branch, highest)
        self._connection.execute(
            "UPDATE release SET segment = ? WHERE segment = ? AND NOT withdrawn AND order_key <= ?",
            (lower, segment, highest),
        )
        return {lower}

    def _one(self, statement: str, *values: object) -> Any:
        return self._connection.execute(statement, values).fetchone()

    def _row(self, statement: str, *values: object) -> Any:
        row = self._one(statement, *values)
        if row is None:
            raise RuntimeError(f"the catalogue has no row for {statement!r}")
        return row

    def _insert(self, statement: str, *values: object) -> int:
        number = self._connection.execute(statement, values).lastrowid
        if number is None:
            raise RuntimeError("nothing was inserted")
        return number


def _identity(entry: Entry) -> tuple[object, ...]:
    return entry.version, entry.content, entry.sha256, entry.size, dict(entry.dependencies)


def _is_offered(entry: Entry) -> bool:
    return entry.yanked is None and entry.rollout is None

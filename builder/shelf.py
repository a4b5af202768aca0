"""How releases are filed in the catalogue: in branches, and there in a list and its older segments.

Every release of a branch belongs to one segment by its version; the segment without an upper end is the list itself.
A segment that would hold more than `releases.MOST` gives its lowest `releases.CUT` to a new one. So the work of
filing one release, and of rendering what it changed, does not grow with the branch.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from builder.errors import CaseCollisionError, VersionConflictError
from mirror import releases
from mirror.version import sort_key

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Mapping, Sequence

    from mirror.content import Content
    from mirror.releases import Entry, Segment


@dataclass(frozen=True, slots=True)
class Shelf:
    """One segment as rendering needs it.

    Attributes:
        frame: the list's own further keys, `needs` among them.
        entries: its elements of `releases`, rendered, highest version first.
    """

    number: int
    package: str
    branch: str
    frame: Mapping[str, Any]
    entries: tuple[str, ...]

    @property
    def ends(self) -> tuple[str, str]:
        """The lowest and the highest version in it."""
        return json.loads(self.entries[-1])["version"], json.loads(self.entries[0])["version"]


@dataclass(frozen=True, slots=True)
class Head:
    """A branch as rendering its pointers needs it: the list, what is older, and the highest offered content."""

    shelf: Shelf
    older: str
    offered: str | None


class Shelves:
    """What changes in the branches during one transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._changed: dict[int, set[int]] = {}

    def add(self, content: Content, entry: Entry) -> bool:
        """File a release; tells whether it is new.

        Raises:
            VersionConflictError: the version is there with another content.
            CaseCollisionError: package, branch or version differ from an existing one only in case.
        """
        found = self._find_branch(content)
        if found is not None and self._is_known(found, content):
            return False
        # all checks are behind us, so a refusal never leaves half a release in the transaction
        branch = found if found is not None else self._make_branch(content)
        key = sort_key(content.version)
        segment = self._segment(branch, key)
        self._insert(branch, segment, key, content, entry)
        self._changed.setdefault(branch, set()).update({segment, *self._split(branch, segment)})
        self._connection.execute(
            "UPDATE package SET stale = (SELECT number + 1 FROM publish) WHERE folded = ?", (content.package.lower(),)
        )
        return True

    def restore(
        self,
        frame: Mapping[str, Any],
        members: Sequence[tuple[Content, Entry]],
        reference: Segment | None = None,
    ) -> int:
        """File a whole segment as a mirror has it, the list itself where there is no reference; returns the branch.

        Older segments come first, then the list, each with the bounds that it has on the mirror.

        Raises:
            CaseCollisionError: package or branch differ from an existing one only in case.
        """
        sample = members[0][0]
        found = self._find_branch(sample)
        branch = found if found is not None else self._make_branch(sample)
        if reference is None:
            (segment,) = self._row("SELECT id FROM segment WHERE branch = ? AND highest IS NULL", branch)
        else:
            highest = sort_key(reference.to_version)
            segment = self._insert_row("INSERT INTO segment (branch, highest) VALUES (?, ?)", branch, highest)
            self.refer(branch, {segment: reference})
        self._connection.execute("UPDATE segment SET frame = ? WHERE id = ?", (json.dumps(frame), segment))
        for content, entry in members:
            self._insert(branch, segment, sort_key(content.version), content, entry)
        return branch

    def changed(self) -> Iterator[int]:
        """Yield the branches in which something changed."""
        yield from sorted(self._changed)

    def changed_older(self, branch: int) -> list[Shelf]:
        """Return the older segments of a branch that changed; the others are not even looked at."""
        (head,) = self._row("SELECT id FROM segment WHERE branch = ? AND highest IS NULL", branch)
        return [self._shelf(number) for number in sorted(self._changed[branch] - {head})]

    def branches(self) -> list[int]:
        """Return all branches."""
        rows = self._connection.execute("SELECT id FROM branch ORDER BY package, name")
        return [number for (number,) in rows]

    def older(self, branch: int) -> Iterator[Shelf]:
        """Yield all older segments of a branch."""
        rows = self._connection.execute(
            "SELECT id FROM segment WHERE branch = ? AND highest IS NOT NULL ORDER BY highest DESC", (branch,)
        ).fetchall()
        return (self._shelf(number) for (number,) in rows)

    def refer(self, branch: int, references: Mapping[int, Segment]) -> None:
        """Keep what the list of a branch says of its changed older segments."""
        if not references:
            return
        self._connection.executemany(
            "UPDATE segment SET reference = ? WHERE id = ?",
            ((releases.fragment(segment), number) for number, segment in references.items()),
        )
        rows = self._connection.execute(
            "SELECT reference FROM segment WHERE branch = ? AND highest IS NOT NULL ORDER BY highest DESC",
            (branch,),
        )
        older = ",".join(reference for (reference,) in rows)
        self._connection.execute("UPDATE branch SET older = ? WHERE id = ?", (older, branch))

    def head(self, branch: int) -> Head:
        """Return what the pointers of a branch are rendered from."""
        number, older = self._connection.execute(
            "SELECT segment.id, branch.older FROM branch JOIN segment ON segment.branch = branch.id"
            " WHERE branch.id = ? AND segment.highest IS NULL",
            (branch,),
        ).fetchone()
        offered = self._connection.execute(
            "SELECT ota.content FROM release JOIN ota ON ota.id = release.ota"
            " WHERE release.branch = ? AND release.offered ORDER BY release.order_key DESC LIMIT 1",
            (branch,),
        ).fetchone()
        return Head(self._shelf(number), older, offered[0] if offered else None)

    def contents(self, branch: int) -> Iterator[tuple[str, str]]:
        """Yield version and content of every release of a branch."""
        yield from self._connection.execute(
            "SELECT ota.version, ota.content FROM release JOIN ota ON ota.id = release.ota WHERE release.branch = ?",
            (branch,),
        )

    def _find_branch(self, content: Content) -> int | None:
        package = self._one("SELECT name FROM package WHERE folded = ?", content.package.lower())
        if package and package[0] != content.package:
            raise CaseCollisionError("package", content.package, package[0])
        branch = self._one(
            "SELECT name, id FROM branch WHERE package = ? AND folded = ?",
            content.package,
            content.branch.lower(),
        )
        if branch and branch[0] != content.branch:
            raise CaseCollisionError("branch", content.branch, branch[0])
        return branch[1] if branch else None

    def _is_known(self, branch: int, content: Content) -> bool:
        row = self._one(
            "SELECT ota.version, ota.content FROM release JOIN ota ON ota.id = release.ota"
            " WHERE release.branch = ? AND release.folded = ?",
            branch,
            content.version.lower(),
        )
        if not row:
            return False
        if row[0] != content.version:
            raise CaseCollisionError("version", content.version, row[0])
        if row[1].encode() != content.canonical():
            raise VersionConflictError(content.package, content.branch, content.version)
        return True

    def _make_branch(self, content: Content) -> int:
        package, branch = content.package, content.branch
        self._connection.execute("INSERT OR IGNORE INTO package VALUES (?, ?, 1)", (package.lower(), package))
        number = self._insert_row(
            "INSERT INTO branch (package, name, folded) VALUES (?, ?, ?)", package, branch, branch.lower()
        )
        self._insert_row("INSERT INTO segment (branch) VALUES (?)", number)
        return number

    def _segment(self, branch: int, key: bytes) -> int:
        """Find where a version belongs: the lowest segment that reaches up to it, else the list itself."""
        row = self._one(
            "SELECT id FROM segment WHERE branch = ? AND highest >= ? ORDER BY highest LIMIT 1", branch, key
        ) or self._one("SELECT id FROM segment WHERE branch = ? AND highest IS NULL", branch)
        if row is None:
            raise RuntimeError(f"branch {branch} has no list")
        return int(row[0])

    def _insert(self, branch: int, segment: int, key: bytes, content: Content, entry: Entry) -> None:
        number = self._insert_row(
            "INSERT INTO ota (name, version, branch, content) VALUES (?, ?, ?, ?)",
            content.package,
            content.version,
            content.branch,
            content.canonical().decode(),
        )
        offered = entry.yanked is None and entry.rollout is None
        self._insert_row(
            "INSERT INTO release VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            number,
            branch,
            segment,
            content.version.lower(),
            key,
            offered,
            entry.sha256,
            entry.size,
            entry.published,
            releases.fragment(entry),
        )

    def _split(self, branch: int, segment: int) -> set[int]:
        """Keep a segment within bounds; returns the new segment, if one had to be made."""
        (count,) = self._row("SELECT count(*) FROM release WHERE segment = ?", segment)
        if count <= releases.MOST:
            return set()
        (highest,) = self._row(
            "SELECT order_key FROM release WHERE segment = ? ORDER BY order_key LIMIT 1 OFFSET ?",
            segment,
            releases.CUT - 1,
        )
        lower = self._insert_row("INSERT INTO segment (branch, highest) VALUES (?, ?)", branch, highest)
        self._connection.execute(
            "UPDATE release SET segment = ? WHERE segment = ? AND order_key <= ?", (lower, segment, highest)
        )
        return {lower}

    def _shelf(self, number: int) -> Shelf:
        package, branch, frame = self._row(
            "SELECT branch.package, branch.name, segment.frame"
            " FROM segment JOIN branch ON branch.id = segment.branch WHERE segment.id = ?",
            number,
        )
        rows = self._connection.execute(
            "SELECT entry FROM release WHERE segment = ? ORDER BY order_key DESC", (number,)
        )
        return Shelf(number, package, branch, json.loads(frame), tuple(entry for (entry,) in rows))

    def _one(self, statement: str, *values: object) -> Any:
        return self._connection.execute(statement, values).fetchone()

    def _row(self, statement: str, *values: object) -> Any:
        row = self._one(statement, *values)
        if row is None:
            raise RuntimeError(f"the catalogue has no row for {statement!r}")
        return row

    def _insert_row(self, statement: str, *values: object) -> int:
        number = self._connection.execute(statement, values).lastrowid
        if number is None:
            raise RuntimeError("nothing was inserted")
        return number

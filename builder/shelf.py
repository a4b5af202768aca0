"""How releases are filed in the catalogue: in branches, and there in a list and its older segments.

Every release of a branch belongs to one segment by its version; the segment without an upper end is the list itself.
A segment that would hold more than `releases.MOST` gives its lowest `releases.CUT` to a new one. So the work of
filing one release, and of rendering what it changed, does not grow with the branch. The list of a claimed package is
its publisher's: it is taken as it is, with its segments.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from builder.errors import StatementError, VersionConflictError
from builder.filing import Filing
from mirror import releases
from mirror.version import sort_key

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Mapping

    from builder.filing import Filed
    from mirror.content import Content
    from mirror.releases import Entry, ReleaseList, Segment


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
    """What changes in the branches during one transaction.

    Args:
        connection: to the catalogue.
        is_rebuilding: whether all that is filed was accepted before. Versions that are one but for their spelling may
            have been, and stay valid.
    """

    def __init__(self, connection: sqlite3.Connection, *, is_rebuilding: bool = False) -> None:
        self._connection = connection
        self._is_rebuilding = is_rebuilding
        self._filing = Filing(connection)
        self._changed: dict[int, set[int]] = {}

    def add(self, content: Content, entry: Entry) -> bool:
        """File a release; tells whether that changed anything.

        Raises:
            VersionConflictError: the version is there with another content, or in another spelling.
            CaseCollisionError: package, branch or version differ from an existing one only in case.
        """
        branch = self._filing.find_branch(content.package, content.branch)
        filed = self._find(branch, content)
        if filed and not filed.is_withdrawn:
            return False
        # all checks are behind us, so a refusal never leaves half a release in the transaction
        if branch is None:
            branch = self._filing.make_branch(content.package, content.branch)
        segment = self._filing.segment_for(branch, content.version)
        if filed:
            self._filing.relist(filed, segment, entry)
        else:
            self._filing.insert(branch, segment, content, entry)
        self._touch(branch, segment, *self._filing.split(branch, segment))
        self._filing.mark_stale(content.package)
        return True

    def add_withdrawn(self, content: Content, entry: Entry) -> bool:
        """File a release that its publisher took out of the list; tells whether it was not there.

        Raises:
            VersionConflictError: the version is there with another content.
            CaseCollisionError: package, branch or version differ from an existing one only in case.
        """
        branch = self.branch(content.package, content.branch)
        if self._find(branch, content):
            return False
        number = self._filing.insert(branch, self._filing.head(branch), content, entry)
        self._filing.withdraw([number], self._filing.head(branch))
        return True

    def take(self, newest: ReleaseList, segments: Mapping[str, ReleaseList], contents: Mapping[str, Content]) -> None:
        """Make a branch exactly what a list says; what it does not name any more is withdrawn.

        Args:
            newest: the list.
            segments: by hash, its older segments; those that the branch has already may be left out.
            contents: by version, those of releases that may be new.

        Raises:
            StatementError: a segment or a content is missing, or the content is not the one that the list names.
            VersionConflictError: the list says of a release what it never was, or has a version in another spelling.
            CaseCollisionError: package, branch or a version differ from an existing one only in case.
        """
        filing, branch = self._filing, self.branch(newest.package, newest.branch)
        head, had = filing.head(branch), _by_hash(filing.older(branch))
        gone = {number for sha256, number in had.items() if sha256 not in {part.sha256 for part in newest.older}}
        left = set().union(*(filing.listed(number) for number in (head, *gone)))
        references: dict[int, Segment] = {}
        for part in newest.older:
            number = had.get(part.sha256)
            if number is None:
                number = filing.make_segment(branch, sort_key(part.to_version))
                left -= self._fill(branch, number, _sent(part, segments), contents)
                self._touch(branch, number)
            references[number] = part
        left -= self._fill(branch, head, newest, contents)
        self._touch(branch, head)
        self._changed[branch] -= gone
        filing.withdraw(left, head)
        filing.remove_segments(gone)
        filing.refer(branch, references)
        filing.mark_stale(newest.package)

    @contextlib.contextmanager
    def trial(self) -> Iterator[None]:
        """Undo what is filed inside, and whatever else is changed in the catalogue, if that ends in an error."""
        before = {branch: set(segments) for branch, segments in self._changed.items()}
        self._connection.execute("SAVEPOINT trial")
        try:
            yield
        except Exception:
            if self._connection.in_transaction:  # otherwise SQLite has undone all of it, as it does on a full disk
                self._connection.execute("ROLLBACK TO trial")
                self._connection.execute("RELEASE trial")
            self._changed = before
            raise
        self._connection.execute("RELEASE trial")

    def changed(self) -> Iterator[int]:
        """Yield the branches in which something changed."""
        yield from sorted(self._changed)

    def changed_older(self, branch: int) -> list[Shelf]:
        """Return the older segments of a branch that changed; the others are not even looked at."""
        head = self._filing.head(branch)
        return [self._shelf(number) for number in sorted(self._changed[branch] - {head})]

    def branch(self, package: str, name: str) -> int:
        """Return a branch, which is made if it is not there.

        Raises:
            CaseCollisionError: package or branch differ from an existing one only in case.
        """
        branch = self._filing.find_branch(package, name)
        return self._filing.make_branch(package, name) if branch is None else branch

    def branches(self) -> list[int]:
        """Return all branches."""
        rows = self._connection.execute("SELECT id FROM branch ORDER BY package, name")
        return [number for (number,) in rows]

    def older(self, branch: int) -> Iterator[Shelf]:
        """Yield all older segments of a branch."""
        return (self._shelf(number) for number in self._filing.older(branch))

    def refer(self, branch: int, references: Mapping[int, Segment]) -> None:
        """Keep what the list of a branch says of its changed older segments, and what is not known here as it was."""
        if references:
            said = self._filing.older(branch)
            self._filing.refer(branch, {number: _renewed(said[number], part) for number, part in references.items()})

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
        """Yield version and content of every release of a branch, withdrawn ones too."""
        yield from self._connection.execute(
            "SELECT ota.version, ota.content FROM release JOIN ota ON ota.id = release.ota WHERE release.branch = ?",
            (branch,),
        )

    def _find(self, branch: int | None, content: Content) -> Filed | None:
        filed = self._filing.find(branch, content.version) if branch is not None else None
        if filed and filed.content.encode() != content.canonical():
            raise VersionConflictError(content.package, content.branch, content.version)
        if filed is None and branch is not None:
            self._refuse_equal(branch, content)
        return filed

    def _refuse_equal(self, branch: int, content: Content) -> None:
        """Raise if a new release has the version of another, written in another way."""
        existing = None if self._is_rebuilding else self._filing.equal(branch, content.version)
        if existing:
            raise VersionConflictError(content.package, content.branch, content.version, existing)

    def _fill(self, branch: int, segment: int, part: ReleaseList, contents: Mapping[str, Content]) -> set[int]:
        """Have a segment list what a part of a list names; returns these releases."""
        self._filing.set_frame(segment, part.frame())
        return {self._list(branch, segment, part, entry, contents) for entry in part.releases}

    def _list(self, branch: int, segment: int, part: ReleaseList, entry: Entry, contents: Mapping[str, Content]) -> int:
        if filed := self._filing.find(branch, entry.version):
            if not filed.is_same(entry):
                raise VersionConflictError(part.package, part.branch, entry.version)
            self._filing.relist(filed, segment, entry)
            return filed.number
        content = contents.get(entry.version)
        if content is None:
            raise StatementError(f"the list names {entry.version}, which is not on the mirror: push it with its file")
        if (entry.content, entry.sha256) != (content.digest, content.sha256):
            raise StatementError(f"what the list says of {entry.version} is not what came with it")
        self._refuse_equal(branch, content)
        return self._filing.insert(branch, segment, content, entry)

    def _touch(self, branch: int, *segments: int) -> None:
        self._changed.setdefault(branch, set()).update(segments)

    def _shelf(self, number: int) -> Shelf:
        package, branch, frame = self._connection.execute(
            "SELECT branch.package, branch.name, segment.frame"
            " FROM segment JOIN branch ON branch.id = segment.branch WHERE segment.id = ?",
            (number,),
        ).fetchone()
        rows = self._connection.execute(
            "SELECT entry FROM release WHERE segment = ? AND NOT withdrawn ORDER BY order_key DESC", (number,)
        )
        return Shelf(number, package, branch, json.loads(frame), tuple(entry for (entry,) in rows))


def _by_hash(older: Mapping[int, str]) -> dict[str, int]:
    return {json.loads(said)["sha256"]: number for number, said in older.items()}


def _sent(part: Segment, segments: Mapping[str, ReleaseList]) -> ReleaseList:
    if part.sha256 not in segments:
        raise StatementError(f"the list names the segment {part.sha256}, which the mirror does not have: send it too")
    return segments[part.sha256]


def _renewed(said: str, part: Segment) -> Segment:
    kept = releases.parse_reference(json.loads(said)).extra if said else {}
    return replace(part, extra={**kept, **part.extra})

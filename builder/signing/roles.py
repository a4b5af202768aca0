"""The roles of one site as the catalogue keeps them: versions that only grow, roots, and whose target each list is.

Whatever is signed has its version reserved here in the transaction that puts its bytes into the outbox; so a version
is never signed again with other bytes. Signatures are made elsewhere.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from builder.superseded import Superseded
from mirror import layout, trust

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator


@dataclass(frozen=True, slots=True)
class Role:
    """One role at its newest version.

    Attributes:
        expires: as metadata writes it.
        data: its file; None for one that is made anew with every signature.
        active: whether somebody delegates to it; snapshots name it in any case.
    """

    name: str
    version: int
    expires: str
    data: bytes | None
    active: bool

    @property
    def signed(self) -> dict[str, Any]:
        """What is signed in its file."""
        return signed(self.data or b"")


@dataclass(frozen=True, slots=True)
class Root:
    """One version of the root.

    Attributes:
        bridged: since when what is published verifies under it, in seconds since 1970; None before.
        published: since when devices can have it; None before.
        settled: nothing is signed for the root before it any more.
        longest_age: for how many seconds a cache may keep something, at most, while it replaces the one before.
    """

    version: int
    data: bytes
    bridged: float | None
    published: float | None
    settled: bool
    longest_age: float

    @property
    def signed(self) -> dict[str, Any]:
        """What is signed in its file."""
        return signed(self.data)


@dataclass(frozen=True, slots=True)
class Target:
    """A release list as metadata names it."""

    path: str
    sha256: str
    size: int


class Roles:
    """The tables of trust; changes belong into a transaction of their caller's."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.superseded = Superseded(connection)

    def get(self, name: str) -> Role | None:
        """Return a role; None if it never was."""
        row = self._one("SELECT name, version, expires, data, active FROM role WHERE name = ?", name)
        return _role(row) if row else None

    def all(self) -> list[Role]:
        """Return every role but the root, without the files."""
        rows = self._connection.execute("SELECT name, version, expires, NULL, active FROM role ORDER BY name")
        return [_role(row) for row in rows]

    def versions(self) -> dict[str, int]:
        """Return what a snapshot says: the version of every role with targets, retired ones too."""
        rows = self._connection.execute(
            "SELECT name, version FROM role WHERE name NOT IN (?, ?) ORDER BY name", (trust.SNAPSHOT, trust.TIMESTAMP)
        )
        return dict(rows.fetchall())

    def reserve(self, name: str, expires: str, data: bytes | None = None) -> int:
        """Take the next version of a role, which is active from now on; returns it."""
        row = self._one(
            "INSERT INTO role (name, version, expires, data) VALUES (?, 1, ?, ?) ON CONFLICT (name) DO UPDATE"
            " SET version = version + 1, expires = excluded.expires, data = excluded.data, active = 1"
            " RETURNING version",
            name,
            expires,
            data,
        )
        version = int(row[0])
        if version > 1 and name != trust.TIMESTAMP:
            self.superseded.add(layout.metadata(name, version - 1))
        return version

    def set(self, name: str, version: int, expires: str, data: bytes | None, *, active: bool = True) -> None:
        """Keep a role that others signed, or what a mirror has of one; its version never falls."""
        before = self.get(name)
        if before and before.version < version and name != trust.TIMESTAMP:
            self.superseded.add(layout.metadata(name, before.version))
        self._connection.execute(
            "INSERT INTO role (name, version, expires, data, active) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (name) DO UPDATE SET version = max(version, excluded.version), expires = excluded.expires,"
            " data = excluded.data, active = excluded.active",
            (name, version, expires, data, active),
        )

    def keep(self, name: str, data: bytes) -> None:
        """Keep the file of the version that was reserved last."""
        self._connection.execute("UPDATE role SET data = ? WHERE name = ?", (data, name))

    def retire(self, names: Iterable[str]) -> None:
        """Have nobody delegate to these roles any more."""
        self._connection.executemany("UPDATE role SET active = 0 WHERE name = ?", ((name,) for name in names))

    def claims(self, package: str) -> bool:
        """Tell whether a package is claimed by its publisher."""
        return self._one("SELECT 1 FROM role WHERE name = ? AND active", trust.package_role(package)) is not None

    def roots(self) -> list[Root]:
        """Return every root, the newest first."""
        rows = self._connection.execute(
            "SELECT version, data, bridged, published, settled, longest_age FROM root ORDER BY version DESC"
        )
        return [_root(row) for row in rows]

    def newest_roots(self) -> list[Root]:
        """Return the roots that signatures may have to please: at most the newest three, the newest first."""
        rows = self._connection.execute(
            "SELECT version, data, bridged, published, settled, longest_age FROM root ORDER BY version DESC LIMIT 3"
        )
        return [_root(row) for row in rows]

    def add_root(self, version: int, data: bytes, bridged: float | None, published: float | None) -> None:
        """Keep a root; one that is there stays as it is."""
        self._connection.execute(
            "INSERT OR IGNORE INTO root (version, data, bridged, published) VALUES (?, ?, ?, ?)",
            (version, data, bridged, published),
        )

    def root_waits_for(self, longest_age: float) -> None:
        """Remember for how many seconds caches may keep things while a root replaces another; the greatest counts."""
        self._connection.execute(
            "UPDATE root SET longest_age = max(longest_age, ?1) WHERE NOT settled AND longest_age < ?1", (longest_age,)
        )

    def root_is_published(self, version: int, since: float) -> None:
        """Remember since when devices can have a root."""
        self._connection.execute("UPDATE root SET published = ? WHERE version = ?", (since, version))

    def root_is_settled(self, version: int) -> None:
        """Remember that nothing is signed for the root before this one any more."""
        self._connection.execute("UPDATE root SET settled = 1 WHERE version <= ?", (version,))

    def list_of(self, package: str, branch: str) -> tuple[str, Target] | None:
        """Return whose target the list of a branch is, and the list; None if none was signed for yet."""
        row = self._one(
            "SELECT role, list_sha256, list_size FROM branch WHERE package = ? AND name = ? AND role != ''",
            package,
            branch,
        )
        return (row[0], Target(layout.release_list(package, branch), row[1], row[2])) if row else None

    def set_list(self, package: str, branch: str, role: str, sha256: str, size: int) -> None:
        """Say whose target the list of a branch is, and which bytes it has."""
        before = self.list_of(package, branch)
        if before and before[1].sha256 != sha256:
            self.superseded.add(layout.hashed_release_list(package, branch, before[1].sha256))
        self._connection.execute(
            "UPDATE branch SET role = ?, list_sha256 = ?, list_size = ? WHERE package = ? AND name = ?",
            (role, sha256, size, package, branch),
        )

    def move(self, package: str, branch: str, role: str) -> None:
        """Make the list of a branch another role's target."""
        self._connection.execute("UPDATE branch SET role = ? WHERE package = ? AND name = ?", (role, package, branch))

    def targets(self, role: str) -> Iterator[Target]:
        """Yield the targets of a role, by path."""
        rows = self._connection.execute(
            "SELECT package, name, list_sha256, list_size FROM branch WHERE role = ? ORDER BY package, name", (role,)
        )
        return (Target(layout.release_list(package, name), sha256, size) for package, name, sha256, size in rows)

    def lists(self, package: str | None = None) -> list[tuple[str, str, str]]:
        """Return package, branch and role of the lists of a package, or of all."""
        return self._connection.execute(
            "SELECT package, name, role FROM branch WHERE ?1 IS NULL OR package = ?1 ORDER BY package, name", (package,)
        ).fetchall()

    def _one(self, statement: str, *values: object) -> Any:
        return self._connection.execute(statement, values).fetchone()


def signed(data: bytes) -> dict[str, Any]:
    """Return what is signed in a file of metadata of our own."""
    part: dict[str, Any] = json.loads(data)["signed"]
    return part


def _role(row: Any) -> Role:
    name, version, expires, data, active = row
    return Role(name, version, expires, data, bool(active))


def _root(row: Any) -> Root:
    version, data, bridged, published, settled, longest_age = row
    return Root(version, data, bridged, published, bool(settled), longest_age)

"""What can go wrong while a mirror is written, split by who has to act."""

from __future__ import annotations

import errno
import sqlite3
from typing import TYPE_CHECKING

from mirror.errors import NoArchiveError, OperatorError, PublisherError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mirror.errors import InvalidArchiveError


class SiteError(OperatorError):
    """The settings of the site are not usable as they are.

    Attributes:
        file: the file of settings.
        problems: all that is wrong with it, a sentence each.
    """

    code = "site"

    def __init__(self, file: Path, problems: Sequence[str]) -> None:
        super().__init__("\n".join(f"{file}: {problem}" for problem in problems))
        self.file = file
        self.problems = tuple(problems)


class PlacementError(OperatorError):
    """Two folders must be on one file system, and are not."""

    code = "placement"

    def __init__(self, key: str, folder: Path, other: Path) -> None:
        super().__init__(
            f"{folder} must be on the file system of {other}, so that files move between them by rename: "
            f"set `{key}` in site.toml"
        )


class PrivacyError(OperatorError):
    """A folder that only the service may enter belongs to somebody else, or is open to others."""

    code = "privacy"

    def __init__(self, folder: Path, problem: str) -> None:
        super().__init__(
            f"{folder} {problem}; nobody but the user that runs otamirror may enter it. Another folder can be named in "
            "site.toml, [paths]"
        )


class CatalogueError(OperatorError):
    """The catalogue cannot be used: it is missing, of a newer version, or not a catalogue."""

    code = "catalogue"


class NotACatalogueError(CatalogueError):
    """The file is no catalogue at all, or so damaged that SQLite does not know it."""


class LostCatalogueError(CatalogueError):
    """The catalogue is gone, or empty, while the mirror holds releases."""

    def __init__(self, path: Path, found: str) -> None:
        super().__init__(
            f"{path} is {found}, but the mirror holds releases: the catalogue was lost; put it back from a backup, or "
            "run `otamirror recover`"
        )


class MirrorError(OperatorError):
    """The mirror's files are not what the catalogue says."""

    code = "mirror"


class KeysError(OperatorError):
    """A key is missing, cannot be used, or may not do what is asked of it."""

    code = "keys"
    status_hint = 503


class ClockError(OperatorError):
    """The machine's clock cannot be right, so nothing is signed by it."""

    code = "clock"
    status_hint = 503


class DropError(PublisherError):
    """What lies in the inbox is not a content.json and one regular file."""

    code = "drop"


class TooLargeError(PublisherError):
    """The package is larger than the site takes."""

    code = "too-large"
    status_hint = 413


class UnusableArchiveError(PublisherError):
    """The package of a folder is no archive that devices unpack."""

    code = "archive"

    def __init__(self, local: str, problem: InvalidArchiveError) -> None:
        """Say what is wrong with the package that is to go to the folder `local`."""
        advice = (
            "give the folder itself to `otamirror pack` or `push`, which make an archive of it; or leave the / out"
            if isinstance(problem, NoArchiveError)
            else "make it anew without that"
        )
        super().__init__(f"the package cannot be unpacked into the folder {local} on any device: {problem}; {advice}")


class HashMismatchError(PublisherError):
    """The bytes are not those that content.json names.

    Attributes:
        stated: the SHA-256 in content.json.
        actual: the SHA-256 of the bytes that came.
    """

    code = "hash-mismatch"
    status_hint = 304

    def __init__(self, stated: str, actual: str, size: int) -> None:
        super().__init__(
            f"the file's SHA-256 is {actual} ({size} bytes), but content.json says {stated}: "
            "either the file was damaged on the way, or content.json is of another file; "
            "make it again with `otamirror pack`"
        )
        self.stated = stated
        self.actual = actual


class VersionConflictError(PublisherError):
    """The version exists already: with other bytes, another content.json, or in another spelling.

    Attributes:
        existing: the version as it was published, such as 1.2 where v1.2 or 1.2.0 is refused.
    """

    code = "version-conflict"
    status_hint = 409

    def __init__(self, package: str, branch: str, version: str, existing: str = "") -> None:
        self.existing = existing or version
        if self.existing == version:
            found = f"{package} {version} on {branch} was published before with other bytes or another content.json"
        else:
            found = f"{package} {version} on {branch} is the same version as {existing}, which was published before"
        super().__init__(f"{found}; a release never changes: publish it under a new version")


class CaseCollisionError(PublisherError):
    """A name differs from an existing one only in upper and lower case."""

    code = "case-collision"

    def __init__(self, what: str, given: str, existing: str) -> None:
        super().__init__(
            f"the {what} {given!r} differs from the existing {existing!r} only in case; "
            f"use {existing!r} or another name"
        )
        self.existing = existing


class NotClaimedError(PublisherError):
    """A signed list came for a package that nobody claimed."""

    code = "not-claimed"

    def __init__(self, package: str) -> None:
        super().__init__(
            f"{package} is not claimed here, so nobody's signature counts for it: push it without a key, "
            "or have the mirror's operator claim it for you (`otamirror keys claim`)"
        )


class ClaimedError(PublisherError):
    """A release came without the signed list that its claimed package needs."""

    code = "claimed"
    status_hint = 403

    def __init__(self, package: str) -> None:
        super().__init__(
            f"{package} is claimed by its publisher, who signs each of its releases: use `otamirror push --key`"
        )


class StatementError(PublisherError):
    """What a publisher signed, list or role, cannot be taken as it is."""

    code = "statement"


class SignatureError(PublisherError):
    """A role is not signed by enough of the keys that its package was claimed with."""

    code = "signature"
    status_hint = 403


class StaleRoleError(PublisherError):
    """A role is not the next one after the current: another came first, or an old one was signed on.

    Attributes:
        version: the current one.
    """

    code = "stale-role"
    status_hint = 409

    def __init__(self, role: str, version: int, given: int) -> None:
        super().__init__(
            f"{role} has version {version} here, so version {version + 1} is the next, not {given}: "
            "fetch it, make the change again, and sign that"
        )
        self.version = version

    def as_json(self) -> dict[str, object]:
        """Return what happened, with the current version, which can be fetched by its name at once."""
        return {**super().as_json(), "version": self.version}


def in_words(error: Exception) -> str:
    """Return what a person can do about an error of the system or of the catalogue."""
    if isinstance(error, OSError) and error.errno in _NO_ROOM and error.filename != "standard output":
        where = f" for {error.filename}" if error.filename else ""
        return f"there is no room{where} ({error.strerror}): make room on that file system; nothing was lost"
    if isinstance(error, sqlite3.Error) and not isinstance(error, sqlite3.ProgrammingError):
        return f"the catalogue cannot be used: {catalogue_trouble(error)}"
    return str(error)


def catalogue_trouble(error: sqlite3.Error) -> str:
    """Return what SQLite says, and what to do about it."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return f"{error}; {_ADVICE[code]}" if code in _ADVICE else str(error)


_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}
_ADVICE = {
    sqlite3.SQLITE_FULL: "make room on its file system; nothing was lost",
    sqlite3.SQLITE_IOERR: "its file system is full or failing: make room there, look at `dmesg`, then run it again",
    sqlite3.SQLITE_READONLY: "let the service's user write to it and to its folder",
    sqlite3.SQLITE_CANTOPEN: "let the service's user write to its folder, and see that it has room",
    sqlite3.SQLITE_BUSY: "another otamirror holds it for very long; see what that does",
}

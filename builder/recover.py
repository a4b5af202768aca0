"""Filling a catalogue from a mirror: one that was lost, or one from a backup that is older than the mirror.

Release lists say which releases there are, in which segments and since when; their content.json lie beside them. A
content.json that no list names is of a release that was accepted just before the catalogue was lost, or that its
publisher took out of the list: it must never change either, so it is taken too, with the time of its file.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from builder.catalogue import Catalogue
from builder.errors import MirrorError, NotACatalogueError
from builder.progress import silent
from builder.shelf import Shelves
from mirror import canonical, content, layout, releases, trust
from mirror.errors import OTAError, PublisherError
from mirror.releases import Entry

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from builder.progress import Progress
    from mirror.content import Content
    from mirror.files import Files
    from mirror.releases import ReleaseList, Segment

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Signed:
    """What a mirror's metadata says of its lists.

    Attributes:
        lists: by path, the SHA-256 of each list that is signed for.
        claimed: packages whose lists only their publishers may change.
    """

    lists: Mapping[str, str] = field(default_factory=dict)
    claimed: Collection[str] = ()


def merge(mirror: Path, catalogue: Catalogue, signed: Signed, now: datetime, progress: Progress = silent) -> None:
    """Make a catalogue know all that a mirror's folder holds at the time `now`, in the caller's transaction.

    Raises:
        MirrorError: files that lists name are missing or damaged.
    """
    shelves = Shelves(catalogue.connection, is_rebuilding=True)
    pointers = {path.relative_to(mirror).as_posix() for path in mirror.glob(layout.RELEASE_LISTS)}
    problems: list[str] = []
    with progress("reading release lists", len(pointers)) as advance:
        for path in sorted({*pointers, *signed.lists}):
            advance(1)
            name = layout.parse_release_list(path)
            if name is None or name.sha256 is not None:
                continue
            try:
                _take_branch(mirror, shelves, _newest(mirror, path, signed.lists.get(path)))
            except OTAError as error:
                problems.append(f"{name.package} on {name.branch}: {error}")
    if problems:
        raise MirrorError(
            "\n".join(problems) + "\nput these files back from another copy of the mirror, then recover again"
        )
    _take_unlisted(mirror, shelves, signed.claimed, now)


def set_aside(path: Path, files: Files) -> bool:
    """Move a catalogue that cannot be read, and what SQLite keeps beside one, out of the way; tells whether it did."""
    try:
        if path.exists():
            with Catalogue.open(path):
                return False
    except NotACatalogueError:
        pass
    left = [file for suffix in ("", "-wal", "-shm") if (file := path.with_name(path.name + suffix)).exists()]
    for file in left:
        files.rename(file, file.with_name(f"{file.name}.damaged"))
    if left:
        files.sync_folder(path.parent)
    return bool(left)


def _newest(mirror: Path, path: str, sha256: str | None) -> ReleaseList:
    """Read the list that is signed for; the pointer to it may be older, or of a mirror that was never signed."""
    name = layout.parse_release_list(path)
    hashed = layout.hashed_release_list(name.package, name.branch, sha256) if name and sha256 else ""
    if hashed and (mirror / hashed).exists():
        return _read_list(mirror, hashed, sha256)
    return _read_list(mirror, path)


def _take_branch(mirror: Path, shelves: Shelves, newest: ReleaseList) -> None:
    parts = {part.sha256: _read_segment(mirror, newest, part) for part in newest.older}
    contents = {
        entry.version: _read_content(mirror, part, entry)
        for part in (newest, *parts.values())
        for entry in part.releases
    }
    shelves.take(newest, parts, contents)


def _read_segment(mirror: Path, newest: ReleaseList, reference: Segment) -> ReleaseList:
    return _read_list(
        mirror, layout.hashed_release_list(newest.package, newest.branch, reference.sha256), reference.sha256
    )


def _read_list(mirror: Path, path: str, sha256: str | None = None) -> ReleaseList:
    try:
        data = (mirror / path).read_bytes()
    except FileNotFoundError:
        raise MirrorError(f"{path} is missing") from None
    if sha256 and canonical.digest(data) != sha256:
        raise MirrorError(f"{path} does not have the SHA-256 of its name")
    return releases.parse(data)


def _read_content(mirror: Path, part: ReleaseList, entry: Entry) -> Content:
    path = layout.get_version(part.package, part.branch, entry.version)
    try:
        data = (mirror / path).read_bytes()
    except FileNotFoundError:
        raise MirrorError(f"{path} is missing") from None
    if canonical.digest(data) != entry.content:
        raise MirrorError(f"{path} is not the content.json that the release list names")
    return content.parse(data).content


def _take_unlisted(mirror: Path, shelves: Shelves, claimed: Collection[str], now: datetime) -> None:
    for path, data in _contents(mirror):
        try:
            found = content.parse(data).content
            size = (mirror / layout.blob(found.sha256)).stat().st_size
            # a file's time may lie in the future, even beyond all that can be written down; a publish cannot
            published = trust.time(datetime.fromtimestamp(min(path.stat().st_mtime, now.timestamp()), UTC))
            entry = Entry(found.version, found.digest, found.sha256, size, published, found.dependencies)
            # only its publisher may put a release into a claimed package's list
            if found.package in claimed and shelves.add_withdrawn(found, entry):
                logger.info("%s is in no release list: its publisher withdrew it, and its version stays taken", path)
            elif found.package not in claimed and shelves.add(found, entry):
                logger.warning("%s is in no release list; taken as a release", path)
        except (PublisherError, FileNotFoundError) as error:
            logger.warning("%s is in no release list and was left out: %s", path, error)


def _contents(mirror: Path) -> Iterator[tuple[Path, bytes]]:
    for path in sorted(mirror.glob("getVersion/*/*/*.json")):
        if layout.parse_get_version(path.relative_to(mirror).as_posix()):
            yield path, path.read_bytes()

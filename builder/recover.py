"""Rebuilding a lost catalogue from a mirror.

Release lists say which releases there are, in which segments and since when; their content.json lie beside them. A
content.json that no list names is of a release that was accepted just before the catalogue was lost: it must never
change either, so it is taken too, with the time of its file.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from builder.catalogue import Catalogue
from builder.errors import CatalogueError, MirrorError, NotACatalogueError
from builder.progress import silent
from builder.shelf import Shelves
from mirror import canonical, content, layout, releases
from mirror.errors import OTAError, PublisherError
from mirror.releases import Entry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from builder.progress import Progress
    from mirror.content import Content
    from mirror.files import Files
    from mirror.releases import ReleaseList, Segment

logger = logging.getLogger(__name__)


def recover(mirror: Path, catalogue: Catalogue, progress: Progress = silent) -> int:
    """Fill an empty catalogue with what the mirror's folder holds; returns the number of releases.

    Raises:
        CatalogueError: the catalogue has releases already.
        MirrorError: files that lists name are missing or damaged; the catalogue stays empty.
    """
    if catalogue.count():
        raise CatalogueError(f"it has {catalogue.count()} releases already; nothing was lost, so nothing is recovered")
    problems: list[str] = []
    pointers = sorted(mirror.glob(layout.RELEASE_LISTS))
    with catalogue.transaction(), progress("reading release lists", len(pointers)) as advance:
        shelves = Shelves(catalogue.connection)
        for pointer in pointers:
            advance(1)
            name = layout.parse_release_list(pointer.relative_to(mirror).as_posix())
            if name is None or name.sha256 is not None:
                continue
            try:
                _take_branch(mirror, shelves, _read_list(mirror, layout.release_list(name.package, name.branch)))
            except OTAError as error:
                problems.append(f"{name.package} on {name.branch}: {error}")
        if problems:
            raise MirrorError(
                "\n".join(problems) + "\nput these files back from another copy of the mirror, then recover again"
            )
        _take_unlisted(mirror, shelves)
    return catalogue.count()


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


def _take_branch(mirror: Path, shelves: Shelves, newest: ReleaseList) -> None:
    for reference in newest.older:
        path = layout.hashed_release_list(newest.package, newest.branch, reference.sha256)
        segment = _read_list(mirror, path, reference)
        shelves.restore(segment.frame(), _releases(mirror, segment), reference)
    shelves.restore(newest.frame(), _releases(mirror, newest))


def _read_list(mirror: Path, path: str, reference: Segment | None = None) -> ReleaseList:
    try:
        data = (mirror / path).read_bytes()
    except FileNotFoundError:
        raise MirrorError(f"{path} is missing") from None
    if reference and canonical.digest(data) != reference.sha256:
        raise MirrorError(f"{path} does not have the SHA-256 of its name")
    return releases.parse(data)


def _releases(mirror: Path, part: ReleaseList) -> list[tuple[Content, Entry]]:
    return [(_read_content(mirror, part, entry), entry) for entry in part.releases]


def _read_content(mirror: Path, part: ReleaseList, entry: Entry) -> Content:
    path = layout.get_version(part.package, part.branch, entry.version)
    try:
        data = (mirror / path).read_bytes()
    except FileNotFoundError:
        raise MirrorError(f"{path} is missing") from None
    if canonical.digest(data) != entry.content:
        raise MirrorError(f"{path} is not the content.json that the release list names")
    return content.parse(data).content


def _take_unlisted(mirror: Path, shelves: Shelves) -> None:
    for path, data in _contents(mirror):
        try:
            found = content.parse(data).content
            blob = mirror / layout.blob(found.sha256)
            published = datetime.fromtimestamp(path.stat().st_mtime, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            entry = Entry(found.version, found.digest, found.sha256, blob.stat().st_size, published, found.dependencies)
            if shelves.add(found, entry):
                logger.warning("%s is in no release list; taken as a release", path)
        except (PublisherError, FileNotFoundError) as error:
            logger.warning("%s is in no release list and was left out: %s", path, error)


def _contents(mirror: Path) -> Iterator[tuple[Path, bytes]]:
    for path in sorted(mirror.glob("getVersion/*/*/*.json")):
        if layout.parse_get_version(path.relative_to(mirror).as_posix()):
            yield path, path.read_bytes()

"""Checking a mirror: every byte is read again and held against the catalogue."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from builder import render
from builder.progress import silent
from builder.shelf import Shelves
from builder.signing import clock, expiry, inspect
from builder.signing.roles import Roles
from mirror import blobs, canonical, layout, trust

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from builder.catalogue import Catalogue
    from builder.progress import Advance, Progress
    from builder.signing.sign import Signing


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """A file of the mirror that is not what it should be.

    Attributes:
        path: below the mirror's root.
        problem: `missing`, `extra`, `changed`, `truncated`, `unsigned`, `expired`, or `future` if it says that it was
            signed later than now.
    """

    path: str
    problem: str


def check(mirror: Path, catalogue: Catalogue, progress: Progress = silent) -> Iterator[Fault]:
    """Yield everything in the mirror's folder that is not as the catalogue says, by path.

    Superseded release lists and metadata may stay. All signatures in force are verified. Pages for people are not
    rendered from the catalogue alone and are passed over.
    """
    present = set(_walk(mirror))
    faults = [*_pages(mirror, catalogue, present, progress), *_blobs(mirror, catalogue, present, progress)]
    faults += [Fault(path, "extra") for path in present if not _may_stay(mirror, path)]
    faults += [Fault(*each) for each in inspect.faults(mirror, Roles(catalogue.connection))]
    yield from sorted(faults)


def times(signing: Signing) -> Iterator[Fault]:
    """Yield what is in force and yet nobody takes, by path: what has expired, and a timestamp of the future.

    Devices keep the time at which a timestamp was issued as a floor under their clock, so one from the future makes
    them take everything for expired.
    """
    faults = [
        Fault(layout.TIMESTAMP if each.role == trust.TIMESTAMP else layout.metadata(each.role, each.version), "expired")
        for each in expiry.expiries(signing)
        if each.left <= 0
    ]
    last = signing.last_issue()
    if last and clock.is_future(last.issued, signing.now()):
        faults.append(Fault(layout.TIMESTAMP, "future"))
    yield from sorted(faults)


def _pages(mirror: Path, catalogue: Catalogue, present: set[str], progress: Progress) -> Iterator[Fault]:
    """Check what can be rendered again, taking it out of `present`."""
    with progress("checking pages", catalogue.count()) as advance:
        for page in render.everything(Shelves(catalogue.connection), advance):
            if not page.data:
                continue  # it must not be there, and is extra if it is
            if page.path not in present:
                yield Fault(page.path, "missing")
                continue
            present.discard(page.path)
            data = (mirror / page.path).read_bytes()
            if data != page.data:
                yield Fault(page.path, "truncated" if page.data.startswith(data) else "changed")


def _blobs(mirror: Path, catalogue: Catalogue, present: set[str], progress: Progress) -> Iterator[Fault]:
    """Check the bytes of every package, taking them out of `present`."""
    wanted = list(catalogue.blobs())
    with progress("checking blobs", sum(size for _, size in wanted)) as advance:
        for sha256, size in wanted:
            path = layout.blob(sha256)
            if path not in present:
                yield Fault(path, "missing")
                continue
            present.discard(path)
            if problem := _blob_problem(mirror / path, sha256, size, advance):
                yield Fault(path, problem)


def _blob_problem(path: Path, sha256: str, size: int, advance: Advance) -> str:
    actual = path.lstat().st_size
    if actual < size:
        return "truncated"
    return "" if actual == size and blobs.digest(path, advance)[0] == sha256 else "changed"


def _walk(mirror: Path) -> Iterator[str]:
    for folder, _, names in os.walk(mirror):
        for name in names:
            yield os.path.relpath(os.path.join(folder, name), mirror)  # noqa: PTH118 - 100,000 times


def _may_stay(mirror: Path, path: str) -> bool:
    if path in {layout.INDEX_PAGE, layout.NOT_FOUND_PAGE} or path.startswith((layout.PACKAGE_PAGES, layout.METADATA)):
        return True
    name = layout.parse_release_list(path)
    if name is None or name.sha256 is None:
        return False
    return canonical.digest((mirror / path).read_bytes()) == name.sha256

"""Removing what the mirror no longer needs: blobs that no release names, lists and metadata long superseded.

A device or a cache may hold a timestamp of before until it expires, and then asks for what that one led to: so nothing
goes before then, and what a list that stays names stays too. Roots stay for ever, so that a device that was off for
years can walk from its own to the newest.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from builder import render
from builder.shelf import Shelves
from builder.signing.clock import issue
from builder.signing.roles import Roles
from mirror import blobs, layout, releases, trust
from mirror.errors import OTAError

if TYPE_CHECKING:
    from collections.abc import Container, Iterator
    from pathlib import Path

    from builder.catalogue import Catalogue
    from mirror.files import Files

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """How long superseded files stay, in seconds.

    Attributes:
        now: since 1970.
        keep: at least, from when they were superseded.
        longest_age: beyond the expiry of the last timestamp that led to them.
    """

    now: float
    keep: float
    longest_age: float


def prune(mirror: Path, catalogue: Catalogue, files: Files, limits: Limits, *, dry: bool = False) -> list[str]:
    """Remove what nobody can ask for any more, or only find it; returns the paths. The caller holds the site's lock."""
    roles = Roles(catalogue.connection)
    with catalogue.transaction():
        superseded = [*_lists(mirror, catalogue), *_metadata(mirror, roles)]
        gone = [path for path in superseded if _is_over(path, roles, limits)]
    unwanted = list(map(layout.blob, blobs.unwanted(mirror / layout.BLOBS, _Wanted(mirror, catalogue, set(gone)))))
    if not dry:
        # lists before the blobs that they name
        for path in (*gone, *unwanted):
            files.remove(mirror / path)
        with catalogue.transaction():
            roles.superseded.forget(gone)
    return [*unwanted, *gone]


def _is_over(path: str, roles: Roles, limits: Limits) -> bool:
    times = roles.superseded.times(path)
    if times is None:  # left by a power cut, or by a release of otamirror that did not note it
        last = roles.get(trust.TIMESTAMP)
        issued = issue(last.signed) if last and last.data else None
        roles.superseded.see(path, limits.now, issued.expires.timestamp() if issued else limits.now)
        return False
    return times.since + limits.keep <= limits.now and times.until + limits.longest_age <= limits.now


def _lists(mirror: Path, catalogue: Catalogue) -> Iterator[str]:
    """Yield the lists under their own hash that are not in force."""
    current = {page.path for page in render.everything(Shelves(catalogue.connection), lambda _: None)}
    for path in sorted(mirror.glob(layout.RELEASE_LISTS)):
        relative = path.relative_to(mirror).as_posix()
        name = layout.parse_release_list(relative)
        if name and name.sha256 and relative not in current:
            yield relative


def _metadata(mirror: Path, roles: Roles) -> Iterator[str]:
    """Yield the metadata that is not in force."""
    snapshot = roles.get(trust.SNAPSHOT)
    current = roles.versions() | ({trust.SNAPSHOT: snapshot.version} if snapshot else {})
    for path in sorted((mirror / layout.METADATA).glob("*.json")):
        name = layout.parse_metadata(path.relative_to(mirror).as_posix())
        if name and name[0] != trust.ROOT and name[1] < current.get(name[0], 0):
            yield layout.metadata(*name)


class _Wanted:
    """Whether a blob is named by a release, or by a list that stays on the mirror."""

    def __init__(self, mirror: Path, catalogue: Catalogue, gone: Container[str]) -> None:
        self._mirror = mirror
        self._catalogue = catalogue
        self._gone = gone
        self._named: set[str] | None = None
        self._is_known = True  # what all lists name

    def __call__(self, sha256: str) -> bool:
        if self._catalogue.blob_size(sha256) is not None:
            return True
        if self._named is None:  # the lists are only read where a blob has no release
            self._named = set(self._listed())
        return not self._is_known or sha256 in self._named

    def _listed(self) -> Iterator[str]:
        for path in self._mirror.glob(layout.RELEASE_LISTS):
            if path.relative_to(self._mirror).as_posix() in self._gone:
                continue
            try:
                found = releases.parse(path.read_bytes())
            except OTAError:
                _log.warning("%s is damaged, so no package is removed: see `otamirror check`", path)
                self._is_known = False
                continue
            yield from (entry.sha256 for entry in found.releases)

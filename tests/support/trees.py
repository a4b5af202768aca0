"""Small signed mirrors for tests: the tree of the contract, written without any of the builder.

Each tree has a simulator that keeps its keys, in memory. Devices are told the first root, `metadata/1.root.json`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from mirror import layout
from mirror.content import Content
from mirror.releases import Entry, ReleaseList, Segment
from mirror.version import sort_key
from tests.support.simulator import Simulator

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path


@dataclass(frozen=True)
class Release:
    """One release to be put on a mirror.

    Attributes:
        content: further fields of its content.json.
        entry: further fields of its entry in the release list.
    """

    version: str
    data: bytes = b"bytes of the package"
    content: Mapping[str, Any] = field(default_factory=dict)
    entry: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sha256(self) -> str:
        """The name of its blob."""
        return hashlib.sha256(self.data).hexdigest()

    def content_on(self, package: str, branch: str) -> Content:
        """Make its content."""
        return Content(package=package, version=self.version, branch=branch, sha256=self.sha256, **self.content)


ROOT = layout.metadata("root", 1)
"""Path of the root that devices are told."""

_SIMULATORS: dict[Path, Simulator] = {}


def simulator(tree: Path) -> Simulator:
    """Return what signs a tree, the same each time; signs the tree if it was not yet."""
    return _SIMULATORS.get(tree) or _SIMULATORS.setdefault(tree, Simulator(tree))


def write(root: Path, *releases: Release, package: str = "app", branch: str = "stable", **listed: Any) -> None:
    """Write and sign the files of one branch below `root`; `listed` is as for `prepare`."""
    data = prepare(root, *releases, package=package, branch=branch, **listed)
    simulator(root).list(package, branch, data)
    simulator(root).publish()


def prepare(
    root: Path,
    *releases: Release,
    package: str = "app",
    branch: str = "stable",
    older: Iterable[Sequence[Release]] = (),
    **listed: Any,
) -> bytes:
    """Write the files of a branch but its release list; returns that. Each part of `older` becomes a segment."""
    newest = ReleaseList(package, branch, _write_releases(root, package, branch, releases), **listed)
    segments = [_write_segment(root, package, branch, part) for part in older]
    segments.sort(key=lambda segment: sort_key(segment.to_version), reverse=True)
    return replace(newest, older=tuple(segments)).encode()


def _write_segment(root: Path, package: str, branch: str, releases: Sequence[Release]) -> Segment:
    entries = _write_releases(root, package, branch, releases)
    data = ReleaseList(package, branch, entries).encode()
    sha256 = hashlib.sha256(data).hexdigest()
    _put(root, layout.hashed_release_list(package, branch, sha256), data)
    return Segment(entries[-1].version, entries[0].version, len(entries), sha256, len(data))


def _write_releases(root: Path, package: str, branch: str, releases: Iterable[Release]) -> tuple[Entry, ...]:
    entries = [_write_release(root, package, branch, release) for release in releases]
    return tuple(sorted(entries, key=lambda entry: sort_key(entry.version), reverse=True))


def _write_release(root: Path, package: str, branch: str, release: Release) -> Entry:
    content = release.content_on(package, branch)
    _put(root, layout.get_version(package, branch, release.version), content.canonical())
    _put(root, layout.blob(release.sha256), release.data)
    fields = {"size": len(release.data), "published": "2026-01-01T00:00:00Z", **release.entry}
    return Entry(version=release.version, content=content.digest, sha256=release.sha256, **fields)


def _put(root: Path, path: str, data: bytes) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)

"""Small worlds of packages that depend on one another: a mirror in memory, and entries of a state file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from devclient.errors import NotOnMirrorError
from devclient.state import OURS, Package
from mirror import canonical
from mirror.releases import Entry, ReleaseList, Segment
from mirror.version import sort_key
from tests.support.trees import Release

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


def release(version: str, dependencies: Mapping[str, str] | None = None, **entry: Any) -> Release:
    """Make a release with what it depends on, and further fields of its entry in the list."""
    needs = {"dependencies": dict(dependencies or {})}
    return Release(version, content=needs, entry={**needs, **entry})


def package(name: str, version: str = "", dependencies: Mapping[str, str] | None = None, **fields: Any) -> Package:
    """Make the entry of a package; `pin` and `content` are otadevice's own keys, others the entry's."""
    ours = {key: fields.pop(key) for key in ("pin", "content") if key in fields}
    entry = {"package": name, "branch": "stable", "dependencies": dict(dependencies or {}), **fields, OURS: ours}
    return Package(entry | {"version": version} if version else entry)


class MemoryMirror:
    """A mirror without files, that counts what it is asked.

    Attributes:
        asked: for what, each time anew.
    """

    def __init__(self, **packages: Sequence[Release]) -> None:
        """Have these releases of these packages on the branch `stable`."""
        self.asked: list[str] = []
        self._lists: dict[tuple[str, str], bytes] = {}
        self._hashed: dict[str, bytes] = {}
        for name, releases in packages.items():
            self.put(name, *releases)

    def put(
        self,
        name: str,
        *releases: Release,
        branch: str = "stable",
        older: Iterable[Sequence[Release]] = (),
        needs: tuple[str, ...] = (),
    ) -> None:
        """Have these releases of a package, and `older` ones in segments, the highest first."""
        segments = tuple(self._segment(name, branch, part) for part in older)
        self.put_list(self._list(name, branch, releases, older=segments, needs=needs))

    def put_list(self, listed: ReleaseList) -> None:
        """Have this release list."""
        self._lists[listed.package, listed.branch] = listed.encode()

    def put_hashed(self, data: bytes) -> None:
        """Have this segment or content."""
        self._hashed[canonical.digest(data)] = data

    def release_list(self, package: str, branch: str) -> bytes:
        """Return a release list."""
        self.asked.append(f"list {package} {branch}")
        if (package, branch) not in self._lists:
            raise NotOnMirrorError(f"{package}/{branch}", 404)
        return self._lists[package, branch]

    def segment(self, package: str, branch: str, sha256: str, size: int) -> bytes:
        """Return a segment."""
        data = self._hashed[sha256]
        assert len(data) == size
        self.asked.append(f"segment {package} {branch}")
        return data

    def content(self, package: str, branch: str, version: str, sha256: str) -> bytes:
        """Return a content.json."""
        self.asked.append(f"content {package} {branch} {version}")
        return self._hashed[sha256]

    def _segment(self, name: str, branch: str, releases: Sequence[Release]) -> Segment:
        listed = self._list(name, branch, releases)
        data = listed.encode()
        self.put_hashed(data)
        first, last = listed.releases[0], listed.releases[-1]
        return Segment(last.version, first.version, len(listed.releases), canonical.digest(data), len(data))

    def _list(self, name: str, branch: str, releases: Iterable[Release], **fields: Any) -> ReleaseList:
        ordered = sorted(releases, key=lambda each: sort_key(each.version), reverse=True)
        return ReleaseList(name, branch, tuple(self._entry(name, branch, each) for each in ordered), **fields)

    def _entry(self, name: str, branch: str, release: Release) -> Entry:
        content = release.content_on(name, branch)
        self.put_hashed(content.canonical())
        fields = {"size": len(release.data), "published": "2026-01-01T00:00:00Z", **release.entry}
        return Entry(version=release.version, content=content.digest, sha256=release.sha256, **fields)

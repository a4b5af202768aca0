"""Release lists with their older segments, as the mirror vouches for them (contract, section 3).

A list is asked for once, a segment when somebody looks into it. What comes out was held against its hash; which of
it a device may take is not known here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from devclient.errors import BrokenPromiseError
from mirror import canonical, content, releases
from mirror.version import sort_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mirror.content import Content
    from mirror.releases import Entry, ReleaseList, Segment


class Mirror(Protocol):
    """Where release lists and contents come from."""

    def release_list(self, package: str, branch: str) -> bytes:
        """Fetch the release list of a package on a branch."""

    def segment(self, package: str, branch: str, sha256: str, size: int) -> bytes:
        """Fetch an older segment of a release list, which should have this hash and size."""

    def content(self, package: str, branch: str, version: str, sha256: str) -> bytes:
        """Fetch the content.json of one release, which should have this hash."""


class Lists:
    """The lists of one mirror, each read once."""

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror
        self._listed: dict[tuple[str, str], Listed] = {}

    def of(self, package: str, branch: str) -> Listed:
        """Return what is listed of a package on a branch.

        Raises:
            NotOnMirrorError: there is no list.
            BrokenPromiseError: it is not one, or another.
            DeviceError: what the mirror raises.
        """
        key = (package, branch)
        if key not in self._listed:
            self._listed[key] = Listed(_read(package, branch, self._mirror), self._mirror)
        return self._listed[key]


class Listed:
    """The releases of a package on a branch.

    Attributes:
        newest: the list itself, without its older segments.
    """

    def __init__(self, newest: ReleaseList, mirror: Mirror) -> None:
        self.newest = newest
        self._mirror = mirror
        self._segments: dict[str, tuple[Entry, ...]] = {}

    def parts(self, reaches: Callable[[Segment], bool]) -> Iterator[Sequence[Entry]]:
        """Yield the newest releases and then, if `reaches` wants them, those of each segment; highest first.

        Raises:
            BrokenPromiseError: a segment is not what the list says of it.
            DeviceError: what the mirror raises.
        """
        yield self.newest.releases
        for segment in self.newest.older:
            if reaches(segment):
                yield self._read(segment)

    def entry(self, version: str) -> Entry | None:
        """Find one release, in the segment that covers it if need be; None if it is not listed.

        Raises:
            DeviceError: as `parts`.
        """
        key = sort_key(version)

        def covers(segment: Segment) -> bool:
            return sort_key(segment.from_version) <= key <= sort_key(segment.to_version)

        return next((entry for part in self.parts(covers) for entry in part if entry.version == version), None)

    def content(self, entry: Entry) -> Content:
        """Fetch the content.json of a release, and hold it against the list.

        Raises:
            BrokenPromiseError: it is not what the list says of it.
            DeviceError: what the mirror raises.
        """
        package, branch = self.newest.package, self.newest.branch
        what = f"the content.json of {package} {entry.version} on {branch}"
        raw = self._mirror.content(package, branch, entry.version, entry.content)
        if canonical.digest(raw) != entry.content:
            raise BrokenPromiseError(what, f"has the SHA-256 {canonical.digest(raw)}, not {entry.content}")
        try:
            parsed = content.parse(raw).content
        except content.ContentError as error:
            raise BrokenPromiseError(what, str(error)) from error
        if problem := _disagrees(parsed, entry, self.newest):
            raise BrokenPromiseError(what, problem)
        return parsed

    def _read(self, segment: Segment) -> tuple[Entry, ...]:
        if segment.sha256 not in self._segments:
            package, branch = self.newest.package, self.newest.branch
            raw = self._mirror.segment(package, branch, segment.sha256, segment.size)
            try:
                older = releases.parse_segment(raw, self.newest, segment)
            except releases.ReleaseListError as error:
                what = f"the release list of {package} on {branch}"
                raise BrokenPromiseError(what, error.problem) from error
            # what must be known to take a segment must be known to take a release of it
            entries = tuple(replace(entry, needs=(*older.needs, *entry.needs)) for entry in older.releases)
            self._segments[segment.sha256] = entries
        return self._segments[segment.sha256]


def _read(package: str, branch: str, mirror: Mirror) -> ReleaseList:
    what = f"the release list of {package} on {branch}"
    try:
        listed = releases.parse(mirror.release_list(package, branch))
    except releases.ReleaseListError as error:
        raise BrokenPromiseError(what, error.problem) from error
    if (listed.package, listed.branch) != (package, branch):
        raise BrokenPromiseError(what, f"is that of {listed.package} on {listed.branch}")
    return listed


def _disagrees(parsed: Content, entry: Entry, listed: ReleaseList) -> str:
    """Say in what a content.json is not that of a release; nothing if it is."""
    stated = (parsed.package, parsed.branch, parsed.version, parsed.sha256)
    if stated != (listed.package, listed.branch, entry.version, entry.sha256):
        return f"is that of {' '.join(stated)}, not of blob {entry.sha256}"
    if dict(parsed.dependencies) != dict(entry.dependencies):
        return "has other dependencies than the release list says"
    if parsed.digest != entry.content:
        return "is not written as the contract says"
    return ""

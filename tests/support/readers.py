"""Readers of a mirror that believe nothing: what a file leads to has to be there, with the bytes that it names.

    before = readers.look(mirror)
    ...
    readers.look(mirror).keeps(before)

`look` reads a mirror's folder as it is at one moment, `leads` tells what else whoever took a release list will ask
for. Neither knows what was published; both raise `BrokenError` for what no client may ever see.
"""

from __future__ import annotations

import functools
import itertools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mirror import canonical, content, layout, releases
from mirror.version import sort_key
from tests.support import sites

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from mirror.releases import Entry, ReleaseList

    Branch = tuple[str, str]

_LINK = re.compile(rb'href="((?!data:|https?:|#)[^"]+)"')


# one test after another looks at the same releases
_content = functools.lru_cache(1024)(lambda data: content.parse(data).content)
_list = functools.lru_cache(64)(releases.parse)


class BrokenError(AssertionError):
    """A client would have seen a broken mirror."""


@dataclass(frozen=True)
class View:
    """A mirror at one moment.

    Attributes:
        files: every file, by its path.
        releases: those of each branch, from the list and its older segments, highest first.
    """

    files: Mapping[str, bytes]
    releases: Mapping[Branch, tuple[Entry, ...]]

    def keeps(self, earlier: View) -> None:
        """Check that whatever was seen before is still there: files, immutable bytes, releases as they were listed."""
        for path, data in earlier.files.items():
            require(path in self.files, f"{path} has gone")
            if layout.kind(path) is layout.Kind.IMMUTABLE:
                require(self.files[path] == data, f"{path} has changed")
        for branch, entries in earlier.releases.items():
            gone = set(map(repr, entries)) - set(map(repr, self.releases[branch]))
            require(not gone, f"not in the list of {branch} any more: {gone}")

    def versions(self) -> list[tuple[str, str, str]]:
        """Name every release that a list has, as often as lists have it."""
        return sorted((*branch, entry.version) for branch, entries in self.releases.items() for entry in entries)


def look(mirror: Path) -> View:
    """Read a mirror as it is now; one that was never begun is empty.

    Raises:
        BrokenError: a client would have seen it broken.
    """
    files = sites.read(mirror) if mirror.is_dir() else {}
    listed: dict[Branch, tuple[Entry, ...]] = {}
    for path, data in files.items():
        require(data != b"", f"{path} is empty")
        if path.endswith(".html"):
            _judge_html(files, path)
        elif layout.parse_get_version(path):
            _judge_content(files, path)
        elif path.startswith("maxVersion/"):
            _judge_max_version(files, path)
        elif path.startswith("otafiles/"):
            require(canonical.digest(data) == path.removeprefix("otafiles/"), f"{path} has other bytes")
        elif path.startswith(layout.METADATA):
            require(path == layout.TIMESTAMP or layout.parse_metadata(path) is not None, f"{path} is no metadata")
        else:
            newest = _judge_list(files, path)
            if path == layout.release_list(newest.package, newest.branch):
                listed[newest.package, newest.branch] = tuple(all_releases(files, newest))
    return View(files, listed)


def leads(newest: ReleaseList) -> Iterator[tuple[str, str]]:
    """Yield path and SHA-256 of everything that a release list leads to."""
    for entry in newest.releases:
        yield layout.get_version(newest.package, newest.branch, entry.version), entry.content
        yield layout.blob(entry.sha256), entry.sha256
    for segment in newest.older:
        yield layout.hashed_release_list(newest.package, newest.branch, segment.sha256), segment.sha256


def require(holds: bool, what: str) -> None:  # noqa: FBT001 - reads as an assertion
    """Let the mirror be broken unless something holds."""
    if not holds:
        raise BrokenError(what)


def _require_bytes(files: Mapping[str, bytes], source: str, path: str, sha256: str) -> None:
    require(path in files, f"{source} leads to {path}, which is missing")
    require(canonical.digest(files[path]) == sha256, f"{source} leads to other bytes than {path} has")


def _judge_content(files: Mapping[str, bytes], path: str) -> None:
    found = _content(files[path])
    require(path == layout.get_version(found.package, found.branch, found.version), f"{path} is of another release")
    _require_bytes(files, path, layout.blob(found.sha256), found.sha256)


def _judge_max_version(files: Mapping[str, bytes], path: str) -> None:
    found = _content(files[path])
    require(path == layout.max_version(found.package, found.branch), f"{path} is of another branch")
    release = layout.get_version(found.package, found.branch, found.version)
    _require_bytes(files, path, release, canonical.digest(files[path]))
    newest = _list(files[layout.release_list(found.package, found.branch)])
    # the list is replaced first, so its first release may be higher
    require(found.version in [entry.version for entry in newest.releases], f"{path} is not listed")


def _judge_list(files: Mapping[str, bytes], path: str) -> ReleaseList:
    name = layout.parse_release_list(path)
    require(name is not None, f"{path} is no file of a mirror")
    newest, sha256 = _list(files[path]), canonical.digest(files[path])
    require(path in _names(newest, sha256), f"{path} has another list's bytes")
    _require_bytes(files, path, layout.hashed_release_list(newest.package, newest.branch, sha256), sha256)
    for leads_to, wanted in leads(newest):
        _require_bytes(files, path, leads_to, wanted)
    return newest


def _names(newest: ReleaseList, sha256: str) -> tuple[str, str]:
    place = newest.package, newest.branch
    return layout.release_list(*place), layout.hashed_release_list(*place, sha256)


def all_releases(files: Mapping[str, bytes], newest: ReleaseList) -> Iterator[Entry]:
    """Yield the releases of a list and of its older segments, highest first."""
    parts = [newest]
    for segment in newest.older:
        part = _list(files[layout.hashed_release_list(newest.package, newest.branch, segment.sha256)])
        ends = (part.releases[-1].version, part.releases[0].version, len(part.releases))
        require(ends == (segment.from_version, segment.to_version, segment.count), f"not what is in it: {segment}")
        parts.append(part)
    entries = [entry for part in parts for entry in part.releases]
    keys = [sort_key(entry.version) for entry in entries]
    require(all(high > low for high, low in itertools.pairwise(keys)), f"{newest.package}: releases out of order")
    yield from entries


def _judge_html(files: Mapping[str, bytes], path: str) -> None:
    require(files[path].endswith(b"</html>\n"), f"{path} has no end")
    depth = path.count("/")
    for link in _LINK.findall(files[path]):
        target = link.decode().removeprefix("../" * depth)
        # of two pages that lead to each other one has to be first: the index comes once all it leads to is there
        require(target in files or target == layout.INDEX_PAGE, f"{path} leads to {target}, which is missing")

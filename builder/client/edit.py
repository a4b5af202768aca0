"""Changing the list of a branch as its publisher wants it: a release added, yanked, or withdrawn.

Pure: older segments are asked for where a change needs one, and the list is cut as the mirror cuts its own. What is
not known here stays as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from builder.errors import VersionConflictError
from mirror.canonical import digest
from mirror.errors import PublisherError
from mirror.releases import CUT, MOST, Entry, ReleaseList, Segment
from mirror.version import order_key, sort_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Fetch = Callable[[Segment], ReleaseList]
"""Gives an older segment of the list."""


class UnknownVersionError(PublisherError):
    """The list does not have the release that is to be changed."""

    code = "unknown-version"

    def __init__(self, newest: ReleaseList, version: str) -> None:
        super().__init__(f"the list of {newest.package} on {newest.branch} has no release {version}")
        self.version = version


class UnknownBranchError(PublisherError):
    """There is no list that could be signed for longer."""

    code = "unknown-branch"

    def __init__(self, newest: ReleaseList) -> None:
        super().__init__(f"there is no release of {newest.package} on {newest.branch}; name a branch that has some")


@dataclass(frozen=True, slots=True)
class Edited:
    """A list after a change, with the older segments that changed."""

    newest: ReleaseList
    segments: tuple[ReleaseList, ...] = ()


Edit = Callable[[ReleaseList, Fetch], Edited | None]
"""A change to a list; None says that the list is so already."""


def renewed(newest: ReleaseList, _: Fetch) -> Edited:
    """Leave a list as it is, to be signed for longer.

    Raises:
        UnknownBranchError: there is none.
    """
    if not newest.releases and not newest.older:
        raise UnknownBranchError(newest)
    return Edited(newest)


def with_release(newest: ReleaseList, fetch: Fetch, entry: Entry) -> Edited | None:
    """Add a release; None if it is there.

    Raises:
        VersionConflictError: the version is there with other bytes, another content or in another spelling.
    """
    place = _reaching(newest, entry.version)
    part = fetch(place) if place else newest
    for had in part.releases:
        if had.version == entry.version:
            if (had.content, had.sha256, had.size) != (entry.content, entry.sha256, entry.size):
                raise VersionConflictError(newest.package, newest.branch, entry.version)
            return None
    if existing := _equal(newest, part, entry.version):
        raise VersionConflictError(newest.package, newest.branch, entry.version, existing)
    return _put(newest, place, part, [*part.releases, entry], fetch)


def with_yank(
    newest: ReleaseList, fetch: Fetch, version: str, reason: str = "", replacement: str = ""
) -> Edited | None:
    """Have no device take a release any more; None if it is yanked for this reason already.

    Raises:
        UnknownVersionError: there is no such release.
    """
    said = {key: text for key, text in (("reason", reason), ("replacement", replacement)) if text}
    place, part = _holding(newest, fetch, version)
    releases = [replace(each, yanked=said) if each.version == version else each for each in part.releases]
    return _put(newest, place, part, releases, fetch) if tuple(releases) != part.releases else None


def without(newest: ReleaseList, fetch: Fetch, version: str) -> Edited:
    """Take a release out of the list.

    Raises:
        UnknownVersionError: there is no such release.
    """
    place, part = _holding(newest, fetch, version)
    return _put(newest, place, part, [each for each in part.releases if each.version != version], fetch)


def _equal(newest: ReleaseList, part: ReleaseList, version: str) -> str | None:
    """Find a version that is this one but for its spelling, in the part where it belongs or at the ends of others.

    Equal versions are neighbours, so one in another part is the first or the last there.
    """
    key = order_key(version)
    ends = [end for segment in newest.older for end in (segment.from_version, segment.to_version)]
    known = [*(each.version for each in (*part.releases, *newest.releases)), *ends]
    return next((each for each in known if order_key(each) == key), None)


def _reaching(newest: ReleaseList, version: str) -> Segment | None:
    """Find the lowest segment that reaches up to a version; None is the list itself."""
    key = sort_key(version)
    return next((part for part in reversed(newest.older) if sort_key(part.to_version) >= key), None)


def _holding(newest: ReleaseList, fetch: Fetch, version: str) -> tuple[Segment | None, ReleaseList]:
    place = _reaching(newest, version)
    part = fetch(place) if place else newest
    if not any(each.version == version for each in part.releases):
        raise UnknownVersionError(newest, version)
    return place, part


def _put(
    newest: ReleaseList, place: Segment | None, part: ReleaseList, releases: Iterable[Entry], fetch: Fetch
) -> Edited:
    """Have the list or one of its segments hold these releases, which are cut if they are too many."""
    ordered = sorted(releases, key=lambda each: sort_key(each.version), reverse=True)
    cut = len(ordered) - CUT if len(ordered) > MOST else len(ordered)
    upper, lower = replace(part, releases=tuple(ordered[:cut])), replace(part, releases=tuple(ordered[cut:]), older=())
    if place is None:
        older, made = [*_references([lower]), *newest.older], [lower]
        edited = replace(newest, releases=upper.releases, older=tuple(older))
    else:
        at, made = newest.older.index(place), [upper, lower]
        older = [*newest.older[:at], *_references(made, place), *newest.older[at + 1 :]]
        edited = replace(newest, older=tuple(older))
    if not edited.releases and edited.older:
        edited = _risen(edited, made, fetch)
    named = {each.sha256 for each in edited.older}
    return Edited(edited, tuple(each for each in made if digest(each.encode()) in named))


def _references(segments: Sequence[ReleaseList], place: Segment | None = None) -> list[Segment]:
    """Say of segments what a list says of them, and of the one at `place` what it said before."""
    extra = place.extra if place else {}
    return [
        Segment(
            each.releases[-1].version,
            each.releases[0].version,
            len(each.releases),
            digest(each.encode()),
            len(each.encode()),
            extra,
        )
        for each in segments
        if each.releases
    ]


def _risen(newest: ReleaseList, made: Sequence[ReleaseList], fetch: Fetch) -> ReleaseList:
    """Make the highest segment the list: a device looks into others for what it knows already only."""
    highest, *others = newest.older
    own = next((each for each in made if digest(each.encode()) == highest.sha256), None) or fetch(highest)
    needs = tuple(dict.fromkeys((*newest.needs, *own.needs)))
    return replace(newest, releases=own.releases, older=tuple(others), needs=needs)

"""Which release of a package a device may take: the first stage of an update.

The release list names the candidates; what a device does not understand it does not take, and says why.
What comes out was checked against the list's hashes. Where the list itself comes from, and what vouches
for it, is the `Mirror`'s matter. Nothing on the device is changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from devclient.errors import BrokenPromiseError
from mirror import canonical, content, releases
from mirror.version import sort_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mirror.content import Content
    from mirror.releases import Entry, ReleaseList

KNOWN_NEEDS: frozenset[str] = frozenset()
"""The words of `needs` that this version of otadevice obeys."""


class Mirror(Protocol):
    """Where release lists and contents come from."""

    def release_list(self, package: str, branch: str) -> bytes:
        """Fetch the release list of a package on a branch."""

    def content(self, package: str, branch: str, version: str, sha256: str) -> bytes:
        """Fetch the content.json of one release, which should have this hash."""


@dataclass(frozen=True)
class Offer:
    """A release that may be installed.

    Attributes:
        content: what its publisher says about it, as the release list vouches for.
        size: bytes of the blob.
    """

    content: Content
    size: int

    def __str__(self) -> str:
        return f"{self.content.package} {self.content.version}"


@dataclass(frozen=True)
class Skipped:
    """A release above the installed one that is not taken."""

    version: str
    why: str


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Attributes:
        offer: the release to take, if any.
        why: why there is no offer, "" if there is one.
        skipped: the higher releases that were passed over, highest first.
        yanked: what the mirror says if it has taken back the installed release.
    """

    offer: Offer | None
    why: str = ""
    skipped: tuple[Skipped, ...] = ()
    yanked: Mapping[str, Any] | None = None


def check(package: str, branch: str, installed: str, mirror: Mirror) -> Finding:
    """Find the highest release above `installed`, "" for none, that this device may take.

    Raises:
        BrokenPromiseError: what the mirror serves does not hold together.
        DeviceError: what the mirror raises.
    """
    listed = _read_list(package, branch, mirror)
    if unknown := listed.unknown_needs(KNOWN_NEEDS):
        return Finding(None, _not_understood(unknown))
    yanked = next((entry.yanked for entry in listed.releases if entry.version == installed), None)
    skipped: list[Skipped] = []
    for entry in _newer(listed, installed):
        why = _why_not(entry)
        if not why:
            return Finding(_offer(entry, listed, mirror), "", tuple(skipped), yanked)
        skipped.append(Skipped(entry.version, why))
    return Finding(None, _nothing(listed, installed, skipped), tuple(skipped), yanked)


def _read_list(package: str, branch: str, mirror: Mirror) -> ReleaseList:
    what = f"the release list of {package} on {branch}"
    try:
        listed = releases.parse(mirror.release_list(package, branch))
    except releases.ReleaseListError as error:
        raise BrokenPromiseError(what, error.problem) from error
    if (listed.package, listed.branch) != (package, branch):
        raise BrokenPromiseError(what, f"is that of {listed.package} on {listed.branch}")
    return listed


def _newer(listed: ReleaseList, installed: str) -> Iterator[Entry]:
    """Yield the releases above the installed one, highest first: a device never goes back by itself."""
    for entry in listed.releases:
        if not installed or sort_key(entry.version) > sort_key(installed):
            yield entry


def _why_not(entry: Entry) -> str:
    if entry.yanked is not None:
        return yanked_in_words(entry.yanked)
    if unknown := entry.unknown_needs(KNOWN_NEEDS):
        return _not_understood(unknown)
    return ""


def _not_understood(words: tuple[str, ...]) -> str:
    return f"needs {', '.join(words)}, which this version of otadevice does not understand"


def _nothing(listed: ReleaseList, installed: str, skipped: list[Skipped]) -> str:
    if skipped:
        return f"nothing newer can be taken: {skipped[0].version} {skipped[0].why}"
    if not listed.releases:
        return "nothing is released"
    return f"nothing newer than {installed}"


def yanked_in_words(yanked: Mapping[str, Any]) -> str:
    """Say what a yank says, for people."""
    reason, replacement = yanked.get("reason"), yanked.get("replacement")
    return (
        "was taken back" + (f": {reason}" if reason else "") + (f"; take {replacement} instead" if replacement else "")
    )


def _offer(entry: Entry, listed: ReleaseList, mirror: Mirror) -> Offer:
    """Fetch the content.json of `entry` and hold it against the list."""
    what = f"the content.json of {listed.package} {entry.version} on {listed.branch}"
    raw = mirror.content(listed.package, listed.branch, entry.version, entry.content)
    if canonical.digest(raw) != entry.content:
        raise BrokenPromiseError(what, f"has the SHA-256 {canonical.digest(raw)}, not {entry.content}")
    try:
        parsed = content.parse(raw).content
    except content.ContentError as error:
        raise BrokenPromiseError(what, str(error)) from error
    stated = (parsed.package, parsed.branch, parsed.version, parsed.sha256)
    if stated != (listed.package, listed.branch, entry.version, entry.sha256):
        raise BrokenPromiseError(what, f"is that of {' '.join(stated)}, not of blob {entry.sha256}")
    if dict(parsed.dependencies) != dict(entry.dependencies):
        raise BrokenPromiseError(what, "has other dependencies than the release list says")
    return Offer(parsed, entry.size)

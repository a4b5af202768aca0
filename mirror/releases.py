"""The release list: the one record a device needs for a package and branch (contract, section 3).

A list is bounded: beyond `MOST` releases its lowest ones live in older segments, lists of the same form
that are named by their hash. What a reader does not know, it keeps; what it must know stands in `needs`.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, fields
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

from mirror import canonical, members, names
from mirror.errors import OTAError
from mirror.version import sort_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

MOST = 128
CUT = 64
"""How many of the lowest releases become a segment when a list would hold one more than `MOST`."""
MAX_BYTES = 16 * 1024 * 1024

_LIST_KEYS = ("package", "branch", "needs", "releases", "older")
_SEGMENT_KEYS = frozenset({"from", "to", "count", "sha256", "size"})


class ReleaseListError(OTAError):
    """A release list is not of the form that the contract gives.

    Attributes:
        problem: what is wrong, with the place in the list.
    """

    code: ClassVar[str] = "release-list-invalid"

    def __init__(self, problem: str) -> None:
        super().__init__(f"the release list is not valid: {problem}")
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Entry:
    """One release in a list.

    Attributes:
        content: SHA-256 of the canonical content.json.
        sha256: SHA-256 of the blob.
        size: bytes of the blob.
        published: UTC time as `2026-11-23T07:00:00Z`.
        extra: the keys that this version of otamirror does not know, kept as they came.
    """

    version: str
    content: str
    sha256: str
    size: int
    published: str
    dependencies: Mapping[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    rollout: Mapping[str, Any] | None = None
    yanked: Mapping[str, Any] | None = None
    transfers: tuple[Mapping[str, Any], ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    def unknown_needs(self, known: AbstractSet[str]) -> tuple[str, ...]:
        """Return the words that a device must know to take this release and does not."""
        return tuple(word for word in self.needs if word not in known)

    def fields(self) -> dict[str, Any]:
        """Return the JSON object; optional keys stand only where they apply."""
        optional = {key: getattr(self, key) or None for key in ("dependencies", "needs", "transfers")}
        optional |= {"rollout": self.rollout, "yanked": self.yanked}  # an empty one restricts too
        return {
            **self.extra,
            "version": self.version,
            "content": self.content,
            "sha256": self.sha256,
            "size": self.size,
            "published": self.published,
            **{key: part for key, part in optional.items() if part is not None},
        }


_ENTRY_KEYS = frozenset(part.name for part in fields(Entry)) - {"extra"}


@dataclass(frozen=True, slots=True)
class Segment:
    """Where a run of older releases is to be found: from its lowest to its highest version.

    Attributes:
        extra: the keys that this version of otamirror does not know, kept as they came.
    """

    from_version: str
    to_version: str
    count: int
    sha256: str
    size: int
    extra: Mapping[str, Any] = field(default_factory=dict)

    def fields(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {
            **self.extra,
            "from": self.from_version,
            "to": self.to_version,
            "count": self.count,
            "sha256": self.sha256,
            "size": self.size,
        }


@dataclass(frozen=True, slots=True)
class ReleaseList:
    """The releases of one branch, highest version first, and where the older ones are."""

    package: str
    branch: str
    releases: tuple[Entry, ...]
    older: tuple[Segment, ...] = ()
    needs: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    def unknown_needs(self, known: AbstractSet[str]) -> tuple[str, ...]:
        """Return the words that a device must know to take this list and does not."""
        return tuple(word for word in self.needs if word not in known)

    def frame(self) -> dict[str, Any]:
        """Return the list's own further keys, as `assemble` takes them."""
        return {**self.extra, **({"needs": list(self.needs)} if self.needs else {})}

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return assemble(
            self.package,
            self.branch,
            self.frame(),
            [fragment(entry) for entry in self.releases],
            [fragment(segment) for segment in self.older],
        )


def fragment(part: Entry | Segment) -> str:
    """Return the canonical JSON of one element of a list, to be kept until `assemble` joins it."""
    return canonical.encode(part.fields()).decode().rstrip("\n")


def assemble(
    package: str, branch: str, frame: Mapping[str, Any], releases: Iterable[str], older: Sequence[str]
) -> bytes:
    """Join fragments to the canonical bytes of a list, without encoding them again.

    Args:
        package: whose releases these are.
        branch: on which branch.
        frame: the list's own further keys, `needs` among them.
        releases: fragments of entries, highest version first.
        older: fragments of segments, highest first.
    """
    head: dict[str, Any] = {"package": package, "branch": branch}
    rest = dict(frame)
    if "needs" in rest:
        head["needs"] = rest.pop("needs")
    parts = [canonical.encode(head, _LIST_KEYS).decode()[1:-2], f'"releases":[{",".join(releases)}]']
    if older:
        parts.append(f'"older":[{",".join(older)}]')
    if rest:
        parts.append(canonical.encode(rest).decode()[1:-2])
    return f"{{{','.join(parts)}}}\n".encode()


def parse(raw: bytes) -> ReleaseList:
    """Read a release list, tolerating what is not known and nothing else.

    Raises:
        ReleaseListError: the bytes are not a release list.
    """
    value, problems = canonical.decode(raw, limit=MAX_BYTES)
    if problems:
        raise ReleaseListError(f"{problems[0].key}: {problems[0].message}" if problems[0].key else problems[0].message)
    with _refusing():
        return _list(value)


def parse_entry(value: Mapping[str, Any]) -> Entry:
    """Read one element of `releases`.

    Raises:
        ReleaseListError: it is not of the contract's form.
    """
    with _refusing():
        return _entry(value)


def parse_reference(value: Mapping[str, Any]) -> Segment:
    """Read one element of `older`.

    Raises:
        ReleaseListError: it is not of the contract's form.
    """
    with _refusing():
        return _reference(value)


def parse_segment(raw: bytes, newest: ReleaseList, reference: Segment) -> ReleaseList:
    """Read the older segment that a list refers to.

    Raises:
        ReleaseListError: it is another, or not what the list says of it.
    """
    if (canonical.digest(raw), len(raw)) != (reference.sha256, reference.size):
        raise ReleaseListError(f"the segment {reference.sha256} has other bytes")
    segment = parse(raw)
    if (segment.package, segment.branch, segment.older) != (newest.package, newest.branch, ()):
        raise ReleaseListError(f"the segment {reference.sha256} is not one of {newest.package} on {newest.branch}")
    versions = [entry.version for entry in segment.releases]
    stated = [reference.from_version], [reference.to_version], reference.count
    if (versions[-1:], versions[:1], len(versions)) != stated:
        raise ReleaseListError(f"the segment {reference.sha256} has other releases than its list says")
    return segment


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ReleaseListError(str(error)) from None


def _list(value: Mapping[str, Any]) -> ReleaseList:
    package, branch = members.text(value, "package"), members.text(value, "branch")
    if not names.is_name(package) or not names.is_branch(branch):
        raise ValueError(f"package {package!r} and branch {branch!r} are not names")
    if "releases" not in value:
        raise ValueError("releases is missing")
    entries = tuple(_entry(item) for item in members.objects(value, "releases"))
    if len(entries) > MOST:
        raise ValueError(f"it holds {len(entries)} releases, {MOST} at most are allowed")
    older = tuple(_reference(item) for item in members.objects(value, "older"))
    _check_order([*((entry.version,) for entry in entries), *((part.to_version, part.from_version) for part in older)])
    extra = {key: item for key, item in value.items() if key not in _LIST_KEYS}
    return ReleaseList(package, branch, entries, older, members.words(value, "needs"), extra)


def _check_order(runs: Sequence[tuple[str, ...]]) -> None:
    """See that versions fall from run to run, and do not rise within one."""
    for run in runs:
        if sort_key(run[0]) < sort_key(run[-1]):
            raise ValueError(f"older: it goes from {run[-1]} down to {run[0]}")
    for higher, lower in pairwise(runs):
        if sort_key(higher[-1]) <= sort_key(lower[0]):
            raise ValueError(f"{lower[0]} stands below {higher[-1]}, highest comes first")


def _entry(value: Mapping[str, Any]) -> Entry:
    return Entry(
        members.version(value, "version"),
        members.sha256(value, "content"),
        members.sha256(value, "sha256"),
        members.size(value, "size"),
        members.text(value, "published"),
        members.texts(value, "dependencies"),
        members.words(value, "needs"),
        members.optional_object(value, "rollout"),
        members.optional_object(value, "yanked"),
        tuple(members.objects(value, "transfers")),
        {key: item for key, item in value.items() if key not in _ENTRY_KEYS},
    )


def _reference(value: Mapping[str, Any]) -> Segment:
    count = value.get("count")
    if not isinstance(count, int) or isinstance(count, bool) or not 0 < count <= MOST:
        raise ValueError(f"older: count {count!r} is not a number from 1 to {MOST}")
    ends = members.version(value, "from"), members.version(value, "to")
    extra = {key: item for key, item in value.items() if key not in _SEGMENT_KEYS}
    return Segment(*ends, count, members.sha256(value, "sha256"), members.size(value, "size"), extra)

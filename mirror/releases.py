"""The release list: the one record a device needs for a package and branch (contract, section 3).

A list is bounded: beyond `MOST` releases its lowest ones live in older segments, lists of the same form
that are named by their hash. What a reader does not know, it keeps; what it must know stands in `needs`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

from mirror import canonical, names
from mirror.errors import OTAError
from mirror.version import sort_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

MOST = 128
CUT = 64
"""How many of the lowest releases become a segment when a list would hold one more than `MOST`."""
MAX_BYTES = 16 * 1024 * 1024

_LIST_KEYS = ("package", "branch", "needs", "releases", "older")


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
        value: dict[str, Any] = {
            **self.extra,
            "version": self.version,
            "content": self.content,
            "sha256": self.sha256,
            "size": self.size,
            "published": self.published,
        }
        for key in ("dependencies", "needs", "rollout", "yanked", "transfers"):
            if part := getattr(self, key):
                value[key] = part
        return value


@dataclass(frozen=True, slots=True)
class Segment:
    """Where a run of older releases is to be found: from its lowest to its highest version."""

    from_version: str
    to_version: str
    count: int
    sha256: str
    size: int

    def fields(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {
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
    package, branch = _text(value, "package"), _text(value, "branch")
    if not names.is_name(package) or not names.is_branch(branch):
        raise ReleaseListError(f"package {package!r} and branch {branch!r} are not names")
    return ReleaseList(
        package,
        branch,
        _entries(value),
        tuple(_segment(item) for item in _objects(value, "older")),
        _words(value),
        {key: item for key, item in value.items() if key not in _LIST_KEYS},
    )


def _entries(value: Mapping[str, Any]) -> tuple[Entry, ...]:
    if "releases" not in value:
        raise ReleaseListError("releases is missing")
    entries = tuple(parse_entry(item) for item in _objects(value, "releases"))
    if len(entries) > MOST:
        raise ReleaseListError(f"it holds {len(entries)} releases, {MOST} at most are allowed")
    for higher, lower in pairwise(entries):
        if sort_key(higher.version) <= sort_key(lower.version):
            raise ReleaseListError(f"{lower.version} stands below {higher.version}, highest comes first")
    return entries


def parse_entry(value: Mapping[str, Any]) -> Entry:
    """Read one element of `releases`.

    Raises:
        ReleaseListError: it is not of the contract's form.
    """
    version = _text(value, "version")
    if not names.is_version(version):
        raise ReleaseListError(f"version {version!r} is not a version")
    known = (
        "version",
        "content",
        "sha256",
        "size",
        "published",
        "dependencies",
        "needs",
        "rollout",
        "yanked",
    )
    return Entry(
        version,
        _sha256(value, "content"),
        _sha256(value, "sha256"),
        _size(value),
        _text(value, "published"),
        _object(value, "dependencies") or {},
        _words(value),
        _object(value, "rollout"),
        _object(value, "yanked"),
        tuple(_objects(value, "transfers")),
        {key: item for key, item in value.items() if key not in (*known, "transfers")},
    )


def _segment(value: Mapping[str, Any]) -> Segment:
    count = value.get("count")
    if not isinstance(count, int) or not 0 < count <= MOST:
        raise ReleaseListError(f"older: count {count!r} is not a number from 1 to {MOST}")
    return Segment(_text(value, "from"), _text(value, "to"), count, _sha256(value, "sha256"), _size(value))


def _text(value: Mapping[str, Any], key: str) -> str:
    text = value.get(key)
    if not isinstance(text, str):
        raise ReleaseListError(f"{key} is {'not a string' if key in value else 'missing'}")
    return text


def _sha256(value: Mapping[str, Any], key: str) -> str:
    text = _text(value, key)
    if not names.is_sha256(text):
        raise ReleaseListError(f"{key} {text!r} is not a SHA-256")
    return text


def _size(value: Mapping[str, Any]) -> int:
    size = value.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise ReleaseListError(f"size {size!r} is not a number of bytes")
    return size


def _object(value: Mapping[str, Any], key: str) -> Mapping[str, Any] | None:
    part = value.get(key)
    if part is not None and not isinstance(part, dict):
        raise ReleaseListError(f"{key} is not an object")
    return part


def _objects(value: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    items = value.get(key, [])
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ReleaseListError(f"{key} is not a list of objects")
    return items


def _words(value: Mapping[str, Any]) -> tuple[str, ...]:
    words = value.get("needs", [])
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ReleaseListError("needs is not a list of words")
    return tuple(words)

"""Judging an archive where it is published: by the code that unpacks it, and for what unpacking would lose.

Nothing is written. An archive that is too large to be read whole here is judged as far as it was read.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from mirror.archive import archive, compression
from mirror.archive.tar_headers import EARLIEST_NS, LATEST_NS, Kind
from mirror.archive.tree import Tree
from mirror.canonical import Problem, shown
from mirror.errors import UnreadableArchiveError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mirror.archive.archive import Limits
    from mirror.archive.tar_headers import Member
    from mirror.archive.tree import ArchiveFolder

_FILE = "file"  # the part of an upload that the problems are about
_TOP = 0o755
_YEARS = 1902, 2242
_PREFIXES = ("SCHILY.", "LIBARCHIVE.", "RHT.", "xattr.")
_TOLD = {
    "owner": (
        "on devices all of it belongs to who runs otadevice, mostly root",
        "tar has --owner=0 --group=0; have AfterUpdate give it to others",
    ),
    "attributes": ("devices unpack no attributes and no capabilities", "have AfterUpdate set them"),
    "time": ("file systems do not keep such a time, devices take the nearest", ""),
    "encoding": ("that is not UTF-8, and not every file system takes it", ""),
}
"""What is said of the first member of each kind of loss, and what to do."""


def judge(chunks: Iterator[bytes], limits: Limits, go_on: Callable[[], None] = lambda: None) -> tuple[Problem, ...]:
    """Read an archive through once, and judge every member as a device does.

    Returns what devices will not have of it, and what else its publisher should look at. `go_on` is called often, and
    may raise to leave.

    Raises:
        NoArchiveError: it is no tar archive.
        InvalidArchiveError: no device would unpack it.
    """
    tree, losses = Tree(limits.size, limits.count, limits.names), _Losses()
    first = next(chunks, b"")
    if compression.kind(first) == "zstd":
        losses.tell("is compressed by zstd, which not every device reads", "gzip is read by all")
    try:
        for member, _ in archive.members(itertools.chain([first], chunks), limits, go_on, losses.tell):
            tree.add(member)
            losses.note(member)
        archive.check_not_empty(tree)
    except UnreadableArchiveError as error:
        losses.tell(f"was not judged to its end: {error}", "devices refuse what exceeds their own limits")
    return tuple(losses.problems(tree))


class _Losses:
    """What devices will not have as the archive has it: of each kind the first example, and how many there are."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[str, int]] = {}
        self._told: list[Problem] = []
        self._top = _TOP

    def note(self, member: Member) -> None:
        """Look at one more member."""
        for kind, example in _lost(member):
            first, count = self._seen.get(kind, (example, 0))
            self._seen[kind] = (first, count + 1)
        if member.kind is Kind.FOLDER and all(part in {"", "."} for part in member.name.split("/")):
            self._top = member.mode

    def tell(self, problem: str, hint: str = "") -> None:
        """Take in what is odd about the archive as a whole."""
        self._told.append(Problem(_FILE, problem, hint))

    def problems(self, tree: Tree) -> Iterator[Problem]:
        """Yield all that is to be told."""
        yield from self._told
        for kind, (first, count) in self._seen.items():
            more = f" (and {count - 1} more)" if count > 1 else ""
            says, hint = _TOLD[kind]
            yield Problem(_FILE, f"{first}{more}; {says}", hint)
        if self._top | _TOP != self._top:
            says = f"its own folder has mode {self._top:04o}, which lets only some in"
            yield Problem(_FILE, f"{says}; on devices it has {self._top | _TOP:04o}")
        if pair := _alike(tree):
            says = f"{shown(pair[0])} and {shown(pair[1])} differ only in case; some file systems take them for one"
            yield Problem(_FILE, says)


def _lost(member: Member) -> Iterator[tuple[str, str]]:
    name = shown(member.name)
    if member.owner:
        yield "owner", f"{name} belongs to {shown(member.owner)}"
    if member.attributes:
        more = ", ..." if len(member.attributes) > 1 else ""
        yield "attributes", f"{name} has {_key(member.attributes[0])}{more}"
    if member.modified_ns in {EARLIEST_NS, LATEST_NS}:
        yield "time", f"{name} was changed before {_YEARS[0]} or after {_YEARS[1]}"
    if not _is_utf8(member.name):
        yield "encoding", f"there is {name}"


def _key(key: str) -> str:
    """Return the name of an attribute as it is known outside of archives."""
    for prefix in _PREFIXES:
        key = key.removeprefix(prefix)
    return shown(key)


def _is_utf8(name: str) -> bool:
    return name.isascii() or not any("\udc80" <= letter <= "\udcff" for letter in name)


def _alike(tree: Tree) -> tuple[str, str] | None:
    """Find two names in a folder that differ only in case."""
    for path, folder in tree.folders():
        if pair := _alike_in(folder):
            return f"{path}{pair[0]}", f"{path}{pair[1]}"
    return None


def _alike_in(folder: ArchiveFolder) -> tuple[str, str] | None:
    names: dict[str, str] = {}
    for name in folder.entries:
        other = names.setdefault(name.casefold(), name)
        if other is not name:
            return other, name
    return None

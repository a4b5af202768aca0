"""What lies in the inbox: which names belong together, and whether they can be taken yet.

Looks at names and metadata in folders that are held open, and opens nothing but regular files; follows no link and
changes nothing.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from builder.errors import DropError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from builder.submission import Verdict
    from mirror.files import Folder

Waits = Callable[[int], str]
"""Tells of an open file why it cannot be taken yet; empty if it can."""

CONTENT = "content.json"
_SUFFIX = ".json"
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
# a link, a socket, or taken back by who dropped it
_NOT_OURS = frozenset({errno.ELOOP, errno.ENXIO, errno.ENOENT, errno.EACCES, errno.EPERM})
_KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a block device",
    stat.S_IFCHR: "a character device",
    stat.S_IFDIR: "a folder",
}


@dataclass(frozen=True, slots=True)
class Find:
    """Names in the inbox that make a drop, or will.

    Attributes:
        names: what is to be claimed: content and file, or the folder with both.
        waiting: why it is not complete; empty if it is.
        refusal: why it never can be a drop; empty if it may.
    """

    names: tuple[str, ...]
    waiting: str = ""
    refusal: str = ""

    @property
    def title(self) -> str:
        """What people call it."""
        return shown(self.names[-1])


@dataclass(frozen=True, slots=True)
class Pass:
    """What one pass over the inbox did, and what it left because it is not complete.

    Attributes:
        is_watching: whether some of that is only taken if a later pass finds it unchanged.
    """

    verdicts: tuple[Verdict, ...] = ()
    waiting: tuple[Find, ...] = ()
    is_watching: bool = False


def find(folder: Folder, waits: Waits) -> Iterator[Find]:
    """Yield what lies in an open folder; hidden names do not count."""
    names = {name for name in folder.names() if not name.startswith(".")}
    # the longest first: x.json.json is the content of x.json, which then is not the content of x
    for content in sorted(names, key=lambda name: (-len(name), name)):
        file = content.removesuffix(_SUFFIX)
        if content in names and file in names and file != content:
            names -= {content, file}
            yield _find(folder, (content, file), waits)
    for name in sorted(names):
        yield _find(folder, (name,), waits)


@contextlib.contextmanager
def open_regular(folder: Folder, name: str) -> Iterator[int]:
    """Open a regular file in an open folder that has no other name, for reading; gives the descriptor.

    Raises:
        DropError: it is something else.
    """
    try:
        descriptor = os.open(name, _READ, dir_fd=folder.descriptor)
    except OSError as error:
        if error.errno in _NOT_OURS:
            raise DropError(f"{shown(name)} is no regular file that can be read: {error.strerror}") from error
        raise
    try:
        if problem := _problem(name, os.fstat(descriptor)):
            raise DropError(problem)
        yield descriptor
    finally:
        os.close(descriptor)


def shown(name: str) -> str:
    """Return a file's name fit for a line of log."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape", "backslashreplace").decode()
        for letter in name
    )


def _find(folder: Folder, names: tuple[str, ...], waits: Waits) -> Find:
    try:
        return _alone(folder, names[0], waits) if len(names) == 1 else _pair(folder, names, waits)
    except OSError as error:  # gone, or closed to us: no reason to keep the others waiting too
        return Find(names, waiting=f"it cannot be read: {error.strerror}")


def _pair(folder: Folder, names: tuple[str, ...], waits: Waits) -> Find:
    if refusal := _refusal(folder, names):
        return Find(names, refusal=refusal)
    return Find(names, waiting=_open_still(folder, names, waits))


def _alone(folder: Folder, name: str, waits: Waits) -> Find:
    if stat.S_ISDIR(_look(folder, name).st_mode):
        with folder.child(name) as inner:
            return _folder(inner, name, waits)
    if refusal := _refusal(folder, (name,)):
        return Find((name,), refusal=refusal)
    partner = name.removesuffix(_SUFFIX) if name.endswith(_SUFFIX) else name + _SUFFIX
    return Find((name,), waiting=f"its partner {shown(partner)} is not there")


def _folder(folder: Folder, name: str, waits: Waits) -> Find:
    inside = folder.names()
    hidden = [entry for entry in inside if entry.startswith(".")]
    others = tuple(entry for entry in inside if entry != CONTENT and not entry.startswith("."))
    if refusal := _name_problem(name) or _refusal(folder, tuple(inside)):
        return Find((name,), refusal=refusal)
    if len(others) > 1:
        beside = f"beside {CONTENT}" if CONTENT in inside else f"and no {CONTENT}"
        return Find((name,), refusal=f"it holds {len(others)} files {beside}; one file is wanted, with its {CONTENT}")
    if hidden:
        return Find((name,), waiting=f"{shown(hidden[0])} in it is hidden, as files are that are still being copied")
    if CONTENT not in inside or not others:
        return Find((name,), waiting=f"it does not hold {CONTENT} and one file yet")
    return Find((name,), waiting=_open_still(folder, (CONTENT, *others), waits))


def _refusal(folder: Folder, names: tuple[str, ...]) -> str:
    for name in names:
        if problem := _name_problem(name) or _problem(name, _look(folder, name)):
            return problem
    return ""


def _look(folder: Folder, name: str) -> os.stat_result:
    return os.stat(name, dir_fd=folder.descriptor, follow_symlinks=False)


def _name_problem(name: str) -> str:
    if all(letter.isprintable() for letter in name):
        return ""
    return f"the name {shown(name)} holds characters that cannot be printed; rename it"


def _problem(name: str, status: os.stat_result) -> str:
    kind = _KINDS.get(stat.S_IFMT(status.st_mode))
    if kind:
        return f"{shown(name)} is {kind}; only regular files are taken, and nothing is followed"
    if status.st_nlink != 1:
        return f"{shown(name)} is a hard link: the file has another name too, so others can change it; drop a copy"
    return ""


def _open_still(folder: Folder, names: tuple[str, ...], waits: Waits) -> str:
    for name in names:
        descriptor = os.open(name, _READ, dir_fd=folder.descriptor)
        try:
            reason = waits(descriptor)
        finally:
            os.close(descriptor)
        if reason:
            return f"{shown(name)} {reason}"
    return ""

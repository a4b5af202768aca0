"""What lies in the inbox: which names belong together, and whether they can be taken yet.

Looks at names and metadata and opens nothing but regular files; changes nothing.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from builder.errors import DropError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from builder.submission import Verdict

CONTENT = "content.json"
_SUFFIX = ".json"
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
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
    """What one pass over the inbox did, and what it left because it is not complete."""

    verdicts: tuple[Verdict, ...] = ()
    waiting: tuple[Find, ...] = ()


def find(inbox: Path, is_closed: Callable[[Path], bool]) -> Iterator[Find]:
    """Yield what lies in the inbox; hidden names do not count."""
    names = {path.name for path in inbox.iterdir() if not path.name.startswith(".")}
    # the longest first: x.json.json is the content of x.json, which then is not the content of x
    for content in sorted(names, key=lambda name: (-len(name), name)):
        file = content.removesuffix(_SUFFIX)
        if content in names and file in names and file != content:
            names -= {content, file}
            yield _find(inbox, (content, file), is_closed)
    for name in sorted(names):
        yield _find(inbox, (name,), is_closed)


def open_regular(path: Path) -> int:
    """Open a regular file that has no other name, for reading; returns the descriptor.

    Raises:
        DropError: it is something else.
    """
    try:
        descriptor = os.open(path, _READ)
    except OSError as error:
        if error.errno in _NOT_OURS:
            raise DropError(f"{shown(path.name)} is no regular file that can be read: {error.strerror}") from error
        raise
    if problem := _problem(path.name, os.fstat(descriptor)):
        os.close(descriptor)
        raise DropError(problem)
    return descriptor


def closed(path: Path, settle_seconds: float, clock: Callable[[], float]) -> bool:
    """Tell whether nobody is writing to a regular file any more.

    A read lease is granted only on a file that nobody has open for writing. Where there are no leases (network
    mounts, files of other users), a file counts as closed when it has not changed for `settle_seconds`.
    """
    descriptor = os.open(path, _READ)
    try:
        # a writer that opens the file while we hold the lease must not end us: SIGURG is ignored, SIGIO kills
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        if error.errno == errno.EAGAIN:
            return False
        status = os.fstat(descriptor)
        return clock() - max(status.st_mtime, status.st_ctime) >= settle_seconds
    finally:
        os.close(descriptor)
    return True


def shown(name: str) -> str:
    """Return a file's name fit for a line of log."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape", "backslashreplace").decode()
        for letter in name
    )


def _find(inbox: Path, names: tuple[str, ...], is_closed: Callable[[Path], bool]) -> Find:
    try:
        return _alone(inbox, names[0], is_closed) if len(names) == 1 else _pair(inbox, names, is_closed)
    except OSError as error:  # gone, or closed to us: no reason to keep the others waiting too
        return Find(names, waiting=f"it cannot be read: {error.strerror}")


def _pair(folder: Path, names: tuple[str, ...], is_closed: Callable[[Path], bool]) -> Find:
    if refusal := _refusal(folder, names):
        return Find(names, refusal=refusal)
    return Find(names, waiting=_open_still(folder, names, is_closed))


def _alone(inbox: Path, name: str, is_closed: Callable[[Path], bool]) -> Find:
    if stat.S_ISDIR((inbox / name).lstat().st_mode):
        return _folder(inbox, name, is_closed)
    if refusal := _refusal(inbox, (name,)):
        return Find((name,), refusal=refusal)
    partner = name.removesuffix(_SUFFIX) if name.endswith(_SUFFIX) else name + _SUFFIX
    return Find((name,), waiting=f"its partner {shown(partner)} is not there")


def _folder(inbox: Path, name: str, is_closed: Callable[[Path], bool]) -> Find:
    inside = sorted(path.name for path in (inbox / name).iterdir())
    hidden = [entry for entry in inside if entry.startswith(".")]
    others = tuple(entry for entry in inside if entry != CONTENT and not entry.startswith("."))
    if refusal := _name_problem(name) or _refusal(inbox / name, tuple(inside)):
        return Find((name,), refusal=refusal)
    if len(others) > 1:
        return Find((name,), refusal=f"it holds {len(others)} files beside {CONTENT}; one is wanted")
    if hidden:
        return Find((name,), waiting=f"{shown(hidden[0])} in it is hidden, as files are that are still being copied")
    if CONTENT not in inside or not others:
        return Find((name,), waiting=f"it does not hold {CONTENT} and one file yet")
    return Find((name,), waiting=_open_still(inbox / name, (CONTENT, *others), is_closed))


def _refusal(folder: Path, names: tuple[str, ...]) -> str:
    for name in names:
        if problem := _name_problem(name) or _problem(name, (folder / name).lstat()):
            return problem
    return ""


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


def _open_still(folder: Path, names: tuple[str, ...], is_closed: Callable[[Path], bool]) -> str:
    for name in names:
        if not is_closed(folder / name):
            return f"{shown(name)} is still being written"
    return ""

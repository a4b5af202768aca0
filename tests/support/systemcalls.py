"""System calls that change files, as strace lists them.

Reads the output of `strace -f -y`; knows nothing of why a program was traced. Paths come out absolute and with
their folders' links resolved, so that they can be compared.
"""

from __future__ import annotations

import ast
import dataclasses
import os
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.announce import CHANNEL

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# the leading arguments of every system call that changes files: d the folder of the next path, p a path,
# f a descriptor, - something else
CHANGING = {
    "open": "p", "openat": "dp", "openat2": "dp", "creat": "p",
    "write": "f", "pwrite64": "f", "writev": "f", "pwritev": "f", "pwritev2": "f",
    "sendfile": "f", "copy_file_range": "--f", "splice": "--f", "ioctl": "f", "fallocate": "f",
    "rename": "pp", "renameat": "dpdp", "renameat2": "dpdp",
    "link": "pp", "linkat": "dpdp", "symlink": "-p", "symlinkat": "-dp",
    "unlink": "p", "unlinkat": "dp", "mkdir": "p", "mkdirat": "dp", "rmdir": "p", "mknod": "p", "mknodat": "dp",
    "truncate": "p", "ftruncate": "f",
    "fsync": "f", "fdatasync": "f", "syncfs": "f", "sync_file_range": "f",
    "utime": "p", "utimes": "p", "futimesat": "dp", "utimensat": "dp",
    "chmod": "p", "fchmod": "f", "fchmodat": "dp", "chown": "p", "lchown": "p", "fchown": "f", "fchownat": "dp",
    "setxattr": "p", "lsetxattr": "p", "fsetxattr": "f",
    "removexattr": "p", "lremovexattr": "p", "fremovexattr": "f",
}  # fmt: skip
SYNCS = frozenset({"fsync", "fdatasync", "syncfs", "sync_file_range"})
TRACED = CHANGING | {"chdir": "p", "fchdir": "f"}

_OPENS = frozenset({"open", "openat", "openat2"})
_LINE = re.compile(r"(?P<tracee>\d+) +(?P<text>.*)")
_CALL = re.compile(r"(?P<name>\w+)\((?P<arguments>.*)\) += (?P<result>.+)")
_RESUMED = re.compile(r"<\.\.\. \w+ resumed>(?P<text>.*)")
_UNFINISHED = " <unfinished ...>"
_ARGUMENT = re.compile(r'(?:"(?:[^"\\]|\\.)*"|<[^>]*>|[^,"<])+')
_DESCRIPTOR = re.compile(r"(?:AT_FDCWD|\d+)<(?P<path>[^>]*)>")
_QUOTED = re.compile(r'"(?P<path>(?:[^"\\]|\\.)*)"')


@dataclasses.dataclass(frozen=True)
class SystemCall:
    """One system call: the `nth` of its name in its tracee, tracees (threads) being numbered as they appear."""

    name: str
    nth: int
    tracee: int
    paths: tuple[Path, ...]
    arguments: str
    result: str
    announced: bool = False

    @property
    def is_change(self) -> bool:
        """Whether it would change files, if it succeeds."""
        if self.name in _OPENS:
            return any(flag in self.arguments for flag in ("O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC"))
        return self.name in CHANGING and (self.name != "ioctl" or "FICLONE" in self.arguments)

    @property
    def succeeded(self) -> bool:
        """Whether it was made and reported no error."""
        return not self.result.startswith(("-1 ", "?"))

    @property
    def was_cut_off(self) -> bool:
        """Whether its tracee died in it."""
        return self.result.startswith("?")

    @property
    def was_injected(self) -> bool:
        """Whether strace let it fail."""
        return self.result.endswith("(INJECTED)")

    def touches(self, below: Path) -> bool:
        """Tell whether it has to do with `below` or anything in it."""
        return any(path.is_relative_to(below) for path in self.paths)

    def __str__(self) -> str:
        return f"{self.name}-{self.nth}"


def read(listing: Iterable[str]) -> list[SystemCall]:
    """Read all calls of a listing, in the order in which they were begun."""
    reader = _Reader()
    matches = ((tracee, _CALL.fullmatch(text)) for tracee, text in _whole_lines(listing))
    return [reader.call(tracee, match) for tracee, match in matches if match]


class _Reader:
    """What has to be remembered from one line of a listing to a later one."""

    def __init__(self) -> None:
        self._tracees: dict[str, int] = {}
        self._counts: Counter[tuple[int, str]] = Counter()
        self._folders: dict[int, Path] = {}  # where each tracee is
        self._announced: set[int] = set()

    def call(self, pid: str, match: re.Match[str]) -> SystemCall:
        """Take one line in."""
        name, arguments, result = match.group("name", "arguments", "result")
        tracee = self._tracees.setdefault(pid, len(self._tracees))
        self._counts[tracee, name] += 1
        paths = list(self._paths(tracee, name, arguments))
        if name in _OPENS and (opened := _DESCRIPTOR.match(result)):
            paths.append(Path(_decode(opened["path"])))  # a link at the end of the path was followed
        if name in ("chdir", "fchdir") and result == "0":
            self._folders[tracee] = paths[0]
        call = SystemCall(name, self._counts[tracee, name], tracee, tuple(paths), arguments, result)
        return self._credit(call)

    def _credit(self, call: SystemCall) -> SystemCall:
        """Let an announcement stand for the next change of its tracee, and for no other."""
        if call.name == "write" and CHANNEL in call.arguments.partition(">")[0]:
            self._announced.add(call.tracee)
        elif call.is_change and call.tracee in self._announced:
            self._announced.discard(call.tracee)
            return dataclasses.replace(call, announced=True)
        return call

    def _paths(self, tracee: int, name: str, arguments: str) -> Iterator[Path]:
        folder = None
        for kind, argument in zip(TRACED.get(name, ""), _ARGUMENT.findall(arguments), strict=False):
            descriptor, quoted = _DESCRIPTOR.match(argument.strip()), _QUOTED.match(argument.strip())
            if descriptor and kind == "f":
                yield Path(_decode(descriptor["path"]))
            elif descriptor and kind == "d":
                folder = Path(_decode(descriptor["path"]))
                if argument.strip().startswith("AT_FDCWD"):
                    self._folders[tracee] = folder
            elif kind == "p":
                start = folder or self._folders.get(tracee, Path.cwd())
                yield _resolved(start / _decode(quoted["path"])) if quoted else start
                folder = None


def _whole_lines(listing: Iterable[str]) -> list[tuple[str, str]]:
    """Join calls that strace lists in two parts, because another tracee came between."""
    lines: list[tuple[str, str]] = []
    unfinished: dict[str, int] = {}
    for line in listing:
        if (match := _LINE.match(line)) is None:
            continue
        tracee, text = match.group("tracee", "text")
        if resumed := _RESUMED.match(text):
            place = unfinished.pop(tracee)
            lines[place] = (tracee, lines[place][1] + resumed["text"])
        else:
            if text.endswith(_UNFINISHED):
                unfinished[tracee] = len(lines)
            lines.append((tracee, text.removesuffix(_UNFINISHED)))
    for tracee, place in unfinished.items():
        lines[place] = (tracee, lines[place][1] + ") = ?")
    return lines


def _decode(text: str) -> str:
    return os.fsdecode(ast.literal_eval('b"' + re.sub(r'(?<!\\)"', r"\"", text) + '"'))


def _resolved(path: Path) -> Path:
    return path.parent.resolve() / path.name

"""File systems as devices have them: real ones in images, and the answers of those that this kernel cannot mount.

    with mounted("btrfs", folder): ...        # needs root
    calls = PlayedCalls(FAT, folder)          # below `folder` the calls answer as on FAT

What is played is a table of errors by call. Its rows are from the kernel's sources: a file system without an operation
answers EPERM (link, symlink), EOPNOTSUPP (attributes, unnamed files); one that has no owners or modes of its own
refuses those that differ from what it shows.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support import tools
from tests.support.faults import CountingCalls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from functools import partial

_MIB = 1024 * 1024
_SIZES = {"ext4": 64, "xfs": 512, "btrfs": 256}
"""MiB; the smallest that the tools like to make."""
REAL = ("ext4", "xfs", "btrfs", "tmpfs", "overlay")


@contextlib.contextmanager
def mounted(kind: str, folder: Path) -> Iterator[None]:
    """Mount an empty file system of a kind at `folder`; it needs root."""
    tools.require_root()
    with tempfile.TemporaryDirectory(prefix="file-system-") as place, contextlib.ExitStack() as mounts:
        try:
            for words in _MOUNTS[kind](Path(place), folder):
                _run(*words)
                if words[0] == "mount":
                    mounts.callback(_run, "umount", words[-1])
        except subprocess.CalledProcessError as error:
            tools.missing(f"{kind} cannot be mounted here: {error.stderr.decode()}")
        with contextlib.suppress(FileNotFoundError):
            (folder / "lost+found").rmdir()
        yield


@contextlib.contextmanager
def overlaid(folder: Path) -> Iterator[None]:
    """Make what is in `folder` the lower layer of an overlay, as a container or a read-only root has it."""
    tools.require_root()
    # the upper layer has to be on a file system that can be one; memory can
    with tempfile.TemporaryDirectory(prefix="overlay-") as place, contextlib.ExitStack() as mounts:
        try:
            for words in _overlay(Path(place), folder, lower=folder):
                _run(*words)
                if words[0] == "mount":
                    mounts.callback(_run, "umount", words[-1])
        except subprocess.CalledProcessError as error:
            tools.missing(f"an overlay cannot be mounted here: {error.stderr.decode()}")
        yield


def _image(kind: str) -> Callable[[Path, Path], Iterator[tuple[str, ...]]]:
    def commands(place: Path, folder: Path) -> Iterator[tuple[str, ...]]:
        image = place / "image"
        image.touch()
        os.truncate(image, _SIZES[kind] * _MIB)
        yield (tools.require(f"mkfs.{kind}"), "-q", str(image))
        yield ("mount", "-t", kind, "-o", "loop", str(image), str(folder))

    return commands


def _tmpfs(_place: Path, folder: Path) -> Iterator[tuple[str, ...]]:
    yield ("mount", "-t", "tmpfs", "tmpfs", str(folder))


def _overlay(place: Path, folder: Path, lower: Path | None = None) -> Iterator[tuple[str, ...]]:
    yield ("mount", "-t", "tmpfs", "tmpfs", str(place))
    for name in ("upper", "work", "lower"):
        (place / name).mkdir()
    (place / "upper").chmod(0o755)
    layers = f"lowerdir={lower or place / 'lower'},upperdir={place / 'upper'},workdir={place / 'work'}"
    # the kernel's own default, said so that no module parameter changes it
    yield ("mount", "-t", "overlay", "-o", f"{layers},redirect_dir=off", "overlay", str(folder))


_MOUNTS: Mapping[str, Callable[[Path, Path], Iterator[tuple[str, ...]]]] = {
    **{kind: _image(kind) for kind in _SIZES},
    "tmpfs": _tmpfs,
    "overlay": _overlay,
}


@dataclass(frozen=True)
class System:
    """What a file system refuses.

    Attributes:
        errors: the error of each call that it does not have.
        fixed: the error of a change of owner or mode to another than it shows.
        unnamed: the error of opening a file that has no name.
    """

    name: str
    errors: Mapping[str, int] = field(default_factory=dict)
    fixed: Mapping[str, int] = field(default_factory=dict)
    unnamed: int = errno.EOPNOTSUPP

    def __str__(self) -> str:
        return self.name


_NO_LINKS = {"link": errno.EPERM, "flink": errno.EPERM, "symlink": errno.EPERM, "fsetxattr": errno.EOPNOTSUPP}
FAT = System("vfat", _NO_LINKS, {"fchown": errno.EPERM, "fchmod": errno.EPERM})
EXFAT = System("exfat", _NO_LINKS, {"fchown": errno.EPERM, "fchmod": errno.EPERM})
NFS = System("nfs, root squashed", {"fsetxattr": errno.EOPNOTSUPP}, {"fchown": errno.EPERM})
CIFS = System("cifs", {**_NO_LINKS, "symlink": errno.EOPNOTSUPP, "link": errno.EOPNOTSUPP})
READ_ONLY = System(
    "read-only",
    dict.fromkeys(("mkdir", "rename", "link", "flink", "symlink", "unlink", "rmdir"), errno.EROFS),
    unnamed=errno.EROFS,
)
PLAYED = (FAT, EXFAT, NFS, CIFS)


class PlayedCalls(CountingCalls):
    """The real calls, which below a folder answer as on another file system."""

    def __init__(self, system: System, folder: Path) -> None:
        super().__init__()
        self._system, self._folder = system, folder

    def _do(self, name: str, call: partial[Any]) -> Any:
        if any(path.is_relative_to(self._folder) for path in self.calls[-1].paths) and (
            error := self._error(name, call)
        ):
            raise OSError(error, os.strerror(error))
        return call()

    def _error(self, name: str, call: partial[Any]) -> int:
        if name in self._system.fixed:
            return self._system.fixed[name] if _differs(name, call.args) else 0
        if name == "open" and call.args[1] & os.O_TMPFILE == os.O_TMPFILE:
            return self._system.unnamed
        if name == "open" and self._system is READ_ONLY:
            return errno.EROFS
        return self._system.errors.get(name, 0)


def _differs(name: str, arguments: tuple[Any, ...]) -> bool:
    found = os.fstat(arguments[0])
    is_now = (found.st_uid, found.st_gid) if name == "fchown" else (stat.S_IMODE(found.st_mode),)
    return tuple(arguments[1:]) != is_now


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)

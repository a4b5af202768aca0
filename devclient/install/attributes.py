"""What a file has besides its bytes: mode, owner, extended attributes; kept from one release to the next."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mirror.files import Files
    from mirror.folders import Folder

_log = logging.getLogger(__name__)

# they vouch for the bytes, which are others now
_OF_THE_BYTES = frozenset({"security.ima", "security.evm"})


@dataclass(frozen=True)
class Attributes:
    """Mode, owner and extended attributes of one file."""

    mode: int
    user: int
    group: int
    extended: Mapping[str, bytes] = field(default_factory=dict)

    def give(self, descriptor: int, files: Files) -> None:
        """Give them to an open file or folder, whatever its name has become.

        A file system without owners and modes of its own, such as FAT, keeps those that it shows.
        """
        # in this order: a change of owner takes setuid bits and capabilities away, a mode changes an ACL
        with _unless_it_has_none("owners", descriptor, errno.EPERM if os.geteuid() == 0 else errno.ENOTSUP):
            files.calls.fchown(descriptor, self.user, self.group)
        with _unless_it_has_none("modes", descriptor, errno.EPERM):
            files.calls.fchmod(descriptor, self.mode)
        for name, value in self.extended.items():
            files.calls.fsetxattr(descriptor, name, value)


def of(folder: Folder, name: str) -> Attributes:
    """Read the attributes of an ordinary file in a folder; those of a first install if there is none."""
    try:
        with folder.identify(name) as descriptor:
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                return of_opened(descriptor)
    except FileNotFoundError:
        pass
    return Attributes(0o755, os.geteuid(), os.getegid())


def of_opened(descriptor: int) -> Attributes:
    """Read the attributes of an open file or folder."""
    found = os.fstat(descriptor)
    extended = _extended(f"/proc/self/fd/{descriptor}")
    return Attributes(stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid, extended)


@contextlib.contextmanager
def _unless_it_has_none(what: str, descriptor: int, refusal: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in {refusal, errno.ENOTSUP}:
            raise
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        _log.warning("%s stays as it is: its file system has no %s", path, what)


def _extended(path: str) -> dict[str, bytes]:
    try:
        names = os.listxattr(path)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return {}
        raise
    return {name: os.getxattr(path, name) for name in names if name not in _OF_THE_BYTES}

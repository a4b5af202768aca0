"""What a file has besides its bytes: mode, owner, extended attributes; kept from one release to the next."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mirror.files import Files
    from mirror.folders import Folder

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
        """Give them to an open file, whatever its name has become."""
        # in this order: a change of owner takes setuid bits and capabilities away, a mode changes an ACL
        files.calls.fchown(descriptor, self.user, self.group)
        files.calls.fchmod(descriptor, self.mode)
        for name, value in self.extended.items():
            files.calls.fsetxattr(descriptor, name, value)


def of(folder: Folder, name: str) -> Attributes:
    """Read the attributes of an ordinary file in a folder; those of a first install if there is none."""
    try:
        with folder.identify(name) as descriptor:
            found = os.fstat(descriptor)
            if stat.S_ISREG(found.st_mode):
                extended = _extended(f"/proc/self/fd/{descriptor}")
                return Attributes(stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid, extended)
    except FileNotFoundError:
        pass
    return Attributes(0o755, os.geteuid(), os.getegid())


def _extended(path: str) -> dict[str, bytes]:
    try:
        names = os.listxattr(path)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return {}
        raise
    return {name: os.getxattr(path, name) for name in names if name not in _OF_THE_BYTES}

"""A blob that becomes the new file itself, by rename, so that large ones are read and written once only.

It was hashed while it came, or when it was found, in a folder that only otadevice may write to. So it is moved only to
where nobody else may write either; whether that is on the same file system, the rename itself tells.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import TYPE_CHECKING

from devclient import work_folder
from devclient.install import access, place
from devclient.install.attributes import Attributes
from devclient.plan import Kind

if TYPE_CHECKING:
    from pathlib import Path

    from devclient.plan import Plan, Step
    from mirror.files import Files
    from mirror.folders import Folder

_DEFAULT_ACL = "system.posix_acl_default"
_ELSEWHERE = frozenset({errno.EXDEV, errno.EPERM, errno.EACCES, errno.ENOTSUP})


def where(plan: Plan, parts: Path, step: Step) -> str:
    """Tell where the verified blob of a step is, in `parts` or where it was moved to; "" if none was downloaded."""
    if step.after is None or plan.kind is not Kind.UPDATE:
        return ""
    ways = [parts / step.after.sha256, *([] if step.is_folder else [place.new(step.path), step.path])]
    return next((os.fspath(path) for path in ways if path.exists()), "")


def move(blob: Path, folder: Folder, name: str, looks: Attributes, files: Files) -> bool:
    """Make a blob the new file `name` of a folder, durably, if it can be moved there; returns whether it was."""
    if access.exposed(folder.path) or _would_inherit(blob, folder, looks):
        return False
    folder.remove(name)
    # opened where nobody else can exchange it, and never by its new name
    with files.open_folder(blob.parent.resolve()) as parts, parts.read(blob.name) as descriptor:
        try:
            parts.rename(blob.name, folder, name)
        except OSError as error:
            if error.errno in _ELSEWHERE:
                return False
            raise
        looks.give(descriptor, files)
        files.calls.fsync(descriptor)
    return True


def _would_inherit(blob: Path, folder: Folder, looks: Attributes) -> bool:
    """Return whether a file that is made in a folder gets something from it that a moved one would not have.

    That is a label of SELinux and its kin, which the blob has from its own folder, or an access list.
    """
    labels = {name for name in _extended(blob) if name.startswith("security.")}
    return bool(labels - set(looks.extended)) or _DEFAULT_ACL in _extended(folder.descriptor)


def _extended(file: Path | int) -> list[str]:
    with contextlib.suppress(OSError):  # a file system without extended attributes
        return os.listxattr(file)
    return []


def take_back(plan: Plan, step: Step, folder: Folder, name: str, parts: Path, files: Files) -> None:
    """Move a blob back to the folder `parts` for the next try, if it is what has the name; it is hashed before that."""
    if plan.kind is not Kind.UPDATE or step.is_folder or step.after is None or name != place.new(step.path).name:
        return
    found = folder.look(name)
    if found is None or not stat.S_ISREG(found.st_mode) or access.exposed(folder.path):
        return
    with folder.read(name) as descriptor:
        facts = os.fstat(descriptor)
        if (facts.st_nlink, facts.st_size) != (1, step.after.size) or (parts / step.after.sha256).exists():
            return
        Attributes(work_folder.OUR_FILE, os.geteuid(), os.getegid()).give(descriptor, files)
    with files.open_folder(parts.resolve(), make=work_folder.OURS) as target:
        try:
            folder.rename(name, target, step.after.sha256)
        except OSError as error:
            if error.errno not in _ELSEWHERE:
                raise

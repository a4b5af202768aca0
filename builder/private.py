"""Folders and files that only the service's own user can open, whatever umask it was started with.

Who can open a file can hold a lock on it, if only to read. So what is locked is in here, as are the catalogue and all
that was taken from publishers and is not judged yet.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pwd
import stat
from typing import TYPE_CHECKING

from builder.errors import PrivacyError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mirror.files import Files, Folder

logger = logging.getLogger(__name__)

MODE = 0o700
_OTHERS = 0o077


def make_folder(folder: Path, files: Files, *, close: bool = False) -> None:
    """Make a folder that no other user can enter, unless it is there; `close` one that is open to others.

    Raises:
        PrivacyError: it belongs to somebody else, is open to others, or is shared on purpose, as /tmp is.
    """
    try:
        files.make_folder(folder.parent)
        files.calls.mkdir(folder, MODE)
    except FileExistsError:
        if close:
            close_folder(folder, files)
    except PermissionError as error:
        raise PrivacyError(folder, f"cannot be made: {error.strerror}") from error
    check(folder.stat(), folder)


def close_folder(folder: Path, files: Files) -> None:
    """Close a folder of ours to other users."""
    status = folder.stat()
    # a sticky folder is one of many users, such as /tmp: the settings are wrong, and closing it would harm
    if status.st_uid == os.geteuid() and status.st_mode & _OTHERS and not status.st_mode & stat.S_ISVTX:
        _close(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, MODE, files)


@contextlib.contextmanager
def opened(folder: Path, files: Files) -> Iterator[Folder]:
    """Open a folder that no other user can enter, not following a link in its place.

    Raises:
        PrivacyError: it belongs to somebody else, is open to others, or is no folder.
    """
    try:
        found = files.open_folder(folder.parent.resolve() / folder.name)
    except NotADirectoryError as error:
        raise PrivacyError(folder, "is a link, or no folder: remove it, and it is made anew") from error
    with found:
        check(found.stat(), folder)
        yield found


def make_file(path: Path, files: Files) -> None:
    """Have a file that no other user can open: a new one without bytes, or the one that is there.

    One that is open to others is opened and closed for that, which ends locks of this process on it: it must not be in
    use here yet.
    """
    try:
        descriptor = files.calls.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        close_file(path, files)
    else:
        files.calls.close(descriptor)


def close_file(path: Path, files: Files) -> None:
    """Close a file of ours, if it is there, to other users; what is no file of ours stays as it is."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return
    if stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and status.st_mode & _OTHERS:
        _close(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC, 0o600, files)


def is_ours(status: os.stat_result) -> bool:
    """Return whether something belongs to our user and is closed to all others."""
    return status.st_uid == os.geteuid() and not status.st_mode & _OTHERS


def check(status: os.stat_result, folder: Path) -> None:
    """See that a folder is ours alone.

    Raises:
        PrivacyError: it belongs to somebody else, or is open to others.
    """
    if status.st_uid != os.geteuid():
        owner = _name(status.st_uid)
        raise PrivacyError(
            folder, f"belongs to the user {owner}, not to {_name(os.geteuid())}: run this command as {owner}"
        )
    if status.st_mode & _OTHERS:
        mode = stat.S_IMODE(status.st_mode)
        raise PrivacyError(
            folder,
            f"is open to other users, with the mode {mode:04o}: `chmod 700 {folder}`, or where the file system keeps "
            "no modes, mount it with umask=077",
        )


def _close(path: Path, flags: int, mode: int, files: Files) -> None:
    descriptor = os.open(path, flags)
    try:
        files.calls.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)
    logger.info("closed %s to other users", path)


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)

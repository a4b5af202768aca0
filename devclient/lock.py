"""One otadevice at a time on one device; the lock is gone with the process that held it."""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING

from devclient import work_folder
from devclient.errors import BusyError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mirror.files import Files

DAEMON = "daemon.lock"
"""The name in the work folder of the lock that the daemon holds as long as it lives."""
AT_WORK = "lock"
"""Likewise of that which everybody holds who changes the device, as long as that takes."""
_WIDTH = 20  # the process id is padded, so that a shorter one covers a longer one


@contextlib.contextmanager
def hold(file: Path, files: Files) -> Iterator[None]:
    """Hold the lock `file`, which says who holds it, and which no other user can open: opening it is all it takes.

    Raises:
        BusyError: another process holds it.
    """
    work_folder.ready(file.parent, files)
    descriptor = files.calls.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, work_folder.OUR_FILE)
    try:
        _acquire(descriptor, file)
        files.calls.write(descriptor, f"{os.getpid():<{_WIDTH}}\n".encode())
        yield
    finally:
        files.calls.close(descriptor)


def is_held(file: Path) -> bool:
    """Tell whether some process holds the lock `file`."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _acquire(descriptor: int, file: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BusyError(file, _holder(descriptor), lasting=file.name == DAEMON) from None


def _holder(descriptor: int) -> int | None:
    text = os.pread(descriptor, _WIDTH, 0).strip()
    return int(text) if text.isdigit() else None

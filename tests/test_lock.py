"""Locks between processes."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from builder.lock import Lock

if TYPE_CHECKING:
    from pathlib import Path

HOLDER = """
import sys
from pathlib import Path
from builder.lock import Lock
with Lock(Path(sys.argv[1])).held():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_one_at_a_time(tmp_path: Path) -> None:
    """What one holds no other can take until it is given back."""
    one, other = Lock(tmp_path), Lock(tmp_path)

    assert one.try_acquire()
    assert not other.try_acquire()
    one.release()
    assert other.try_acquire()


def test_folders_do_not_get_in_each_others_way(tmp_path: Path) -> None:
    """A lock is on one folder, not on what lies in it."""
    (tmp_path / "inner").mkdir(0o700)

    assert Lock(tmp_path).try_acquire()
    assert Lock(tmp_path / "inner").try_acquire()


def test_no_file_is_made(tmp_path: Path) -> None:
    """A lock leaves no trace in the folder, held or not."""
    with Lock(tmp_path).held():
        assert list(tmp_path.iterdir()) == []


def test_who_has_to_wait_is_told_once(tmp_path: Path) -> None:
    """A person hears why nothing happens; then the lock is taken."""
    first, told = Lock(tmp_path), []
    first.try_acquire()

    def let_go() -> None:
        told.append("waiting")
        first.release()

    with Lock(tmp_path).held(let_go):
        assert not first.try_acquire()
    with Lock(tmp_path).held(let_go):
        pass

    assert told == ["waiting"]


def test_an_error_gives_the_lock_back(tmp_path: Path) -> None:
    """Work that fails does not keep others out."""
    with pytest.raises(OSError, match="full"), Lock(tmp_path).held():
        raise OSError("full")

    assert Lock(tmp_path).try_acquire()


def test_taking_a_lock_twice_is_a_mistake(tmp_path: Path) -> None:
    """A lock that is held already cannot be taken again by the same hands."""
    lock = Lock(tmp_path)
    lock.try_acquire()

    with pytest.raises(RuntimeError, match="held already"):
        lock.try_acquire()


def test_giving_back_what_is_not_held_is_fine(tmp_path: Path) -> None:
    """Cleaning up needs no questions."""
    lock = Lock(tmp_path)
    lock.release()

    assert lock.try_acquire()


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    """There is no lock on nothing."""
    with pytest.raises(FileNotFoundError):
        Lock(tmp_path / "missing").try_acquire()


def test_a_dead_process_holds_nothing(tmp_path: Path) -> None:
    """Killing the holder is enough: nobody has to remove anything."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert not Lock(tmp_path).try_acquire()
        holder.kill()

    assert Lock(tmp_path).try_acquire()


def test_children_do_not_inherit_the_lock(tmp_path: Path) -> None:
    """A program that was started meanwhile does not hold the lock on."""
    lock = Lock(tmp_path)
    lock.try_acquire()
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, close_fds=False):
        lock.release()
        assert Lock(tmp_path).try_acquire()

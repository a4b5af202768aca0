"""Whether a dropped file is still being written: by leases, by its times, or by watching it where they say nothing."""

from __future__ import annotations

import mmap
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from builder.intake.settling import WRITING, Settling
from tests.support.sites import Clock

if TYPE_CHECKING:
    from collections.abc import Iterator


def waits(path: Path, settling: Settling | None = None) -> str:
    """Tell why a file cannot be taken, by default at a time at which none has settled by its age."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return (settling or Settling(3600, lambda: 0.0)).waits(descriptor)
    finally:
        os.close(descriptor)


def test_a_writer_is_seen_however_long_it_says_nothing(tmp_path: Path) -> None:
    """The age of the file does not count where the file system knows."""
    path = tmp_path / "app"

    with path.open("wb") as file:
        file.write(b"half")
        file.flush()
        os.utime(path, (0, 0))
        assert waits(path, Settling(0, lambda: 4e9)) == WRITING
    assert waits(path) == ""


def test_a_mapped_file_is_being_written(tmp_path: Path) -> None:
    """A writer may close the file and write through memory: that counts as open."""
    path = tmp_path / "app"
    path.write_bytes(b"bytes")
    with path.open("r+b") as file:
        mapped = mmap.mmap(file.fileno(), 5)

    assert waits(path, Settling(0, lambda: 4e9)) == WRITING
    mapped.close()
    assert waits(path) == ""


def test_a_reader_does_not_matter(tmp_path: Path) -> None:
    """Who reads a file changes nothing."""
    path = tmp_path / "app"
    path.write_bytes(b"bytes")

    with path.open("rb"):
        assert waits(path) == ""


def test_a_writer_that_comes_is_not_held_up(tmp_path: Path) -> None:
    """Asking leaves nothing behind that a later writer would have to wait for."""
    path = tmp_path / "app"
    path.write_bytes(b"bytes")
    waits(path)

    descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK)  # with a lease in the way this fails with EAGAIN

    os.close(descriptor)


@contextmanager
def of_another_user(path: Path) -> Iterator[tuple[Path, float]]:
    """Drop a file of another user, as which there are no leases; gives it, and when it was changed.

    Without root it is one of root's own.
    """
    user = os.geteuid()
    if user != 0:
        yield Path("/etc/passwd"), Path("/etc/passwd").stat().st_ctime
        return
    path.write_bytes(b"bytes")
    descriptor = os.open(path, os.O_RDONLY)  # the folders above are closed to everybody else
    os.seteuid(65534)
    try:
        yield Path(f"/proc/self/fd/{descriptor}"), os.fstat(descriptor).st_ctime
    finally:
        os.seteuid(user)
        os.close(descriptor)


def test_elsewhere_a_file_has_to_settle(tmp_path: Path) -> None:
    """Where the file system does not tell, a file counts as closed once it has not changed for a while."""
    with of_another_user(tmp_path / "app") as (path, changed):
        assert waits(path, Settling(10, lambda: changed + 9.9)) == WRITING
        assert waits(path, Settling(10, lambda: changed + 10)) == ""


@pytest.mark.root
def test_a_modification_time_in_the_future_does_not_count(tmp_path: Path) -> None:
    """A file that was copied with its times, from a machine whose clock is ahead, settles by when it came."""
    path = tmp_path / "app"
    path.write_bytes(b"bytes")
    os.utime(path, (4e9, 4e9))
    with of_another_user(tmp_path / "other") as (other, _):
        os.seteuid(0)
        os.utime(tmp_path / "other", (4e9, 4e9))
        changed = (tmp_path / "other").stat().st_ctime
        os.seteuid(65534)

        assert waits(other, Settling(10, lambda: changed + 9.9)) == WRITING
        assert waits(other, Settling(10, lambda: changed + 10)) == ""


def test_a_change_in_the_future_is_watched_until_it_rests(tmp_path: Path) -> None:
    """Where a clock was ahead, or is on another machine, a file is taken once it looked the same for a while."""
    with of_another_user(tmp_path / "app") as (path, changed):
        clock = Clock(changed - 1e6)
        settling = Settling(10, clock)
        told = []
        for seconds in (0, 9.9, 0.1):
            clock.now += seconds
            settling.begin_pass()
            told.append((waits(path, settling) == "", settling.is_watching))

    assert told == [(False, True), (False, True), (True, False)]


@pytest.mark.root
def test_a_watched_file_that_changes_is_watched_anew(tmp_path: Path) -> None:
    """What counts is the last change, of size or times, however odd these are."""
    with of_another_user(tmp_path / "app") as (path, changed):
        clock = Clock(changed - 1e6)
        settling = Settling(10, clock)
        waits(path, settling)
        os.seteuid(0)
        (tmp_path / "app").write_bytes(b"more bytes")
        os.seteuid(65534)
        clock.now += 10
        settling.begin_pass()
        first = waits(path, settling)
        clock.now += 10
        settling.begin_pass()

        assert "was changed in the future" in first
        assert waits(path, settling) == ""


def test_a_clock_that_is_set_back_meanwhile_starts_the_watch_again(tmp_path: Path) -> None:
    """No time that has not passed is counted, and none is waited for that lies far ahead."""
    with of_another_user(tmp_path / "app") as (path, changed):
        clock = Clock(changed - 10)
        settling = Settling(10, clock)
        waits(path, settling)
        clock.now -= 1e6
        settling.begin_pass()
        assert waits(path, settling) != ""
        clock.now += 10
        settling.begin_pass()
        assert waits(path, settling) == ""

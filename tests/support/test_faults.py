"""The harness that kills and fails in process: faults come where they should, once and never silently."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mirror.files import Calls, Files
from tests.support import faults
from tests.support.faults import CountingCalls, Fault, FaultyCalls, Killed, points, spread, sweep

if TYPE_CHECKING:
    from collections.abc import Callable

DATA = b"0123456789"


def two_files(calls: Calls, folder: Path) -> None:
    """Open, write and close `a` and `b`: six calls."""
    for name in ("a", "b"):
        Files(calls).write(folder / name, DATA)


def three_writes(calls: Calls) -> None:
    """Write to what leads nowhere, so that it can be counted anywhere: five calls."""
    descriptor = calls.open(Path("/dev/null"), os.O_WRONLY)
    for _ in range(3):
        calls.write(descriptor, DATA)
    calls.close(descriptor)


def left(folder: Path) -> dict[str, bytes]:
    """Read what is there."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_every_call_that_files_can_make_is_watched(tmp_path: Path) -> None:
    """No method of `Calls` goes past the harness."""
    path, calls = tmp_path / "f", CountingCalls()
    descriptor = calls.open(path, os.O_CREAT | os.O_WRONLY)
    made: dict[str, Callable[[], object]] = {
        "write": lambda: calls.write(descriptor, DATA),
        "overwrite": lambda: calls.overwrite(descriptor, DATA, 0),
        "truncate": lambda: calls.truncate(descriptor, 1),
        "fsync": lambda: calls.fsync(descriptor),
        "syncfs": lambda: calls.syncfs(descriptor),
        "close": lambda: calls.close(descriptor),
        "futimens": lambda: calls.futimens(descriptor, 1),
        "fchmod": lambda: calls.fchmod(descriptor, 0o600),
        "fchown": lambda: calls.fchown(descriptor, os.getuid(), os.getgid()),
        "fsetxattr": lambda: calls.fsetxattr(descriptor, "user.x", b"y"),
        "flink": lambda: calls.flink(descriptor, tmp_path / "second"),
        "rename": lambda: calls.rename(path, tmp_path / "g"),
        "link": lambda: calls.link(tmp_path / "g", path),
        "symlink": lambda: calls.symlink("g", tmp_path / "l"),
        "unlink": lambda: calls.unlink(tmp_path / "g"),
        "mkdir": lambda: calls.mkdir(tmp_path / "d"),
        "rmdir": lambda: calls.rmdir(tmp_path / "d"),
    }

    for make in made.values():
        with contextlib.suppress(OSError):  # not every file system has extended attributes
            make()

    public = {name for name in dir(Calls) if not name.startswith("_")}
    assert calls.by_name == dict.fromkeys(public, 1)
    assert public == {"open", *made}


def test_calls_are_noted_with_paths_and_bytes(tmp_path: Path) -> None:
    """A descriptor is noted as the file behind it."""
    calls = CountingCalls()

    Files(calls).replace(tmp_path / "f", DATA)

    temporary = tmp_path / ".f.tmp"
    assert calls.calls[1:3] == [("open", (temporary,), 0), ("write", (temporary,), len(DATA))]
    assert calls.calls[5] == ("rename", (temporary, tmp_path / "f"), 0)
    assert (calls.bytes_written, calls.syncs) == (len(DATA), 2)


@pytest.mark.parametrize(
    ("point", "mode", "there"),
    [
        (1, faults.KILL_BEFORE, {}),
        (2, faults.KILL_BEFORE, {"a": b""}),
        (2, faults.KILL_HALFWAY, {"a": b"01234"}),
        (3, faults.KILL_BEFORE, {"a": DATA}),
        (4, faults.KILL_HALFWAY, {"a": DATA, "b": b""}),
        (6, faults.KILL_HALFWAY, {"a": DATA, "b": DATA}),
    ],
)
def test_a_kill_leaves_what_was_done(point: int, mode: faults.Mode, there: dict[str, bytes], tmp_path: Path) -> None:
    """Before a call, after half a write, or after a call that has no half; and nothing is cleaned up."""
    with pytest.raises(Killed):
        two_files(FaultyCalls(Fault(point, mode)), tmp_path)

    assert left(tmp_path) == there


def test_a_dead_process_does_nothing_more(tmp_path: Path) -> None:
    """Whatever the code catches, no call has an effect after the kill, and its descriptors are closed."""
    open_before = len(list(Path("/proc/self/fd").iterdir()))
    calls = FaultyCalls(Fault(2, faults.KILL_BEFORE))
    with pytest.raises(Killed):
        two_files(calls, tmp_path)

    with pytest.raises(Killed):
        calls.unlink(tmp_path / "a")
    with pytest.raises(Killed):
        two_files(calls, tmp_path)

    assert left(tmp_path) == {"a": b""}
    assert len(calls.calls) == 2
    assert len(list(Path("/proc/self/fd").iterdir())) == open_before


def test_an_error_once_is_over_the_next_time(tmp_path: Path) -> None:
    """One call fails without being made, the same run then works."""
    calls = FaultyCalls(Fault(1, faults.BROKEN_ONCE))

    with pytest.raises(OSError, match="Input/output") as caught:
        two_files(calls, tmp_path)
    assert (caught.value.errno, left(tmp_path)) == (errno.EIO, {})

    two_files(calls, tmp_path)
    assert left(tmp_path) == {"a": DATA, "b": DATA}


def test_an_error_for_ever_stays(tmp_path: Path) -> None:
    """From its point on every call fails; what was done before stays."""
    calls = FaultyCalls(Fault(4, faults.BROKEN))

    for _ in range(2):
        with pytest.raises(OSError, match="Input/output"):
            two_files(calls, tmp_path)

    assert left(tmp_path) == {"a": DATA}


def test_a_full_disk_still_removes_and_renames(tmp_path: Path) -> None:
    """Only what needs space fails when the disk is full."""
    calls = FaultyCalls(Fault(1, faults.FULL))
    (tmp_path / "a").write_bytes(DATA)

    with pytest.raises(OSError, match="No space"):
        calls.mkdir(tmp_path / "d")
    with pytest.raises(OSError, match="No space"):
        Files(calls).write(tmp_path / "b", DATA)
    calls.rename(tmp_path / "a", tmp_path / "c")
    assert left(tmp_path) == {"c": DATA}
    calls.unlink(tmp_path / "c")
    assert left(tmp_path) == {}


def test_a_failed_close_closes() -> None:
    """As on Linux, closing gives the descriptor back even when it reports an error."""
    calls = FaultyCalls(Fault(2, faults.BROKEN_ONCE))
    descriptor = calls.open(Path("/dev/null"), os.O_WRONLY)

    with pytest.raises(OSError, match="Input/output"):
        calls.close(descriptor)

    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_points_are_the_calls_of_a_clean_run() -> None:
    """A run has as many points as it makes calls."""
    assert points(three_writes) == 5


def test_a_sample_is_spread_and_always_the_same() -> None:
    """One point of each equal part, none twice, the same in every run; all of them if there are few."""
    sample = spread(1000, 10)

    assert sample == spread(1000, 10)
    assert [(point - 1) // 100 for point in sample] == list(range(10))
    assert sample != spread(1000, 10, seed=1)
    assert spread(7, 10) == spread(7, 7) == [1, 2, 3, 4, 5, 6, 7]
    for total in range(10, 40):
        assert len(set(spread(total, 10)) & set(range(1, total + 1))) == 10


def test_a_sweep_has_every_point_and_marks_all_but_the_sample_long() -> None:
    """What `make test` leaves out, `make test-long` has."""
    (_, cases), modes = sweep(three_writes, faults.KILLS, wanted=2).args, faults.KILLS

    normal = [case.id for case in cases if not case.marks]

    assert [case.id for case in cases] == [f"{mode.name}-{point}" for mode in modes for point in range(1, 6)]
    assert {mark.name for case in cases for mark in case.marks} == {"long"}
    assert [id_.rpartition("-")[0] for id_ in normal] == ["kill-before"] * 2 + ["kill-halfway"] * 2


def test_a_run_without_calls_cannot_be_swept() -> None:
    """A sweep over nothing would be a test that cannot fail."""
    with pytest.raises(ValueError, match="no call"):
        sweep(lambda _calls: None, faults.KILLS, wanted=2)

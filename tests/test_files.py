"""Durable writing: what `Files` promises when all goes well, and when any call is the last one or fails."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mirror.files import Calls, Files
from tests.support.faults import BROKEN, ERRORS, FULL, KILLS, CountingCalls, Fault, FaultyCalls, Killed, sweep

if TYPE_CHECKING:
    from collections.abc import Callable

OLD = b"the old bytes"
NEW = b"the new bytes, which are more"


class MiserlyCalls(Calls):
    """A system that takes one byte of each write."""

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        """Write the first byte."""
        return super().write(descriptor, data[:1])


class LateCalls(Calls):
    """A system on which another process makes every folder first."""

    def mkdir(self, path: Path, mode: int = 0o755, *, at: int | None = None) -> None:
        """Make the folder twice."""
        super().mkdir(path, mode, at=at)
        super().mkdir(path, mode, at=at)


class UnsyncedCalls(Calls):
    """A system that cannot make a file system durable."""

    def syncfs(self, descriptor: int) -> None:  # noqa: ARG002 - another one is used
        """Ask for what does not exist."""
        super().syncfs(-1)


def names(folder: Path) -> list[str]:
    """List the names in a folder."""
    return sorted(entry.name for entry in folder.iterdir())


def in_a_new_folder(run: Callable[[Calls, Path], None]) -> Callable[[Calls], None]:
    """Let a run prepare and use a folder of its own, so that its calls can be counted."""

    def clean_run(calls: Calls) -> None:
        with tempfile.TemporaryDirectory() as folder:
            run(calls, Path(folder))

    return clean_run


def a_replace(calls: Calls, folder: Path) -> None:
    """Replace `f`."""
    (folder / "f").write_bytes(OLD)
    Files(calls).replace(folder / "f", NEW)


def a_create(calls: Calls, folder: Path) -> None:
    """Make `f`, in two writes and with a sync."""
    with Files(calls).create(folder / "f") as writer:
        writer.write(OLD)
        writer.write(NEW)
        writer.sync()


def a_removal(calls: Calls, folder: Path) -> None:
    """Remove `tree`, three levels deep, with a link out of it."""
    (folder / "kept").mkdir()
    (folder / "kept" / "g").write_bytes(OLD)
    (folder / "tree" / "a" / "b").mkdir(parents=True)
    (folder / "tree" / "a" / "f").write_bytes(OLD)
    (folder / "tree" / "a" / "b" / "g").write_bytes(OLD)
    (folder / "tree" / "out").symlink_to(folder / "kept")
    Files(calls).remove_tree(folder / "tree")


class TestReplace:
    """`replace`: whole or not at all, durable on return."""

    def test_new_bytes_stand_alone_in_the_folder(self, tmp_path: Path) -> None:
        """A replace changes the bytes and leaves nothing beside them."""
        a_replace(Calls(), tmp_path)

        assert (tmp_path / "f").read_bytes() == NEW
        assert names(tmp_path) == ["f"]

    def test_a_file_that_is_not_there_is_made(self, tmp_path: Path) -> None:
        """The first bytes come the same way as later ones, with the mode that was asked for."""
        Files().replace(tmp_path / "f", NEW, mode=0o640)

        assert (tmp_path / "f").read_bytes() == NEW
        assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o640

    def test_bytes_are_synced_before_the_rename_and_the_folder_after(self, tmp_path: Path) -> None:
        """The order of the calls is what makes it safe."""
        calls = CountingCalls()

        a_replace(calls, tmp_path)

        assert [call.name for call in calls.calls] == [
            "unlink", "open", "write", "fsync", "close", "rename", "fsync",
        ]  # fmt: skip
        assert calls.calls[3].paths == (tmp_path / ".f.tmp",)
        assert calls.calls[6].paths == (tmp_path,)

    def test_a_symlink_is_replaced_not_followed(self, tmp_path: Path) -> None:
        """What a link points to is another file and stays as it is."""
        (tmp_path / "target").write_bytes(OLD)
        (tmp_path / "f").symlink_to("target")

        Files().replace(tmp_path / "f", NEW)

        assert not (tmp_path / "f").is_symlink()
        assert (tmp_path / "target").read_bytes() == OLD

    @sweep(in_a_new_folder(a_replace), KILLS, wanted=100)
    def test_a_killed_replace_leaves_old_or_new_bytes(self, fault: Fault, tmp_path: Path) -> None:
        """Killed at any call, the file is whole, and the next replace works and cleans up."""
        with pytest.raises(Killed):
            a_replace(FaultyCalls(fault), tmp_path)

        assert (tmp_path / "f").read_bytes() in (OLD, NEW)
        Files().replace(tmp_path / "f", b"next")
        assert (tmp_path / "f").read_bytes() == b"next"
        assert names(tmp_path) == ["f"]

    @sweep(in_a_new_folder(a_replace), ERRORS, wanted=100)
    def test_a_failed_replace_leaves_old_or_new_bytes(self, fault: Fault, tmp_path: Path) -> None:
        """A call that fails is told as it is, the file is whole, and the next replace works."""
        told = _error_of(lambda: a_replace(FaultyCalls(fault), tmp_path))

        assert told in (fault.mode.error, None)
        assert (tmp_path / "f").read_bytes() in ([NEW] if told is None else [OLD, NEW])
        assert names(tmp_path) == ["f"] or _removal_fails(fault)
        Files().replace(tmp_path / "f", b"next")
        assert (tmp_path / "f").read_bytes() == b"next"
        assert names(tmp_path) == ["f"]


class TestCreate:
    """`create`, `write` and `append`."""

    def test_what_is_there_already_is_refused_and_kept(self, tmp_path: Path) -> None:
        """A new file never takes the place of another, not even of a dangling link."""
        (tmp_path / "f").write_bytes(OLD)
        (tmp_path / "l").symlink_to("nowhere")

        for name in ("f", "l"):
            with pytest.raises(FileExistsError):
                Files().write(tmp_path / name, NEW)

        assert (tmp_path / "f").read_bytes() == OLD
        assert names(tmp_path) == ["f", "l"]

    def test_an_error_in_the_body_removes_the_file(self, tmp_path: Path) -> None:
        """What was not finished is not there."""
        with pytest.raises(TypeError), Files().create(tmp_path / "f") as writer:
            writer.write("no bytes")  # type: ignore[arg-type]  # the error of the body

        assert names(tmp_path) == []

    def test_the_first_error_is_told_even_if_cleaning_up_fails(self, tmp_path: Path) -> None:
        """The reason is not hidden by what it led to."""
        calls = FaultyCalls(Fault(2, BROKEN))

        with pytest.raises(TypeError), Files(calls).create(tmp_path / "f") as writer:
            writer.write("no bytes")  # type: ignore[arg-type]  # the error of the body

        assert [call.name for call in calls.calls] == ["open", "close", "unlink"]

    def test_a_dying_process_cleans_nothing_up(self, tmp_path: Path) -> None:
        """What ends the process is no error: nobody counts on a clean-up that a kill would not do."""
        with pytest.raises(Killed), Files().create(tmp_path / "f"):
            raise Killed

        assert names(tmp_path) == ["f"]

    @sweep(in_a_new_folder(a_create), ERRORS, wanted=100)
    def test_a_failing_call_removes_the_file(self, fault: Fault, tmp_path: Path) -> None:
        """Whichever call fails, the error is told and nothing is left, if removing is possible at all."""
        calls = FaultyCalls(fault)
        told = _error_of(lambda: a_create(calls, tmp_path))

        if told is None:
            assert (tmp_path / "f").read_bytes() == OLD + NEW
        else:
            assert told == fault.mode.error
            assert names(tmp_path) == [] or _removal_fails(fault)

    def test_a_group_is_written_without_a_sync(self, tmp_path: Path) -> None:
        """`write` leaves making durable to one sync for the whole group."""
        calls = CountingCalls()

        Files(calls).write(tmp_path / "f", NEW, mode=0o600)

        assert calls.syncs == 0
        assert (tmp_path / "f").read_bytes() == NEW
        assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o600

    def test_a_system_that_takes_little_is_asked_again(self, tmp_path: Path) -> None:
        """Every byte arrives, however few a write takes."""
        Files(MiserlyCalls()).write(tmp_path / "f", NEW)

        assert (tmp_path / "f").read_bytes() == NEW

    def test_a_closed_writer_is_a_wrong_call_order(self, tmp_path: Path) -> None:
        """Writing after the end is the program's mistake, closing twice is none."""
        with Files().create(tmp_path / "f") as writer:
            pass
        writer.close()

        with pytest.raises(RuntimeError):
            writer.write(NEW)

    def test_appending_makes_the_file_and_goes_on_at_its_end(self, tmp_path: Path) -> None:
        """What was appended before stays."""
        for data in (OLD, NEW):
            with Files().append(tmp_path / "f") as writer:
                writer.write(data)

        assert (tmp_path / "f").read_bytes() == OLD + NEW
        assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o600

    def test_an_error_while_appending_keeps_the_file(self, tmp_path: Path) -> None:
        """The bytes of a `.part` are worth keeping."""
        (tmp_path / "f").write_bytes(OLD)

        with pytest.raises(TypeError), Files().append(tmp_path / "f") as writer:
            writer.write("no bytes")  # type: ignore[arg-type]  # the error of the body

        assert (tmp_path / "f").read_bytes() == OLD

    def test_appending_follows_no_link(self, tmp_path: Path) -> None:
        """A link put in the place of the file does not lead the bytes elsewhere."""
        (tmp_path / "target").write_bytes(OLD)
        (tmp_path / "l").symlink_to("target")

        with pytest.raises(OSError, match="symbolic links") as caught, Files().append(tmp_path / "l"):
            pass

        assert caught.value.errno == errno.ELOOP
        assert (tmp_path / "target").read_bytes() == OLD


class TestRemove:
    """`remove` and `remove_tree`."""

    def test_what_is_gone_already_is_fine(self, tmp_path: Path) -> None:
        """Removing twice has no effect."""
        Files().remove(tmp_path / "f")
        Files().remove_tree(tmp_path / "tree")

        assert names(tmp_path) == []

    def test_a_folder_is_not_removed_as_a_file(self, tmp_path: Path) -> None:
        """`remove` takes files only."""
        (tmp_path / "folder").mkdir()

        with pytest.raises(OSError, match="folder"):
            Files().remove(tmp_path / "folder")

    def test_a_tree_goes_and_what_its_links_point_to_stays(self, tmp_path: Path) -> None:
        """A tree is removed with its links, not through them."""
        a_removal(Calls(), tmp_path)

        assert names(tmp_path) == ["kept"]
        assert (tmp_path / "kept" / "g").read_bytes() == OLD

    def test_a_link_in_the_place_of_a_tree_is_removed_alone(self, tmp_path: Path) -> None:
        """What the tree itself links to stays, also when nothing is there."""
        (tmp_path / "kept").mkdir()
        (tmp_path / "kept" / "f").write_bytes(OLD)
        (tmp_path / "l").symlink_to("kept")
        (tmp_path / "dangling").symlink_to("nowhere")

        Files().remove_tree(tmp_path / "l")
        Files().remove_tree(tmp_path / "dangling")

        assert names(tmp_path) == ["kept"]
        assert (tmp_path / "kept" / "f").read_bytes() == OLD

    @sweep(in_a_new_folder(a_removal), KILLS, wanted=100)
    def test_a_killed_removal_is_finished_by_the_next(self, fault: Fault, tmp_path: Path) -> None:
        """Killed at any call, the tree can still be removed."""
        with pytest.raises(Killed):
            a_removal(FaultyCalls(fault), tmp_path)

        Files().remove_tree(tmp_path / "tree")

        assert names(tmp_path) == ["kept"]
        assert (tmp_path / "kept" / "g").read_bytes() == OLD


class TestFolders:
    """`make_folder`, `rename`, `set_modified` and the syncs."""

    def test_parents_are_made_and_what_is_there_is_kept(self, tmp_path: Path) -> None:
        """A folder is there afterwards, and a second time costs no call."""
        calls = CountingCalls()

        for _ in range(2):
            Files(calls).make_folder(tmp_path / "a" / "b", mode=0o700)

        assert [call.paths for call in calls.calls] == [(tmp_path / "a",), (tmp_path / "a" / "b",)]
        assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700

    def test_a_folder_that_another_process_made_first_is_fine(self, tmp_path: Path) -> None:
        """Being second is no error."""
        Files(LateCalls()).make_folder(tmp_path / "a" / "b")

        assert (tmp_path / "a" / "b").is_dir()

    def test_a_file_in_the_place_of_a_folder_is_an_error(self, tmp_path: Path) -> None:
        """No one is told that a folder is there when it is not."""
        (tmp_path / "f").write_bytes(OLD)

        with pytest.raises(FileExistsError):
            Files().make_folder(tmp_path / "f")

    def test_renaming_replaces_the_target(self, tmp_path: Path) -> None:
        """The target has the source's bytes and the source is gone."""
        (tmp_path / "f").write_bytes(OLD)
        (tmp_path / "g").write_bytes(NEW)

        Files().rename(tmp_path / "g", tmp_path / "f")

        assert (tmp_path / "f").read_bytes() == NEW
        assert names(tmp_path) == ["f"]

    def test_the_modification_time_is_set_to_the_nanosecond(self, tmp_path: Path) -> None:
        """A pointer's mtime is exactly what publishing computed."""
        (tmp_path / "f").write_bytes(OLD)

        Files().set_modified(tmp_path / "f", 1_700_000_000_123_456_789)

        assert (tmp_path / "f").stat().st_mtime_ns == 1_700_000_000_123_456_789

    def test_a_group_is_synced_by_one_call(self, tmp_path: Path) -> None:
        """The cost of making a group durable does not depend on its size."""
        calls = CountingCalls()

        for number in range(10):
            Files(calls).write(tmp_path / f"{number}", NEW)
        Files(calls).sync_all(tmp_path)

        assert calls.by_name["syncfs"] == calls.syncs == 1
        assert calls.bytes_written == 10 * len(NEW)

    def test_a_failing_sync_of_all_is_an_error(self, tmp_path: Path) -> None:
        """What the C library reports through errno is not lost on the way."""
        with pytest.raises(OSError, match="descriptor") as caught:
            Files(UnsyncedCalls()).sync_all(tmp_path)

        assert caught.value.errno == errno.EBADF

    def test_syncs_leave_no_descriptor_open(self, tmp_path: Path) -> None:
        """A daemon that syncs for years does not run out of descriptors, not even when syncs fail."""
        before = names(Path("/proc/self/fd"))

        Files().sync_folder(tmp_path)
        Files().sync_all(tmp_path)
        with pytest.raises(OSError, match="descriptor"):
            Files(UnsyncedCalls()).sync_all(tmp_path)

        assert names(Path("/proc/self/fd")) == before


class TestAttributes:
    """The calls that only the device's installing uses."""

    def test_mode_and_owner_are_set(self, tmp_path: Path) -> None:
        """A new file can get what the one it replaces had."""
        path, calls = tmp_path / "f", Calls()
        path.write_bytes(OLD)
        group = os.getgid() + (os.geteuid() == 0)  # only root may give a file away

        with path.open("rb") as file:
            calls.fchown(file.fileno(), os.getuid(), group)
            calls.fchmod(file.fileno(), 0o751)

        assert stat.S_IMODE(path.stat().st_mode) == 0o751
        assert (path.stat().st_uid, path.stat().st_gid) == (os.getuid(), group)

    def test_extended_attributes_are_set(self, tmp_path: Path) -> None:
        """And its extended attributes, on file systems that have them."""
        path = tmp_path / "f"
        path.write_bytes(OLD)

        try:
            with path.open("rb") as file:
                Calls().fsetxattr(file.fileno(), "user.otamirror", b"kept")
        except OSError as error:
            if error.errno != errno.ENOTSUP:
                raise
            pytest.skip("no extended attributes on this file system")

        assert os.getxattr(path, "user.otamirror") == b"kept"


def _error_of(run: Callable[[], None]) -> int | None:
    try:
        run()
    except OSError as error:
        return error.errno
    return None


def _removal_fails(fault: Fault) -> bool:
    return fault.mode.forever and fault.mode.error == errno.EIO


class FullDisk(Calls):
    """A disk without room for bytes."""

    def write(self, descriptor: int, data: bytes | memoryview) -> int:  # noqa: ARG002 - whatever is written
        """Find no room."""
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def syncfs(self, descriptor: int) -> None:  # noqa: ARG002 - wherever it is
        """Find no room for what was written."""
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_an_error_names_the_file(tmp_path: Path) -> None:
    """Calls on descriptors know no name, but whoever reads the error needs one."""
    files = Files(FullDisk())

    with pytest.raises(OSError, match=str(tmp_path / ".file.tmp")):
        files.replace(tmp_path / "file", b"bytes")
    with pytest.raises(OSError, match=str(tmp_path)):
        files.sync_all(tmp_path)


class ReluctantCalls(Calls):
    """A system that takes three bytes of what is written over others."""

    def overwrite(self, descriptor: int, data: bytes | memoryview, offset: int) -> int:
        """Write the first bytes."""
        return super().overwrite(descriptor, data[:3], offset)


def an_overwrite(calls: Calls, folder: Path) -> None:
    """Write over the middle of `f`."""
    (folder / "f").write_bytes(OLD)
    Files(calls).overwrite(folder / "f", b"BYTES", 4)


class TestOverwrite:
    """`overwrite`: in place, durable on return, and nothing else of the file changes."""

    @pytest.mark.parametrize(("offset", "size"), [(0, None), (4, None), (len(OLD), None), (100, None), (0, 5), (2, 4)])
    def test_only_those_bytes_change(self, tmp_path: Path, offset: int, size: int | None) -> None:
        """All others stay; the file is as long as it was, or as was asked for, and the same file."""
        path = tmp_path / "f"
        path.write_bytes(OLD)
        path.chmod(0o604)
        before = path.stat()

        Files().overwrite(path, b"12", offset, size=size)

        wanted = bytearray(OLD.ljust(offset, b"\0"))
        wanted[offset : offset + 2] = b"12"
        assert path.read_bytes() == bytes(wanted[:size])
        assert (path.stat().st_ino, path.stat().st_mode) == (before.st_ino, before.st_mode)

    def test_a_system_that_takes_little_at_a_time_gets_all(self, tmp_path: Path) -> None:
        """Each rest goes to where it belongs."""
        (tmp_path / "f").write_bytes(OLD)

        Files(ReluctantCalls()).overwrite(tmp_path / "f", b"0123456789", 1)

        assert (tmp_path / "f").read_bytes() == OLD[:1] + b"0123456789" + OLD[11:]

    def test_it_is_durable_on_return(self, tmp_path: Path) -> None:
        """Synced after the last write, and after the file was cut down."""
        (tmp_path / "f").write_bytes(OLD)
        calls = CountingCalls()

        Files(calls).overwrite(tmp_path / "f", b"12", size=2)

        assert [call.name for call in calls.calls] == ["open", "overwrite", "truncate", "fsync", "close"]

    def test_what_is_not_there_is_not_made(self, tmp_path: Path) -> None:
        """A file that has no space yet is nothing to be written over."""
        with pytest.raises(FileNotFoundError):
            Files().overwrite(tmp_path / "f", b"12")
        assert names(tmp_path) == []

    def test_a_link_is_not_followed(self, tmp_path: Path) -> None:
        """What another name leads to is not ours."""
        (tmp_path / "theirs").write_bytes(OLD)
        (tmp_path / "f").symlink_to("theirs")

        with pytest.raises(OSError, match="symbolic links"):
            Files().overwrite(tmp_path / "f", b"12")
        assert (tmp_path / "theirs").read_bytes() == OLD

    @sweep(in_a_new_folder(an_overwrite), (*KILLS, *ERRORS), wanted=20)
    def test_whatever_happens_the_rest_stays(self, fault: Fault, tmp_path: Path) -> None:
        """The bytes outside are never touched, the length never changes, and an error names the file."""
        calls = FaultyCalls(fault)
        if fault.mode is FULL:
            an_overwrite(calls, tmp_path)  # a full disk takes what is written over
        else:
            with pytest.raises((Killed, OSError)) as caught:
                an_overwrite(calls, tmp_path)
            named = getattr(caught.value, "filename", str(tmp_path / "f"))
            assert fault.point == 1 or named == str(tmp_path / "f")

        data = (tmp_path / "f").read_bytes()
        assert (data[:4], data[9:], len(data)) == (OLD[:4], OLD[9:], len(OLD))


class TestSecondNames:
    """`link` and `symlink`: in the place of whatever had the name."""

    @pytest.mark.parametrize("taken", [False, True])
    def test_a_file_gets_a_second_name(self, tmp_path: Path, *, taken: bool) -> None:
        """Both are the same file."""
        (tmp_path / "f").write_bytes(OLD)
        if taken:
            (tmp_path / "g").write_bytes(NEW)

        Files().link(tmp_path / "f", tmp_path / "g")

        assert (tmp_path / "g").samefile(tmp_path / "f")
        assert names(tmp_path) == ["f", "g"]

    def test_a_link_gets_one_and_is_not_followed(self, tmp_path: Path) -> None:
        """It is the link that has two names then, also one that leads nowhere."""
        (tmp_path / "f").symlink_to("nowhere")

        Files().link(tmp_path / "f", tmp_path / "g")

        assert (tmp_path / "g").readlink() == Path("nowhere")

    @pytest.mark.parametrize("taken", ["", "file", "link"])
    def test_a_symbolic_link_takes_the_name(self, tmp_path: Path, taken: str) -> None:
        """What had it goes; what a link there led to stays."""
        (tmp_path / "kept").write_bytes(OLD)
        if taken == "file":
            (tmp_path / "g").write_bytes(NEW)
        elif taken == "link":
            (tmp_path / "g").symlink_to("kept")

        Files().symlink("anything/at all", tmp_path / "g")

        assert (tmp_path / "g").readlink() == Path("anything/at all")
        assert (tmp_path / "kept").read_bytes() == OLD

    def test_a_folder_keeps_its_name(self, tmp_path: Path) -> None:
        """It is not removed for a link."""
        (tmp_path / "g").mkdir()
        (tmp_path / "f").write_bytes(OLD)

        with pytest.raises(OSError, match=r"directory|permitted"):
            Files().link(tmp_path / "f", tmp_path / "g")
        with pytest.raises(OSError, match=r"directory|permitted"):
            Files().symlink("f", tmp_path / "g")
        assert (tmp_path / "g").is_dir()

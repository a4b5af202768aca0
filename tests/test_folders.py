"""Opened folders: what is done in one is done there, whatever becomes of its path and of the names in it."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mirror.files import Calls, Files, Folder

if TYPE_CHECKING:
    from collections.abc import Iterator

DATA, THEIRS = b"our bytes", b"bytes of somebody else"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder that nothing may happen to."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "f").write_bytes(THEIRS)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    """An opened folder, `in`."""
    (tmp_path / "in").mkdir()
    with Folder.open(tmp_path / "in", Calls()) as opened:
        yield opened


def exchange(path: Path, leads_to: Path) -> None:
    """Put a link in the place of something."""
    path.rename(path.with_name(f"{path.name}.moved"))
    path.symlink_to(leads_to)


class TestOpening:
    """`open` and `child`: segment by segment, following nothing."""

    @pytest.mark.parametrize("part", ["a", "a/b", "a/b/c"])
    def test_a_link_in_any_segment_is_refused(self, tmp_path: Path, outside: Path, part: str) -> None:
        """Wherever on the way it lies, a link is no way."""
        (tmp_path / "a" / "b" / "c").mkdir(parents=True)
        exchange(tmp_path / part, outside)

        with pytest.raises(NotADirectoryError) as caught:
            Files().open_folder(tmp_path / "a" / "b" / "c")
        assert caught.value.filename == str(tmp_path / part)

    def test_what_is_missing_is_made_with_its_mode_whatever_the_umask(self, tmp_path: Path) -> None:
        """A umask that hides everything does not hide what others should use."""
        before = os.umask(0o077)
        try:
            Files().open_folder(tmp_path / "a" / "b", make=0o755).close()
        finally:
            os.umask(before)

        assert [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "a", tmp_path / "a" / "b")] == [0o755] * 2

    def test_what_is_not_to_be_made_is_missing(self, tmp_path: Path) -> None:
        """The error names the segment."""
        with pytest.raises(FileNotFoundError) as caught:
            Files().open_folder(tmp_path / "a" / "b")
        assert caught.value.filename == str(tmp_path / "a")

    def test_a_path_goes_down_only(self) -> None:
        """One with dots is the program's mistake."""
        with pytest.raises(ValueError, match=r"has \.\. in it"):
            Files().open_folder(Path("/a/../b"))

    def test_a_relative_path_begins_where_the_process_is(self, tmp_path: Path) -> None:
        """Who may not enter the folders above can still work below."""
        (tmp_path / "a" / "b").mkdir(parents=True)
        (tmp_path / "l").symlink_to("a")
        with contextlib.chdir(tmp_path):
            with Files().open_folder(Path("a/b")) as opened:
                assert opened.stat().st_ino == (tmp_path / "a" / "b").stat().st_ino
            with pytest.raises(NotADirectoryError):
                Files().open_folder(Path("l/b"))

    @pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/a"])
    def test_names_lead_nowhere_else(self, folder: Folder, name: str) -> None:
        """What is done in a folder is done with single names."""
        for call in (folder.look, folder.child, folder.remove, folder.rmdir, folder.leads_to):
            with pytest.raises(ValueError, match="no single name"):
                call(name)

    def test_a_link_is_no_child(self, folder: Folder, outside: Path) -> None:
        """Folders inside are opened without following, too."""
        (folder.path / "l").symlink_to(outside)

        with pytest.raises(NotADirectoryError):
            folder.child("l")

    def test_no_descriptor_is_left_open(self, tmp_path: Path) -> None:
        """Neither when it works, nor when it does not."""
        before = os.listdir("/proc/self/fd")  # noqa: PTH208 - numbers, not paths
        Files().open_folder(tmp_path).close()
        with pytest.raises(FileNotFoundError):
            Files().open_folder(tmp_path / "none")

        assert os.listdir("/proc/self/fd") == before  # noqa: PTH208 - as above


class TestStaying:
    """All changes are made in the folder that was opened."""

    def test_changes_go_with_the_folder_not_with_its_path(self, folder: Folder, outside: Path) -> None:
        """Whoever exchanges the folder for a link has the link, and nothing else."""
        exchange(folder.path, outside)
        moved = folder.path.with_name("in.moved")

        with folder.create("f") as writer:
            writer.write(DATA)
        folder.make("d").close()
        folder.link("f", folder, "second")
        folder.symlink("f", "l")
        folder.rename("f", folder, "g")
        folder.sync()

        assert sorted(os.listdir(outside)) == ["f"]  # noqa: PTH208 - names
        assert (outside / "f").read_bytes() == THEIRS
        assert folder.names() == sorted(path.name for path in moved.iterdir()) == ["d", "g", "l", "second"]
        folder.rmdir("d")
        folder.remove("g")
        assert folder.names() == ["l", "second"]

    def test_a_file_is_renamed_from_one_folder_to_another(self, folder: Folder) -> None:
        """Both are named by their descriptors."""
        (folder.path / "f").write_bytes(DATA)

        with folder.make("d") as inner:
            folder.rename("f", inner, "g")
            assert (folder.names(), inner.names()) == (["d"], ["g"])

    def test_reading_follows_no_link_and_waits_for_no_pipe(self, folder: Folder, outside: Path) -> None:
        """Only ordinary files are read."""
        (folder.path / "f").write_bytes(DATA)
        (folder.path / "l").symlink_to(outside / "f")
        os.mkfifo(folder.path / "pipe")

        with folder.read("f") as descriptor:
            assert os.read(descriptor, 100) == DATA
        for name, number in (("l", errno.ELOOP), ("pipe", errno.EINVAL)):
            with pytest.raises(OSError, match=name) as caught, folder.read(name):
                pass
            assert caught.value.errno == number

    def test_looking_sees_the_link_itself(self, folder: Folder, outside: Path) -> None:
        """And None where nothing is."""
        (folder.path / "l").symlink_to(outside)

        found = folder.look("l")
        assert found is not None
        assert stat.S_ISLNK(found.st_mode)
        assert folder.leads_to("l") == str(outside)
        assert folder.look("none") is None

    def test_a_failed_file_is_removed_from_the_folder(self, folder: Folder, outside: Path) -> None:
        """And not from where its path leads meanwhile."""
        with contextlib.suppress(ZeroDivisionError), folder.create("f"):
            exchange(folder.path, outside)
            raise ZeroDivisionError

        assert folder.names() == []
        assert (outside / "f").read_bytes() == THEIRS

    def test_errors_name_the_whole_path(self, folder: Folder) -> None:
        """A bare name would tell nobody where it is."""
        with pytest.raises(FileNotFoundError) as caught:
            folder.child("none")
        assert caught.value.filename == str(folder.path / "none")

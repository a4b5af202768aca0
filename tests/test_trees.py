"""Trees, removed: by descriptors, however deep, and never out of the tree."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mirror import trees
from mirror.files import Calls, Files, Folder
from tests.support.faults import KILLS, Fault, FaultyCalls, Killed, located, sweep

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


class SwappingCalls(Calls):
    """A system on which somebody exchanges a folder in a tree for a link at the first removal in it."""

    def __init__(self, folder: Path, leads_to: Path) -> None:
        self._folder, self._leads_to = folder, leads_to

    def unlink(self, path: Path, *, at: int | None = None) -> None:
        """Exchange it, then remove."""
        if located(path, at).parent == self._folder and not self._folder.is_symlink():
            exchange(self._folder, self._leads_to)
        super().unlink(path, at=at)


class MovingCalls(Calls):
    """A system on which somebody moves the folder that is emptied to another place."""

    def __init__(self, folder: Path, to: Path) -> None:
        self._folder, self._to = folder, to

    def unlink(self, path: Path, *, at: int | None = None) -> None:
        """Move it, then remove."""
        if located(path, at).parent == self._folder:
            self._folder.rename(self._to)
        super().unlink(path, at=at)


def grown(folder: Path) -> None:
    """Make a tree in `folder`."""
    (folder / "tree" / "a" / "b").mkdir(parents=True)
    for path in ("f", "a/f", "a/b/f"):
        (folder / "tree" / path).write_bytes(DATA)
    (folder / "tree" / "a" / "l").symlink_to("/")


def a_removal(calls: Calls) -> None:
    """Remove a tree in a new folder."""
    with tempfile.TemporaryDirectory() as place:
        grown(Path(place))
        Files(calls).remove_tree(Path(place, "tree"))


class TestRemoving:
    """`remove`, and `remove_tree` that stands on it."""

    @pytest.mark.parametrize("part", ["tree", "tree/a", "tree/a/b"])
    def test_a_folder_that_becomes_a_link_is_not_followed(self, tmp_path: Path, outside: Path, part: str) -> None:
        """What the link leads to stays, whichever folder it was."""
        grown(tmp_path)
        calls = SwappingCalls(tmp_path / part, outside)

        with pytest.raises(OSError, match=r"moved|directory|No such"):
            Files(calls).remove_tree(tmp_path / "tree")

        assert (outside / "f").read_bytes() == THEIRS

    def test_a_folder_that_is_moved_away_takes_nobody_along(self, tmp_path: Path, outside: Path) -> None:
        """The way up is gone only if it is the way that was come down."""
        grown(tmp_path)
        (outside / "b").mkdir()
        calls = MovingCalls(tmp_path / "tree" / "a", outside / "a")

        with pytest.raises(OSError, match="moved meanwhile"):
            Files(calls).remove_tree(tmp_path / "tree")

        assert (outside / "f").read_bytes() == THEIRS
        assert (outside / "b").is_dir()

    def test_no_depth_is_too_deep(self, folder: Folder) -> None:
        """A path longer than the system takes is no obstacle, nor are there more descriptors than at the surface."""
        here = os.open(folder.path, os.O_RDONLY)
        for _ in range(3000):
            os.mkdir("deeper", dir_fd=here)
            deeper = os.open("deeper", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = deeper
        os.close(here)

        trees.remove(folder, "deeper")

        assert folder.names() == []

    def test_a_file_goes_alone(self, folder: Folder) -> None:
        """Whatever has the name is removed; nothing is fine, too."""
        (folder.path / "f").write_bytes(DATA)

        trees.remove(folder, "f")
        trees.remove(folder, "f")

        assert folder.names() == []

    @sweep(a_removal, KILLS, wanted=10)
    def test_a_killed_removal_is_finished_by_the_next(self, fault: Fault, tmp_path: Path) -> None:
        """Killed at any call, the tree can still be removed."""
        grown(tmp_path)
        with pytest.raises(Killed):
            Files(FaultyCalls(fault)).remove_tree(tmp_path / "tree")

        Files().remove_tree(tmp_path / "tree")

        assert list(tmp_path.iterdir()) == []

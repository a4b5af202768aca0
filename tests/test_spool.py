"""The spool: every process has a folder of its own, and what dead ones left is removed."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder import spool
from builder.errors import PlacementError
from builder.lock import Lock
from mirror.files import Files
from tests.support.faults import Killed

FILES = Files()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a spool and, beside it, a mirror."""
    (tmp_path / "mirror").mkdir()
    (tmp_path / "spool").mkdir()
    return tmp_path / "spool"


def die_at_work(folder: Path) -> None:
    """Leave a session as a killed process does."""
    with spool.session(folder, folder.parent / "mirror", FILES) as own:
        (own.path().parent / "sub").mkdir()
        own.path().write_bytes(b"half")
        raise Killed


def test_paths_are_new_and_in_a_folder_of_its_own(folder: Path) -> None:
    """No path is given out twice, so nothing is ever written over."""
    with spool.session(folder, folder.parent / "mirror", FILES) as own:
        given = [own.path() for _ in range(100)]

        assert len(set(given)) == 100
        assert {path.parent.parent for path in given} == {folder}
        assert not any(path.exists() for path in given)


def test_nothing_stays_in_the_end(folder: Path) -> None:
    """A process that ends in order leaves an empty spool."""
    with spool.session(folder, folder.parent / "mirror", FILES) as own:
        own.path().write_bytes(b"left over")

    assert list(folder.iterdir()) == []


def test_discarding_is_fine_when_it_was_moved_away(folder: Path) -> None:
    """Whoever discards need not know whether the bytes were published."""
    with spool.session(folder, folder.parent / "mirror", FILES) as own:
        path = own.path()
        path.write_bytes(b"refused")
        own.discard(path)
        assert not path.exists()
        own.discard(path)


def test_what_a_dead_process_left_is_removed_by_the_next(folder: Path) -> None:
    """Half-received bytes do not pile up."""
    with pytest.raises(Killed):
        die_at_work(folder)
    assert len(list(folder.iterdir())) == 1

    with spool.session(folder, folder.parent / "mirror", FILES) as next_one:
        assert list(folder.iterdir()) == [next_one.path().parent]


def test_two_living_processes_leave_each_other_alone(folder: Path) -> None:
    """Starting a second one removes nothing of the first, nor does its end."""
    with spool.session(folder, folder.parent / "mirror", FILES) as one:
        path = one.path()
        path.write_bytes(b"in work")
        with spool.session(folder, folder.parent / "mirror", FILES) as other:
            assert other.path().parent != path.parent
        assert path.read_bytes() == b"in work"


def test_a_process_that_ends_just_now_is_no_obstacle(folder: Path) -> None:
    """A folder that goes away while it is looked at is gone, which is what was wanted."""
    (folder / "0123456789abcdef").symlink_to("gone")

    with spool.session(folder, folder.parent / "mirror", FILES) as own:
        assert own.path().parent.is_dir()


def test_what_else_lies_in_the_folder_stays(folder: Path) -> None:
    """A spool that was set to a folder with other things in it does not empty that folder."""
    (folder / "photos").mkdir()
    (folder / "photos" / "one").write_bytes(b"dear")
    (folder / "notes").write_bytes(b"dear too")

    with spool.session(folder, folder.parent / "mirror", FILES):
        pass

    assert (folder / "photos" / "one").read_bytes() == b"dear"
    assert (folder / "notes").read_bytes() == b"dear too"


def test_the_spool_is_free_while_a_session_lasts(folder: Path) -> None:
    """The lock that publishing takes is only needed for a moment at the start."""
    with spool.session(folder, folder.parent / "mirror", FILES):
        assert Lock(folder).try_acquire()


def test_another_file_system_is_refused(folder: Path) -> None:
    """Nothing could be moved to the mirror by rename; the error names the setting."""
    with pytest.raises(PlacementError, match=r"paths\.spool"), spool.session(folder, Path("/proc"), FILES):
        pass

    assert list(folder.iterdir()) == []

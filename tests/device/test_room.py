"""Free space, found out before."""

from __future__ import annotations

from pathlib import Path

import pytest

from devclient.errors import SpaceError
from devclient.install import room


def test_what_fits_is_enough(tmp_path: Path) -> None:
    """All that folders of one file system need, and a reserve of 16 MiB, must be free there; no byte more."""
    room.check([(tmp_path, 100), (tmp_path, 50)], lambda _folder: 150 + 16 * 1024 * 1024)


def test_a_byte_too_little_is_told(tmp_path: Path) -> None:
    """The error says how much there must be, and how much is."""
    with pytest.raises(SpaceError, match=f"{tmp_path}: 16777366 bytes must be free .* and 16777365 are"):
        room.check([(tmp_path, 100), (tmp_path, 50)], lambda _folder: 149 + 16 * 1024 * 1024)


def test_folders_to_come_count_where_they_will_be(tmp_path: Path) -> None:
    """A folder that is not there yet is on the file system of the first one above it that is."""
    asked: list[Path] = []

    def free(folder: Path) -> int:
        asked.append(folder)
        return 1 << 30

    room.check([(tmp_path / "not" / "yet", 1)], free)

    assert asked == [tmp_path]


def test_each_file_system_is_asked_for_its_own(tmp_path: Path) -> None:
    """What goes to one file system needs no room on another."""
    other = Path("/proc")
    free = {tmp_path: room.RESERVE + 10, other: room.RESERVE + 1000}

    room.check([(tmp_path, 10), (other, 1000)], free.__getitem__)

    with pytest.raises(SpaceError, match=str(tmp_path)):
        room.check([(tmp_path, 11), (other, 1)], free.__getitem__)


def test_the_system_tells_what_is_free(tmp_path: Path) -> None:
    """The real figure is a number of bytes."""
    assert room.free(tmp_path) > 0

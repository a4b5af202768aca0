"""Durable writing under power cuts, on a disk of its own; and that the cuts find a sync that is missing."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mirror.files import Calls, Files
from tests.support import powercut
from tests.support.faults import KILL_BEFORE, CountingCalls, Fault, FaultyCalls, Killed, sweep

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.powercut import Disk

pytestmark = pytest.mark.root

OLD = b"old" * 5000
NEW = b"new" * 7000
GROUP = [f"{number}" for number in range(5)]


@pytest.fixture(scope="module")
def machine() -> Iterator[Disk]:
    """Start a machine whose disk has `f`, with the old bytes, from long ago."""
    with powercut.disk() as disk:
        (disk.folder / "f").write_bytes(OLD)
        disk.sync()
        yield disk


@pytest.fixture
def fresh(machine: Disk) -> Iterator[Disk]:
    """Give each test the machine as it was at first."""
    with machine.cut() as disk:
        yield disk


def after_a_cut(disk: Disk) -> dict[str, bytes]:
    """Read all files that a cut at this moment leaves."""
    with disk.cut() as after:
        return {path.name: path.read_bytes() for path in after.folder.iterdir()}


def a_group(calls: Calls, folder: Path) -> None:
    """Write a group of files and give them their names, with two syncs for all."""
    files = Files(calls)
    for name in GROUP:
        files.write(folder / f"{name}.tmp", NEW)
    files.sync_all(folder)
    for name in GROUP:
        files.rename(folder / f"{name}.tmp", folder / name)
    files.sync_all(folder)


def a_clean_group(calls: Calls) -> None:
    """Do the same in a folder of its own, for counting."""
    with tempfile.TemporaryDirectory() as folder:
        a_group(calls, Path(folder))


def a_clean_replace(calls: Calls) -> None:
    """Replace in a folder of its own, for counting."""
    with tempfile.TemporaryDirectory() as folder:
        Files(calls).replace(Path(folder) / "f", NEW)


def test_what_was_synced_is_there_and_nothing_else(fresh: Disk) -> None:
    """A cut takes back what was not synced, and only that; the machine that was not cut keeps all."""
    (fresh.folder / "g").write_bytes(NEW)

    assert after_a_cut(fresh) == {"f": OLD}
    assert (fresh.folder / "g").read_bytes() == NEW
    fresh.sync()
    assert after_a_cut(fresh) == {"f": OLD, "g": NEW}


def test_a_replace_without_any_sync_is_lost(fresh: Disk) -> None:
    """The cuts find it: without syncs the new bytes are gone."""
    files = Files()

    files.write(fresh.folder / "f.tmp", NEW)
    files.rename(fresh.folder / "f.tmp", fresh.folder / "f")

    assert after_a_cut(fresh) == {"f": OLD}


def test_a_replace_that_syncs_only_its_folder_is_empty(fresh: Disk) -> None:
    """The cuts find it: a rename that is durable before its bytes leaves a file of no bytes."""
    files = Files()

    files.write(fresh.folder / "f.tmp", NEW)
    files.rename(fresh.folder / "f.tmp", fresh.folder / "f")
    files.sync_folder(fresh.folder)

    assert after_a_cut(fresh) == {"f": b""}


def test_a_replace_that_returned_is_durable(fresh: Disk) -> None:
    """Whoever was told that a replace is done finds it done after a cut."""
    Files().replace(fresh.folder / "f", NEW)
    Files().replace(fresh.folder / "g", NEW)

    assert after_a_cut(fresh) == {"f": NEW, "g": NEW}


@sweep(a_clean_replace, [KILL_BEFORE], wanted=100)
def test_a_cut_during_a_replace_leaves_old_or_new_bytes(fault: Fault, fresh: Disk) -> None:
    """Cut at any call, the file is whole, and after the cut the next replace works."""
    with pytest.raises(Killed):
        Files(FaultyCalls(fault)).replace(fresh.folder / "f", NEW)

    with fresh.cut() as after:
        assert (after.folder / "f").read_bytes() in (OLD, NEW)
        Files().replace(after.folder / "f", b"next")
        assert after_a_cut(after) == {"f": b"next"}


def test_a_group_that_returned_is_durable(fresh: Disk) -> None:
    """Two syncs make a whole group durable, whatever its size."""
    calls = CountingCalls()

    a_group(calls, fresh.folder)

    assert calls.syncs == 2
    assert after_a_cut(fresh) == {"f": OLD} | dict.fromkeys(GROUP, NEW)


@sweep(a_clean_group, [KILL_BEFORE], wanted=10)
def test_a_cut_during_a_group_leaves_whole_files_only(fault: Fault, fresh: Disk) -> None:
    """Cut at any call, what has its name has its bytes."""
    with pytest.raises(Killed):
        a_group(FaultyCalls(fault), fresh.folder)

    left = after_a_cut(fresh)

    assert {left[name] for name in GROUP if name in left} <= {NEW}
    assert left["f"] == OLD


def test_a_group_that_is_named_before_it_is_synced_is_empty(fresh: Disk) -> None:
    """The cuts find it: without the first sync a file has its name and no bytes."""
    files = Files()

    for name in GROUP:
        files.write(fresh.folder / f"{name}.tmp", NEW)
        files.rename(fresh.folder / f"{name}.tmp", fresh.folder / name)
    files.sync_folder(fresh.folder)  # as the second `sync_all`, cut off after its journal and before its bytes

    assert after_a_cut(fresh) == {"f": OLD} | dict.fromkeys(GROUP, b"")


def test_a_machine_can_be_cut_again_while_it_recovers(fresh: Disk) -> None:
    """A cut machine is a machine: what it synced survives the next cut, what it did not is lost again."""
    with fresh.cut() as first:
        Files().replace(first.folder / "durable", NEW)
        Files().write(first.folder / "careless", NEW)

        assert after_a_cut(first) == {"f": OLD, "durable": NEW}

    assert after_a_cut(fresh) == {"f": OLD}


def test_nothing_is_left_mounted() -> None:
    """Also a test that fails, with a file of the disk still open, leaves no mount behind."""
    with contextlib.ExitStack() as held, pytest.raises(FileNotFoundError), powercut.disk() as disk:
        fail_with_an_open_file(disk, held)

    assert str(disk.folder) not in Path("/proc/mounts").read_text()
    assert not disk.folder.exists()


def fail_with_an_open_file(disk: Disk, held: contextlib.ExitStack) -> None:
    """Fail after a cut, in the folder that is about to be unmounted."""
    with disk.cut() as after:
        held.enter_context((after.folder / "open").open("wb"))
        (after.folder / "missing").read_bytes()

"""What a device keeps of a remote: durable at every moment, and mended when it is damaged."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tuf.api.metadata import Metadata

from devclient.trust.elapsed import instant
from devclient.trust.memory import Memory
from devclient.trust.mirror_urls import MirrorUrls
from devclient.trust.notes import Notes
from devclient.trust.refresh import Trust
from devclient.trust.signed import SignedMirror
from mirror import canonical, trust
from mirror.files import Calls, Files
from tests.support import powercut, trees
from tests.support.devices import FolderSource
from tests.support.faults import KILL_BEFORE, KILLS, CountingCalls, Fault, FaultyCalls, Killed, sweep
from tests.support.trees import Release

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.devices import Rig
    from tests.support.powercut import Disk

ONE, TWO = Release("1.0", b"one"), Release("2.0", b"two")
NOW = instant()


@contextlib.contextmanager
def opened(folder: Path, tree: Path, calls: Calls | None = None) -> Iterator[SignedMirror]:
    """Open the mirror in `tree` for a device that keeps what it knows in `folder`."""
    memory = Memory(folder / "trust" / "main", Files(calls))
    urls = MirrorUrls([str(tree)], FolderSource(), lambda: NOW, memory.urls(), memory.keep_urls)
    with tempfile.TemporaryDirectory() as scratch:
        pinned = (tree / trees.ROOT).read_bytes()
        yield SignedMirror(Trust(pinned, urls, memory, lambda: NOW, Path(scratch)), urls, memory)


def refresh(folder: Path, tree: Path, calls: Calls | None = None) -> bytes:
    """Refresh, and fetch the list of app."""
    with opened(folder, tree, calls) as mirror:
        data = mirror.release_list("app", "stable")
        mirror.tidy()
        return data


def grow(tree: Path) -> None:
    """Change every role of a mirror."""
    simulator = trees.simulator(tree)
    simulator.new_root(*trust.TOP, publish=False)
    simulator.publish(everything=True)
    trees.write(tree, ONE, TWO)


def versions(folder: Path) -> dict[str, int]:
    """Read the version of each role that is kept, that of the newest root for all of them."""
    kept = folder / "trust" / "main"
    files = [*kept.glob("[!.]*.json"), *kept.glob("root_history/[!.]*.json")]
    found = sorted((Metadata.from_bytes(file.read_bytes()).signed.version, file) for file in files)
    return {file.name.split(".")[-2]: version for version, file in found}


def meet(folder: Path, tree: Path) -> None:
    """Have a device meet a mirror, which then changes."""
    trees.write(tree, ONE)
    refresh(folder, tree)
    grow(tree)


def never(folder: Path, tree: Path) -> None:
    """Have a device that never met its mirror."""
    trees.write(tree, ONE)
    grow(tree)


SCENES: list[Callable[[Path, Path], None]] = [meet, never]


def clean(scene: Callable[[Path, Path], None]) -> Callable[[Calls], object]:
    """Give the run of a refresh in a scene, so that its calls can be counted."""

    def run(calls: Calls) -> None:
        with tempfile.TemporaryDirectory() as place:
            folder, tree = Path(place, "device"), Path(place, "mirror")
            scene(folder, tree)
            refresh(folder, tree, calls)

    return run


def survives(folder: Path, tree: Path, before: dict[str, int]) -> None:
    """See that what a crash left is no lower than before, and that the next refresh has all.

    A timestamp that the newest root does not vouch for may be gone.
    """
    left = versions(folder)
    if left.get(trust.ROOT, 0) > before.get(trust.ROOT, 0):
        before = {role: version for role, version in before.items() if role != trust.TIMESTAMP}
    assert {role: version for role, version in before.items() if left.get(role, 0) < version} == {}
    assert b"2.0" in refresh(folder, tree)
    simulator = trees.simulator(tree)
    assert versions(folder)[trust.TIMESTAMP] == simulator.timestamp.version
    assert versions(folder)[trust.ROOT] == simulator.root.version


@sweep(clean(meet), KILLS, wanted=12)
def test_a_killed_refresh_is_finished_by_the_next(tmp_path: Path, fault: Fault) -> None:
    """Whenever the process dies, no version is lower than before, and the next refresh has everything."""
    folder, tree = tmp_path / "device", tmp_path / "mirror"
    meet(folder, tree)
    before = versions(folder)

    with pytest.raises(Killed):
        refresh(folder, tree, FaultyCalls(fault))

    survives(folder, tree, before)


@sweep(clean(never), KILLS, wanted=12)
def test_a_killed_first_meeting_is_finished_by_the_next(tmp_path: Path, fault: Fault) -> None:
    """So it is for a device that had nothing."""
    folder, tree = tmp_path / "device", tmp_path / "mirror"
    never(folder, tree)

    with pytest.raises(Killed):
        refresh(folder, tree, FaultyCalls(fault))

    survives(folder, tree, {})


@pytest.fixture(scope="module")
def machine() -> Iterator[Disk]:
    """Start a machine with an empty disk."""
    with powercut.disk() as disk:
        yield disk


@pytest.mark.root
@pytest.mark.parametrize("scene", SCENES)
def test_no_power_cut_loses_what_was_reached(
    machine: Disk, tmp_path: Path, scene: Callable[[Path, Path], None]
) -> None:
    """Wherever the power goes, what was there before is there, and the next refresh has everything."""
    tree = tmp_path / "mirror"
    scene(machine.folder / "device", tree)
    machine.sync()
    before = versions(machine.folder / "device")
    counting = CountingCalls()
    with machine.cut() as disk:
        refresh(disk.folder / "device", tree, counting)
    renames = [point for point, call in enumerate(counting.calls, 1) if call.name in {"rename", "mkdir"}]
    for point in (*(each + 1 for each in renames), len(counting.calls)):
        with machine.cut() as disk:
            with pytest.raises(Killed):
                refresh(disk.folder / "device", tree, FaultyCalls(Fault(point, KILL_BEFORE)))
            with disk.cut() as after:
                survives(after.folder / "device", tree, before)
    shutil.rmtree(machine.folder / "device", ignore_errors=True)


@pytest.mark.root
def test_what_a_refresh_has_taken_outlives_a_power_cut(machine: Disk, tmp_path: Path) -> None:
    """Once it returns, nothing of it can be lost."""
    tree = tmp_path / "mirror"
    with machine.cut() as disk:
        never(disk.folder / "device", tree)
        refresh(disk.folder / "device", tree)
        reached = versions(disk.folder / "device")
        with disk.cut() as after:
            assert versions(after.folder / "device") == reached


# damage


def entries(folder: Path) -> list[Path]:
    """List everything that is kept of a remote, the folders too."""
    return [*sorted((folder / "trust").rglob("*")), folder / "trust"]


@pytest.fixture
def kept(tmp_path: Path) -> tuple[Path, Path]:
    """A device that has met its mirror, and the mirror."""
    folder, tree = tmp_path / "device", tmp_path / "mirror"
    meet(folder, tree)
    refresh(folder, tree)
    return folder, tree


def spoil_file(path: Path) -> None:
    """Put garbage into a file."""
    path.write_bytes(b"\x00garbage\xff" * 100)


def empty_file(path: Path) -> None:
    """Leave nothing of a file, as file systems do after a power cut."""
    path.write_bytes(b"")


def cut_file(path: Path) -> None:
    """Leave half of a file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def fill_file(path: Path) -> None:
    """Make a file larger than anything that is read."""
    path.write_bytes(b"{}" + b" " * 6_000_000)


def remove(path: Path) -> None:
    """Remove it with all in it."""
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def exchange(path: Path) -> None:
    """Put a folder into a file's place, or a file into a folder's."""
    is_folder = path.is_dir()
    remove(path)
    if is_folder:
        path.write_bytes(b"in the way")
    else:
        path.mkdir()
        (path / "in the way").write_bytes(b"")


@pytest.mark.parametrize("damage", [spoil_file, empty_file, cut_file, fill_file, remove, exchange])
def test_what_is_damaged_is_mended(kept: tuple[Path, Path], damage: Callable[[Path], None]) -> None:
    """Each file and folder, one at a time: the next refresh has everything, and what it keeps is as it was."""
    folder, tree = kept
    whole = contents(folder)
    for path in entries(folder):
        if path.is_dir() and damage not in {remove, exchange}:
            continue
        damage(path)
        assert b"2.0" in refresh(folder, tree), path
        assert contents(folder) == whole, path


def test_what_is_too_large_to_be_metadata_is_not_read(kept: tuple[Path, Path], tmp_path: Path) -> None:
    """Whatever filled a file, memory is not filled with it."""
    folder, _ = kept
    fill_file(folder / "trust" / "main" / "snapshot.json")
    (tmp_path / "scratch").mkdir()

    Memory(folder / "trust" / "main", Files()).lay_out(tmp_path / "scratch")

    assert not (tmp_path / "scratch" / "snapshot.json").exists()
    assert (tmp_path / "scratch" / "targets.json").exists()


def contents(folder: Path) -> dict[str, bytes]:
    """Read all that is kept."""
    files = [path for path in (folder / "trust").rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(files)}


def test_all_of_it_may_be_damaged_at_once(kept: tuple[Path, Path]) -> None:
    """The pinned root is enough."""
    folder, tree = kept
    whole = contents(folder)
    for path in entries(folder):
        if path.is_file():
            spoil_file(path)

    refresh(folder, tree)

    assert contents(folder) == whole


def test_another_mirrors_metadata_is_as_good_as_none(kept: tuple[Path, Path], tmp_path: Path) -> None:
    """A device that is given another root for the same remote starts anew, with roots that are fewer."""
    folder, _ = kept
    other = tmp_path / "other"
    trees.write(other, ONE)

    assert b"1.0" in refresh(folder, other)
    assert b"1.0" in refresh(folder, other)


def test_what_does_not_last_is_not_written(kept: tuple[Path, Path]) -> None:
    """Who only looks makes no call that changes anything."""
    folder, tree = kept
    trees.write(tree, ONE, package="b")
    calls = CountingCalls()
    memory = Memory(folder / "trust" / "main", Files(calls), lasting=False)
    with tempfile.TemporaryDirectory() as scratch:
        memory.lay_out(Path(scratch))
        (Path(scratch) / "timestamp.json").write_bytes(b"{}")
        memory.keep(Path(scratch), Notes("0" * 64))
        memory.keep_file(b"{}")
        memory.forget_files(())

    assert calls.calls == []


def test_files_are_kept_by_their_hash(tmp_path: Path) -> None:
    """What no longer has it is not given; what is not wanted any more goes."""
    memory = Memory(tmp_path / "trust" / "main", Files())
    one, two = canonical.digest(b"one"), canonical.digest(b"two")
    assert memory.file(one) is None

    memory.keep_file(b"one")
    memory.keep_file(b"two")
    assert (memory.file(one), memory.file(two)) == (b"one", b"two")
    (tmp_path / "trust" / "main" / "kept" / two).write_bytes(b"two!")
    assert memory.file(two) is None
    memory.forget_files({two})

    assert memory.file(one) is None
    assert [path.name for path in (tmp_path / "trust" / "main" / "kept").iterdir()] == [two]


def test_folders_are_durable_before_files_are_in_them(tmp_path: Path) -> None:
    """Not every file system makes a folder durable with what is in it."""
    folder, tree, calls = tmp_path / "device", tmp_path / "mirror", CountingCalls()
    never(folder, tree)

    refresh(folder, tree, calls)

    order = [call.name for call in calls.calls if call.name in {"mkdir", "syncfs", "rename"}]
    made = [index for index, name in enumerate(order) if name == "mkdir" and order[index + 1] != "mkdir"]
    assert made
    assert {order[index + 1] for index in made} == {"syncfs"}


def test_the_timestamp_is_kept_last(rig: Rig) -> None:
    """Roots come first, each before the next, and the snapshot just before what is ours."""
    never(rig.folder, rig.tree)
    trees.simulator(rig.tree).new_root()
    calls = CountingCalls()

    with rig.mirror(files=Files(calls)) as mirror:
        mirror.release_list("app", "stable")

    renamed = [call.paths[1].name for call in calls.calls if call.name == "rename"]
    names = renamed[: renamed.index("timestamp.json") + 1]
    assert names[:3] == ["1.root.json", "2.root.json", "3.root.json"]
    assert names[3:] == ["targets.json", "snapshot.json", "notes.json", "timestamp.json"]

"""An update of otadevice itself: whatever happens to it, the new one arrives, or the one before can be brought back.

In process, by the calls of `mirror.files.Calls`. What the package has in it does not matter: what counts here are
the files in place, the journal, and the script by which the service manager starts the one before. That the script
runs is shown elsewhere.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shlex
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from devclient import poll, putback, succession, update
from devclient.states import State
from mirror.errors import OTAError
from tests.support import powercut, updates
from tests.support.faults import (
    BROKEN_ONCE,
    FULL,
    KILL_BEFORE,
    KILLS,
    Fault,
    FaultyCalls,
    Killed,
    sweep,
)
from tests.support.updates import NEW, OLD, Kind, Scene

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from devclient.device import Device
    from devclient.records.results import Result
    from mirror.files import Calls
    from tests.support.faults import Mode
    from tests.support.powercut import Disk

ITSELF = "otadevice"
# each with another package that changes with it, so that a set can be mixed
KINDS = {"folder": Kind(("lib",), (ITSELF,), ITSELF), "file": Kind((ITSELF, "lib"), (), ITSELF)}
RULED = (State.PREPARED, State.INSTALLED, State.COMMITTED)
"""The states in which the script may be called for."""


@dataclass(frozen=True)
class Script:
    """What the script says.

    Attributes:
        kept: where the one before may be.
        attempt: which update is to be undone.
    """

    kept: tuple[Path, ...]
    attempt: int


# who does what


def lay(kind: Kind, folder: Path | None = None) -> Scene:
    """Lay out a device that has the old set, with otadevice in it, before a mirror that has the new one."""
    return updates.lay(folder or updates.place(), kind)


def committed(kind: Kind) -> Scene:
    """Lay out a device that has taken the new set up to where the new otadevice has to go on."""
    scene, copies = _committed(kind)
    for part, made in copies.items():
        shutil.rmtree(part)
        _copy(made, part)
    updates.renumber(scene.home, scene.opt)
    return scene


def awaited(kind: Kind) -> tuple[Scene, int]:
    """Likewise; returns with it the attempt that the script would have put back."""
    scene = committed(kind)
    found = script(scene)
    assert found is not None
    return scene, found.attempt


@cache
def _committed(kind: Kind) -> tuple[Scene, dict[Path, Path]]:
    scene = lay(kind)
    take(scene)
    assert state(scene) is State.COMMITTED
    made = Path(tempfile.mkdtemp(dir=scene.folder.parent))
    copies = {scene.folder: made / "scene", scene.services: made / "services"}
    for part, copy in copies.items():
        _copy(part, copy)
    return scene, copies


def _copy(folder: Path, copy: Path) -> None:
    # with all names of a file
    subprocess.run(["cp", "-a", folder, copy], check=True)


def take(scene: Scene, calls: Calls | None = None, **how: str) -> list[Result]:
    """Poll as the daemon before does, which leaves once its own update is committed."""
    scene.note("update")
    return poll.run(_own(scene.device(calls, **how), hands_over=True))


def recover(scene: Scene) -> None:
    """Recover as the command does, whichever otadevice it belongs to."""
    scene.note("recover")
    poll.recover(_own(scene.offline()))


def arrive(scene: Scene, calls: Calls | None = None) -> None:
    """Start as the daemon does, up to where it is ready."""
    scene.note("recover")
    device = _own(scene.offline(calls), hands_over=True)
    poll.recover(device)
    succession.arrived(device)


def put_back(scene: Scene, attempt: int, calls: Calls | None = None) -> list[Result]:
    """Do what the script has the one before do."""
    scene.note("recover")
    return putback.put_back(attempt, _own(scene.offline(calls)))


def put_back_the_last(scene: Scene, calls: Calls | None = None) -> list[Result]:
    """Do so with the number that the script has."""
    found = script(scene)
    assert found is not None
    return put_back(scene, found.attempt, calls)


def _own(device: Device, *, hands_over: bool = False) -> Device:
    settings = replace(device.settings, itself=ITSELF)
    return replace(device, settings=settings, hands_over=hands_over)


# what is there then


def state(scene: Scene) -> State:
    """Read where the update stands."""
    return update.open_journal(scene.offline()).record.state


def in_place(scene: Scene) -> str:
    """Read which otadevice the service manager would start."""
    return updates.version_of(scene, ITSELF)


def script(scene: Scene) -> Script | None:
    """Read the script; None if there is none."""
    file = _script_file(scene)
    if not file.exists():
        return None
    text = file.read_text()
    kept = text.partition("for kept in ")[2].partition("; do\n")[0]
    number = text.partition("exec ")[2].partition("\n")[0].rpartition(f" {succession.SCRIPT} ")[2]
    return Script(tuple(map(Path, shlex.split(kept))), int(number))


def kept(scene: Scene) -> str:
    """Read which release the script would start."""
    found = script(scene)
    assert found is not None, f"there is no script, and the update stands in {state(scene)}"
    there = [path for path in found.kept if path.exists()]
    assert there, f"of {found.kept} nothing is there, and the update stands in {state(scene)}"
    if there[0].is_dir():
        return (there[0] / "VERSION").read_text()
    (version,) = [version for version in (OLD, NEW) if there[0].read_bytes() == updates.payload(ITSELF, version)]
    return version


def whole(scene: Scene) -> str:
    """Check that exactly one set is in place, and nothing else but what the script needs; returns its version."""
    aside = scene.folder / "aside"
    aside.mkdir(exist_ok=True)
    files = {path: path.rename(aside / path.name) for path in _laid_out(scene)}
    version = updates.check(scene)
    for path, hidden in files.items():
        hidden.rename(path)
    return version


def bad(scene: Scene) -> str:
    """Read why the new otadevice is not to be taken again, "" for no reason."""
    marks = scene.offline().marks.listed()
    return next((mark["reason"] for mark in marks if (mark["package"], mark["version"]) == (ITSELF, NEW)), "")


def _script_file(scene: Scene) -> Path:
    return scene.home / "otadevice-work" / succession.SCRIPT


def _laid_out(scene: Scene) -> list[Path]:
    return sorted(_script_file(scene).parent.glob(f"{succession.SCRIPT}*"))


def see_that_the_old_one_is_at_hand(scene: Scene) -> None:
    """Check that the script is there if it may be called for, and would start the one before."""
    if state(scene) in RULED:
        assert kept(scene) == OLD


def settle_update(scene: Scene) -> None:
    """Recover, check what must hold by then, have the new one arrive or be taken again."""
    was_committed = state(scene) is State.COMMITTED
    see_that_the_old_one_is_at_hand(scene)
    recover(scene)
    version = whole(scene)
    assert version == (NEW if was_committed else OLD)
    updates.check_story(scene)
    if version == NEW:
        assert kept(scene) == OLD
    else:
        assert script(scene) is None
        assert [result.outcome for result in take(scene)] == ["waits for the new otadevice"]
    arrive(scene)
    assert updates.check(scene) == NEW
    assert bad(scene) == ""
    updates.check_story(scene)


def see_put_back(scene: Scene) -> None:
    """Check that the old set is back whole, and that nobody takes the new one again."""
    assert script(scene) is None
    assert updates.check(scene) == OLD
    assert "did not come up in time" in bad(scene)
    others = [mark["reason"] for mark in scene.offline().marks.listed() if mark["package"] != ITSELF]
    assert others
    assert all("came with an otadevice" in reason for reason in others)
    take(scene)
    assert updates.check(scene) == OLD


def settle_put_back(scene: Scene, attempt: int) -> None:
    """Put back what was left by another that did so; until it is back, the script has to call for that."""
    if in_place(scene) == NEW:
        assert kept(scene) == OLD
    put_back(scene, attempt)
    see_put_back(scene)


def swept(
    lay_out: Callable[[Kind], Scene], do: Callable[[Scene, Calls], object], modes: Collection[Mode], *, wanted: int
) -> pytest.MarkDecorator:
    """Give a test each `kind` of package and each `fault` of what is done: of both kinds as `sweep` does."""
    cases = []
    for name, kind in KINDS.items():
        (_, faults) = sweep(partial(_carry_out, do, lay_out, kind), modes, wanted=wanted).args
        cases += [pytest.param(kind, *each.values, id=f"{name}-{each.id}", marks=each.marks) for each in faults]
    return pytest.mark.parametrize(("kind", "fault"), cases)


def _carry_out(
    do: Callable[[Scene, Calls], object], lay_out: Callable[[Kind], Scene], kind: Kind, calls: Calls
) -> None:
    do(lay_out(kind), calls)


# the update


@swept(lay, take, KILLS, wanted=8)
def test_whoever_recovers_a_killed_update_ends_it_whole(kind: Kind, fault: Fault) -> None:
    """Old without a script, or new with one that would start the old one, until the new one has arrived."""
    scene = lay(kind)

    with pytest.raises(Killed):
        take(scene, FaultyCalls(fault))

    settle_update(scene)


@swept(lay, take, (FULL, BROKEN_ONCE), wanted=6)
def test_whoever_recovers_a_failed_update_ends_it_whole(kind: Kind, fault: Fault) -> None:
    """The same on a disk that is full or broken for a while."""
    scene = lay(kind)

    with contextlib.suppress(OTAError, OSError):
        take(scene, FaultyCalls(fault))

    settle_update(scene)


@swept(lay, take, (KILL_BEFORE,), wanted=8)
def test_the_script_ends_an_update_during_which_the_old_one_died(kind: Kind, fault: Fault) -> None:
    """The service manager calls it whenever it is there: the old set comes back, and no release is to blame for it."""
    scene = lay(kind)
    with pytest.raises(Killed):
        take(scene, FaultyCalls(fault))
    found, was_committed = script(scene), state(scene) is State.COMMITTED
    if found is None:
        assert state(scene) not in RULED
        return

    put_back(scene, found.attempt)

    assert script(scene) is None
    assert updates.check(scene) == OLD
    assert bool(bad(scene)) is was_committed


# the new one


@swept(committed, arrive, (KILL_BEFORE,), wanted=8)
def test_a_new_one_that_is_killed_while_it_starts_can_be_put_back(kind: Kind, fault: Fault) -> None:
    """Wherever it is killed, the script would start the old one, and that brings back the old set."""
    scene, attempt = awaited(kind)
    with pytest.raises(Killed):
        arrive(scene, FaultyCalls(fault))
    if script(scene) is not None:  # it has gone by the very last call
        assert kept(scene) == OLD

    put_back(scene, attempt)

    see_put_back(scene)


@swept(committed, arrive, (KILL_BEFORE, FULL, BROKEN_ONCE), wanted=2)
def test_a_new_one_whose_start_fails_can_start_again(kind: Kind, fault: Fault) -> None:
    """It ends what the first start has left."""
    scene = committed(kind)
    with contextlib.suppress(Killed, OSError):
        arrive(scene, FaultyCalls(fault))

    arrive(scene)

    assert updates.check(scene) == NEW
    assert bad(scene) == ""
    updates.check_story(scene)


# putting back


@swept(committed, put_back_the_last, (KILL_BEFORE,), wanted=12)
def test_a_killed_putting_back_is_done_again(kind: Kind, fault: Fault) -> None:
    """As long as the new one is in place, the script would start the old one; in the end the old set is back."""
    scene, attempt = awaited(kind)
    with pytest.raises(Killed):
        put_back_the_last(scene, FaultyCalls(fault))

    settle_put_back(scene, attempt)


@swept(committed, put_back_the_last, (FULL, BROKEN_ONCE), wanted=6)
def test_a_failed_putting_back_is_done_again(kind: Kind, fault: Fault) -> None:
    """On a disk that fails, it changes nothing, and the script stays for the next time."""
    scene, attempt = awaited(kind)
    with contextlib.suppress(OTAError, OSError):
        put_back_the_last(scene, FaultyCalls(fault))

    settle_put_back(scene, attempt)


@swept(committed, put_back_the_last, (KILL_BEFORE,), wanted=8)
def test_whoever_starts_after_a_killed_putting_back_ends_it_whole(kind: Kind, fault: Fault) -> None:
    """If it is undone by that, and the new one is in place again, the script stays, and puts it back after all."""
    scene, attempt = awaited(kind)
    with pytest.raises(Killed):
        put_back_the_last(scene, FaultyCalls(fault))
    was_begun = bool(bad(scene))

    arrive(scene)

    if whole(scene) == NEW:
        assert bool(script(scene)) is was_begun
    if script(scene) is not None:
        settle_put_back(scene, attempt)
    assert updates.check(scene) == (OLD if was_begun else NEW)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("off", [-1, 1])
def test_another_update_than_the_last_is_not_undone(kind: Kind, off: int) -> None:
    """With its number nothing is changed but that the script goes, and what it needs."""
    scene = committed(kind)
    recover(scene)
    found, before, laid_out = script(scene), _files(scene), _laid_out(scene)
    assert found is not None

    assert put_back(scene, found.attempt + off) == []

    assert _files(scene) == {path: data for path, data in before.items() if path not in laid_out}
    assert updates.check(scene) == NEW


def _files(scene: Scene) -> dict[Path, bytes]:
    entries = [Path(root, name) for root, *names in os.walk(scene.home) for name in itertools.chain(*names)]
    links = {path: os.fsencode(path.readlink()) for path in entries if path.is_symlink()}
    return links | {path: path.read_bytes() for path in entries if path.is_file() and path not in links}


# power cuts


@pytest.fixture(scope="module")
def machine() -> Iterator[Disk]:
    """Start a machine with an empty disk."""
    with powercut.disk() as disk:
        yield disk


@pytest.mark.root
@swept(lay, take, (KILL_BEFORE,), wanted=5)
def test_an_update_survives_a_power_cut(kind: Kind, fault: Fault, machine: Disk) -> None:
    """Cut before any call: as if it had been killed."""
    scene = lay(kind, machine.folder / "scene")
    machine.sync()
    with pytest.raises(Killed):
        take(scene, FaultyCalls(fault), boot="the boot before")

    with machine.cut():
        settle_update(scene)


@pytest.mark.root
@swept(committed, put_back_the_last, (KILL_BEFORE,), wanted=5)
def test_putting_back_survives_a_power_cut(kind: Kind, fault: Fault, machine: Disk) -> None:
    """Likewise, and nothing was synced but what the update itself has."""
    scene = lay(kind, machine.folder / "scene")
    machine.sync()
    take(scene, boot="the boot before")
    found = script(scene)
    assert found is not None
    with pytest.raises(Killed):
        put_back_the_last(scene, FaultyCalls(fault))

    with machine.cut():
        settle_put_back(scene, found.attempt)

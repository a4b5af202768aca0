"""Other users of a device, for real: what they try at packages, locks and records gets them nowhere.

Root makes the users; otadevice is root itself, so that everything on the machine would be in reach.
"""

from __future__ import annotations

import os
import stat
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from devclient import lock, poll
from mirror.files import Calls, Files
from tests.support import archives, devices, strangers, tools, trees
from tests.support.faults import located
from tests.support.strangers import USER
from tests.support.trees import Release

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devclient.device import Device

pytestmark = pytest.mark.root

OLD, NEW, SECRET = b"the old tool", b"the new tool" * 1000, b"root:secret:\n"

PUT_LINKS = """
folder, secret = words
ready()
while True:
    for name in (".tool.ota-new", "tool"):
        path = os.path.join(folder, name)
        try:
            if not os.path.islink(path):
                os.path.lexists(path) and os.rename(path, path + ".away")
                os.symlink(secret, path)
        except OSError:
            pass
"""

SWAP_ONCE = """
bin, secret = words
os.rename(bin, bin + ".real")
os.symlink(secret, bin)
ready()
"""

OPEN_ALL = """
opened = []
for root, folders, files in os.walk(words[0]):
    for name in files:
        try:
            os.close(os.open(os.path.join(root, name), os.O_RDONLY))
            opened.append(os.path.join(root, name))
        except PermissionError:
            pass
print("ready", flush=True)
print(repr(opened), flush=True)
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that other users may enter."""
    tools.require_root()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def tool(place: Path) -> Path:
    """A service's own program, in a folder of its own, which a package replaces."""
    path = place / "opt" / "secapp" / "bin" / "tool"
    path.parent.mkdir(parents=True)
    path.write_bytes(OLD)
    path.chmod(0o755)
    for each in (path, path.parent, path.parent.parent):
        os.chown(each, USER, USER)
    return path


def device(place: Path, local: str, calls: Calls | None = None) -> Device:
    """Put together a device that has the old release and is offered the new one."""
    made = devices.device(place, place / "mirror", Files(calls))
    if not made.settings.state.exists():
        devices.write_state(made.settings.state, {"package": "app", "branch": "stable", "local": local})
    return made


def secret(place: Path) -> Path:
    """Make a file that is root's alone, in a folder that is, too."""
    folder = place / "root"
    folder.mkdir(mode=0o700)
    file = folder / "shadow"
    file.write_bytes(SECRET)
    file.chmod(0o600)
    return file


def facts(path: Path) -> tuple[object, ...]:
    """Tell everything of a file that an attack could change."""
    found = path.lstat()
    return path.read_bytes(), found.st_mode, found.st_uid, found.st_gid, found.st_ino


class Exchanging(Calls):
    """The real calls; before each in a folder of theirs, its owner exchanges a name in it for a link."""

    def __init__(self, folder: Path, name: str, leads_to: Path) -> None:
        self._folder, self._path, self._leads_to = folder, folder / name, leads_to

    def _act(self, at: int | None) -> None:
        if at is None or located(Path(), at) != self._folder:
            return
        os.seteuid(USER)
        try:
            if not self._path.is_symlink():
                if os.path.lexists(self._path):
                    self._path.rename(self._path.with_name("away"))
                self._path.symlink_to(self._leads_to)
        finally:
            os.seteuid(0)

    def fchown(self, descriptor: int, user: int, group: int) -> None:
        """Let them act, then change the owner."""
        self._act(os.open(self._folder, os.O_RDONLY))
        super().fchown(descriptor, user, group)

    def flink(self, descriptor: int, path: Path, *, at: int | None = None) -> None:
        """Name the file, then let them act."""
        super().flink(descriptor, path, at=at)
        self._act(at)


def test_a_link_in_the_place_of_the_new_file_gives_nothing_away(place: Path, tool: Path) -> None:
    """Owner and mode go to the file that was written, never to where a link leads, and the update is given up."""
    trees.write(place / "mirror", Release("1.0", NEW))
    file = secret(place)
    before = facts(file)

    (result,) = poll.run(device(place, str(tool), Exchanging(tool.parent, ".tool.ota-new", file)))

    assert facts(file) == before
    assert result.to == ""
    assert "somebody put something else there" in result.message


def test_whoever_exchanges_names_all_the_time_reaches_nothing_else(place: Path, tool: Path) -> None:
    """However the race ends, what is root's stays as it is."""
    trees.write(place / "mirror", Release("1.0", NEW * 100))
    file = secret(place)
    before = facts(file)

    with strangers.acting(PUT_LINKS, tool.parent, file):
        for _ in range(5):
            poll.run(device(place, str(tool)))

    assert facts(file) == before


def test_a_parent_that_becomes_a_link_leads_nowhere(place: Path, tool: Path) -> None:
    """The folder that was allowed is the one that is worked in, or none is."""
    trees.write(place / "mirror", Release("1.0", NEW))
    file = secret(place)
    file.parent.chmod(0o755)
    before = sorted(path.name for path in file.parent.iterdir())
    done: list[object] = []

    def swap(_offer: object, have: int) -> None:
        if have and not done:
            with strangers.acting(SWAP_ONCE, tool.parent, file.parent):
                done.append(1)

    (result,) = poll.run(replace(device(place, str(tool)), progress=swap))

    assert sorted(path.name for path in file.parent.iterdir()) == before
    assert (result.code, result.to) == ("place", "")


def test_a_link_of_theirs_is_not_followed(place: Path, tool: Path) -> None:
    """Not even into a folder that is allowed: they could exchange it at any time."""
    trees.write(place / "mirror", Release("1.0", NEW))
    other = place / "opt" / "other"
    other.mkdir()
    tool.unlink()
    tool.symlink_to(other / "tool")
    os.chown(tool, USER, USER, follow_symlinks=False)

    (result,) = poll.run(device(place, str(tool)))

    assert "a link that others than root can exchange" in result.message
    assert list(other.iterdir()) == []


def test_a_link_of_roots_is_followed(place: Path) -> None:
    """Where only root can exchange it."""
    trees.write(place / "mirror", Release("1.0", NEW))
    (place / "opt" / "real").mkdir(parents=True)
    (place / "opt" / "link").symlink_to("real")

    (result,) = poll.run(device(place, str(place / "opt" / "link" / "tool")))

    assert result.to == "1.0"
    assert (place / "opt" / "real" / "tool").read_bytes() == NEW


def test_the_service_keeps_its_file(place: Path, tool: Path) -> None:
    """Where nobody interferes, owner and mode are those of before, in the folder that is the service's own."""
    trees.write(place / "mirror", Release("1.0", NEW))

    (result,) = poll.run(device(place, str(tool)))

    found = tool.stat()
    assert (result.to, tool.read_bytes(), found.st_uid, stat.S_IMODE(found.st_mode)) == ("1.0", NEW, USER, 0o755)


def test_a_script_to_restore_is_not_taken_from_where_strangers_can_put_one(place: Path) -> None:
    """The place of a folder package is a link that they may exchange: the script is that of the package itself."""
    folder = place / "opt" / "theirs"
    folder.mkdir(parents=True)
    os.chown(folder, USER, USER)
    ran = place / "ran"
    script = f"#!/bin/sh\necho ours >> {ran}\n".encode()
    archive = archives.pack([archives.Entry("me.sh", script, mode=0o755)])
    theirs = folder / "evil"
    theirs.mkdir()
    (theirs / "me.sh").write_text(f"#!/bin/sh\necho theirs >> {ran}\n")
    (theirs / "me.sh").chmod(0o755)
    exchange = f"mv {folder}/app {folder}/away && ln -s evil {folder}/app"
    trees.write(place / "mirror", Release("1.0", archive, content={"restore": "me.sh", "after_update": exchange}))

    poll.run(device(place, f"{folder}/app/"))

    assert ran.read_text() == "ours\n"


@pytest.mark.parametrize("umask", [0, 0o077])
def test_nobody_else_can_open_what_is_otadevices_own(place: Path, umask: int) -> None:
    """Neither locks, which opening is enough to hold, nor what hooks have printed; only packages are for all."""
    archive = archives.pack([archives.Entry("data", NEW, mode=0o644)])
    trees.write(place / "mirror", Release("1.0", archive, content={"before_update": "echo password; exit 1"}))
    made = device(place, f"{place}/opt/app/")
    (place / "opt").mkdir()
    with lock.hold(made.work / lock.AT_WORK, Files()):
        poll.run(made)
    made.marks.clear()
    trees.write(place / "mirror", Release("2.0", archive))
    before = os.umask(umask)
    try:
        with lock.hold(made.work / lock.DAEMON, Files()), lock.hold(made.work / lock.AT_WORK, Files()):
            (result,) = poll.run(made)
    finally:
        os.umask(before)
    assert result.to == "2.0"

    with strangers.acting(OPEN_ALL, made.work) as stranger:
        assert stranger.stdout
        opened = stranger.stdout.readline().decode()

    # the walk does not go where it may not list
    assert eval(opened) == [str(next((made.work / "folders").iterdir()) / "data")]  # noqa: S307 - the list that it printed


def test_an_older_installation_is_mended(place: Path) -> None:
    """Modes of releases before are put right at the next run, of what is otadevice's own and of nothing else."""
    made = device(place, f"{place}/opt/app")
    (made.work / "parts").mkdir(parents=True)
    for path in (made.work, made.work / "parts"):
        path.chmod(0o755)
    for name in ("lock", "daemon.lock", "results.json"):
        (made.work / name).write_bytes(b"")
        (made.work / name).chmod(0o644)
    (made.work / "folders" / "1-app").mkdir(parents=True)
    (made.work / "folders" / "1-app").chmod(0o700)
    (made.work / "sets" / "1").mkdir(parents=True)
    theirs = made.work / "put-back.kept", made.work / "otadevice.toml"
    for path in theirs:
        path.write_bytes(b"")
        path.chmod(0o755)

    with lock.hold(made.work / lock.AT_WORK, Files()):
        pass

    modes = {str(path.relative_to(made.work)): stat.S_IMODE(path.stat().st_mode) for path in made.work.rglob("*")}
    assert modes == {
        "lock": 0o600, "daemon.lock": 0o600, "results.json": 0o600, "parts": 0o700,
        "folders": 0o755, "folders/1-app": 0o755, "sets": 0o711, "sets/1": 0o711,
        **{path.name: 0o755 for path in theirs},
    }  # fmt: skip

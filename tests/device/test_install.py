"""A blob into its place, which is never empty."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest

from devclient import install
from devclient.errors import BrokenPromiseError
from mirror.blobs import Blob
from mirror.files import Calls, Files
from tests.support.faults import ERRORS, KILLS, CountingCalls, Fault, FaultyCalls, Killed, sweep

if TYPE_CHECKING:
    from typing import Any

OLD, NEW = b"old " * 1000, b"new " * 2000


def blob(folder: Path, data: bytes = NEW) -> Blob:
    """Make a verified blob."""
    path = folder / "blob"
    path.write_bytes(data)
    return Blob(hashlib.sha256(data).hexdigest(), len(data), path)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A place where the old release is installed."""
    return make_place(tmp_path)


def make_place(folder: Path) -> Path:
    """Install the old release."""
    place = folder / "opt" / "app"
    place.parent.mkdir()
    place.write_bytes(OLD)
    place.chmod(0o750)
    return place


def names(place: Path) -> list[str]:
    """List what is beside a place."""
    return sorted(path.name for path in place.parent.iterdir())


def test_the_new_replaces_the_old(tmp_path: Path, place: Path) -> None:
    """The old one stays beside it, and nothing else."""
    install.install(blob(tmp_path), place, Files())

    assert place.read_bytes() == NEW
    assert install.previous(place).read_bytes() == OLD
    assert names(place) == [".app.previous", "app"]


def test_attributes_go_on(tmp_path: Path, place: Path) -> None:
    """The new file, and the previous one, have the mode of the old."""
    install.install(blob(tmp_path), place, Files())

    assert place.stat().st_mode & 0o7777 == 0o750
    assert install.previous(place).stat().st_mode & 0o7777 == 0o750


def test_only_one_previous_is_kept(tmp_path: Path, place: Path) -> None:
    """That of the last installation."""
    install.install(blob(tmp_path), place, Files())
    install.install(blob(tmp_path, b"newest"), place, Files())

    assert install.previous(place).read_bytes() == NEW


def test_a_first_install_makes_its_folder(tmp_path: Path) -> None:
    """It belongs to who installs, may be run by all, and has no previous."""
    place = tmp_path / "a" / "b" / "app"

    install.install(blob(tmp_path), place, Files())

    found = place.stat()
    assert place.read_bytes() == NEW
    assert (found.st_mode & 0o7777, found.st_uid, found.st_gid) == (0o755, os.geteuid(), os.getegid())
    assert names(place) == ["app"]


def test_a_blob_that_rotted_changes_nothing(tmp_path: Path, place: Path) -> None:
    """The copy is hashed, not what was verified before."""
    bad = blob(tmp_path)
    bad.path.write_bytes(b"rotten")

    with pytest.raises(BrokenPromiseError, match="no longer has the SHA-256"):
        install.install(bad, place, Files())

    assert place.read_bytes() == OLD
    assert names(place) == ["app"]


def test_what_a_cut_left_is_replaced(tmp_path: Path, place: Path) -> None:
    """Temporaries of an earlier try, links even, are in nobody's way."""
    place.with_name(".app.new").symlink_to("/etc/passwd")
    place.with_name(".app.previous.new").write_bytes(b"half")

    install.install(blob(tmp_path), place, Files())

    assert place.read_bytes() == NEW
    assert names(place) == [".app.previous", "app"]


def test_the_copy_is_for_nobody_until_it_has_its_attributes(tmp_path: Path, place: Path) -> None:
    """A file that is not for everybody is not readable in between either."""
    modes: list[int] = []

    class Watching(Calls):
        def open(self, path: Path, flags: int, mode: int = 0o644) -> int:
            modes.append(mode)
            return super().open(path, flags, mode)

    install.install(blob(tmp_path), place, Files(Watching()))

    assert modes == [0o600, 0o600]


def test_each_step_is_durable_before_the_next(tmp_path: Path, place: Path) -> None:
    """Bytes before names, the previous file before the switch, the switch before it is told."""
    calls = CountingCalls()

    install.install(blob(tmp_path), place, Files(calls))

    steps = [(call.name, call.paths[0].name) for call in calls.calls if call.name in {"fsync", "rename"}]
    assert steps == [
        ("fsync", ".app.new"),
        ("fsync", ".app.previous.new"),
        ("rename", ".app.previous.new"),
        ("fsync", "opt"),
        ("rename", ".app.new"),
        ("fsync", "opt"),
    ]


@pytest.mark.parametrize(("data", "held"), [(OLD, True), (NEW, False)])
def test_a_place_knows_what_it_holds(tmp_path: Path, place: Path, data: bytes, *, held: bool) -> None:
    """By the hash of its bytes."""
    assert install.holds(place, hashlib.sha256(data).hexdigest()) is held
    assert not install.holds(tmp_path / "none", hashlib.sha256(data).hexdigest())


def installation(calls: Calls) -> None:
    """Replace an old release, somewhere."""
    with TemporaryDirectory() as folder:
        install.install(blob(Path(folder)), make_place(Path(folder)), Files(calls))


@sweep(installation, KILLS, wanted=100)
def test_a_kill_leaves_the_old_or_the_new(tmp_path: Path, place: Path, fault: Fault) -> None:
    """Whenever the process dies, the place holds one of the two, whole; the next try finishes."""
    with pytest.raises(Killed):
        install.install(blob(tmp_path), place, Files(FaultyCalls(fault)))
    in_between = place.read_bytes()

    if in_between == OLD:  # otherwise an update sees that nothing is left to do
        install.install(blob(tmp_path), place, Files())

    assert in_between in {OLD, NEW}
    assert place.read_bytes() == NEW
    assert place.stat().st_mode & 0o7777 == 0o750
    assert install.previous(place).read_bytes() == OLD


@sweep(installation, ERRORS, wanted=100)
def test_an_error_leaves_the_old_or_the_new(tmp_path: Path, place: Path, fault: Fault) -> None:
    """A full or broken disk never empties the place, and what is told to be done is done."""
    try:
        install.install(blob(tmp_path), place, Files(FaultyCalls(fault)))
        done = True
    except OSError:
        done = False

    assert place.read_bytes() in ({NEW} if done else {OLD, NEW})


class Onlooker(Calls):
    """The real calls, looking at the place before and after each."""

    def __init__(self, place: Path) -> None:
        self.seen: set[bytes] = set()
        for name in ("open", "write", "close", "fsync", "rename", "unlink", "chmod", "chown"):
            setattr(self, name, self._looking(getattr(super(), name), place))

    def _looking(self, call: Any, place: Path) -> Any:
        def look(*arguments: Any) -> Any:
            self.seen.add(place.read_bytes())
            result = call(*arguments)
            self.seen.add(place.read_bytes())
            return result

        return look


def test_the_place_is_never_empty(tmp_path: Path, place: Path) -> None:
    """Between any two calls, who starts the program gets the old one or the new one."""
    onlooker = Onlooker(place)

    install.install(blob(tmp_path), place, Files(onlooker))

    assert onlooker.seen == {OLD, NEW}

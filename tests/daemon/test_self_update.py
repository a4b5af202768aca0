"""otadevice as a package of its own: the new one takes over, or the one before comes back by itself.

Each release is a real one: a copy of this program, as a folder or as a file, that notes when it is started.
"""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import zipapp
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import devclient
import mirror
from devclient.states import State
from tests.support import archives, daemons, trees
from tests.support.daemons import polled
from tests.support.manager import Manager
from tests.support.trees import Release

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.devices import Rig

_START = """\
#!{python}
import sys
from pathlib import Path
with Path({lives!r}).open("a") as lives:
    lives.write({version!r} + " " + next((word for word in sys.argv if word in ("run", "put-back")), "else") + "\\n")
{defect}
sys.path.insert(0, str(Path(__file__).parent.parent / "lib"))
from devclient.cli import main
main()
"""
_FURTHER = (("before_update", 1), ("before_update", 76), ("after_update", 75), ("after_update", 76))
CANNOT_START, NEVER_READY = "raise SystemExit('this release is broken')", "import time; time.sleep(3600)"


class Itself:
    """The package `otadevice` of one device."""

    def __init__(self, rig: Rig, tree: Path, *, folder: bool) -> None:
        self._rig, self._tree, self._folder = rig, tree, folder
        self._releases: list[Release] = []
        self.lives = rig.folder / "lives"
        self.local = rig.opt / "otadevice"

    @property
    def program(self) -> Path:
        """What is started."""
        return self.local / "bin" / "otadevice" if self._folder else self.local

    @property
    def log(self) -> list[str]:
        """Which versions were started, as what."""
        return self.lives.read_text().splitlines()

    def is_put_back(self) -> bool:
        """Tell whether 2.0 was started in vain, and 1.0 runs again."""
        return self.log[-3:] == ["2.0 run", "1.0 put-back", "1.0 run"]

    @property
    def version(self) -> str:
        """What the state file says."""
        entry = next(entry for entry in self._rig.state()["package"] if entry["package"] == "otadevice")
        return str(entry["version"])

    def publish(self, version: str, defect: str = "", **content: str) -> None:
        """Publish a release of it, with hooks if they are given."""
        start = _START.format(python=sys.executable, lives=str(self.lives), version=version, defect=defect)
        data = self._packed(start) if self._folder else self._zipped(start)
        self._releases.append(Release(version, data, content))
        trees.write(self._tree, *self._releases, package="otadevice")

    def install(self) -> None:
        """Have the first release installed by hand, and be the package that otadevice is."""
        local = f"{self.local}/" if self._folder else str(self.local)
        assert self._rig.run("add", "otadevice", "--branch", "stable", "--local", local).exit_code == 0
        assert self._rig.run("update").exit_code == 0
        text = self._rig.config.read_text()
        self._rig.config.write_text(f'self = "otadevice"\n{text}')

    def update(self) -> subprocess.CompletedProcess[str]:
        """Have it update by hand."""
        command = [str(self.program), "--config", str(self._rig.config), "update"]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    def _packed(self, start: str) -> bytes:
        lib = [archives.Entry(f"lib/{path.relative_to(_BASE)}", path.read_bytes()) for path in _sources()]
        return archives.pack([archives.Entry("bin/otadevice", start.encode(), mode=0o755), *lib])

    def _zipped(self, start: str) -> bytes:
        source = self._rig.folder / "source"
        for path in _sources():
            target = source / path.relative_to(_BASE)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
        (source / "__main__.py").write_text(start)
        packed = io.BytesIO()
        zipapp.create_archive(source, packed, interpreter=sys.executable)
        return packed.getvalue()


_BASE = Path(devclient.__file__).parent.parent


def _sources() -> list[Path]:
    return [
        path for package in (devclient, mirror) for path in sorted(Path(package.__file__ or "").parent.rglob("*.py"))
    ]


@pytest.fixture(params=[True, False], ids=["folder", "file"])
def itself(rig: Rig, tree: Path, request: pytest.FixtureRequest) -> Itself:
    """Release 1.0, which is installed."""
    made = Itself(rig, tree, folder=request.param)
    made.publish("1.0")
    made.install()
    return made


@pytest.fixture
def manager(rig: Rig, itself: Itself, tmp_path: Path) -> Iterator[Manager]:
    """Who runs the daemon of that release, by the units that it has written."""
    with running(rig, itself, tmp_path) as made:
        yield made


@contextmanager
def running(rig: Rig, itself: Itself, folder: Path) -> Iterator[Manager]:
    """Run the daemon of the release that is installed."""
    unit = daemons.unit(rig, [str(itself.program)])
    with Manager(unit, folder, {"TimeoutStartSec": 30, "WatchdogSec": 10}) as made:
        made.start()
        polled(made)
        yield made


def journal(rig: Rig) -> State:
    """Tell where the update stands."""
    raw = (rig.folder / "otadevice-work" / "journal").read_bytes()
    records = [json.loads(half[64:].partition(b"\n")[0]) for half in (raw[:8192], raw[8192:]) if half[:1] != b"\0"]
    return State(max(records, key=lambda record: int(record["sequence"]))["state"])


def test_the_new_one_takes_over(rig: Rig, itself: Itself, manager: Manager) -> None:
    """The old one leaves once the update is committed, the new one finishes it, and nobody is put back."""
    itself.publish("2.0")

    manager.reload()
    manager.until(lambda: itself.log[-1] == "2.0 run")
    polled(manager)

    assert manager.results == ["success"]
    assert itself.log == ["1.0 else", "1.0 run", "2.0 run"]
    assert itself.version == "2.0"
    assert journal(rig) is State.IDLE
    assert not (rig.folder / "otadevice-work" / "put-back").exists()
    assert "otadevice 2.0 is in place" in manager.log


def test_one_that_cannot_start_is_put_back(rig: Rig, itself: Itself, manager: Manager) -> None:
    """The one before undoes the update, runs again, and does not take the broken release any more."""
    itself.publish("2.0", CANNOT_START)

    manager.reload()
    manager.until(itself.is_put_back)
    polled(manager)

    assert manager.results == ["success", "exit-code"]
    assert itself.version == "1.0"
    assert journal(rig) is State.IDLE
    assert not (rig.folder / "otadevice-work" / "put-back").exists()
    assert "did not come up in time" in rig.run("status").stdout
    itself.publish("3.0")
    manager.reload()
    manager.until(lambda: itself.log[-1] == "3.0 run")
    polled(manager)
    assert itself.version == "3.0"


@pytest.mark.parametrize(
    ("hook", "code"),
    [
        ("before_update", 75),
        ("after_update", 1),
        *(pytest.param(*case, marks=pytest.mark.long) for case in _FURTHER),
    ],
)
def test_no_hook_keeps_the_one_before_from_coming_back(
    rig: Rig, tree: Path, tmp_path: Path, hook: str, code: int
) -> None:
    """Without otadevice nothing on this device would ever be mended: what fails is reported, and that is all."""
    itself = Itself(rig, tree, folder=False)
    itself.publish("1.0", **{hook: f"test ! -e {rig.folder}/moody || exit {code}"})
    itself.install()
    with running(rig, itself, tmp_path) as manager:
        (rig.folder / "moody").touch()
        itself.publish("2.0", CANNOT_START)

        manager.reload()
        manager.until(itself.is_put_back)
        polled(manager)

    assert itself.version == "1.0"
    assert journal(rig) is State.IDLE
    assert f"failed with exit code {code}" in manager.log


def test_what_comes_after_otadevice_is_for_the_new_one(rig: Rig, tree: Path, itself: Itself, manager: Manager) -> None:
    """By hand, too: another update would leave nothing to put back."""
    trees.write(tree, Release("1.0", b"one"))
    app = rig.add()
    itself.publish("2.0", CANNOT_START)

    first, second = itself.update(), rig.run("update")

    assert first.returncode == 0
    assert not app.exists()
    assert second.exit_code == 75
    assert "a new otadevice was installed and has yet to come up" in second.stderr
    manager.until(itself.is_put_back)
    polled(manager)
    assert app.read_bytes() == b"one"
    assert journal(rig) is State.IDLE


@pytest.mark.long
def test_one_that_is_never_ready_is_put_back(itself: Itself, manager: Manager) -> None:
    """After the time that the unit gives it."""
    itself.publish("2.0", NEVER_READY)

    manager.reload()
    manager.until(itself.is_put_back)
    polled(manager)

    assert manager.results == ["success", "timeout"]
    assert itself.version == "1.0"


def test_one_that_is_installed_by_hand_takes_over_too(rig: Rig, itself: Itself, manager: Manager) -> None:
    """The daemon sees that it was replaced, and makes way."""
    itself.publish("2.0")
    assert itself.update().returncode == 0

    manager.until(lambda: manager.messages.count("READY=1") == 2)
    polled(manager)

    assert manager.results == ["success"]
    assert itself.log[-1] == "2.0 run"
    assert not (rig.folder / "otadevice-work" / "put-back").exists()

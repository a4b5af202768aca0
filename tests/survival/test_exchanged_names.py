"""Strangers who may write to the folders of packages exchange names in them while an update is at work.

At each of its calls, reading ones too, a name in the folder, or the folder itself, becomes a link to a file or a folder
outside, or a second name of a file there. Nothing outside changes then, not even by the recovery that follows.
"""

from __future__ import annotations

import functools
import os
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from devclient import poll, update
from mirror.errors import OTAError
from tests.support import swaps, updates
from tests.support.faults import spread

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.updates import Scene

SECRET = b"the secret outside\n"
NAMES = ("lib", ".lib.ota-new", ".lib.ota-old", ".lib.previous", ".lib.aside", "site", ".site.ota-new", "")
"""What is exchanged in the folder of the packages; "" is that folder itself."""
SAMPLE = 2
"""At how many calls each exchange happens in the normal run."""


class Outside:
    """What lies outside: files and folders that have the names of what an update works on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700)
        self.file = folder / "secret"
        for name in ("secret", *(name for name in NAMES if name)):
            (folder / name).write_bytes(SECRET)
            (folder / name).chmod(0o600)
        (folder / "inner").mkdir(mode=0o700)
        (folder / "inner" / "secret").write_bytes(SECRET)
        self._before = self._look()

    def check(self) -> None:
        """See that nothing has changed."""
        assert self._look() == self._before

    def _look(self) -> dict[str, object]:
        return {
            str(path): (found.st_ino, found.st_mode, found.st_uid, found.st_gid, found.st_size, found.st_mtime_ns)
            for path in (self.folder, *sorted(self.folder.rglob("*")))
            for found in (path.lstat(),)
        }


def _becomes(name: str, make: Callable[[Outside, Path], None]) -> Callable[[Scene, Outside], None]:
    def exchange(scene: Scene, outside: Outside) -> None:
        path = scene.opt / name
        with suppress(FileNotFoundError):
            path.rename(path.with_name(f"{path.name}.away"))
        make(outside, path)

    return exchange


def _a_link_to_a_file(outside: Outside, path: Path) -> None:
    path.symlink_to(outside.file)


def _a_link_to_a_folder(outside: Outside, path: Path) -> None:
    path.symlink_to(outside.folder)


def _a_second_name(outside: Outside, path: Path) -> None:
    os.link(outside.file, path)


SWAPS = {
    f"{name or 'the folder'} is {kind.__name__[1:]}": _becomes(name, kind)
    for name in NAMES
    for kind in (_a_link_to_a_file, _a_link_to_a_folder, _a_second_name)
    if name or kind is _a_link_to_a_folder
}


def failing() -> Scene:
    """Lay out a device whose update comes to its last hook, and is rolled back."""
    scene = updates.lay(updates.place())
    updates.break_hook(scene, "app", "after_update")
    return scene


def succeeding() -> Scene:
    """Lay out a device whose update is committed."""
    return updates.lay(updates.place())


each_exchange = pytest.mark.parametrize(
    ("lay", "name"),
    [pytest.param(lay, name, id=f"{lay.__name__}-{name}") for lay in (succeeding, failing) for name in SWAPS],
)


@functools.cache
def calls(lay: Callable[[], Scene]) -> int:
    """Count the calls of an update."""
    scene = lay()
    return swaps.count(lambda: updates.run(scene), (scene.opt,))


@each_exchange
def test_nothing_outside_changes_at_some_calls(tmp_path: Path, lay: Callable[[], Scene], name: str) -> None:
    """Whatever is exchanged and when: neither the update nor its recovery follows it."""
    for number, point in enumerate(spread(calls(lay), SAMPLE, [*SWAPS].index(name))):
        exchange(lay, name, point, tmp_path / str(number))


@pytest.mark.long
@each_exchange
def test_nothing_outside_changes_at_any_call(tmp_path: Path, lay: Callable[[], Scene], name: str) -> None:
    """The same, at each of its calls."""
    for point in range(1, calls(lay) + 1):
        exchange(lay, name, point, tmp_path / str(point))


def exchange(lay: Callable[[], Scene], name: str, point: int, folder: Path) -> None:
    """Exchange a name at one call of an update, and see that nothing outside changes until it is recovered."""
    scene, outside = lay(), Outside(folder)
    with suppress(OTAError, OSError), swaps.at(point, (scene.opt,), lambda: SWAPS[name](scene, outside)):
        poll.run(scene.device())
    outside.check()
    with suppress(OTAError, OSError):
        update.recover(scene.offline())
    outside.check()

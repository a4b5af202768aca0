"""A publisher who exchanges names while they are worked on reaches nothing outside of the inbox.

At every call of a pass, reading ones too, something in the inbox, or in a dropped folder that its publisher still holds
open, becomes a link, a hard link or another folder. If that was followed, a secret would be published, moved or gone.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from builder import build
from mirror import layout
from tests.support import sites, swaps
from tests.support.faults import spread
from tests.support.sites import Clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from _pytest.mark import ParameterSet

SECRET = b"the secret outside\n"
GOOD = sites.package("1.0", "good")
SAMPLE = 3
LONG_AGO = (1_000_000_000, 1_000_000_001)  # atime older than mtime, so that reading would change it


class Yard:
    """An inbox with drops in it, a publisher who holds one of them open, and what lies outside."""

    def __init__(self, folder: Path) -> None:
        self.site = sites.make(folder / "site")
        self.inbox = self.site.paths.inbox
        self.outside = folder / "outside"
        self.outside.mkdir()
        sites.drop(self.outside, _says("app"), "secret").write_bytes(SECRET)
        sites.drop_folder(self.outside, _says("lib"), "folder")
        (self.outside / "folder" / "app.bin").write_bytes(SECRET)
        for path in sites.paths(self.outside):
            os.utime(self.outside / path, LONG_AGO)
        sites.drop(self.inbox, _says("app"), "app").write_bytes(b"other bytes")
        (sites.drop_folder(self.inbox, _says("lib"), "lib") / "app.bin").write_bytes(b"other bytes")
        sites.drop_folder(self.inbox, GOOD, "good")
        self.held = [os.open(self.inbox / name, os.O_RDONLY) for name in ("lib", "good")]

    @property
    def places(self) -> tuple[Path, ...]:
        """Where a stranger's changes may matter."""
        return (self.inbox, self.site.paths.claimed, self.site.paths.rejected)

    def take(self) -> None:
        """Make one pass, as a process of its own would."""
        with build.opened(self.site, clock=Clock()) as builder:
            builder.take_inbox()

    def in_folders(self, act: Callable[[int], object]) -> None:
        """Do something in the dropped folders, wherever they are."""
        for descriptor in self.held:
            with suppress(OSError):  # what was removed cannot be written to
                act(descriptor)

    def state(self) -> dict[str, object]:
        """Tell everything about what lies outside, its being read too, and about the site's keys."""
        found: dict[str, object] = dict(sites.read(self.site.paths.keys))
        for root, folders, files in os.walk(self.outside):
            for name in (*folders, *files):
                status = os.lstat(Path(root, name))
                times = (status.st_mtime_ns, status.st_atime_ns) if name in files else ()
                found[f"{root}/{name}"] = (status.st_ino, status.st_mode, status.st_size, *times)
        return found


def _says(name: str) -> sites.Package:
    """Make the package that a drop pretends to be: its content names the secret."""
    return sites.package("6.6", name, data=SECRET)


def _becomes_link(name: str, target: str) -> Callable[[Yard], None]:
    def swap(yard: Yard) -> None:
        with suppress(FileNotFoundError):
            (yard.inbox / name).rename(yard.inbox / f".{name}.away")
        (yard.inbox / name).symlink_to(yard.outside / target)

    return swap


def _folder_becomes_another(yard: Yard) -> None:
    with suppress(FileNotFoundError):
        (yard.inbox / "lib").rename(yard.inbox / ".lib.away")
    (yard.inbox / "lib").mkdir()
    (yard.inbox / "lib" / "content.json").symlink_to(yard.outside / "secret.json")
    (yard.inbox / "lib" / "app.bin").symlink_to(yard.outside / "secret")


def _inner_becomes(name: str, make: Callable[[Yard, int], object]) -> Callable[[Yard], None]:
    def swap(yard: Yard) -> None:
        def act(folder: int) -> None:
            os.unlink(name, dir_fd=folder)
            make(yard, folder)

        yard.in_folders(act)

    return swap


def _more_comes(yard: Yard) -> None:
    def act(folder: int) -> None:
        os.mkdir("more", dir_fd=folder)
        os.symlink(yard.outside, "more/z", dir_fd=folder)
        os.symlink(yard.outside / "folder", "z", dir_fd=folder)

    yard.in_folders(act)


SWAPS: dict[str, Callable[[Yard], None]] = {
    "file is a link": _becomes_link("app", "secret"),
    "content is a link": _becomes_link("app.json", "secret.json"),
    "folder is a link": _becomes_link("lib", "folder"),
    "old claims are a link": _becomes_link(".claimed", "folder"),
    "folder is another": _folder_becomes_another,
    "inner file is a link": _inner_becomes(
        "app.bin", lambda yard, folder: os.symlink(yard.outside / "secret", "app.bin", dir_fd=folder)
    ),
    "inner file is a hard link": _inner_becomes(
        "app.bin", lambda yard, folder: os.link(yard.outside / "secret", "app.bin", dst_dir_fd=folder)
    ),
    "inner content is a link": _inner_becomes(
        "content.json", lambda yard, folder: os.symlink(yard.outside / "secret.json", "content.json", dir_fd=folder)
    ),
    "inner file is a link to a folder": _inner_becomes(
        "app.bin", lambda yard, folder: os.symlink(yard.outside, "app.bin", dir_fd=folder)
    ),
    "inner file is a FIFO": _inner_becomes("app.bin", lambda _, folder: os.mkfifo("app.bin", dir_fd=folder)),
    "more comes into the folder": _more_comes,
}


def _points() -> int:
    with tempfile.TemporaryDirectory() as folder:
        yard = Yard(Path(folder))
        total = swaps.count(yard.take, yard.places)
        for descriptor in yard.held:
            os.close(descriptor)
    return total


def _cases() -> Iterator[ParameterSet]:
    total = _points()
    for seed, name in enumerate(SWAPS):
        sample = set(spread(total, SAMPLE, seed))
        for point in range(1, total + 1):
            marks = [] if point in sample else [pytest.mark.long]
            yield pytest.param(name, point, id=f"{name}-{point}", marks=marks)


@pytest.mark.parametrize(("name", "point"), list(_cases()))
def test_a_name_that_is_exchanged_leads_nowhere(name: str, point: int, tmp_path: Path) -> None:
    """Whatever is exchanged at whichever call: nothing outside is read, changed or published, and no pass is ended."""
    yard = Yard(tmp_path)
    before = yard.state()
    wanted = yard.outside / "secret"

    with swaps.at(point, yard.places, lambda: SWAPS[name](yard)):
        yard.take()
    yard.take()

    for descriptor in yard.held:
        os.close(descriptor)
    assert layout.blob(_says("app").content.sha256) not in sites.read(yard.site.paths.mirror)
    if "hard link" in name:  # a name more is the stranger's doing, and changes nothing of the file
        assert wanted.read_bytes() == SECRET
    else:
        assert yard.state() == before
    assert sites.paths(yard.site.paths.spool) == sites.paths(yard.site.paths.claimed) == []


def test_a_run_in_which_links_are_followed_is_found_out(tmp_path: Path) -> None:
    """The test above can fail: a pass that would copy what a path leads to shows it."""
    yard = Yard(tmp_path)
    before = yard.state()

    def careless() -> None:
        for path in sorted(yard.inbox.rglob("*")):
            path.is_file() and shutil.copy(path, tmp_path / "copy")

    with swaps.at(2, yard.places, lambda: SWAPS["file is a link"](yard)):
        careless()

    assert yard.state() != before

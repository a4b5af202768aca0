"""Power cuts: a disk of its own, copied as it is at one moment and started from that copy.

    with disk() as machine:
        prepare(machine.folder); machine.sync()
        ...                                   # run, and kill somewhere
        with machine.cut() as after:          # the same folder, with what a power cut leaves
            recover(after.folder)
        ...                                   # here the machine goes on as if nothing had happened

What is only in the page cache of the disk's file system is not in its image; what was synced is. The machine's
own kernel keeps the image's bytes in its cache, where the copy finds them. The mount options take away the luck
that hides a missing sync: no commit of the journal by the clock for ten minutes (`commit`), no allocation just
because a file was renamed or truncated (`noauto_da_alloc`). So a file renamed without a sync is seen with no bytes.

This is one kind of cut: nothing survives that was not asked to. That everything survives is what a kill leaves
(`faults`, `trace`); that some of it does, in another order, is not played here. The kernel itself begins to write
when bytes are half a minute old, so cut soon after the kill.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support import tools

if TYPE_CHECKING:
    from collections.abc import Iterator

_MIB = 1024 * 1024
_OPTIONS = "loop,commit=600,noauto_da_alloc,data=ordered,noatime"


class Disk:
    """An ext4 file system in an image file, mounted at `folder`."""

    def __init__(self, image: Path, folder: Path) -> None:
        self.folder = folder
        self._image = image

    def sync(self) -> None:
        """Make everything durable, as a machine that had been left alone for a while."""
        _run("sync", "--file-system", self.folder)

    @contextlib.contextmanager
    def cut(self) -> Iterator[Disk]:
        """Start the machine anew from the disk as it is now, at the same folder, until the end of the block.

        The journal is replayed. The disk before the cut is covered meanwhile, and is there unchanged afterwards:
        one run can be cut at many points. Programs that still run stay on the disk before the cut.
        """
        with tempfile.TemporaryDirectory(prefix="powercut-") as place:
            copy = Path(place) / "image"
            _run("cp", "--sparse=always", self._image, copy)
            with _mounted(copy, self.folder):
                yield Disk(copy, self.folder)


@contextlib.contextmanager
def disk(size: int = 64 * _MIB) -> Iterator[Disk]:
    """Make an empty disk of `size` bytes; it needs root. All of it is gone after the block, also on an error."""
    tools.require_root()
    with tempfile.TemporaryDirectory(prefix="powercut-") as place:
        image, folder = Path(place) / "image", Path(place) / "disk"
        folder.mkdir()
        image.touch()
        os.truncate(image, size)
        # nothing is left for the kernel to initialise in the background while a test runs
        now = "lazy_itable_init=0,lazy_journal_init=0,nodiscard,root_owner=0:0"
        _run("mkfs.ext4", "-q", "-b", "4096", "-m", "0", "-E", now, image)
        with contextlib.ExitStack() as mounts:
            try:
                mounts.enter_context(_mounted(image, folder))
            except subprocess.CalledProcessError as error:  # as in a container
                tools.missing(f"images cannot be mounted here: {error.stderr.decode()}")
            made = Disk(image, folder)
            (folder / "lost+found").rmdir()
            made.sync()
            yield made


@contextlib.contextmanager
def _mounted(image: Path, folder: Path) -> Iterator[None]:
    """Mount an image; the loop device goes with the mount."""
    _run("mount", "-t", "ext4", "-o", _OPTIONS, image, folder)
    try:
        yield
    finally:
        try:
            _run("umount", folder)
        except subprocess.CalledProcessError:
            # a failed test left something open: the name goes now, the rest when that ends
            _run("umount", "--lazy", folder)


def _run(tool: str, *arguments: str | Path) -> None:
    subprocess.run([tools.require(tool), *arguments], check=True, capture_output=True)

"""One device, put together: its settings, its folders, and all that it works with.

Clocks, servers, processes and the reboot come in from outside, so everything above runs without them.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from devclient import check, download
from devclient.install.sets import Sets
from devclient.lifeline import Lifeline
from devclient.records.contents import Contents
from devclient.records.marks import Marks
from devclient.records.plans import Plans

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from devclient.check import Offer
    from devclient.held_errors import HeldError
    from devclient.hooks import Ending, Hook, Process
    from devclient.settings.config import Settings
    from mirror.files import Files


class Mirror(check.Mirror, download.Blobs, Protocol):
    """All that an update asks a mirror for."""

    @property
    def issued(self) -> datetime | None:
        """When what it says was signed last; None if nothing was verified yet."""

    def tidy(self) -> None:
        """Forget what was kept and not asked for in this run."""


class Runner(Protocol):
    """Runs hooks."""

    def run(self, hook: Hook, record: Callable[[Process], None]) -> Ending:
        """Run a hook, once `record` knows its process."""


@dataclass(frozen=True)
class Device:
    """What an update works with.

    Attributes:
        mirror: gives the mirror at a URL, for "" the usual one.
        free: tells the free bytes of a folder's file system.
        progress: is told of an offer how many of its bytes are here.
        now: tells the time, in UTC.
        runner: runs hooks.
        boot: the id of this boot.
        reboot: reboots the device; may return before it does.
        held: tells what keeps an update from being installed, if anything does.
        lifeline: gets signs of life from work that takes long, and may want it to stop.
        hands_over: whether an update of otadevice itself is left to the new one to finish.
    """

    settings: Settings
    files: Files
    mirror: Callable[[str], Mirror]
    free: Callable[[Path], int]
    progress: Callable[[Offer, int], None]
    now: Callable[[], datetime]
    runner: Runner
    boot: str
    reboot: Callable[[], None]
    held: Callable[[], HeldError | None] = lambda: None
    lifeline: Lifeline = field(default_factory=Lifeline)
    hands_over: bool = False

    @property
    def work(self) -> Path:
        """The folder in which it keeps what it needs."""
        return self.settings.work

    @property
    def parts(self) -> Path:
        """Where blobs are downloaded to."""
        return self.work / "parts"

    @functools.cached_property
    def sets(self) -> Sets:
        """Its sets of folders."""
        return Sets(self.work, self.files)

    @functools.cached_property
    def contents(self) -> Contents:
        """The verified contents that it keeps."""
        return Contents(self.work / "contents", self.files)

    @functools.cached_property
    def plans(self) -> Plans:
        """Its plans."""
        return Plans(self.work, self.files)

    @functools.cached_property
    def marks(self) -> Marks:
        """What it remembers against releases."""
        return Marks(self.work / "marks", self.files)

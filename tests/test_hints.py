"""builder/intake/hints.py and builder/intake/bell.py: what wakes the watch."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest
from watchdog import events

from builder.intake import hints
from builder.intake.bell import Bell

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LONG = 3600.0  # seconds that no test waits: the suite's time limit would end it


@pytest.mark.parametrize("poll_seconds", [None, 0.05])
@pytest.mark.parametrize(
    "change",
    [
        lambda inbox: (inbox / "new").write_text("bytes"),
        lambda inbox: (inbox / "folder").mkdir(),
        lambda inbox: (inbox.parent / "made").rename(inbox / "moved"),
        lambda inbox: (inbox / "old").rename(inbox / "other"),
    ],
    ids=["written", "folder", "moved in", "renamed"],
)
def test_whatever_is_dropped_rings(
    tmp_path: Path, change: Callable[[Path], object], poll_seconds: float | None
) -> None:
    """By the kernel's events, or by listing the folder where there are none."""
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    (inbox / "old").touch()
    (tmp_path / "made").touch()
    bell = Bell()

    with hints.watching(inbox, bell.ring, poll_seconds=poll_seconds):
        change(inbox)
        assert not bell.wait(LONG)


@pytest.mark.parametrize(
    ("event", "rings"),
    [
        (events.FileOpenedEvent, 0),
        (events.FileClosedNoWriteEvent, 0),
        (events.FileClosedEvent, 1),
        (events.FileCreatedEvent, 1),
        (events.FileMovedEvent, 1),
        (events.DirCreatedEvent, 1),
        (events.FileDeletedEvent, 1),
    ],
)
def test_reading_does_not_ring(event: type[events.FileSystemEvent], rings: int) -> None:
    """Otherwise every pass over the inbox would cause the next one."""
    heard: list[None] = []

    hints.Ringer(lambda: heard.append(None)).dispatch(event("inbox/app.bin"))

    assert len(heard) == rings


def test_a_folder_that_cannot_be_watched_is_told_and_scanned(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Hints are a convenience; without them the site still works."""
    with hints.watching(tmp_path / "absent", lambda: None, poll_seconds=None):
        pass

    assert "scanned only" in caplog.text


def test_a_bell_waits_no_longer_than_asked() -> None:
    """Without a ring the time passes, and it is not yet time to stop."""
    assert not Bell().wait(0)


def test_rings_before_the_wait_count_once() -> None:
    """A hint that comes during a pass makes one more pass, a thousand hints too."""
    bell = Bell()
    for _ in range(1000):
        bell.ring()

    assert not bell.wait(LONG)
    before = time.monotonic()
    assert not bell.wait(0.01)
    assert time.monotonic() - before >= 0.01


def test_a_stopped_bell_never_waits() -> None:
    """Stopping is seen at once and for good."""
    bell = Bell()
    bell.stop()

    assert bell.wait(LONG)
    assert bell.wait(LONG)


def test_a_signal_ends_the_wait() -> None:
    """A handler runs in the very thread that waits, and must not lock itself out."""
    bell = Bell()
    before = signal.signal(signal.SIGUSR1, lambda *_: bell.stop())
    try:
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        assert bell.wait(LONG)
    finally:
        signal.signal(signal.SIGUSR1, before)

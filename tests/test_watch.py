"""builder/intake/watch.py: a pass at every interval, whatever happens, and a log that says things once."""

from __future__ import annotations

import contextlib
import errno
import logging
import re
import sqlite3
from typing import TYPE_CHECKING

import pytest

from builder.errors import MirrorError, in_words
from builder.intake.drops import Find, Pass
from builder.intake.watch import watch

if TYPE_CHECKING:
    from pathlib import Path


class Inbox:
    """Passes that were thought up before: what each returns, or raises."""

    def __init__(self, *passes: Pass | Exception) -> None:
        self.passes = list(passes)
        self.waits: list[float] = []

    def take(self) -> Pass:
        """Make the next pass."""
        result = self.passes.pop(0)
        if isinstance(result, Exception):
            raise result
        return result

    def wait(self, seconds: float) -> bool:
        """Note how long the next pass is away; stop when none is left."""
        self.waits.append(seconds)
        return not self.passes


def waiting(reason: str) -> Pass:
    """A pass that left one drop."""
    return Pass(waiting=(Find(("app.bin",), waiting=reason),))


def run(*passes: Pass | Exception) -> Inbox:
    """Watch until the passes are used up."""
    inbox = Inbox(*passes)
    watch(inbox.take, inbox.wait, 2)
    return inbox


def test_passes_follow_each_other_at_the_interval() -> None:
    """Between two passes lie the seconds of the settings."""
    assert run(Pass(), Pass(), Pass()).waits == [2, 2, 2]


@pytest.mark.parametrize("trouble", [MirrorError("damaged"), OSError("disk full"), sqlite3.OperationalError("locked")])
def test_trouble_does_not_end_the_watch(trouble: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """The next pass comes all the same, and the log says once what is wrong."""
    inbox = run(trouble, trouble, Pass())

    assert inbox.passes == []
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_a_fault_of_the_program_ends_the_watch() -> None:
    """A bug is not hidden by trying again for ever."""
    with pytest.raises(RuntimeError):
        run(RuntimeError("bug"))


@pytest.mark.parametrize(
    ("passes", "lines"),
    [
        ([waiting("partner"), waiting("partner")], 1),
        ([waiting("partner"), waiting("still written")], 2),
        ([waiting("partner"), Pass(), waiting("partner")], 2),
    ],
)
def test_what_waits_is_told_once(passes: list[Pass], lines: int, caplog: pytest.LogCaptureFixture) -> None:
    """A drop that stays incomplete does not fill the log."""
    caplog.set_level(logging.INFO)

    run(*passes)

    assert len(caplog.records) == lines


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/a/spool/x"), "no room for /a/spool/x .*make room"),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "/a/inbox"), "no room for /a/inbox .*make room"),
        (sqlite3.OperationalError("no such table: x"), "the catalogue cannot be used: no such table: x"),
    ],
)
def test_trouble_with_the_disk_is_a_sentence(error: Exception, says: str) -> None:
    """It says what to do."""
    assert re.search(says, in_words(error))


def test_a_catalogue_without_room_says_what_to_do(tmp_path: Path) -> None:
    """SQLite's own words are kept, and are not all."""
    connection = sqlite3.connect(tmp_path / "full.sqlite")
    connection.execute("PRAGMA max_page_count = 2")
    connection.execute("CREATE TABLE a (b)")
    with contextlib.closing(connection), pytest.raises(sqlite3.OperationalError) as caught:
        connection.execute("INSERT INTO a VALUES (zeroblob(1000000))")

    assert re.search("catalogue cannot be used: .*full; make room on its file system", in_words(caught.value))

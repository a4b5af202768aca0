"""What is remembered against releases: for how long a plan waits, what is forgotten, and that it always fits."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from devclient.errors import JournalError
from devclient.records.marks import PATIENCE, Marks
from devclient.records.slots import Slots
from mirror.files import Files
from tests.support.faults import FULL, Fault, FaultyCalls

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mirror.files import Calls

NOW = datetime(2026, 11, 23, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)
APP, SITE = "a1" * 32, "b2" * 32
PLAN = "c3" * 32


@pytest.fixture
def attempts() -> Iterator[int]:
    """Numbers for attempts, each of them new."""
    return itertools.count(1)


def test_nothing_is_marked_at_first(tmp_path: Path) -> None:
    """And reading makes no file."""
    marks = _open(tmp_path)

    assert (dict(marks.bad), marks.listed(), marks.wait(PLAN, NOW)) == ({}, [], None)
    assert list(tmp_path.iterdir()) == []


def test_a_bad_release_stays_marked(tmp_path: Path) -> None:
    """With what there is to know about it."""
    _open(tmp_path).add_bad(APP, "app", "1.2", "AfterUpdate failed", NOW)

    marks = _open(tmp_path)
    assert marks.bad == {APP: "AfterUpdate failed"}
    assert marks.listed() == [
        {
            "content": APP,
            "package": "app",
            "version": "1.2",
            "reason": "AfterUpdate failed",
            "at": "2026-11-23T08:00:00Z",
        }
    ]


def test_marking_again_changes_nothing(tmp_path: Path) -> None:
    """What is done over after a cut has no second effect, and writes nothing."""
    marks = _open(tmp_path)
    marks.add_bad(APP, "app", "1.2", "first", NOW)
    raw = (tmp_path / "marks").read_bytes()

    marks.add_bad(APP, "app", "1.2", "second", NOW + HOUR)

    assert (tmp_path / "marks").read_bytes() == raw
    assert marks.bad == {APP: "first"}


def test_an_interruption_counts_once_for_each_attempt(tmp_path: Path) -> None:
    """However often its recovery is cut off itself."""
    for _ in range(PATIENCE + 2):
        _open(tmp_path).count(PLAN, 1, NOW)
    assert _open(tmp_path).wait(PLAN, NOW) is None

    for attempt in range(2, PATIENCE + 1):
        _open(tmp_path).count(PLAN, attempt, NOW)
    wait = _open(tmp_path).wait(PLAN, NOW)
    assert wait is not None
    assert wait.times == PATIENCE


@pytest.mark.parametrize(
    ("times", "hours"),
    [(0, 0), (1, 0), (2, 0), (3, 1), (4, 2), (5, 4), (6, 8), (7, 16), (8, 24), (9, 24), (100, 24), (5000, 24)],
)
def test_after_three_interruptions_a_plan_waits_twice_as_long_each_time(tmp_path: Path, times: int, hours: int) -> None:
    """An hour, then two, four, up to a day."""
    _slots(tmp_path).save(
        {
            "format": 1,
            "sequence": 1,
            "bad": {},
            "interrupted": {PLAN: {"times": times, "attempt": 1, "at": "2026-11-23T08:00:00Z"}},
        }
    )
    marks = _open(tmp_path)

    wait = marks.wait(PLAN, NOW)

    assert (wait.until - NOW if wait else timedelta(0)) == hours * HOUR
    assert marks.wait(PLAN, NOW + hours * HOUR) is None
    if hours:
        assert marks.wait(PLAN, NOW + hours * HOUR - timedelta(seconds=1)) == wait


def test_a_clock_that_was_set_back_does_not_make_the_wait_longer(tmp_path: Path, attempts: Iterator[int]) -> None:
    """A device without a clock battery may have counted in the year 2040: it tries rather than waits for then."""
    marks = _interrupted(tmp_path, attempts)

    for back in (timedelta(seconds=1), HOUR, timedelta(days=5000)):
        assert marks.wait(PLAN, NOW - back) is None


def test_another_plan_does_not_wait(tmp_path: Path, attempts: Iterator[int]) -> None:
    """Only what is cut off is left alone."""
    assert _interrupted(tmp_path, attempts).wait("d4" * 32, NOW) is None


def test_a_plan_that_has_come_through_is_forgotten(tmp_path: Path, attempts: Iterator[int]) -> None:
    """If it is interrupted another day, it starts anew."""
    _interrupted(tmp_path, attempts).forget(PLAN)
    marks = _open(tmp_path)

    assert marks.wait(PLAN, NOW) is None
    raw = (tmp_path / "marks").read_bytes()
    marks.forget(PLAN)
    assert (tmp_path / "marks").read_bytes() == raw


def test_clearing_one_package_keeps_the_others_marks(tmp_path: Path, attempts: Iterator[int]) -> None:
    """But no plan waits any more: which one it is in nobody needs to know."""
    marks = _interrupted(tmp_path, attempts)
    marks.add_bad(APP, "app", "1.2", "failed", NOW)
    marks.add_bad(SITE, "site", "2", "failed", NOW)

    gone = marks.clear("app")

    assert [mark["content"] for mark in gone] == [APP]
    assert set(_open(tmp_path).bad) == {SITE}
    assert _open(tmp_path).wait(PLAN, NOW) is None


def test_clearing_all_forgets_all(tmp_path: Path, attempts: Iterator[int]) -> None:
    """And says what it was."""
    marks = _interrupted(tmp_path, attempts)
    marks.add_bad(APP, "app", "1.2", "failed", NOW)
    marks.add_bad(SITE, "site", "2", "failed", NOW)

    assert [mark["package"] for mark in marks.clear()] == ["app", "site"]

    assert _open(tmp_path).listed() == []
    assert _open(tmp_path).wait(PLAN, NOW) is None
    assert marks.clear() == []


@pytest.mark.parametrize("character", ["x", '"', "\N{PILE OF POO}", "\x00"])
def test_the_most_marks_fit_whatever_they_say(tmp_path: Path, character: str) -> None:
    """A mark that does not fit would stop a rollback. The newest ones are kept."""
    marks = _open(tmp_path)
    for number in range(120):
        marks.add_bad(f"{number:064}", "p" * 128, "1" * 128, character * 1000, NOW)
        marks.count(f"{number:064}", 10**12 + number, NOW)

    kept = list(_open(tmp_path).bad)
    assert len(kept) >= 50
    assert kept[-1] == f"{119:064}"
    assert kept == sorted(kept)


def test_an_interruption_of_today_is_not_forgotten_for_older_ones(tmp_path: Path) -> None:
    """The plan that was counted last is the last that makes room."""
    marks = _open(tmp_path)
    marks.count(PLAN, 1, NOW)
    for number in range(49):
        marks.count(f"{number:064}", 1, NOW)
    marks.count(PLAN, 2, NOW)
    for number in range(49, 98):
        marks.count(f"{number:064}", 1, NOW)

    marks.count(PLAN, 3, NOW)

    assert marks.wait(PLAN, NOW) is not None


def test_once_prepared_marks_need_no_space(tmp_path: Path) -> None:
    """What failed on a full disk can be marked on it."""
    _open(tmp_path).prepare()
    marks = _open(tmp_path, FaultyCalls(Fault(1, FULL)))

    marks.prepare()
    marks.add_bad(APP, "app", "1.2", "failed", NOW)
    marks.count(PLAN, 1, NOW)

    assert _open(tmp_path).bad == {APP: "failed"}


def test_damaged_marks_are_forgotten(tmp_path: Path) -> None:
    """It is only memory, and new marks are made over it."""
    (tmp_path / "marks").write_bytes(b"nonsense")

    marks = _open(tmp_path)
    assert marks.bad == {}
    marks.add_bad(APP, "app", "1.2", "failed", NOW)
    assert _open(tmp_path).bad == {APP: "failed"}


def test_marks_of_a_later_version_are_refused(tmp_path: Path) -> None:
    """They are not written over."""
    _slots(tmp_path).save({"format": 2, "sequence": 1})

    with pytest.raises(JournalError, match="a later version"):
        _open(tmp_path)


def _open(folder: Path, calls: Calls | None = None) -> Marks:
    return Marks(folder / "marks", Files(calls))


def _slots(folder: Path) -> Slots:
    return Slots(folder / "marks", 64 * 1024, Files())


def _interrupted(folder: Path, attempts: Iterator[int]) -> Marks:
    marks = _open(folder)
    for attempt in itertools.islice(attempts, PATIENCE):
        marks.count(PLAN, attempt, NOW)
    return marks

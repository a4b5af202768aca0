"""Sets of folders: all packages switch by one rename, and back, whatever is cut off in between."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from devclient.install.sets import Sets
from mirror.files import Files
from tests.support import installs
from tests.support.faults import ERRORS, FULL, KILLS, CountingCalls, Fault, FaultyCalls, Killed, sweep

if TYPE_CHECKING:
    from mirror.files import Calls

OLD = {"app": "1-app", "site": "1-site"}
NEW = {"app": "2-app", "site": "1-site"}


def _sets(work: Path, calls: Calls | None = None) -> Sets:
    return Sets(work, Files(calls))


def _prepared(work: Path) -> None:
    """The set 1 is in place, and the set 2 is made."""
    for folder in {*OLD.values(), *NEW.values()}:
        (work / "folders" / folder).mkdir(parents=True)
        (work / "folders" / folder / "name").write_text(folder)
    _sets(work).make("1", OLD)
    _sets(work).switch()
    _sets(work).make("2", NEW)


def _there_and_back(calls: Calls) -> None:
    with tempfile.TemporaryDirectory() as folder:
        _prepared(Path(folder))
        _sets(Path(folder), calls).switch()
        _sets(Path(folder), calls).switch_back("1")


def test_there_is_no_set_at_first(tmp_path: Path) -> None:
    """And what is none has no packages."""
    sets = _sets(tmp_path)

    assert (sets.current, sets.content(""), sets.content("7"), sets.last_attempt) == ("", {}, {}, 0)


def test_a_set_that_is_made_changes_nothing_yet(tmp_path: Path) -> None:
    """It lies beside the one in place."""
    _prepared(tmp_path)

    assert _seen(tmp_path) == OLD
    assert _sets(tmp_path).current == "1"
    assert _sets(tmp_path).content("2") == NEW


def test_all_packages_switch_together_and_back(tmp_path: Path) -> None:
    """The links at their places never change."""
    _prepared(tmp_path)
    (tmp_path / "place").symlink_to(_sets(tmp_path).link("app"))

    _sets(tmp_path).switch()
    assert _seen(tmp_path) == NEW
    assert (tmp_path / "place" / "name").read_text() == "2-app"

    _sets(tmp_path).switch_back("1")
    assert _seen(tmp_path) == OLD
    assert (tmp_path / "place" / "name").read_text() == "1-app"


def test_switching_again_has_no_effect(tmp_path: Path) -> None:
    """Whoever recovers does it without looking."""
    _prepared(tmp_path)

    for _ in range(2):
        _sets(tmp_path).switch()
        assert _sets(tmp_path).current == "2"
    for _ in range(2):
        _sets(tmp_path).switch_back("1")
        assert _sets(tmp_path).current == "1"


def test_before_the_first_set_there_was_none(tmp_path: Path) -> None:
    """Going back from it leaves none."""
    _sets(tmp_path).make("1", OLD)
    _sets(tmp_path).switch()

    for _ in range(2):
        _sets(tmp_path).switch_back("")

        assert _sets(tmp_path).current == ""


@sweep(_there_and_back, KILLS, wanted=20)
def test_a_killed_switch_leaves_one_of_both_sets(fault: Fault, tmp_path: Path) -> None:
    """Whole, and it can be switched back from there."""
    _prepared(tmp_path)
    faulty = _sets(tmp_path, FaultyCalls(fault))

    with pytest.raises(Killed):
        _switch_there_and_back(faulty)

    assert _seen(tmp_path) in (OLD, NEW)
    _sets(tmp_path).switch_back("1")
    assert _seen(tmp_path) == OLD


@sweep(_there_and_back, ERRORS, wanted=20)
def test_a_failed_switch_leaves_one_of_both_sets(fault: Fault, tmp_path: Path) -> None:
    """As a killed one does; on a full disk nothing fails."""
    _prepared(tmp_path)
    faulty = _sets(tmp_path, FaultyCalls(fault))

    if fault.mode is FULL:
        _switch_there_and_back(faulty)
    else:
        with pytest.raises(OSError, match=r"No space|Input/output"):
            _switch_there_and_back(faulty)

    assert _seen(tmp_path) in (OLD, NEW)


def test_only_what_is_kept_stays(tmp_path: Path) -> None:
    """With the folders that are in it; the others and the links that switch go, and again that has no effect."""
    _prepared(tmp_path)
    _sets(tmp_path).switch()

    for _ in range(2):
        _sets(tmp_path).tidy(["2"])

        assert sorted(path.name for path in tmp_path.iterdir()) == ["current", "folders", "sets"]
        assert sorted(path.name for path in (tmp_path / "folders").iterdir()) == ["1-site", "2-app"]
        assert [path.name for path in (tmp_path / "sets").iterdir()] == ["2"]
        assert _seen(tmp_path) == NEW


def test_an_attempt_has_a_number_that_nothing_has(tmp_path: Path) -> None:
    """Neither a set nor a folder, also if only one of them is left; and ten comes after nine."""
    (tmp_path / "sets" / "9").mkdir(parents=True)
    (tmp_path / "folders" / "10-app").mkdir(parents=True)
    assert _sets(tmp_path).last_attempt == 10

    (tmp_path / "sets" / "12").mkdir()
    assert _sets(tmp_path).last_attempt == 12

    (tmp_path / "folders" / "99.bak").mkdir()
    (tmp_path / "sets" / "1\N{SUPERSCRIPT TWO}").mkdir()
    assert _sets(tmp_path).last_attempt == 12, "that of somebody else's counts"


def _switch_there_and_back(sets: Sets) -> None:
    sets.switch()
    sets.switch_back("1")


def _seen(work: Path) -> dict[str, str]:
    """Tell which folders the packages have for those who read through the link."""
    return {link.name: (link / "name").read_text() for link in sorted((work / "current").iterdir())}


@pytest.mark.parametrize("before", ["1", ""])
def test_what_is_switched_back_is_durable(tmp_path: Path, before: str) -> None:
    """Also if whoever switched it back was killed before that was."""
    for point in range(1, 5):
        work = tmp_path / str(point)
        work.mkdir()
        if before:
            _prepared(work)
        else:
            _sets(work).make("2", NEW)
        _sets(work).switch()
        killed, repeated = FaultyCalls(Fault(point, KILLS[0])), CountingCalls()

        with contextlib.suppress(Killed):
            _sets(work, killed).switch_back(before)
        _sets(work, repeated).switch_back(before)

        assert _sets(work).current == before
        assert installs.unsynced([*killed.calls[: point - 1], *repeated.calls]) == set()


def test_a_set_may_be_empty(tmp_path: Path) -> None:
    """As after the last folder was removed; a set that was there before can still be gone back to."""
    _prepared(tmp_path)
    _sets(tmp_path).make("3", {})
    _sets(tmp_path).switch()

    assert (_sets(tmp_path).current, _seen(tmp_path), _sets(tmp_path).content("3")) == ("3", {}, {})
    _sets(tmp_path).switch_back("1")
    assert _seen(tmp_path) == OLD


def test_tidying_follows_no_link_out(tmp_path: Path) -> None:
    """What a folder of a package links to is not its own."""
    _prepared(tmp_path / "work")
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "file").write_bytes(b"")
    (tmp_path / "work" / "folders" / "1-app" / "out").symlink_to(tmp_path / "theirs")
    _sets(tmp_path / "work").switch()

    _sets(tmp_path / "work").tidy(["2"])

    assert (tmp_path / "theirs" / "file").exists()
    assert not (tmp_path / "work" / "folders" / "1-app").exists()

"""The files of plans: one in progress, one that can be undone, each found by its hash or not at all."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from devclient.plan import Found, Kind, Plan, Release, Step
from devclient.records.plans import Plans
from mirror.files import Files
from tests.support.faults import FULL, KILLS, Fault, FaultyCalls, Killed, sweep

if TYPE_CHECKING:
    from mirror.files import Calls

STEP = Step(
    "app", "stable", "https://updates.example.org", "/opt/app", "/opt/app", None, Release("2", "a2" * 32), Found.NOTHING
)
FIRST = Plan(Kind.UPDATE, 1, (STEP,))
SECOND = dataclasses.replace(FIRST, attempt=2)


def _plans(work: Path, calls: Calls | None = None) -> Plans:
    return Plans(work / "work", Files(calls))


def _write_the_second(calls: Calls) -> None:
    with tempfile.TemporaryDirectory() as folder:
        _plans(Path(folder)).write(FIRST)
        _plans(Path(folder), calls).write(SECOND)


def test_a_plan_is_found_by_its_hash(tmp_path: Path) -> None:
    """And by no other."""
    sha256 = _plans(tmp_path).write(FIRST)

    assert _plans(tmp_path).load(sha256) == FIRST
    assert _plans(tmp_path).load("") is None
    assert _plans(tmp_path).load("00" * 32) is None


def test_there_is_no_plan_at_first(tmp_path: Path) -> None:
    """Nothing to carry out, and nothing to undo."""
    assert _plans(tmp_path).load("00" * 32) is None
    assert _plans(tmp_path).last is None


def test_a_new_plan_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    """The old one is found no more."""
    first, second = _plans(tmp_path).write(FIRST), _plans(tmp_path).write(SECOND)

    assert first != second
    assert _plans(tmp_path).load(first) is None
    assert _plans(tmp_path).load(second) == SECOND


@sweep(_write_the_second, KILLS, wanted=20)
def test_a_killed_write_leaves_one_whole_plan(fault: Fault, tmp_path: Path) -> None:
    """The journal names one of them, and it is there or it is not."""
    first = _plans(tmp_path).write(FIRST)
    with pytest.raises(Killed):
        _plans(tmp_path, FaultyCalls(fault)).write(SECOND)

    second = _plans(tmp_path / "other").write(SECOND)
    found = [_plans(tmp_path).load(sha256) for sha256 in (first, second)]
    assert found in ([FIRST, None], [None, SECOND])
    assert _plans(tmp_path).write(SECOND) == second
    assert _plans(tmp_path).load(second) == SECOND


def test_a_committed_plan_is_the_last_and_still_found(tmp_path: Path) -> None:
    """Committing again, after a cut, has no effect."""
    sha256 = _plans(tmp_path).write(FIRST)

    for _ in range(2):
        _plans(tmp_path).commit()

        assert _plans(tmp_path).last == FIRST
        assert _plans(tmp_path).load(sha256) == FIRST


def test_the_last_plan_stays_until_another_one_is_committed(tmp_path: Path) -> None:
    """What is given up or rolled back does not change what can be undone."""
    plans = _plans(tmp_path)
    plans.write(FIRST)
    plans.commit()

    second = plans.write(SECOND)
    assert plans.last == FIRST
    plans.forget()
    plans.forget()
    assert (plans.last, plans.load(second)) == (FIRST, None)

    plans.write(SECOND)
    plans.commit()
    assert plans.last == SECOND


def test_what_is_undone_cannot_be_undone_again(tmp_path: Path) -> None:
    """Forgotten is forgotten, as often as one likes."""
    plans = _plans(tmp_path)
    plans.write(FIRST)
    plans.commit()

    for _ in range(2):
        plans.forget_last()

        assert _plans(tmp_path).last is None


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"{}", b'{"format": 1}', b'{"format": 99}', b"\xff"])
def test_a_damaged_last_plan_cannot_be_undone(tmp_path: Path, raw: bytes) -> None:
    """It is as if there were none; nothing else suffers."""
    plans = _plans(tmp_path)
    plans.write(FIRST)
    plans.commit()
    (tmp_path / "work" / "last.json").write_bytes(raw)

    assert _plans(tmp_path).last is None


def test_a_damaged_plan_is_not_carried_out(tmp_path: Path) -> None:
    """It has another hash than the journal says."""
    sha256 = _plans(tmp_path).write(FIRST)
    file = tmp_path / "work" / "plan.json"
    file.write_bytes(file.read_bytes().replace(b"/opt/app", b"/opt/bad"))

    assert _plans(tmp_path).load(sha256) is None


def test_committing_needs_no_space(tmp_path: Path) -> None:
    """Nor does forgetting."""
    _plans(tmp_path).write(FIRST)
    plans = _plans(tmp_path, FaultyCalls(Fault(1, FULL)))

    plans.commit()
    assert plans.last == FIRST
    plans.forget()
    plans.forget_last()
    assert plans.last is None


def test_only_its_owner_reads_a_plan(tmp_path: Path) -> None:
    """Before it is committed and after."""
    _plans(tmp_path).write(FIRST)
    assert (tmp_path / "work" / "plan.json").stat().st_mode & 0o777 == 0o600
    _plans(tmp_path).commit()
    assert (tmp_path / "work" / "last.json").stat().st_mode & 0o777 == 0o600

"""Hooks under a journal: known before they begin, and started again no more often than is promised."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from devclient.hooks import Ending, Hook, Process
from devclient.plan import Found, Step
from devclient.records.journal import Journal, Record
from devclient.running import MOST_STARTS, Running, in_words
from devclient.states import State
from mirror.files import Files
from tests.support.faults import Killed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

GOOD, BAD, LATE = Ending(0, timed_out=False, output="fine"), Ending(3, timed_out=False, output="oh"), Ending(
    143, timed_out=True, output="late"
)  # fmt: skip
PROCESS = Process(4711, 12, "this boot")


@dataclass
class Played:
    """Ends hooks as they say, or dies; notes what the journal says while each runs."""

    journal: Journal
    ran: list[str] = field(default_factory=list)
    seen: list[Record] = field(default_factory=list)

    def run(self, hook: Hook, record: Callable[[Process], None]) -> Ending:
        """Play a hook; its command says how it ends."""
        record(PROCESS)
        self.ran.append(hook.command.split()[0])
        self.seen.append(self.journal.record)
        if hook.command.endswith("dies"):
            raise Killed
        return {"good": GOOD, "bad": BAD, "late": LATE}[hook.command.split()[1]]


def turn(package: str, ending: str = "good") -> tuple[Step, Hook | None]:
    """Make a turn of a package; without an ending it has no hook."""
    place = f"/opt/{package}"
    step = Step(package, "stable", "", place, place, None, None, Found.NOTHING)
    return step, Hook(f"{package} {ending}", {}, 10) if ending else None


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """A journal of an update that is being rolled back."""
    journal = Journal(tmp_path / "journal", Files())
    journal.start("plan")
    for state in (State.DOWNLOADED, State.PREPARED, State.ROLLING_BACK):
        journal.enter(state)
    return journal


@pytest.fixture
def reopen(tmp_path: Path) -> Callable[[], tuple[Running, Played]]:
    """Give what opens the journal as the next process would."""

    def again() -> tuple[Running, Played]:
        journal = Journal(tmp_path / "journal", Files())
        played = Played(journal)
        return Running(journal, played), played

    return again


def test_the_journal_knows_a_hook_before_it_begins(journal: Journal) -> None:
    """Its process, and the facts that come with it, durably."""
    played = Played(journal)

    ending = Running(journal, played).run(turn("app")[1], begun=2)

    assert ending == GOOD
    assert [(record.process, record.begun) for record in played.seen] == [(PROCESS, 2)]


def test_no_hook_is_nothing(journal: Journal) -> None:
    """Nothing runs, and nothing is written."""
    before = journal.record

    assert Running(journal, Played(journal)).run(None, begun=2) is None

    assert journal.record == before


def test_the_output_of_the_first_failure_is_kept(journal: Journal) -> None:
    """It is the one that matters; what succeeds is not told."""
    running = Running(journal, Played(journal))
    assert running.output == ""

    for package, ending in (("a", "good"), ("b", "bad"), ("c", "late")):
        running.run(turn(package, ending)[1])

    assert running.output == "oh"


def test_all_have_their_turn_whatever_the_others_do(journal: Journal) -> None:
    """What fails stops nothing, and is told; who has no hook is passed over."""
    played = Played(journal)
    running = Running(journal, played)

    running.take_turns("restore", [turn("a", "bad"), turn("b", ""), turn("c", "late"), turn("d")])

    assert played.ran == ["a", "c", "d"]
    assert [(record.turn, record.tries) for record in played.seen] == [(0, 1), (2, 1), (3, 1)]
    assert running.complaints == ["restore of a failed with exit code 3", "restore of c took too long and was ended"]


def test_turns_go_on_where_they_were_cut(journal: Journal, reopen: Callable[[], tuple[Running, Played]]) -> None:
    """Who had ended is not run again; who was cut is."""
    with pytest.raises(Killed):
        Running(journal, Played(journal)).take_turns("restore", [turn("a"), turn("b", "dies"), turn("c")])

    running, played = reopen()
    running.take_turns("restore", [turn("a"), turn("b"), turn("c")])

    assert played.ran == ["b", "c"]
    assert [(record.turn, record.tries) for record in played.seen] == [(1, 2), (2, 1)]


def test_a_hook_that_is_always_cut_is_started_three_times(
    journal: Journal, reopen: Callable[[], tuple[Running, Played]]
) -> None:
    """It may be what takes the power away: then the others have their turn without it."""
    turns = [turn("a", "dies"), turn("b")]
    for _ in range(3):
        running, played = reopen()
        with pytest.raises(Killed):
            running.take_turns("restore", turns)
        assert played.ran == ["a"]

    running, played = reopen()
    running.take_turns("restore", turns)

    assert MOST_STARTS == 3
    assert played.ran == ["b"]
    assert played.seen[0].tries == 1
    assert running.complaints == ["restore of a was cut off 3 times, it is not started again"]


def test_a_new_state_counts_anew(journal: Journal, reopen: Callable[[], tuple[Running, Played]]) -> None:
    """The turns of one state are not those of the next."""
    running, _ = reopen()
    with pytest.raises(Killed):
        running.take_turns("AfterUpdate", [turn("a"), turn("b", "dies")])
    Journal(journal._slots.path, Files()).enter(State.ROLLED_BACK)

    running, played = reopen()
    running.take_turns("restore", [turn("a"), turn("b")])

    assert played.ran == ["a", "b"]
    assert [record.tries for record in played.seen] == [1, 1]


def test_an_ending_is_told_in_words() -> None:
    """Either with its exit code, or that its time was up."""
    assert in_words(BAD) == "failed with exit code 3"
    assert in_words(LATE) == "took too long and was ended"

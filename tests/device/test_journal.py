"""The journal: only what may follow is written, all of it comes back, and there is always room for it."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devclient.errors import JournalError
from devclient.hooks import Process
from devclient.records import journal
from devclient.records.journal import Cause, Journal, Record
from devclient.records.slots import Slots
from devclient.states import TABLE, State
from mirror.files import Files
from tests.support.faults import BROKEN_ONCE, FULL, KILL_HALFWAY, KILLS, Fault, FaultyCalls, Killed, points

if TYPE_CHECKING:
    from mirror.files import Calls
    from tests.support.faults import Mode

PLAN = "5f" * 32
FORWARD = (State.OFFERED, State.DOWNLOADED, State.PREPARED, State.INSTALLED, State.COMMITTED)
BACK = (State.ROLLING_BACK, State.ROLLED_BACK)
WAYS = {
    State.IDLE: (),
    **{state: FORWARD[: number + 1] for number, state in enumerate(FORWARD)},
    **{state: (*FORWARD[:3], *BACK[: number + 1]) for number, state in enumerate(BACK)},
}
LEGAL = [(state, following) for state, row in TABLE.items() for following in row.next]
ILLEGAL = [(state, following) for state in State for following in State if (state, following) not in LEGAL]


def test_no_journal_says_idle(tmp_path: Path) -> None:
    """A new device has none, and reading makes none."""
    assert _open(tmp_path).record == Record(State.IDLE)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("state", "following"), LEGAL)
def test_what_may_follow_is_entered(tmp_path: Path, state: State, following: State) -> None:
    """Durably: whoever opens the journal next finds it."""
    opened = _reach(tmp_path, state)

    opened.enter(following)

    assert _open(tmp_path).record.state is following
    assert _open(tmp_path).record == opened.record


@pytest.mark.parametrize(("state", "following"), ILLEGAL)
def test_what_may_not_follow_is_refused(tmp_path: Path, state: State, following: State) -> None:
    """It is a mistake in the program, and nothing is written."""
    opened = _reach(tmp_path, state)
    raw, record = _raw(tmp_path), opened.record

    with pytest.raises(RuntimeError, match=f"{following} does not follow {state}"):
        opened.enter(following)

    assert (_raw(tmp_path), opened.record) == (raw, record)


@pytest.mark.parametrize("state", [state for state in State if State.OFFERED not in TABLE[state].next])
def test_an_update_starts_from_idle_only(tmp_path: Path, state: State) -> None:
    """One at a time."""
    opened = _reach(tmp_path, state)
    raw = _raw(tmp_path)

    with pytest.raises(RuntimeError, match="OFFERED does not follow"):
        opened.start(PLAN)

    assert _raw(tmp_path) == raw


@pytest.mark.parametrize("state", [state for state in State if State.IDLE not in TABLE[state].next])
def test_an_update_is_over_only_where_that_is_safe(tmp_path: Path, state: State) -> None:
    """Never while something is half done."""
    opened = _reach(tmp_path, state)
    raw = _raw(tmp_path)

    with pytest.raises(RuntimeError, match="IDLE does not follow"):
        opened.finish()

    assert _raw(tmp_path) == raw


def test_all_notes_come_back(tmp_path: Path) -> None:
    """Each field, in its type."""
    opened = _reach(tmp_path, State.INSTALLED)
    facts = {
        "begun": 2,
        "turn": 1,
        "tries": 3,
        "process": Process(123, 456, "a-boot"),
        "reboot": "another-boot",
        "cause": Cause("hook", "it failed", "app", "ab" * 32),
    }

    opened.note(**facts)

    record = _open(tmp_path).record
    assert record == opened.record
    assert {name: getattr(record, name) for name in facts} == facts
    assert (record.state, record.plan) == (State.INSTALLED, PLAN)


def test_in_a_new_state_no_hook_has_had_its_turn(tmp_path: Path) -> None:
    """What counts hooks starts anew; what is of the whole update stays."""
    opened = _reach(tmp_path, State.PREPARED)
    opened.note(begun=2, turn=1, tries=3, process=Process(1, 2, "boot"))

    opened.enter(State.ROLLING_BACK, cause=journal.cause("hook", "it failed"))

    record = _open(tmp_path).record
    assert (record.turn, record.tries, record.process) == (0, 0, None)
    assert (record.begun, record.plan, record.cause) == (2, PLAN, Cause("hook", "it failed"))


def test_a_new_update_has_nothing_of_the_one_before(tmp_path: Path) -> None:
    """Only the numbers of the records go on."""
    opened = _reach(tmp_path, State.ROLLED_BACK)
    opened.note(begun=2, cause=journal.cause("hook", "it failed"))
    before = opened.record.sequence

    opened.finish()
    assert _open(tmp_path).record == Record(State.IDLE, before + 1)
    opened.start(PLAN)
    assert _open(tmp_path).record == Record(State.OFFERED, before + 2, PLAN)


def test_a_later_format_is_refused(tmp_path: Path) -> None:
    """It may mean what this version does not know, and guessing could break the device."""
    _slots(tmp_path).save({"format": journal.FORMAT + 1, "sequence": 7, "state": "DREAMING"})

    with pytest.raises(JournalError, match="a later version") as caught:
        _open(tmp_path)
    assert not caught.value.damaged


@pytest.mark.parametrize(
    "strange", [{"state": "DREAMING"}, {"mood": "good"}, {"process": {"pid": 7}}, {"cause": {"why": "?"}}], ids=str
)
def test_what_no_version_wrote_is_told(tmp_path: Path, strange: dict[str, Any]) -> None:
    """A record that makes no sense is one that nobody can go on from."""
    _reach(tmp_path, State.PREPARED)
    raw = _raw(tmp_path)
    fields = json.loads(raw[64:].partition(b"\n")[0])
    (tmp_path / "journal").unlink()
    _slots(tmp_path).save({**fields, **strange})

    with pytest.raises(JournalError, match=r"makes no sense .* then remove it") as caught:
        _open(tmp_path)
    assert caught.value.damaged


def test_without_a_journal_the_count_goes_on(tmp_path: Path) -> None:
    """Also after somebody has removed a damaged one, each update has a number of its own."""
    opened = Journal(tmp_path / "journal", Files(), 41)

    opened.start(PLAN)

    assert _open(tmp_path).record == Record(State.OFFERED, 42, PLAN)


def test_damage_in_both_copies_is_told(tmp_path: Path) -> None:
    """Nobody goes on from a state that nobody knows."""
    _reach(tmp_path, State.PREPARED)
    (tmp_path / "journal").write_bytes(b"nonsense")

    with pytest.raises(JournalError, match="damaged in both") as caught:
        _open(tmp_path)
    assert caught.value.damaged


@pytest.mark.parametrize("character", ["x", '"', "\\", "\N{PILE OF POO}", "\x00", "\x1b", "\n"])
def test_the_longest_cause_fits(tmp_path: Path, character: str) -> None:
    """Whatever a message is made of, with everything else as long as it gets."""
    opened = _reach(tmp_path, State.PREPARED)
    boot = "01234567-89ab-cdef-0123-456789abcdef"
    cause = journal.cause("interrupted", character * 5000, "p" * 128, "ab" * 32)

    opened.enter(State.ROLLING_BACK, cause=cause, begun=256, reboot=boot)
    opened.note(turn=256, tries=3, process=Process(2**32, 2**64, boot))

    assert _open(tmp_path).record == opened.record
    assert cause.message.startswith(character * 900)
    assert cause.message.endswith("...")


def test_a_short_message_is_kept_as_it_is() -> None:
    """Only what is too long is cut."""
    assert journal.cause("hook", "x" * 1000).message == "x" * 1000
    assert len(journal.cause("hook", "x" * 1001).message) == 1000


@pytest.mark.parametrize("way", [FORWARD, (*FORWARD[:3], *BACK)])
def test_once_created_it_works_on_a_full_disk(tmp_path: Path, way: tuple[State, ...]) -> None:
    """An update can be ended, either way, without free space."""
    _reach(tmp_path, State.OFFERED)
    opened = _open(tmp_path, FaultyCalls(Fault(1, FULL)))

    for state in way[1:]:
        opened.enter(state)
    opened.finish()

    assert _open(tmp_path).record.state is State.IDLE


def test_a_record_that_cannot_be_written_changes_nothing(tmp_path: Path) -> None:
    """The next one is tried in the same slot, so even if that is cut the last record is whole."""
    record = _reach(tmp_path, State.PREPARED).record
    write = 2  # after opening the file
    opened = _open(tmp_path, FaultyCalls(Fault(write, BROKEN_ONCE)))

    with pytest.raises(OSError, match="Input/output error"):
        opened.enter(State.INSTALLED)
    assert opened.record == _open(tmp_path).record == record
    with pytest.raises(Killed):
        _open(tmp_path, FaultyCalls(Fault(write, KILL_HALFWAY))).enter(State.ROLLING_BACK, cause=_long_cause())
    assert _open(tmp_path).record == record

    opened.enter(State.INSTALLED)
    assert _open(tmp_path).record.state is State.INSTALLED


def test_it_is_readable_for_people_in_need(tmp_path: Path) -> None:
    """After the checksum each record is a line of JSON."""
    _reach(tmp_path, State.DOWNLOADED)

    last = json.loads(_raw(tmp_path)[:8192].partition(b"\n")[0][64:])

    assert (last["state"], last["format"], last["plan"]) == ("DOWNLOADED", 1, PLAN)


_texts = st.text(max_size=128)
_numbers = st.integers(0, 256)
_boots = st.text(max_size=36)


@settings(deadline=None, max_examples=60)
@given(
    _numbers,
    _numbers,
    st.none() | st.builds(Process, st.integers(0, 2**32), st.integers(0, 2**64), _boots),
    _boots,
    st.none() | st.builds(journal.cause, st.just("hook"), st.text(max_size=2000), _texts, st.just("ab" * 32)),
)
def test_whatever_was_noted_comes_back(
    begun: int, tries: int, process: Process | None, reboot: str, cause: Cause | None
) -> None:
    """Whatever letters it is made of, and it fits."""
    with tempfile.TemporaryDirectory() as folder:
        opened = _reach(Path(folder), State.PREPARED)

        opened.note(begun=begun, turn=begun, tries=tries, process=process, reboot=reboot, cause=cause)

        assert _open(Path(folder)).record == opened.record
        assert (opened.record.process, opened.record.cause) == (process, cause)


@pytest.mark.parametrize("mode", KILLS, ids=lambda mode: mode.name)
@pytest.mark.parametrize(("state", "following"), LEGAL)
def test_a_killed_step_leaves_one_state_or_the_other(
    tmp_path: Path, state: State, following: State, mode: Mode
) -> None:
    """At each call; whoever opens the journal next can go on from there."""
    total = points(lambda calls: _go(tmp_path / "counted", state, following, calls))

    for point in range(1, total + 1):
        folder = tmp_path / str(point)
        with pytest.raises(Killed):
            _go(folder, state, following, FaultyCalls(Fault(point, mode)))

        found = _open(folder).record.state
        assert found in (state, following)
        if found is state:
            _go_on(_open(folder), following)
        assert _open(folder).record.state is following


def test_a_journal_of_before_is_read(tmp_path: Path) -> None:
    """What a release before had no word for is as it is when nothing was noted."""
    _slots(tmp_path).save(
        {"format": 1, "sequence": 5, "state": "COMMITTED", "plan": PLAN, "process": None, "cause": None}
    )

    assert _open(tmp_path).record == Record(State.COMMITTED, 5, PLAN)


def _go(folder: Path, state: State, following: State, calls: Calls) -> None:
    _reach(folder, state)
    _go_on(_open(folder, calls), following)


def _go_on(opened: Journal, following: State) -> None:
    if following is State.OFFERED:
        opened.start(PLAN)
    elif following is State.IDLE:
        opened.finish()
    else:
        opened.enter(following)


def _open(folder: Path, calls: Calls | None = None) -> Journal:
    return Journal(folder / "journal", Files(calls))


def _reach(folder: Path, state: State) -> Journal:
    opened = _open(folder)
    for step in WAYS[state]:
        if step is State.OFFERED:
            opened.start(PLAN)
        else:
            opened.enter(step)
    return opened


def _slots(folder: Path) -> Slots:
    return Slots(folder / "journal", 8192, Files())


def _raw(folder: Path) -> bytes:
    path = folder / "journal"
    return path.read_bytes() if path.exists() else b""


def _long_cause() -> Cause:
    return journal.cause("hook", "\x00" * 1000)

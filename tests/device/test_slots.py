"""Records that are written over in place: whatever happens, one that is whole stays."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devclient.records.slots import DamagedError, Slots
from mirror.files import Files
from tests.support import installs
from tests.support.faults import BROKEN_ONCE, FULL, FULL_ONCE, KILLS, CountingCalls, Fault, FaultyCalls, Killed, sweep

if TYPE_CHECKING:
    from mirror.files import Calls

SIZE = 4096
LONG = 3000
"""More than half a slot, so that half of a record is none."""


def _slots(folder: Path, calls: Calls | None = None) -> Slots:
    return Slots(folder / "work" / "record", SIZE, Files(calls))


def _record(sequence: int) -> dict[str, object]:
    return {"sequence": sequence, "text": str(sequence) * LONG}


def _create(calls: Calls, folder: Path) -> None:
    _slots(folder, calls).save(_record(1))


def _save(calls: Calls, folder: Path) -> None:
    for sequence in (1, 2):
        _slots(folder).save(_record(sequence))
    _slots(folder, calls).save(_record(3))


def _in_a_fresh_folder(calls: Calls) -> None:
    with tempfile.TemporaryDirectory() as folder:
        _save(calls, Path(folder))


def _created_in_a_fresh_folder(calls: Calls) -> None:
    with tempfile.TemporaryDirectory() as folder:
        _create(calls, Path(folder))


def test_a_file_that_is_not_there_holds_no_record(tmp_path: Path) -> None:
    """Which is not the same as damage."""
    assert _slots(tmp_path).load() is None


def test_the_newest_record_is_the_one_that_holds(tmp_path: Path) -> None:
    """Whichever slot it is in, and the file never changes its size."""
    slots = _slots(tmp_path)
    for sequence in range(1, 6):
        slots.save(_record(sequence))

        assert slots.load() == _record(sequence)
        assert slots.path.stat().st_size == 2 * SIZE


def test_only_its_owner_reads_it(tmp_path: Path) -> None:
    """What a device is doing is nobody else's business."""
    _create(Files().calls, tmp_path)

    assert _slots(tmp_path).path.stat().st_mode & 0o777 == 0o600


@sweep(_created_in_a_fresh_folder, KILLS, wanted=20)
def test_a_killed_first_save_leaves_nothing_or_the_record(fault: Fault, tmp_path: Path) -> None:
    """And the next one works."""
    with pytest.raises(Killed):
        _create(FaultyCalls(fault), tmp_path)

    assert _slots(tmp_path).load() in (None, _record(1))
    _slots(tmp_path).save(_record(1))
    assert _slots(tmp_path).load() == _record(1)


@sweep(_in_a_fresh_folder, KILLS, wanted=20)
def test_a_killed_save_leaves_the_record_before_or_the_new_one(fault: Fault, tmp_path: Path) -> None:
    """Whole, and the next one works."""
    with pytest.raises(Killed):
        _save(FaultyCalls(fault), tmp_path)

    found = _slots(tmp_path).load()
    assert found in (_record(2), _record(3))
    _slots(tmp_path).save(_record(3))
    assert _slots(tmp_path).load() == _record(3)


@pytest.mark.parametrize("place", [0, 63, 64, 500, 3000])
def test_a_torn_slot_is_not_believed(tmp_path: Path, place: int) -> None:
    """One wrong byte, in the checksum or in what it is of, and the record before holds."""
    for sequence in (1, 2):
        _slots(tmp_path).save(_record(sequence))

    _spoil(tmp_path, place)

    assert _slots(tmp_path).load() == _record(1)


def test_a_slot_of_zeros_is_not_believed(tmp_path: Path) -> None:
    """What a power cut may leave of one."""
    for sequence in (1, 2):
        _slots(tmp_path).save(_record(sequence))

    Files().overwrite(_slots(tmp_path).path, bytes(SIZE))

    assert _slots(tmp_path).load() == _record(1)


def test_damage_in_both_slots_is_told(tmp_path: Path) -> None:
    """It is not taken for an empty file."""
    for sequence in (1, 2):
        _slots(tmp_path).save(_record(sequence))
    _spoil(tmp_path, 100)
    _spoil(tmp_path, SIZE + 100)

    with pytest.raises(DamagedError, match="neither copy"):
        _slots(tmp_path).load()


@pytest.mark.parametrize("length", [0, 1, SIZE, 2 * SIZE - 1])
def test_a_file_that_was_cut_off_is_damaged_or_has_a_whole_record(tmp_path: Path, length: int) -> None:
    """Never half of one."""
    for sequence in (1, 2):
        _slots(tmp_path).save(_record(sequence))
    path = _slots(tmp_path).path
    path.write_bytes(path.read_bytes()[:length])

    if length < SIZE:
        with pytest.raises(DamagedError):
            _slots(tmp_path).load()
    else:
        assert _slots(tmp_path).load() == _record(2)


def test_a_save_after_a_failed_one_does_not_touch_the_last_record(tmp_path: Path) -> None:
    """One that failed is written again with the same number, so into the same slot, however that ends."""
    for sequence in (1, 2):
        _slots(tmp_path).save(_record(sequence))
    write = 2  # after opening the file

    with pytest.raises(OSError, match="Input/output error"):
        _slots(tmp_path, FaultyCalls(Fault(write, BROKEN_ONCE))).save(_record(3))
    for mode in KILLS:
        with pytest.raises(Killed):
            _slots(tmp_path, FaultyCalls(Fault(write, mode))).save(_record(3))

        assert _slots(tmp_path).load() == _record(2)


def test_a_record_that_is_too_large_is_refused(tmp_path: Path) -> None:
    """Before anything is written; the largest one that fits is taken."""
    room = SIZE - 64 - 1 - len('{"sequence":1,"text":""}')
    _slots(tmp_path).save({"sequence": 1, "text": "x" * room})
    before = _slots(tmp_path).path.read_bytes()

    with pytest.raises(ValueError, match="does not fit"):
        _slots(tmp_path).save({"sequence": 2, "text": "x" * (room + 1)})

    assert _slots(tmp_path).path.read_bytes() == before
    assert _slots(tmp_path).load() == {"sequence": 1, "text": "x" * room}


def test_once_created_it_needs_no_space(tmp_path: Path) -> None:
    """So a device can tell of a full disk on a full disk."""
    _create(Files().calls, tmp_path)

    _slots(tmp_path, FaultyCalls(Fault(1, FULL))).save(_record(2))

    assert _slots(tmp_path).load() == _record(2)


@pytest.mark.parametrize("text", ["one\ntwo", "\x00\x1b", "\N{PILE OF POO}", '"\\'])
def test_any_text_comes_back(tmp_path: Path, text: str) -> None:
    """Also one with the line ends that records end with."""
    _slots(tmp_path).save({"sequence": 1, "text": text})

    assert _slots(tmp_path).load() == {"sequence": 1, "text": text}


@settings(deadline=None, max_examples=50)
@given(st.integers(2, 7), st.integers(0, SIZE), st.integers(0, SIZE), st.booleans())
def test_a_slot_that_was_torn_is_not_believed(sequence: int, start: int, end: int, zeros: bool) -> None:  # noqa: FBT001 - hypothesis gives it
    """Whichever part of the new bytes had reached the disk: the record before holds, or the new one if it is whole."""
    with tempfile.TemporaryDirectory() as folder:
        slots = _slots(Path(folder))
        for number in range(1, sequence):
            slots.save(_record(number))
        old = slots.path.read_bytes()
        slots.save(_record(sequence))
        new = bytearray(slots.path.read_bytes())
        at = sequence % 2 * SIZE
        torn = bytearray(SIZE if zeros else old[at : at + SIZE])
        torn[start:end] = new[at + start : at + end] if start < end else b""
        new[at : at + SIZE] = torn
        slots.path.write_bytes(new)

        assert slots.load() in (_record(sequence - 1), _record(sequence))
        assert (slots.load() == _record(sequence)) == (bytes(torn).rstrip(b"\0") == _line(_record(sequence), slots))


@settings(deadline=None, max_examples=40)
@given(st.lists(st.sampled_from(["saved", "killed", "full", "broken"]), max_size=12), st.integers(1, 4))
def test_after_any_story_the_last_record_is_there(story: list[str], point: int) -> None:
    """Saved, killed in between, refused by the system and tried again, in any order: never is there none."""
    modes = {"full": FULL_ONCE, "broken": BROKEN_ONCE}
    with tempfile.TemporaryDirectory() as folder:
        slots, sequence = _slots(Path(folder)), 1
        slots.save(_record(1))
        for number, event in enumerate(story):
            fault = Fault(point, modes.get(event, KILLS[number % 2]))
            calls = None if event == "saved" else FaultyCalls(fault)
            other = {**_record(sequence + 1), "text": chr(97 + number) * LONG}
            with contextlib.suppress(Killed, OSError):
                _slots(Path(folder), calls).save(other)

            found = slots.load()
            assert found is not None
            assert found["sequence"] in (sequence, sequence + 1)
            assert event != "saved" or found == other
            sequence = found["sequence"]
            assert slots.path.stat().st_size == 2 * SIZE


def test_one_slot_is_written_and_no_block_of_the_other(tmp_path: Path) -> None:
    """What a disk does to the block that it writes cannot touch the record before."""
    slots = _slots(tmp_path)
    for sequence in range(1, 6):
        before = slots.path.read_bytes() if slots.path.exists() else bytes(2 * SIZE)
        slots.save(_record(sequence))
        after = slots.path.read_bytes()

        changed = {at // 4096 for at in range(2 * SIZE) if before[at] != after[at]}
        assert changed <= {sequence % 2}


@pytest.mark.parametrize("folder", ["work", "work/deeper"])
def test_a_first_record_is_durable_with_its_folder(tmp_path: Path, folder: str) -> None:
    """The folder may be as new as the file."""
    calls = CountingCalls()

    Slots(tmp_path / folder / "record", SIZE, Files(calls)).save(_record(1))

    assert installs.unsynced(calls.calls) == set()


def _line(record: dict[str, object], slots: Slots) -> bytes:
    return slots._encode(record).rstrip(b"\0")


def _spoil(folder: Path, place: int) -> None:
    path = _slots(folder).path
    raw = bytearray(path.read_bytes())
    raw[place] ^= 1
    path.write_bytes(raw)

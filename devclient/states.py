"""The states of one update (contract, section 6): one literal table, pure.

A state is the name of a fact that is true on the disk once the journal says so. What is done in a state is done
after it was written, so whoever finds it after a power cut does not know how far that went; `after_cut` says
what is right whatever happened. docs/device.md shows the diagram that `diagram` makes.
"""

from __future__ import annotations

import enum
from typing import NamedTuple


class State(enum.StrEnum):
    """Where an update stands."""

    IDLE = "IDLE"
    OFFERED = "OFFERED"
    DOWNLOADED = "DOWNLOADED"
    PREPARED = "PREPARED"
    INSTALLED = "INSTALLED"
    COMMITTED = "COMMITTED"
    ROLLING_BACK = "ROLLING_BACK"
    ROLLED_BACK = "ROLLED_BACK"


class Row(NamedTuple):
    """What holds in a state.

    Attributes:
        means: what is true on the disk.
        then: what is done in it.
        next: the states that it may be followed by.
        after_cut: the state that whoever finds it goes on in; itself: to do again what is done in it.
    """

    means: str
    then: str
    next: tuple[State, ...]
    after_cut: State


TABLE: dict[State, Row] = {
    State.IDLE: Row(
        "the state file is the truth",
        "ask the mirror",
        (State.OFFERED,),
        State.IDLE,
    ),
    State.OFFERED: Row(
        "the plan is written",
        "download",
        (State.DOWNLOADED, State.IDLE),
        State.IDLE,
    ),
    State.DOWNLOADED: Row(
        "the blobs are verified",
        "copy, unpack, write the next state file",
        (State.PREPARED, State.IDLE),
        State.IDLE,
    ),
    State.PREPARED: Row(
        "all that is new lies beside what is old",
        "BeforeUpdate, then switch",
        (State.INSTALLED, State.ROLLING_BACK),
        State.ROLLING_BACK,
    ),
    State.INSTALLED: Row(
        "everything is switched",
        "AfterUpdate; if one asks for a reboot, it is awaited",
        (State.COMMITTED, State.ROLLING_BACK),
        State.ROLLING_BACK,
    ),
    State.COMMITTED: Row(
        "the new set is final",
        "state file, restore, clean",
        (State.IDLE,),
        State.COMMITTED,
    ),
    State.ROLLING_BACK: Row(
        "the cause is recorded",
        "switch back, AfterUpdate of what was there before",
        (State.ROLLED_BACK,),
        State.ROLLING_BACK,
    ),
    State.ROLLED_BACK: Row(
        "the old set is final, what failed is marked",
        "restore, clean",
        (State.IDLE,),
        State.ROLLED_BACK,
    ),
}
"""A reboot that an AfterUpdate asked for is no cut: INSTALLED goes on after it."""


def check(state: State, following: State) -> None:
    """See that one state may follow another.

    Raises:
        RuntimeError: it may not.
    """
    if following not in TABLE[state].next:
        raise RuntimeError(f"{following} does not follow {state}")


def diagram() -> str:
    """Draw the table as a Mermaid state diagram; dotted in words: what a cut leads to."""
    lines = ["stateDiagram-v2"]
    lines += [f"    {state}: {state}<br>{row.means}<br>then {row.then}" for state, row in TABLE.items()]
    lines += [f"    {state} --> {following}" for state, row in TABLE.items() for following in row.next]
    lines += [f"    {state} --> {row.after_cut}: cut" for state, row in TABLE.items() if row.after_cut is not state]
    return "\n".join(lines) + "\n"

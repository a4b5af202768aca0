"""The journal: where the update in progress stands, durably.

It rules from OFFERED until IDLE: each state is written before anything is done in it, and each hook before it
starts. Which state may follow which stands in `states`; what was planned is a file of its own, known by its hash.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from devclient import states
from devclient.errors import JournalError
from devclient.hooks import Process
from devclient.records.slots import DamagedError, Slots
from devclient.states import State

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mirror.files import Files

FORMAT = 1
_SLOT = 8192
_ADVICE = "see that what is installed is what the state file says, then remove it"
_MOST_TEXT = 1000
"""Characters of a cause's message that are kept."""


@dataclass(frozen=True)
class Cause:
    """Why an update is rolled back.

    Attributes:
        code: a word for programs: "hook", "postponed", "interrupted", or that of an error.
        message: for people.
        package: whose hook failed, "" if none did.
        bad: the hash of the content that is not to be tried again, "" for none.
    """

    code: str
    message: str
    package: str = ""
    bad: str = ""


@dataclass(frozen=True)
class Record:
    """One record of the journal.

    Attributes:
        sequence: one more than that of the record before.
        plan: SHA-256 of the plan that is carried out.
        begun: how many packages, in the plan's order, have had their BeforeUpdate started.
        turn: whose hook is at work in this state, counted in the order in which they have their turns.
        tries: how often that hook was started.
        process: the shell that was started last and may still be alive.
        reboot: the id of the boot in which an AfterUpdate asked for a reboot, "" if none does.
        cause: why it is rolled back.
    """

    state: State = State.IDLE
    sequence: int = 0
    plan: str = ""
    begun: int = 0
    turn: int = 0
    tries: int = 0
    process: Process | None = None
    reboot: str = ""
    cause: Cause | None = None


class Journal:
    """The journal of one device.

    Attributes:
        record: what it says.
    """

    def __init__(self, path: Path, files: Files, before: int = 0) -> None:
        """Open the journal at `path`; one that is not there says IDLE, and goes on counting after `before`.

        Raises:
            JournalError: it is damaged, or written by a later version.
        """
        self._slots = Slots(path, _SLOT, files)
        try:
            fields = self._slots.load()
        except DamagedError as error:
            raise JournalError(path, f"is damaged in both of its copies: {_ADVICE}", damaged=True) from error
        self.record = _decode(fields, path) if fields else Record(sequence=before)

    def enter(self, state: State, **facts: Any) -> None:
        """Enter a state; what is not among the `facts` stays as it was, but no hook has had its turn in it."""
        states.check(self.record.state, state)
        self._write(replace(self.record, **{"state": state, "turn": 0, "tries": 0, "process": None, **facts}))

    def start(self, plan: str) -> None:
        """Enter OFFERED, with the hash of a new plan."""
        states.check(self.record.state, State.OFFERED)
        self._write(Record(State.OFFERED, self.record.sequence, plan))

    def finish(self) -> None:
        """Enter IDLE."""
        states.check(self.record.state, State.IDLE)
        self._write(Record(State.IDLE, self.record.sequence))

    def note(self, **facts: Any) -> None:
        """Record facts about the state that holds."""
        self._write(replace(self.record, **facts))

    def _write(self, record: Record) -> None:
        # if writing fails, the next record goes into the same slot: the one that is whole stays
        record = replace(record, sequence=self.record.sequence + 1)
        self._slots.save({"format": FORMAT, **dataclasses.asdict(record)})
        self.record = record


def cause(code: str, message: str, package: str = "", bad: str = "") -> Cause:
    """Make a cause that fits into the journal."""
    message = message.encode(errors="backslashreplace").decode()  # the names of files may be no text
    return Cause(code, message if len(message) <= _MOST_TEXT else f"{message[: _MOST_TEXT - 3]}...", package, bad)


def _decode(fields: Mapping[str, Any], path: Path) -> Record:
    values = dict(fields)
    if (number := values.pop("format")) > FORMAT:
        raise JournalError(path, f"has format {number}, which a later version of otadevice wrote: use that one")
    try:
        values["state"] = State(values["state"])
        values["process"] = values["process"] and Process(**values["process"])
        values["cause"] = values["cause"] and Cause(**values["cause"])
        return Record(**values)
    except (KeyError, TypeError, ValueError) as error:
        raise JournalError(path, f"is whole, but makes no sense ({error}): {_ADVICE}", damaged=True) from error

"""The hooks of one update, run so that the journal knows of each before it begins."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from devclient.device import Runner
    from devclient.hooks import Ending, Hook, Process
    from devclient.plan import Step
    from devclient.records.journal import Journal

_log = logging.getLogger(__name__)

MOST_STARTS = 3
"""How often a hook that cannot change the outcome any more is started, if each time it is cut off."""


class Running:
    """Runs hooks under one journal.

    Attributes:
        output: the last output of the first hook that failed.
        complaints: what went wrong without changing the outcome.
    """

    def __init__(self, journal: Journal, runner: Runner) -> None:
        self._journal = journal
        self._runner = runner
        self.output = ""
        self.complaints: list[str] = []

    def run(self, hook: Hook | None, **facts: Any) -> Ending | None:
        """Run a hook, if there is one; the journal has these facts before it begins."""
        if hook is None:
            return None

        def record(process: Process) -> None:
            self._journal.note(process=process, **facts)

        ending = self._runner.run(hook, record)
        if not ending.ok:
            self.output = self.output or ending.output
        return ending

    def take_turns(self, what: str, turns: Sequence[tuple[Step, Hook | None]]) -> None:
        """Run hooks that cannot change the outcome any more, going on where the journal says that it was cut."""
        record = self._journal.record
        for turn, (step, hook) in enumerate(turns[record.turn :], record.turn):
            started = record.tries if turn == record.turn else 0
            if hook and started >= MOST_STARTS:
                self.complain(f"{what} of {step.package} was cut off {started} times, it is not started again")
                continue
            ending = self.run(hook, turn=turn, tries=started + 1)
            if ending and not ending.ok:
                self.complain(f"{what} of {step.package} {in_words(ending)}")

    def complain(self, what: str) -> None:
        """Tell what went wrong without changing the outcome."""
        _log.warning("%s", what)
        self.complaints.append(what)


def in_words(ending: Ending) -> str:
    """Say how a hook that failed has ended."""
    if ending.stopped:
        return "was ended, because otadevice was asked to stop"
    return "took too long and was ended" if ending.timed_out else f"failed with exit code {ending.status}"

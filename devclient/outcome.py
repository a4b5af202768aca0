"""How an update ended."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from devclient.plan import Kind
from devclient.records.results import Result

if TYPE_CHECKING:
    from collections.abc import Mapping

    from devclient.plan import Plan, Step
    from devclient.records.journal import Cause


class Outcome(enum.StrEnum):
    """How an update ended."""

    UPDATED = "updated"
    POSTPONED = "postponed"
    ROLLED_BACK = "rolled back"


_PASSING = {"postponed", "interrupted", "stopped"}
"""The codes of causes that pass by themselves."""


@dataclass(frozen=True)
class Done:
    """An update that has ended.

    Attributes:
        cause: why it was rolled back, if it was.
        output: the last output of the hook that failed.
        complaints: what went wrong besides, without changing the outcome.
        lost: the packages whose places were exchanged meanwhile, and what is known of that.
    """

    plan: Plan
    cause: Cause | None
    output: str
    complaints: tuple[str, ...]
    lost: Mapping[str, str] = field(default_factory=dict)

    @property
    def outcome(self) -> Outcome:
        """How it ended."""
        if self.cause is None:
            return Outcome.UPDATED
        return Outcome.POSTPONED if self.cause.code == "postponed" else Outcome.ROLLED_BACK


def by_package(done: Done, at: str) -> dict[str, Result]:
    """Tell of each package what an update has come to."""
    found = {step.package: _of_step(step, done, at) for step in done.plan.steps}
    # who came along and is gone again does not stand in the state file: all others tell of its hook
    if done.cause and any(step.auto and step.package == done.cause.package for step in done.plan.steps):
        return {name: replace(result, output=done.output) for name, result in found.items()}
    return found


def _of_step(step: Step, done: Done, at: str) -> Result:
    version, offered = ("" if side is None else side.version for side in (step.before, step.after))
    result = Result(step.package, step.branch, done.outcome, version, at=at, complaints=list(done.complaints))
    if done.plan.kind is Kind.UPDATE:
        result = replace(result, offered=offered)
    if lost := done.lost.get(step.package):
        return replace(result, outcome="lost", message=lost, code="lost", exit_code=1)
    if done.cause is None:
        return replace(result, outcome="updated" if offered else "removed", to=offered)
    exit_code = 75 if done.cause.code in _PASSING else 1
    output = done.output if done.cause.package in ("", step.package) else ""
    return replace(result, message=done.cause.message, code=done.cause.code, exit_code=exit_code, output=output)

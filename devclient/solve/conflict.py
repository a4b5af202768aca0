"""Why a release does not go with the others, in words that a person understands.

What `resolve` found to be impossible is gone through once more, always with the best choice, until it gets stuck.
That is one way in which it fails. There may be others; but what is told is so.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from devclient.solve import resolve
from devclient.solve.resolve import Exactly, Moves, Needs, candidates, requirements

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from devclient.solve.resolve import Release, Requirement, Versions

_MOST_STEPS = 1000
_MOST_CLAUSES = 6
_MOST_AGAINST = 3
"""How long sentences may be."""


class Choices(resolve.Choices, Protocol):
    """The releases that there are, and words for what there is not."""

    def lack(self, package: str, versions: Versions) -> str:
        """Go on with a sentence that needs a package in a range of which there is nothing."""


@dataclass(frozen=True, eq=False)
class _Step:
    """A requirement, and the step that brought the release that has it; None for what was wanted from the first."""

    requirement: Requirement
    before: _Step | None

    def way(self) -> list[Requirement]:
        """Return the requirements that lead here, from the first on."""
        step, found = self.before, [self.requirement]
        while step:
            found.append(step.requirement)
            step = step.before
        return found[::-1]


def explain(wanted: Release, choices: Choices) -> str:
    """Tell why `wanted` cannot be taken; the words follow its name."""
    walk = _Walk(wanted, choices)
    return next(walk.obstacles(), "does not go with what is installed")


class _Walk:
    """One way through all that a release requires."""

    def __init__(self, wanted: Release, choices: Choices) -> None:
        self._choices, self._wanted = choices, wanted
        self._chosen = {wanted.package: wanted}
        self._asked: dict[str, list[Requirement]] = {wanted.package: [Exactly(wanted)]}
        self._waiting = deque(_Step(each, None) for each in requirements(wanted, choices))

    def obstacles(self) -> Iterator[str]:
        """Tell what it gets stuck at."""
        for _ in range(_MOST_STEPS):
            if not self._waiting:
                return
            step = self._waiting.popleft()
            # who asked for it may have given way to another
            if self._chosen[step.requirement.by.package] is step.requirement.by and (told := self._meet(step)):
                yield told

    def _meet(self, step: _Step) -> str:
        """Choose what a requirement asks for; returns what is in the way."""
        requirement = step.requirement
        asked = self._asked.setdefault(requirement.package, [])
        asked.append(requirement)
        if (chosen := self._chosen.get(requirement.package)) and requirement.admits(chosen):
            return ""
        if (found := self._first(asked)) is None:
            if not isinstance(requirement, Moves):
                return self._told(step)
            # it cannot move, so it must be borne: another way to see the same
            asked.remove(requirement)
            borne = Needs(requirement.by.package, requirement.versions, requirement.installed)
            return self._meet(_Step(borne, step.before))
        self._chosen[requirement.package] = found
        self._waiting += (_Step(each, step) for each in requirements(found, self._choices))
        return ""

    def _first(self, wanted: Sequence[Requirement]) -> Release | None:
        return next(candidates(wanted, self._choices), None)

    def _told(self, step: _Step) -> str:
        way = step.way()
        told = _sentence(way)
        last = step.requirement
        is_told = last.package == self._wanted.package or last.by.is_installed
        if isinstance(last, Needs) and not is_told and self._first([last]) is None:
            return told + self._choices.lack(last.package, last.versions)
        against = [*filter(None, map(_against, self._rivals(last, way)))]
        against[_MOST_AGAINST:] = ["others"] if against[_MOST_AGAINST:] else []
        return f"{told}, but {' and '.join(against)}" if against else told

    def _rivals(self, last: Requirement, way: Sequence[Requirement]) -> list[Requirement]:
        """Find what else stands against a requirement, apart from what was told on the way to it."""
        told = [each for each in way if each.package == last.package]
        others = [each for each in self._asked[last.package] if each not in told]
        for other in others[::-1]:
            without = [each for each in others if each is not other]
            if self._first([*told, *without]) is None:
                others = without
        return others


def _sentence(way: Sequence[Requirement]) -> str:
    clauses = [_clause(way[0], first=True), *map(_clause, way[1:])]
    if len(clauses) > _MOST_CLAUSES:
        clauses[2 : 2 - _MOST_CLAUSES] = [", and so on"]
    return "".join(clauses)


def _clause(requirement: Requirement, *, first: bool = False) -> str:
    """Say what a requirement asks for: of what is wanted, which comes `first`, or of what that brought with it."""
    match requirement:
        case Needs(package, versions, by):
            who, needs = by, f"needs {package} {versions}"
        case Moves(installed, versions, by):
            who, needs = installed, f"needs {by.package} {versions}"
        case _:
            return ""
    if first:
        return f"does not go with {who}, which is installed and {needs}" if who.is_installed else needs
    return f", but {who}, which is installed, {needs}" if who.is_installed else f", and {who} {needs}"


def _against(rival: Requirement) -> str:
    """Say what stands against the requirements that were told."""
    match rival:
        case Needs(package, versions, by):
            return f"{by}{', which is installed,' if by.is_installed else ''} needs {package} {versions}"
        case Moves(installed, _, by):
            return f"{installed}, which is installed, does not go with {by}"
        case _:
            return ""

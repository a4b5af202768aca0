"""Which releases go together: the rules of dependencies, without any I/O (contract, section 2).

What is installed is what every solution starts from: it may stay, and what is wrong with it already is not looked
into. A release that comes new needs what it depends on, and of what is installed and depends on its package, nothing
may stay that does not admit it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Protocol

from resolvelib import AbstractProvider, BaseReporter, ResolutionImpossible, ResolutionTooDeep
from resolvelib.resolvers import Resolution

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from resolvelib.resolvers import RequirementInformation

    from mirror.releases import Entry

ROUNDS = 500
"""How many choices one search may make."""
_LOOKS = 4
"""How many releases it may look at for each of them, on average."""


class UnsolvableError(Exception):
    """There is no way to take a release, or none was found.

    Attributes:
        given_up: whether the search became too long.
    """

    def __init__(self, *, given_up: bool) -> None:
        super().__init__("given up" if given_up else "impossible")
        self.given_up = given_up


class Versions(Protocol):
    """A range of versions."""

    def admits(self, version: str) -> bool:
        """Tell whether it has `version`."""


@dataclass(frozen=True, eq=False)
class Release:
    """A release of a package, as far as it matters here.

    Attributes:
        dependencies: version ranges by package.
        entry: what the release list says of it; None for what is installed, of which the state file speaks.
    """

    package: str
    version: str
    dependencies: Mapping[str, Versions] = field(default_factory=dict)
    entry: Entry | None = None

    @property
    def is_installed(self) -> bool:
        """Whether it is what is there already."""
        return self.entry is None

    def __str__(self) -> str:
        return f"{self.package} {self.version}"


@dataclass(frozen=True)
class Exactly:
    """It has to be one certain release."""

    by: Release

    @property
    def package(self) -> str:
        """Whose release it is."""
        return self.by.package

    def admits(self, release: Release) -> bool:
        """Tell whether it is that one."""
        return release is self.by


@dataclass(frozen=True)
class Needs:
    """A dependency of a release."""

    package: str
    versions: Versions
    by: Release

    def admits(self, release: Release) -> bool:
        """Tell whether it is in the range."""
        return self.versions.admits(release.version)


@dataclass(frozen=True)
class Moves:
    """What is installed cannot stay beside a release that comes new, because it depends on another of that package.

    Attributes:
        versions: what it depends on.
        by: what comes new and is not in that range.
    """

    installed: Release
    versions: Versions
    by: Release

    @property
    def package(self) -> str:
        """What has to move."""
        return self.installed.package

    def admits(self, release: Release) -> bool:
        """Tell whether it is another."""
        return not release.is_installed


Requirement = Exactly | Needs | Moves
"""What a release asks of a package."""

if TYPE_CHECKING:
    _Information = RequirementInformation[Requirement, Release]


class Choices(Protocol):
    """The releases that there are."""

    def installed(self, package: str) -> Release | None:
        """Return the release of a package that is there; None for none."""

    def dependents(self, package: str) -> Iterable[Release]:
        """Return what is there and depends on a package."""

    def takeable(self, package: str, wanted: Sequence[Versions] = ()) -> Iterator[Release]:
        """Yield what may come new, highest first and the same objects each time.

        May leave out what is not in all the ranges `wanted`.
        """


def requirements(release: Release, choices: Choices) -> list[Requirement]:
    """List what a release asks of other packages, in the order of their names."""
    if release.is_installed:
        return []
    needs = [Needs(package, versions, release) for package, versions in release.dependencies.items()]
    found = [(other, other.dependencies[release.package]) for other in choices.dependents(release.package)]
    moves = [Moves(other, versions, release) for other, versions in found if not versions.admits(release.version)]
    return sorted([*needs, *moves], key=lambda each: each.package)


def candidates(wanted: Sequence[Requirement], choices: Choices) -> Iterator[Release]:
    """Yield the releases of a package that all of `wanted` admit: the installed one, then the highest first."""
    package = wanted[0].package
    releases: Iterable[Release] = [each.by for each in wanted if isinstance(each, Exactly)][:1]
    if not releases:
        installed, ranges = choices.installed(package), [each.versions for each in wanted if isinstance(each, Needs)]
        releases = chain([installed] if installed else [], choices.takeable(package, ranges))
    return (release for release in releases if all(each.admits(release) for each in wanted))


def solve(wanted: Release, choices: Choices, rounds: int = ROUNDS) -> tuple[Release, ...]:
    """Find what has to be taken together with `wanted`, in dependency order.

    As little as possible: without any one of the others, and nothing else instead, there is no way. Of each the
    highest: with all else as it is, no higher one would do. The first does not hold where the search is given up.

    Raises:
        UnsolvableError: there is no way, or the search took more than `rounds`.
    """
    found = _search(wanted, choices, None, rounds)
    for package in sorted(found, key=lambda each: (choices.installed(each) is None, each)):
        if package in found and package != wanted.package:
            try:
                found = _search(wanted, choices, found.keys() - {package}, rounds)
            except UnsolvableError:
                continue
    return in_order(found)


def in_order(releases: Mapping[str, Release]) -> tuple[Release, ...]:
    """Sort releases: each after all that it depends on, unless that depends on it in turn; then by name."""
    # what depends on another reaches all that this one reaches, and itself
    reach = {package: len(_reached(package, releases)) for package in releases}
    return tuple(releases[package] for package in sorted(releases, key=lambda each: (reach[each], each)))


def _reached(package: str, releases: Mapping[str, Release]) -> set[str]:
    """Find a package and all among `releases` that it depends on, however indirectly."""
    found, waiting = {package}, [package]
    while waiting:
        new = (releases[waiting.pop()].dependencies.keys() & releases.keys()) - found
        found |= new
        waiting += new
    return found


def _search(wanted: Release, choices: Choices, movable: AbstractSet[str] | None, rounds: int) -> dict[str, Release]:
    """Find what has to be taken together with `wanted` if only what is `movable` may, None for everything."""
    try:
        chosen = _Search(choices, movable, _LOOKS * rounds).resolve([Exactly(wanted)], max_rounds=rounds).mapping
    except ResolutionImpossible:
        raise UnsolvableError(given_up=False) from None
    except ResolutionTooDeep:
        raise UnsolvableError(given_up=True) from None
    return {package: release for package, release in chosen.items() if not release.is_installed}


class _Search(Resolution[Requirement, Release, str]):
    """A search without leaps: those that resolvelib makes from 1.2 on, where it is optimistic, can miss solutions."""

    def __init__(self, choices: Choices, movable: AbstractSet[str] | None, looks: int) -> None:
        super().__init__(_Provider(choices, movable, looks), BaseReporter())
        self._optimistic_backjumping_ratio = 0.0


class _Provider(AbstractProvider[Requirement, Release, str]):
    """The rules, as resolvelib asks for them."""

    def __init__(self, choices: Choices, movable: AbstractSet[str] | None, looks: int) -> None:
        self._choices, self._movable, self._looks = choices, movable, looks

    def identify(self, requirement_or_candidate: Requirement | Release) -> str:
        return requirement_or_candidate.package

    def get_preference(
        self,
        identifier: str,
        resolutions: Mapping[str, Release],  # noqa: ARG002 - as resolvelib calls it
        candidates: Mapping[str, Iterator[Release]],  # noqa: ARG002 - likewise
        information: Mapping[str, Iterator[_Information]],  # noqa: ARG002 - likewise
        backtrack_causes: Sequence[_Information],
    ) -> tuple[bool, str]:
        # what was in the way comes first: else it would be met anew after each choice that has nothing to do with it
        in_the_way = any(identifier in _packages(cause) for cause in backtrack_causes)
        return not in_the_way, identifier

    def find_matches(
        self,
        identifier: str,
        requirements: Mapping[str, Iterator[Requirement]],
        incompatibilities: Mapping[str, Iterator[Release]],
    ) -> Callable[[], Iterator[Release]]:
        wanted, tried = list(requirements[identifier]), list(incompatibilities[identifier])
        return lambda: (each for each in candidates(wanted, self._choices) if each not in tried and self._may(each))

    def is_satisfied_by(self, requirement: Requirement, candidate: Release) -> bool:
        return requirement.admits(candidate)

    def get_dependencies(self, candidate: Release) -> list[Requirement]:
        self._looks -= 1
        if self._looks < 0:  # rounds alone bound nothing: in one of them any number of releases may be refused
            raise ResolutionTooDeep(0)
        # itself first: so what is chosen stays until the search goes back before it. Otherwise resolvelib would choose
        # another in its place, lose what the first had required, and at times take the first again without that.
        return [Exactly(candidate), *requirements(candidate, self._choices)]

    def _may(self, release: Release) -> bool:
        return self._movable is None or release.is_installed or release.package in self._movable


def _packages(cause: _Information) -> tuple[str, ...]:
    return (cause.requirement.package, cause.parent.package) if cause.parent else (cause.requirement.package,)

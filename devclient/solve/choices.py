"""Which releases a device may choose from, and why not from others (contract, sections 3 and 6).

The rules for one release alone: what the list says of it, what has failed here, what its owner has pinned, that
nothing goes back, and whose turn it is. How releases go together is `resolve`'s matter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from devclient.errors import NotOnMirrorError
from devclient.solve import rollout
from devclient.solve.ranges import Range
from devclient.solve.resolve import Release
from mirror import rules
from mirror.version import sort_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from devclient.solve.lists import Listed, Lists
    from devclient.solve.resolve import Versions
    from devclient.solve.rollout import Turn
    from devclient.state import Package
    from mirror.releases import Entry, Segment

KNOWN_NEEDS: frozenset[str] = frozenset({rollout.NEED})
"""The words of `needs` that this version of otadevice obeys."""


class Choices:
    """The releases of one branch of one mirror, those that are here and those that may come."""

    def __init__(
        self,
        branch: str,
        here: Iterable[Package],
        elsewhere: Mapping[str, str],
        lists: Lists,
        bad: Mapping[str, str],
        turn: Turn,
    ) -> None:
        """Look at one branch.

        Args:
            branch: which.
            here: the entries of the state file that follow it.
            elsewhere: why other packages of the state file are not among those, in words.
            lists: what the mirror has.
            bad: why contents, by their hash, are not to be taken again.
            turn: when what is rolled out comes to this device.
        """
        self._branch, self._elsewhere, self._lists = branch, elsewhere, lists
        self._bad, self._turn = bad, turn
        self._ranges: dict[str, Range] = {}
        self._pins = {package.name: self._range(package.pin) for package in here if package.pin}
        self._installed = {package.name: self._of_state(package) for package in here if package.version}
        self._judged: dict[tuple[str, str], list[tuple[Entry, str]]] = {}
        self._releases: dict[tuple[str, str], Release] = {}
        self._missing: set[str] = set()
        self._empty: set[tuple[str, frozenset[Versions]]] = set()

    def installed(self, package: str) -> Release | None:
        """Return the release of a package that is there; None for none."""
        return self._installed.get(package)

    def dependents(self, package: str) -> list[Release]:
        """Return what is there and depends on a package."""
        return [each for each in self._installed.values() if package in each.dependencies]

    def takeable(self, package: str, wanted: Sequence[Versions] = ()) -> Iterator[Release]:
        """Yield what may come new and is in all the ranges `wanted`, highest first and the same objects each time.

        A mirror that does not have the package has nothing.

        Raises:
            DeviceError: what the mirror raises.
        """
        key, is_empty = (package, frozenset(wanted)), True
        if key in self._empty:  # a search asks for the same in many places
            return
        for entry, why in self.judged(package, wanted):
            if not why and all(versions.admits(entry.version) for versions in wanted):
                is_empty = False
                yield self.release(package, entry)
        if is_empty:
            self._empty.add(key)

    def judged(self, package: str, wanted: Sequence[Versions] = ()) -> Iterator[tuple[Entry, str]]:
        """Yield what is above the installed release, highest first, with the reason why it may not come, if any.

        Raises:
            DeviceError: as `takeable`.
        """
        listed = self._listed(package)
        if listed is None or listed.newest.unknown_needs(KNOWN_NEEDS):
            return
        floor, ranges = self._floor(package), [each for each in wanted if isinstance(each, Range)]
        if package in self._pins:
            ranges.append(self._pins[package])
        for part in listed.parts(lambda segment: _reaches(segment, floor, ranges)):
            yield from self._judge(package, part)

    def refusal(self, package: str, entry: Entry) -> str:
        """Say why a release may not come, wherever it lies; nothing if it may."""
        if entry.yanked is not None:
            return yanked_in_words(entry.yanked)
        if unknown := entry.unknown_needs(KNOWN_NEEDS):
            return not_understood(unknown)
        if odd := _odd_dependency(package, entry):
            return f"states a dependency that cannot be read: {odd}"
        if entry.content in self._bad:
            return f"failed on this device: {self._bad[entry.content]}; `otadevice clear-bad` lets it be tried again"
        if not self._admitted_by_pin(package, entry.version):
            return f"is outside the pin {self._pins[package]}"
        # whether `needs` has the word or not
        return rollout.refusal(entry.rollout, entry.content, self._turn) if entry.rollout is not None else ""

    def release(self, package: str, entry: Entry) -> Release:
        """Make the release of an entry that has no refusal, the same object each time."""
        key = (package, entry.version)
        if key not in self._releases:
            dependencies = {name: self._range(text) for name, text in entry.dependencies.items()}
            self._releases[key] = Release(package, entry.version, dependencies, entry)
        return self._releases[key]

    def lack(self, package: str, versions: Versions) -> str:
        """Go on with a sentence that needs a package in a range of which there is nothing."""
        if package in self._elsewhere:
            return f", but {self._elsewhere[package]}"
        listed, installed = self._listed(package), self.installed(package)
        if listed is None:
            return f", which this mirror does not have on {self._branch}"
        if unknown := listed.newest.unknown_needs(KNOWN_NEEDS):
            return f", whose release list {not_understood(unknown)}"
        if installed and isinstance(versions, Range) and versions.is_below(installed.version):
            return f", but {installed} is installed, and a device does not go back by itself"
        return self._shortage(package, versions, listed.newest.releases)

    def _shortage(self, package: str, versions: Versions, newest: Sequence[Entry]) -> str:
        """Tell why nothing in a range may come: of the highest in it, or else which is the highest of all."""
        above, installed = self._judge(package, newest), self.installed(package)
        if refused := next(((entry.version, why) for entry, why in above if versions.admits(entry.version)), None):
            version, why = refused
            if not self._admitted_by_pin(package, version):
                return f", which is pinned to {self._pins[package]}"
            return f", and {package} {version} {why}"
        highest = next((entry.version for entry, why in above if not why), installed.version if installed else "")
        return f", and the highest that can be taken is {highest}" if highest else ", of which nothing can be taken"

    def _listed(self, package: str) -> Listed | None:
        if package in self._elsewhere or package in self._missing:
            return None
        try:
            return self._lists.of(package, self._branch)
        except NotOnMirrorError:
            self._missing.add(package)
            return None

    def _judge(self, package: str, part: Sequence[Entry]) -> Sequence[tuple[Entry, str]]:
        """Judge what lies above the installed release in a part of a list, once."""
        key = (package, part[0].version if part else "")
        if key not in self._judged:
            floor = self._floor(package)
            above = [entry for entry in part if sort_key(entry.version) > floor]
            self._judged[key] = [(entry, self.refusal(package, entry)) for entry in above]
        return self._judged[key]

    def _of_state(self, package: Package) -> Release:
        dependencies = {name: self._range(text) for name, text in package.dependencies.items()}
        return Release(package.name, package.version, dependencies)

    def _range(self, text: str) -> Range:
        return self._ranges.setdefault(text, Range(text))

    def _floor(self, package: str) -> bytes:
        installed = self.installed(package)
        return sort_key(installed.version) if installed else b""

    def _admitted_by_pin(self, package: str, version: str) -> bool:
        return package not in self._pins or self._pins[package].admits(version)


def _odd_dependency(package: str, entry: Entry) -> str:
    """Return the first dependency of an entry that is none; nothing if all are sound."""
    for name, versions in entry.dependencies.items():
        if rules.name(name) or rules.version_range(versions) or name == package:
            return f"{name} {versions}"
    return ""


def _reaches(segment: Segment, floor: bytes, ranges: Iterable[Range]) -> bool:
    """Tell whether a segment may hold something above `floor` that is in all the ranges."""
    if sort_key(segment.to_version) <= floor:
        return False
    return not any(each.is_below(segment.from_version) or each.is_above(segment.to_version) for each in ranges)


def not_understood(words: Iterable[str]) -> str:
    """Say what a list or release needs, for people."""
    return f"needs {', '.join(words)}, which this version of otadevice does not understand"


def yanked_in_words(yanked: Mapping[str, Any]) -> str:
    """Say what a yank says, for people."""
    reason, replacement = yanked.get("reason"), yanked.get("replacement")
    return (
        "was taken back" + (f": {reason}" if reason else "") + (f"; take {replacement} instead" if replacement else "")
    )

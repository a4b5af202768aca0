"""What the last update came to, package by package; kept in the work folder for `status`."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from mirror.files import Files


@dataclass(frozen=True)
class Result:
    """The outcome of one update of one package.

    Attributes:
        outcome: "updated", "removed", "nothing newer", "postponed", "rolled back", "waits" after interruptions,
            "waits for a reboot", "lost" or "failed".
        version: what was installed before.
        to: what is installed since, "" if that did not change.
        offered: the release that was to be installed, "" if none was.
        skipped: the releases above it that were passed over: version, and why.
        message: for people; why nothing was changed.
        code: a word for programs if it failed.
        exit_code: what a command ends with for its sake.
        at: when, as UTC text.
        yanked: what the mirror says if it has taken back what is installed.
        output: the last output of the hook that failed.
        complaints: what went wrong besides, without changing the outcome.
    """

    package: str
    branch: str
    outcome: str
    version: str = ""
    to: str = ""
    offered: str = ""
    skipped: list[dict[str, str]] = field(default_factory=list)
    message: str = ""
    code: str = ""
    exit_code: int = 0
    at: str = ""
    yanked: Mapping[str, Any] | None = None
    output: str = ""
    complaints: list[str] = field(default_factory=list)

    def yank_of(self, version: str) -> Mapping[str, Any] | None:
        """Return what was said against `version` if it is what this update left installed."""
        return self.yanked if version == (self.to or self.version) else None

    def fields(self) -> dict[str, Any]:
        """Return the JSON object."""
        return dataclasses.asdict(self)


def save(new: Mapping[str, Result], work: Path, files: Files) -> None:
    """Keep results by package; those of other packages stay."""
    last, undone = _load(work)
    undone |= {name: result for name, result in last.items() if name in new and result.outcome == _UNDONE}
    kept = {name: result for name, result in undone.items() if name not in new or new[name].outcome not in _ENDINGS}
    found = {"last": {**last, **new}, "rolled_back": kept}
    fields = {key: [result.fields() for result in each.values()] for key, each in found.items()}
    text = json.dumps(fields, indent=2, ensure_ascii=False)
    files.make_folder(work)
    files.replace(_file(work), f"{text}\n".encode(errors="backslashreplace"), mode=0o600)


_UNDONE = "rolled back"
_ENDINGS = {_UNDONE, "updated", "removed"}


def load(work: Path) -> dict[str, Result]:
    """Read the last results by package; none if they are not there or not readable."""
    return _load(work)[0]


def rolled_back(work: Path) -> dict[str, Result]:
    """Read the results before the last: of packages that were rolled back, and that nothing has changed since."""
    return _load(work)[1]


def _load(work: Path) -> tuple[dict[str, Result], dict[str, Result]]:
    try:
        fields = json.loads(_file(work).read_bytes())
        last, undone = (_by_package(fields[key]) for key in ("last", "rolled_back"))
    except (KeyError, OSError, RecursionError, TypeError, ValueError):
        return {}, {}  # they are a convenience: the next update writes them anew
    return last, undone


def _by_package(fields: Iterable[Mapping[str, Any]]) -> dict[str, Result]:
    return {result.package: result for result in (Result(**each) for each in fields)}


def _file(work: Path) -> Path:
    return work / "results.json"

"""What the last update came to, package by package; kept in the work folder for `status`."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mirror.files import Files


@dataclass(frozen=True)
class Result:
    """The outcome of one update of one package.

    Attributes:
        outcome: "updated", "removed", "nothing newer", "postponed", "rolled back", "waits for a reboot" or "failed".
        version: what was installed before.
        to: what is installed since, "" if that did not change.
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
    found = {**load(work), **new}
    text = json.dumps([result.fields() for result in found.values()], indent=2, ensure_ascii=False)
    files.make_folder(work)
    files.replace(_file(work), f"{text}\n".encode(errors="backslashreplace"))


def load(work: Path) -> dict[str, Result]:
    """Read the last results by package; none if they are not there or not readable."""
    try:
        found = [Result(**fields) for fields in json.loads(_file(work).read_bytes())]
    except (OSError, ValueError, TypeError):
        return {}  # they are a convenience: the next update writes them anew
    return {result.package: result for result in found}


def _file(work: Path) -> Path:
    return work / "results.json"

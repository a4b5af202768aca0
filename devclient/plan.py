"""The plan of one update: what goes where, and all that finishing or undoing it needs.

It is written before anything is done and never changed, so whoever finds it after a power cut knows what there
was and what there is to be, without a network. Contents are named by their hash here; they are kept beside it.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMAT = 1
MOST = 256
"""How many packages may change together."""


class Kind(enum.StrEnum):
    """What a plan is for."""

    UPDATE = "update"
    ROLLBACK = "rollback"
    REMOVE = "remove"


class Found(enum.StrEnum):
    """What lies at a package's place before the update."""

    NOTHING = "nothing"
    FILE = "file"
    LINK = "link"
    """Our own, which leads to whatever the package is at."""
    FOLDER = "folder"
    """One of its owner's, to be replaced by our link."""


@dataclass(frozen=True)
class Release:
    """A release that is, or is to be, installed.

    Attributes:
        content: the hash of its content.json, "" if that is not known.
        sha256: of its blob, "" if that is not known.
        size: bytes of its blob, 0 if nothing is to be downloaded.
    """

    version: str
    content: str
    sha256: str = ""
    size: int = 0


@dataclass(frozen=True)
class Step:
    """One package in a plan.

    Attributes:
        remote: the URL that the state file has.
        local: the place as its owner calls it; one that ends in `/` is a folder.
        target: the file, or the link to a folder, that this is in the end.
        before: what is installed; None for nothing.
        after: what will be; None for nothing.
        found: what lies at `target`.
        folder: the name of the unpacked folder in the work folder, "" for a file.
        auto: whether it comes only because another package depends on it.
        timeout: seconds for each of its hooks.
        entry: a hash of its entry in the state file, "" for none.
    """

    package: str
    branch: str
    remote: str
    local: str
    target: str
    before: Release | None
    after: Release | None
    found: Found
    folder: str = ""
    auto: bool = False
    timeout: float = 300
    entry: str = ""

    @property
    def path(self) -> Path:
        """The target."""
        return Path(self.target)

    @property
    def is_folder(self) -> bool:
        """Whether it is unpacked."""
        return self.local.endswith("/")

    def __str__(self) -> str:
        return f"{self.package} {self.after.version}" if self.after else f"{self.package} (removed)"


@dataclass(frozen=True)
class Parent:
    """The folder in which a package's place is, as it was when all was laid out.

    Attributes:
        inode: 0 where the file system gives no lasting ones.
        user: who owned it.
    """

    inode: int
    user: int
    mode: int


@dataclass(frozen=True)
class Laid:
    """A file, or a link, that was laid out beside a place.

    Attributes:
        sha256: of its bytes, or of what the link says; "" for a folder.
    """

    inode: int
    sha256: str


@dataclass(frozen=True)
class Surroundings:
    """What belongs to one step of a plan, by which it is known again after a cut.

    Attributes:
        new: what is to take the place; None for nothing.
        old: what is to come back if the update is undone; None for nothing.
        laid_out: whether those two are there; before that, nobody knows what lies under their names.
    """

    parent: Parent
    new: Laid | None = None
    old: Laid | None = None
    laid_out: bool = False


@dataclass(frozen=True)
class Plan:
    """One update: packages that change together, in dependency order.

    Attributes:
        attempt: a number that no other plan of this device has, in the names of what it makes.
        before: the set of folders that is current, "" for none.
        after: the set that will be; the same if no folder changes.
    """

    kind: Kind
    attempt: int
    steps: tuple[Step, ...]
    before: str = ""
    after: str = ""

    @property
    def identity(self) -> str:
        """A hash that another attempt at the same has too."""
        what = [
            (step.package, step.branch, step.local, *map(_content, (step.before, step.after))) for step in self.steps
        ]
        return hashlib.sha256(json.dumps([self.kind, what]).encode()).hexdigest()

    @property
    def contents(self) -> set[str]:
        """The hashes of all contents that it names."""
        sides = [side for step in self.steps for side in (step.before, step.after)]
        return {side.content for side in sides if side and side.content}

    @property
    def blobs(self) -> set[str]:
        """The hashes of the blobs that it brings."""
        return {step.after.sha256 for step in self.steps if step.after}

    def touches(self, package: str) -> bool:
        """Whether it changes a package."""
        return any(step.package == package for step in self.steps)

    def encode(self) -> bytes:
        """Return the file."""
        return (json.dumps({"format": FORMAT, **dataclasses.asdict(self)}, indent=2) + "\n").encode()

    def __str__(self) -> str:
        return ", ".join(map(str, self.steps))


def parse(raw: bytes) -> Plan:
    """Read the file.

    Raises:
        ValueError: it is none that this version understands.
    """
    try:
        return _plan(json.loads(raw))
    except (AttributeError, KeyError, RecursionError, TypeError) as error:
        raise ValueError(f"it is no plan: {error!r}") from error


def _plan(fields: dict[str, Any]) -> Plan:
    if fields.pop("format") > FORMAT:
        raise ValueError("a later version of otadevice wrote it")
    steps = tuple(_step(step) for step in fields.pop("steps"))
    return Plan(kind=Kind(fields.pop("kind")), steps=steps, **fields)


def _step(fields: Mapping[str, Any]) -> Step:
    sides = {side: fields[side] and Release(**fields[side]) for side in ("before", "after")}
    return Step(**{**fields, **sides, "found": Found(fields["found"])})


def _content(side: Release | None) -> str:
    return f"{side.version} {side.content}" if side else ""

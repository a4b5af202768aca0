"""Sites under test: one in a folder, packages made for it, dropped or verified, and what a mirror holds.

    site = sites.make(tmp_path)
    sites.drop(site.paths.inbox, sites.package("1.0"))
    with build.opened(site) as builder:
        builder.take_inbox()
    assert sites.read(site.paths.mirror)["maxVersion/app/main.json"] == sites.package("1.0").content.canonical()

Nothing here judges; the real builder does the work.
"""

from __future__ import annotations

import functools
import os
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from builder import build
from builder import site as settings
from builder.intake.drops import CONTENT
from builder.submission import Release
from mirror import canonical, content, layout
from mirror.blobs import Blob

if TYPE_CHECKING:
    from collections.abc import Mapping

    from builder.site import Site, Trust
    from mirror.content import Content


@dataclass(frozen=True, slots=True)
class Package:
    """A package as its publisher has it: the bytes and what content.json says of them."""

    data: bytes
    content: Content


def _soon() -> float:
    """Tell a time at which whatever is dropped now has settled, and that a signer takes for now."""
    return time.time() + 300


@dataclass(slots=True)
class Clock:
    """A clock that stands still unless it is set."""

    now: float = field(default_factory=_soon)

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


def make(folder: Path, toml: str = "", *, signed: bool = True) -> Site:
    """Make a site in `folder`, with an empty inbox, and with few bins unless `toml` speaks of trust itself.

    It has its keys and first metadata, unless it is not to be `signed` yet.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "site.toml"
    file.write_text(toml if "[trust]" in toml else f"{toml}\n[trust]\nbins = 2\n")
    site = settings.load(file)
    site.paths.inbox.mkdir(parents=True)
    if signed:
        write(site.paths.var, _first_files(site.trust))
        (site.paths.var / "catalogue.sqlite").chmod(0o600)  # as it was made
    return site


def package(
    version: str = "1.0", name: str = "app", branch: str = "main", data: bytes | None = None, **others: object
) -> Package:
    """Make a package, by default with bytes that no other has; `others` are further keys of content.json."""
    data = f"{name} {version} on {branch}\n".encode() if data is None else data
    fields = {"package": name, "version": version, "branch": branch, "sha256": canonical.digest(data)}
    return Package(data, content.build({**fields, **others}).content)


def drop(inbox: Path, package: Package, name: str = "app.bin") -> Path:
    """Drop a package as a pair; returns the file."""
    file = inbox / name
    file.with_name(f"{name}.json").write_bytes(package.content.canonical())
    file.write_bytes(package.data)
    return file


def drop_folder(inbox: Path, package: Package, name: str = "app", file: str = "app.bin") -> Path:
    """Drop a package as a folder; returns the folder."""
    folder = inbox / name
    folder.mkdir()
    (folder / CONTENT).write_bytes(package.content.canonical())
    (folder / file).write_bytes(package.data)
    return folder


def release(package: Package, folder: Path) -> Release:
    """Verify a package whose bytes came into `folder`, which has to be on the mirror's file system."""
    folder.mkdir(parents=True, exist_ok=True)
    # one file for each release, as each upload has its own: a blob that is published is moved away
    path = folder / package.content.digest
    path.write_bytes(package.data)
    return Release(package.content, Blob(package.content.sha256, len(package.data), path))


def pages(mirror: Path) -> dict[str, bytes]:
    """Read every file of a mirror but its signed metadata, by its path."""
    return {path: data for path, data in read(mirror).items() if not path.startswith(layout.METADATA)}


def read(folder: Path) -> dict[str, bytes]:
    """Read every file below a folder, by its path from there."""
    return {path: Path(folder, path).read_bytes() for path in paths(folder)}


def write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files below a folder, by their paths from there."""
    for path, data in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    """Tell for every file below a folder which inode it is and when that changed: equal if nothing was written."""
    found = {path: Path(folder, path).lstat() for path in paths(folder)}
    return {path: (status.st_ino, status.st_ctime_ns) for path, status in found.items()}


def paths(folder: Path) -> list[str]:
    """List every file below a folder, by its path from there."""
    return sorted(
        os.path.relpath(os.path.join(root, name), folder)  # noqa: PTH118 - thousands of times
        for root, _, names in os.walk(folder)
        for name in names
    )


@functools.cache
def _first_files(trust: Trust) -> Mapping[str, bytes]:
    """Have a builder open a site for the first time; returns what it made, by the path below `var`."""
    with tempfile.TemporaryDirectory() as folder:
        site = replace(make(Path(folder, "site"), signed=False), trust=trust)
        with build.opened(site) as builder:
            builder.finish()
        return read(site.paths.var)

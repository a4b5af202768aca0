"""Sites to measure on: 20 releases a branch, one branch a package, blobs of a few bytes.

A site is made by the builder itself, in a process of its own, once in a run of the benchmarks.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from builder import build, site
from builder.submission import Release
from mirror import blobs, content, layout
from mirror.files import Files

if TYPE_CHECKING:
    from builder.site import Site

RELEASES_A_BRANCH = 20
BRANCH = "stable"
_GROUP = 5000


@dataclass(frozen=True)
class Ground:
    """Where the benchmarks work, and how large the sites are.

    Attributes:
        folder: for everything that they make; it is removed after the last one, because what is deleted costs
            the file system time while others are measured.
        rendered: the sizes, in releases, of the sites that are rendered whole.
        published: the sizes of the sites into which single releases are published.
        rounds: how many releases are published into each.
        uploaded_mib: the size of the package that is uploaded.
        updated_mib: the size of the package that a device takes.
        idle_polls: how often a daemon polls.
    """

    folder: Path
    rendered: tuple[int, ...] = (10_000, 100_000)
    published: tuple[int, ...] = (1_000, 10_000, 100_000)
    rounds: int = 200
    uploaded_mib: int = 2048
    updated_mib: int = 1024
    idle_polls: int = 10_000

    def site(self, releases: int) -> Path:
        """Return the folder of a site of so many releases, made when it is first asked for."""
        folder = self.folder / f"site-{releases}"
        if not folder.exists():
            subprocess.run([sys.executable, "-m", "tests.bench.sites", str(folder), str(releases)], check=True)
        return folder

    def site_without_pages(self, releases: int) -> Path:
        """Return the folder of a site whose mirror has nothing left but its blobs."""
        folder = self.site(releases)
        mirror = load(folder).paths.mirror
        aside = mirror.with_name("mirror.full")
        mirror.rename(aside)
        mirror.mkdir()
        (aside / layout.BLOBS).rename(mirror / layout.BLOBS)
        return folder


def load(folder: Path) -> Site:
    """Load the settings of a site: all defaults."""
    return site.load(folder / "site.toml")


def package(number: int) -> str:
    """Name a package."""
    return f"package-{number:05}"


def release(name: str, version: str, folder: Path) -> Release:
    """Make a release as it comes from `verify`, with a blob that no other has, as a new file in `folder`."""
    blob = blobs.put([f"{name} {version}".encode()], folder / f"{name}-{version}", Files())
    fields = {
        "package": name,
        "description": f"Release {version} of {name}",
        "version": version,
        "branch": BRANCH,
        "local": f"/opt/{name}/{name}",
        "sha256": blob.sha256,
    }
    return Release(content.parse(json.dumps(fields).encode()).content, blob)


def _grow(folder: Path, releases: int) -> None:
    """Make a site of so many releases."""
    folder.mkdir()
    (folder / "site.toml").touch()
    wanted = [(package(n // RELEASES_A_BRANCH), f"1.{n % RELEASES_A_BRANCH}.0") for n in range(releases)]
    # the last one by itself: what was published last is published again by the process that comes next
    bounds = [*range(0, releases - 1, _GROUP), releases - 1, releases]
    with build.opened(load(folder)) as builder:
        for start, stop in itertools.pairwise(bounds):
            builder.publish([release(*each, folder) for each in wanted[start:stop]])


if __name__ == "__main__":
    _grow(Path(sys.argv[1]), int(sys.argv[2]))

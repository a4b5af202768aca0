"""Publishing one more release, into sites of several sizes."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from builder import build
from builder.signing.sign import Signing
from mirror.files import Files
from tests.bench import sites
from tests.bench.tally import Tally, looking

if TYPE_CHECKING:
    from collections.abc import Iterator

    from builder.build import Builder
    from builder.pages import Pages
    from builder.submission import Release
    from tests.bench.sites import Ground

_WARM_UP = 5
_COUNTED = 5


@dataclasses.dataclass(frozen=True)
class Row:
    """What one publish costs in a site of so many releases: times are medians, counts the most that was seen.

    The blob lies in the spool already and does not count; nor does what SQLite does with its files.

    Attributes:
        cpu_share: CPU as a share of that in the smallest site.
        unsigned_ms: CPU of the same without signing.
        signed_share: CPU as a multiple of that.
        commits: those of SQLite, each of which syncs once more.
        reads: files that were opened for reading, or looked for.
        listings: folders that were listed.
    """

    releases: int
    cpu_ms: float
    cpu_share: float
    unsigned_ms: float
    signed_share: float
    wall_ms: float
    files: int
    bytes: int
    syncs: int
    commits: int
    reads: int
    listings: int


def publish(ground: Ground) -> Iterator[Row]:
    """Publish of one more release in a warm process, the sites taking turns.

    CPU is user and system time, the median. In the largest site it should stay below 1.5 times that in the smallest,
    and below 3 times that of the same publish without signing, which takes turns with it. No count should grow with the
    site, but bytes by what shares a bin. The blob is in the spool already and does not count.
    """
    folders = [str(ground.site(releases)) for releases in ground.published]
    command = [sys.executable, "-m", "tests.bench.publishing", str(ground.rounds), *folders]
    measured = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    smallest = measured[0]["cpu_ms"]
    for releases, found in zip(ground.published, measured, strict=True):
        shares = {"cpu_share": found["cpu_ms"] / smallest, "signed_share": found["cpu_ms"] / found["unsigned_ms"]}
        yield Row(releases=releases, **shares, **found)


class _Unsigned(Signing):
    """Signs nothing."""

    def sign(self, pages: Pages) -> Pages:
        """Return the pages as they are."""
        return pages


class _Site:
    """One open site and what was measured in it."""

    def __init__(self, folder: Path) -> None:
        self.tally = Tally()
        self.cpu: list[float] = []
        self.unsigned: list[float] = []
        self.wall: list[float] = []
        self._site = sites.load(folder)
        self._chance = random.Random(0)
        self._versions = 0
        self._branches = len(list((self._site.paths.mirror / "releases").iterdir()))

    def opened(self) -> contextlib.AbstractContextManager[Builder]:
        """Open the builder."""
        return build.opened(self._site, Files(self.tally))

    def release(self) -> Release:
        """Make the next release: a higher version of any package."""
        self._versions += 1
        name = sites.package(self._chance.randrange(self._branches))
        return sites.release(name, f"2.{self._versions}.0", self._site.file.parent)

    def time(self, builder: Builder) -> None:
        """Publish one release and take its time."""
        release = self.release()
        cpu, wall = time.thread_time(), time.perf_counter()
        builder.publish([release])
        self.cpu.append(time.thread_time() - cpu)
        self.wall.append(time.perf_counter() - wall)

    def time_unsigned(self, builder: Builder) -> None:
        """Take the time of a publish that signs nothing."""
        signing, release = builder.signing, self.release()
        builder.signing = _Unsigned(
            signing.roles, signing.keyring, signing.settings, signing.cache_seconds, signing.clock
        )
        cpu = time.thread_time()
        builder.publish([release])
        self.unsigned.append(time.thread_time() - cpu)
        builder.signing = signing

    def count(self, builder: Builder) -> dict[str, int]:
        """Publish one release and count what it takes."""
        release, before, commits = self.release(), vars(self.tally).copy(), []
        builder.catalogue.connection.set_trace_callback(lambda said: commits.append(said == "COMMIT"))
        with looking() as looks:
            builder.publish([release])
        written = {name: count - before[name] for name, count in vars(self.tally).items()}
        return {**written, "commits": sum(commits), **dataclasses.asdict(looks)}


def _measure(rounds: int, folders: list[Path]) -> list[dict[str, float]]:
    """Be the process that is measured; returns what rows have of each site."""
    with contextlib.ExitStack() as stack:
        turns = [(site, stack.enter_context(site.opened())) for site in map(_Site, folders)]
        os.sync()
        for _ in range(_WARM_UP + rounds):
            for site, builder in turns:
                site.time_unsigned(builder)
                site.time(builder)
        counts = [[site.count(builder) for _ in range(_COUNTED)] for site, builder in turns]
    return [_figures(site, counted) for (site, _), counted in zip(turns, counts, strict=True)]


def _figures(site: _Site, counted: list[dict[str, int]]) -> dict[str, float]:
    most = {name: max(each[name] for each in counted) for name in counted[0]}
    medians = {"cpu_ms": site.cpu, "unsigned_ms": site.unsigned, "wall_ms": site.wall}
    return {name: statistics.median(took[_WARM_UP:]) * 1000 for name, took in medians.items()} | most


if __name__ == "__main__":
    print(json.dumps(_measure(int(sys.argv[1]), [Path(name) for name in sys.argv[2:]])))

"""Rendering a whole mirror, beside dumb-pypi, which renders a static index of as many packages and versions."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builder import build
from mirror.files import Files
from tests.bench import sites
from tests.bench.tally import Tally
from tests.support import cost

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.bench.sites import Ground
    from tests.support.cost import Cost


@dataclass(frozen=True)
class Row:
    """One program that rendered everything.

    Attributes:
        cpu_share: its CPU as a share of dumb-pypi's, if that is installed.
        syncs: how often it made files durable; dumb-pypi is not asked, it never does.
    """

    releases: int
    program: str
    cpu_share: float | None
    cpu_seconds: float
    wall_seconds: float
    peak_mb: float
    files: int
    bytes: int
    syncs: int | None


def render(ground: Ground) -> Iterator[Row]:
    """Full render of a site, from the catalogue into a mirror that has only blobs.

    CPU is user and system time of a fresh process. It should stay below dumb-pypi's at 10,000 releases and below a
    third of it (a share of 0.33) at 100,000, memory below 150 MB. Pages for people are rendered by themselves.
    """
    for releases in ground.rendered:
        other = _dumb_pypi(ground, releases)
        yield _otamirror(ground.site_without_pages(releases), releases, "mirror", other)
        yield _otamirror(ground.site(releases), releases, "pages", other)
        if other:
            yield other


def _otamirror(site: Path, releases: int, part: str, other: Row | None) -> Row:
    """Render one part of a site; its CPU is compared with that of `other`."""
    output, spent = _run([sys.executable, "-m", "tests.bench.rendering", str(site), part])
    share = spent.cpu_seconds / other.cpu_seconds if other else None
    return Row(releases, f"otamirror, {part}", share, **_figures(spent), **json.loads(output))


def _dumb_pypi(ground: Ground, releases: int) -> Row | None:
    """Run dumb-pypi; None if it is not installed."""
    if importlib.util.find_spec("dumb_pypi") is None:
        return None
    packages, output = ground.folder / f"packages-{releases}.json", ground.folder / f"dumb-pypi-{releases}"
    packages.write_text("".join(f"{json.dumps(each)}\n" for each in _uploads(releases)))
    command = [sys.executable, "-m", "dumb_pypi.main", "--package-list-json", str(packages)]
    _, spent = _run([*command, "--packages-url", "https://example.org/packages/", "--output-dir", str(output)])
    files = [path.stat().st_size for path in output.rglob("*") if path.is_file()]
    return Row(releases, "dumb-pypi", 1.0, **_figures(spent), files=len(files), bytes=sum(files), syncs=None)


def _uploads(releases: int) -> Iterator[dict[str, object]]:
    """List as many releases as dumb-pypi wants them listed, with what a real list has."""
    for number in range(releases):
        name = f"{sites.package(number // sites.RELEASES_A_BRANCH)}-1.{number % sites.RELEASES_A_BRANCH}.0.tar.gz"
        yield {
            "filename": name,
            "hash": f"sha256={hashlib.sha256(name.encode()).hexdigest()}",
            "upload_timestamp": 1_700_000_000 + number,
        }


def _run(command: Sequence[str]) -> tuple[str, Cost]:
    os.sync()  # nobody is to pay for what was written before
    return cost.run(command)


def _figures(spent: Cost) -> dict[str, Any]:
    return {
        "cpu_seconds": spent.cpu_seconds,
        "wall_seconds": spent.wall_seconds,
        "peak_mb": spent.peak_bytes / 1_000_000,
    }


def _work(site: Path, part: str) -> dict[str, int]:
    """Be the process that is measured; returns what it wrote."""
    tally = Tally()
    with build.opened(sites.load(site), Files(tally)) as builder:
        if part == "mirror":
            builder.render_all()
        else:
            builder.refresh_pages(everything=True)
    return vars(tally)


if __name__ == "__main__":
    print(json.dumps(_work(Path(sys.argv[1]), sys.argv[2])))

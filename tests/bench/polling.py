"""What a device asks for: when nothing is new, and after one publish of a package that it does not have."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from click.testing import CliRunner

from builder import build
from devclient import cli
from mirror import layout
from tests.bench import sites
from tests.support import nginx

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from builder.site import Site
    from tests.bench.sites import Ground
    from tests.support.nginx import Nginx


@dataclasses.dataclass(frozen=True)
class Row:
    """One device on a mirror of so many releases; bytes are those of whole answers, as nginx sends them."""

    releases: int
    quiet_requests: int
    quiet_bytes: int
    news_requests: int
    news_bytes: int


def poll(ground: Ground) -> Iterator[Row]:
    """Polls of a device, from a real nginx with gzip.

    A quiet poll should be one request and at most 400 bytes. The first after a publish elsewhere should be at most 4
    requests and 12,000 bytes, of which the snapshot is most; it does not grow with the releases.
    """
    for releases in ground.published:
        yield measure(sites.load(ground.site(releases)), releases, ground.folder / f"device-{releases}")


def measure(site: Site, releases: int, folder: Path, elsewhere: str = "") -> Row:
    """Have a device on a site poll, publish a package that it does not have, and have it poll again."""
    with build.opened(site) as builder:
        builder.finish()
        followed = builder.catalogue.packages()[0][0]
    (folder / "nginx").mkdir(parents=True)
    with nginx.running(site.paths.mirror, folder / "nginx") as server:
        _set_up(server, site, followed, folder)
        quiet = _update(server, folder)
        with build.opened(site) as builder:
            builder.publish([sites.release(elsewhere or f"news-{releases}", "9.0", folder)])
        news = _update(server, folder)
    return Row(releases, *quiet, *news)


def _set_up(server: Nginx, site: Site, package: str, folder: Path) -> None:
    root = str(site.paths.mirror / layout.metadata("root", 1))
    _run(folder, "init", "--device", "bench", "--remote", server.url, "--root", root, "--allow", str(folder))
    _run(folder, "add", package, "--branch", sites.BRANCH, "--local", str(folder / "installed"))
    _run(folder, "update")


def _update(server: Nginx, folder: Path) -> tuple[int, int]:
    """Have the device update; returns how many requests it made and how many bytes came."""
    before = len(server.requests())
    _run(folder, "update")
    made = server.requests()[before:]
    return len(made), sum(request.bytes for request in made)


def _run(folder: Path, *words: str) -> None:
    done = CliRunner().invoke(cli.main, ["--config", str(folder / "otadevice.toml"), *words], catch_exceptions=False)
    if done.exit_code != 0:
        raise RuntimeError(f"otadevice {' '.join(words)}: {done.output}")

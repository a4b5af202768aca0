"""Builds that are killed, that fail, or whose machine loses its power: the scene before, and what must hold after.

    scene = crashes.lay("grown", tmp_path)
    ...                                 # `otamirror build` ends somehow
    crashes.settle(scene)

A scene is a site with two packages in its inbox, one dropped as a pair and one as a folder. In `empty` nothing
was ever published. In `grown` the list of the first one's branch is full, so that its publish cuts a segment
off, and the second one replaces pointers and has the bytes of its predecessor, so that its blob is there already.
"""

from __future__ import annotations

import functools
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from builder import build, check
from builder.catalogue import Catalogue
from mirror import releases
from mirror.files import Calls, Files
from tests.support import clients, readers, sites, trace
from tests.support.faults import CountingCalls
from tests.support.readers import View

if TYPE_CHECKING:
    from collections.abc import Callable
    from functools import partial
    from typing import Any

    from builder.intake.drops import Pass
    from builder.site import Site
    from tests.support.faults import Call
    from tests.support.sites import Package
    from tests.support.systemcalls import SystemCall

SCENES = ("empty", "grown")

_OLD = tuple(sites.package(f"1.{number}") for number in range(releases.MOST))
_LIB = sites.package("1.0", "lib", data=b"the library\n")
_DROPPED = (sites.package("2.0"), sites.package("2.0", "lib", data=_LIB.data))
_NEXT = sites.package("3.0")


@dataclass(frozen=True)
class Scene:
    """A site with packages in its inbox, the moment before they are built.

    Attributes:
        packages: all that are published once the inbox is.
        dropped: those of them that are in it.
        before: the mirror as readers saw it last.
        client: what a client that comes back keeps.
    """

    site: Site
    packages: tuple[Package, ...]
    dropped: tuple[Package, ...]
    before: View
    client: Path

    @property
    def command(self) -> list[str]:
        """The command line that builds it."""
        return command(self.site, "build")


class WatchedCalls(CountingCalls):
    """The real calls, with a reader that looks at the mirror before each of them."""

    def __init__(self, scene: Scene) -> None:
        super().__init__()
        self._scene = scene
        self.seen = scene.before

    def _do(self, name: str, call: partial[Any]) -> Any:
        self.look()
        return super()._do(name, call)

    def look(self) -> None:
        """Let the reader look; what it has seen once has to stay."""
        view = look(self._scene)
        view.keeps(self.seen)
        self.seen = view


@dataclass(frozen=True)
class Recording:
    """The system calls by which the build of a scene changes files."""

    name: str
    calls: list[SystemCall]

    def lay(self, folder: Path) -> Scene:
        """Lay out the scene as it was when the calls were recorded."""
        return lay(self.name, folder)


def record(name: str, folder: Path) -> Recording:
    """Record the build of a scene in a new folder."""
    return Recording(name, trace.record(lay(name, folder).command, folder))


def command(site: Site, *words: str) -> list[str]:
    """Give the command line that runs otamirror in a process of its own."""
    return [sys.executable, "-m", "builder.cli", "--site", os.fspath(site.file), *words]


def lay(name: str, folder: Path) -> Scene:
    """Lay out a scene in a new folder."""
    # what is empty has no keys yet, so that they are made under the test's eyes
    site = sites.make(folder, signed=False)
    old, files, before = _grown() if name == "grown" else ((), {}, View({}, {}))
    sites.write(site.paths.var, files)
    sites.drop(site.paths.inbox, _DROPPED[0])
    sites.drop_folder(site.paths.inbox, _DROPPED[1], "lib")
    return Scene(site, (*old, *_DROPPED), _DROPPED, before, folder.with_name(f"{folder.name}.client"))


def run(site: Site, calls: Calls | None = None) -> Pass:
    """Do in this process what `otamirror build` does."""
    with build.opened(site, Files(calls)) as builder:
        result = builder.take_inbox()
        builder.refresh_pages()
    return result


def clean_run(name: str, calls: Calls) -> None:
    """Build a scene in a folder of its own, so that its calls can be counted."""
    with tempfile.TemporaryDirectory() as folder:
        run(lay(name, Path(folder, "site")).site, calls)


def points(name: str, wanted: Callable[[Call], bool]) -> list[int]:
    """Find the calls of a clean build of a scene that are as wanted."""
    counting = CountingCalls()
    clean_run(name, counting)
    return [point for point, call in enumerate(counting.calls, 1) if wanted(call)]


def look(scene: Scene) -> View:
    """See the mirror as readers do at this moment: never broken, and nothing gone that was there before.

    Clients of signed metadata, one that is new and one that comes back, can verify it all, and miss nothing.
    """
    mirror = scene.site.paths.mirror
    view = readers.look(mirror)
    view.keeps(scene.before)
    for data in clients.look(mirror, scene.client).values():
        newest = releases.parse(data)
        signed = {entry.version for entry in readers.all_releases(view.files, newest)}
        plain = {entry.version for entry in view.releases[newest.package, newest.branch]}
        readers.require(plain <= signed, f"not signed for: {plain - signed}")
    return view


def settle(scene: Scene, calls: Calls | None = None) -> None:
    """Check the mirror as a crash left it, let the next build finish, check that, and publish one more package."""
    seen = look(scene)
    result = run(scene.site, calls)
    assert not result.waiting
    assert not [verdict for verdict in result.verdicts if verdict.error]
    look(scene).keeps(seen)
    check_settled(scene.site, scene.packages)
    publish_next(scene)


def publish_next(scene: Scene) -> None:
    """Check that the next publish works."""
    sites.drop(scene.site.paths.inbox, _NEXT)
    (verdict,) = run(scene.site).verdicts
    assert verdict.is_new
    check_settled(scene.site, (*scene.packages, _NEXT))


def check_settled(site: Site, packages: tuple[Package, ...]) -> None:
    """Check that a site has published exactly `packages`, each once, and has nothing left to do."""
    check_published(site, packages)
    with Catalogue.open(site.paths.catalogue) as catalogue:
        assert catalogue.stale_packages() == []
    places = (site.paths.inbox, site.paths.claimed, site.paths.spool, site.paths.rejected)
    assert {path.name for place in places for path in place.rglob("*")} == {"inbox", "pages"}  # what locks are on


def check_published(site: Site, packages: tuple[Package, ...]) -> None:
    """Check that catalogue and lists have exactly `packages`, each once, with all that belongs to them."""
    assert catalogued(site) == named(packages)
    with Catalogue.open(site.paths.catalogue) as catalogue:
        assert list(check.check(site.paths.mirror, catalogue)) == []
    assert readers.look(site.paths.mirror).versions() == named(packages)


def named(packages: tuple[Package, ...]) -> list[tuple[str, str, str]]:
    """Name the releases of packages as `catalogued` does."""
    return sorted((package.content.package, package.content.branch, package.content.version) for package in packages)


def catalogued(site: Site) -> list[tuple[str, str, str]]:
    """Name every release that the catalogue has."""
    with Catalogue.open(site.paths.catalogue) as catalogue:
        return sorted((row.package, row.branch, row.version) for row in catalogue.releases())


def held_open(site: Site) -> list[str]:
    """List the files of a site that this process has open, SQLite's among them."""
    folder = os.fspath(site.file.parent.resolve())
    links = [Path("/proc/self/fd", number) for number in os.listdir("/proc/self/fd")]  # noqa: PTH208 - numbers, not paths
    return [target for link in links if link.is_symlink() and (target := os.readlink(link)).startswith(folder)]  # noqa: PTH115 - as text


@functools.cache
def _grown() -> tuple[tuple[Package, ...], dict[str, bytes], View]:
    """Publish what the grown scene has from before: the packages, the files below `var`, and what readers see."""
    with tempfile.TemporaryDirectory() as folder:
        site = sites.make(Path(folder, "site"))
        with build.opened(site) as builder:
            builder.publish([sites.release(package, site.paths.spool / "uploads") for package in (*_OLD, _LIB)])
            builder.refresh_pages()
        files = {path: data for path, data in sites.read(site.paths.var).items() if not path.startswith("spool/")}
        check_published(site, (*_OLD, _LIB))
        return (*_OLD, _LIB), files, readers.look(site.paths.mirror)

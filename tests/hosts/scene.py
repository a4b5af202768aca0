"""A mirror that the real builder wrote, and devices that are run by their commands."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from click.testing import CliRunner

from builder import build
from devclient import cli
from mirror import layout
from tests.serving.tree import LONGEST_BRANCH, LONGEST_PACKAGE, LONGEST_VERSION
from tests.support import sites

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from click.testing import Result

    from builder.site import Site
    from tests.support.sites import Package

ODD = sites.package("2.2+a~b_c-d.e")
LONG = sites.package(LONGEST_VERSION, LONGEST_PACKAGE, LONGEST_BRANCH)
BIG = sites.package("1.0", "big", data=random.Random(0).randbytes(600_000))
_EARLIER, _RECENT = 1_780_000_000, 1_790_000_000
PACKAGES = (sites.package("1.0"), sites.package("1.0+build5"), ODD, LONG, BIG)


@dataclass(frozen=True)
class Mirror:
    """A site of its own, with a few releases."""

    site: Site

    @property
    def root(self) -> Path:
        """Its folder, as it is hosted."""
        return self.site.paths.mirror

    def publish(self, *packages: Package) -> None:
        """Publish releases together."""
        with build.opened(self.site) as builder:
            done = builder.publish([sites.release(each, self.site.paths.var / "made") for each in packages])
            builder.refresh_pages()
        assert [verdict.error for verdict in done.verdicts] == [None] * len(packages)
        self._age()

    def _age(self) -> None:
        """Have what was written been written earlier: a time of this very second tells nobody that nothing changed."""
        times = {path: int((self.root / path).stat().st_mtime) for path in sites.paths(self.root)}
        aged = max((time for time in times.values() if time < _RECENT), default=_EARLIER) + 1
        for path, time in times.items():
            if time >= _RECENT:
                os.utime(self.root / path, (aged, aged))


@contextlib.contextmanager
def mirror() -> Iterator[Mirror]:
    """Make a mirror in a folder that every web server may read."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        made = Mirror(sites.make(Path(folder, "site"), signed=False))  # with keys of its own
        made.publish(*PACKAGES)
        yield made


@dataclass(frozen=True)
class Device:
    """A device in a folder, which knows a mirror by its URLs."""

    folder: Path

    @classmethod
    def knowing(cls, folder: Path, mirror: Mirror, *urls: str) -> Device:
        """Set a device up."""
        device = cls(folder)
        (folder / "opt").mkdir(parents=True)
        remotes = [word for url in urls for word in ("--remote", url)]
        root = mirror.root / layout.metadata("root", 1)
        done = device.run("init", "--device", "door-7", "--allow", str(folder / "opt"), *remotes, "--root", str(root))
        assert done.exit_code == 0, done.output
        return device

    def run(self, *words: str) -> Result:
        """Run a command of otadevice."""
        command = ["--config", str(self.folder / "otadevice.toml"), *words]
        return CliRunner().invoke(cli.main, command, catch_exceptions=False)

    def ask_everyone(self) -> None:
        """Have every URL of the mirror asked at each poll, and not once a day."""
        file = self.folder / "otadevice.toml"
        file.write_text(file.read_text().replace("root_interval = 86400", "root_interval = 0"))

    def add(self, package: Package) -> None:
        """Want a package."""
        content = package.content
        local = self.folder / "opt" / content.package[:20]
        done = self.run("add", content.package, "--branch", content.branch, "--local", str(local))
        assert done.exit_code == 0, done.output

    def update(self) -> None:
        """Update, which has to go well."""
        done = self.run("update")
        assert done.exit_code == 0, done.output

    def has(self, package: Package) -> bool:
        """Return whether just this package is installed."""
        local = self.folder / "opt" / package.content.package[:20]
        return local.is_file() and local.read_bytes() == package.data

    def status(self) -> Any:
        """Read what it says of itself."""
        return json.loads(self.run("status", "--json").output)


@dataclass(frozen=True)
class Got:
    """An answer; names of headers are in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def get(url: str, target: str, **headers: str) -> Got:
    """Ask for a target just as it is spelled, below the path of a URL; follow nothing."""
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=20)
    with contextlib.closing(connection):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request("GET", f"{place.path}{target}", headers=named)
        found = connection.getresponse()
        return Got(found.status, {name.lower(): value for name, value in found.getheaders()}, found.read())

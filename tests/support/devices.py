"""Devices under test: one that is run by its commands against a real server, and parts for finer tests."""

from __future__ import annotations

import contextlib
import json
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from click.testing import CliRunner

from devclient import check, cli, hooks
from devclient.device import Device
from devclient.errors import NotOnMirrorError
from devclient.progress import nothing
from devclient.settings import config
from devclient.settings.config import Remote, Settings
from devclient.state import Package
from devclient.trust.signed import Mirrors
from devclient.web.answers import Answer, Body
from devclient.web.fetcher import Fetcher
from devclient.web.headers import UNKNOWN, Validators
from mirror import canonical, layout
from mirror.files import Files
from tests.support import trees

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from click.testing import Result

    from devclient.check import Offer
    from devclient.trust.signed import SignedMirror
    from tests.support.httpd import Server

PLENTY = 1 << 40


@dataclass(frozen=True)
class Rig:
    """A device in a folder, and the mirror that it is told about.

    Attributes:
        folder: everything is in here.
        tree: what the server serves.
        server: the mirror's server.
    """

    folder: Path
    tree: Path
    server: Server

    @property
    def config(self) -> Path:
        """Its otadevice.toml."""
        return self.folder / "otadevice.toml"

    @property
    def state_file(self) -> Path:
        """Its state file."""
        return self.folder / config.STATE

    @property
    def root(self) -> Path:
        """The root that it is given."""
        return self.tree / trees.ROOT

    @property
    def trust(self) -> Path:
        """The folder of what it knows of its mirror."""
        return self.folder / config.WORK / "trust" / "main"

    @property
    def opt(self) -> Path:
        """The folder in which packages may be installed."""
        return self.folder / "opt"

    def init(self) -> Rig:
        """Set the device up."""
        self.opt.mkdir(exist_ok=True)
        trees.simulator(self.tree)
        words = ("--device", "door-7", "--remote", self.server.url, "--allow", str(self.opt))
        done = self.run("init", *words, "--root", str(self.root))
        assert done.exit_code == 0, done.stderr
        return self

    def add(self, package: str = "app") -> Path:
        """Want a package from the branch `stable`; returns where it goes."""
        local = self.opt / package
        done = self.run("add", package, "--branch", "stable", "--local", str(local), "--offline")
        assert done.exit_code == 0, done.stderr
        return local

    def run(self, *words: str) -> Result:
        """Run a command of otadevice in this process."""
        return CliRunner().invoke(cli.main, ["--config", str(self.config), *words], catch_exceptions=False)

    def command(self, *words: str) -> list[str]:
        """Give the command line that runs otadevice in a process of its own."""
        return [sys.executable, "-m", "devclient.cli", "--config", str(self.config), *words]

    @contextlib.contextmanager
    def mirror(
        self, now: datetime | None = None, files: Files | None = None, *, lasting: bool = True
    ) -> Iterator[SignedMirror]:
        """Open its mirror as a command does, at a time and under calls of the test's."""
        time, settings = now or datetime.now(UTC), config.load(self.config)
        with (
            Fetcher(settings.network, "otadevice/test", monotonic) as fetcher,
            Mirrors(settings, fetcher, files or Files(), lambda: time, lasting=lasting) as mirrors,
        ):
            yield mirrors("")

    def state(self) -> Any:
        """Read the state file."""
        return json.loads(self.state_file.read_bytes())

    def files(self) -> dict[str, bytes]:
        """Read every file that a command could have changed, the lock aside."""
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in sorted(self.folder.rglob("*"))
            if path.is_file() and path.name != "lock"
        }


class FolderMirror:
    """A mirror that is read from its folder, without a server between."""

    issued = None

    def __init__(self, tree: Path) -> None:
        self._tree = tree

    def release_list(self, package: str, branch: str) -> bytes:
        """Read a release list."""
        file = self._tree / layout.release_list(package, branch)
        if not file.is_file():
            raise NotOnMirrorError(str(file), 404)
        return file.read_bytes()

    def content(self, package: str, branch: str, version: str, sha256: str) -> bytes:  # noqa: ARG002 - named by its path
        """Read a content.json."""
        return (self._tree / layout.get_version(package, branch, version)).read_bytes()

    def segment(self, package: str, branch: str, sha256: str, size: int) -> bytes:  # noqa: ARG002 - named by its path
        """Read an older segment."""
        return (self._tree / layout.hashed_release_list(package, branch, sha256)).read_bytes()

    @contextlib.contextmanager
    def blob(self, sha256: str, offset: int, **_how: object) -> Iterator[Body]:
        """Read a blob from `offset` on, in small blocks."""
        whole = (self._tree / layout.blob(sha256)).read_bytes()
        yield Body(offset, len(whole), (whole[at : at + 1000] for at in range(offset, len(whole), 1000)))

    def tidy(self) -> None:
        """Forget nothing, because nothing is kept."""


class FolderSource:
    """Brings files as a fetcher does, from a folder whose path is that of an URL, without a server between."""

    def ask(self, url: str, *, known: Validators = UNKNOWN, **_how: object) -> Answer:
        """Read a file, unless its hash is the ETag that is known."""
        file = Path(url)
        if not file.is_file():
            raise NotOnMirrorError(url, 404)
        data = file.read_bytes()
        found = Validators(f'"{canonical.digest(data)}"')
        return Answer(url, None if found == known else data, found)

    def stream(self, url: str, offset: int = 0, **_how: object) -> AbstractContextManager[Body]:
        """Bring no blobs."""
        raise NotImplementedError(url, offset)


def offer(tree: Path) -> Offer:
    """Find what the mirror in `tree` offers of app."""
    app = Package({"package": "app", "branch": "stable"})
    found = check.check(app, (app,), FolderMirror(tree)).offer
    assert found is not None
    return found


def device(folder: Path, tree: Path, files: Files, *, free: int = PLENTY, boot: str = "") -> Device:
    """Put a device together that keeps its things in `folder` and knows the mirror in `tree`."""
    settings = Settings(
        file=folder / "otadevice.toml",
        state=folder / config.STATE,
        work=folder / config.WORK,
        allow=(folder / "opt",),
        remotes=(Remote("main", ("http://mirror.example",), folder / config.ROOT),),
    )
    boot = boot or hooks.boot_id()
    return Device(
        settings=settings,
        files=files,
        mirror=lambda _url: FolderMirror(tree),
        free=lambda _folder: free,
        progress=nothing,
        now=lambda: datetime(2026, 11, 23, 7, 0, 0, tzinfo=UTC),
        runner=hooks.Runner(boot, grace=0.2),
        boot=boot,
        reboot=lambda: None,
    )


def write_state(file: Path, *entries: dict[str, Any]) -> None:
    """Write a state file as an owner would."""
    file.write_text(json.dumps({"device": "door-7", "description": "", "package": list(entries)}))

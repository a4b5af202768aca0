"""A device that has a set of packages, a mirror that has the next one, and servers between the two that can be faulty.

    scene.begin()
    scene.server.misbehave(...)
    code = scene.updates()
    scene.check()

What is served never changes, so the requests of an undisturbed update are always the same ones. The device is put back
to where it was before each case; it is known by its commands and its files alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mirror.names import is_sha256
from tests.support import authority, httpd, trees
from tests.support.devices import Rig
from tests.support.trees import Release

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.support.httpd import Server

PACKAGES: tuple[str, ...] = ("app", "lib", "tool")
"""The first one depends on all others, in exactly its own version."""
OLD, NEW = "1.0", "2.0"
HASTY = {"connect_timeout": 2, "read_timeout": 0.5, "patience": 0.5, "minimum_rate": 100_000}
"""Settings of [network] by which a slow server is left soon."""


@dataclass(frozen=True)
class Asked:
    """One request of an update that nothing disturbs.

    Attributes:
        label: what is asked for, in short: the name of a role, or list, content or blob and a package.
        size: bytes of the answer's body.
    """

    label: str
    path: str
    size: int

    @property
    def sort(self) -> str:
        """What it is: "timestamp", "root", "role", "list", "content" or "blob"."""
        word = self.label.split("-")[0]
        return word if word in {"timestamp", "root", "list", "content", "blob"} else "role"


def payload(package: str, version: str) -> bytes:
    """Make the bytes of a release."""
    return b"\x7fELF\0" + f"{package} {version}\n".encode() * 4000  # no text, as a sign-in page may be


def publish(tree: Path, *versions: str) -> None:
    """Have a mirror offer these versions of all packages."""
    for package in PACKAGES:
        releases = [_release(package, version) for version in versions]
        trees.simulator(tree).list(package, "stable", trees.prepare(tree, *releases, package=package))
    trees.simulator(tree).publish()


def _release(package: str, version: str) -> Release:
    others = PACKAGES[1:] if package == PACKAGES[0] else ()
    needs = {"dependencies": dict.fromkeys(others, f"=={version}")}
    return Release(version, payload(package, version), content=needs, entry=needs)


class Scene:
    """All of it.

    Attributes:
        older: what the mirror was when the device met it.
        server: the mirror's server; likewise `second`, at another URL, and `secure`, by https.
    """

    def __init__(self, folder: Path, server: Server, second: Server, secure: Server) -> None:
        self.server, self.second, self.secure = server, second, secure
        self.tree, self.older = folder / "mirror", folder / "older"
        self.rig = Rig(folder / "device", self.tree, server)
        self._kept = folder / "kept"

    def lay(self) -> Scene:
        """Make the mirror, and a device that has the old set."""
        trees.simulator(self.tree)
        publish(self.tree, OLD)
        self.rig.folder.mkdir()
        self.rig.init()
        for package in reversed(PACKAGES):
            self.rig.add(package)
        assert self.updates() == 0
        shutil.copytree(self.tree, self.older)
        publish(self.tree, OLD, NEW)
        shutil.copytree(self.rig.folder, self._kept, symlinks=True)
        return self

    @property
    def servers(self) -> tuple[Server, ...]:
        """All of them."""
        return self.server, self.second, self.secure

    def begin(self, *urls: Server, network: Mapping[str, float] | None = None) -> None:
        """Put the device back, have it know these servers, or the first one, and have all of them do right."""
        shutil.rmtree(self.rig.folder)
        shutil.copytree(self._kept, self.rig.folder, symlinks=True)
        self.behave()
        for server in self.servers:
            server.requests.clear()
        self._set("urls", json.dumps([server.url for server in urls or (self.server,)]))
        for key, value in (network or {}).items():
            self._set(key, str(value))

    def behave(self) -> None:
        """Have all servers do right, and the device be as patient as it usually is."""
        for server in self.servers:
            server.behave()
        usual = (self._kept / self.rig.config.name).read_text()
        for key in HASTY:
            found = re.search(rf"(?m)^{key} = (.*)$", usual)
            assert found
            self._set(key, found[1])

    def _set(self, key: str, value: str) -> None:
        text, count = re.subn(rf"(?m)^{key} = .*$", f"{key} = {value}", self.rig.config.read_text())
        assert count == 1
        self.rig.config.write_text(text)

    def updates(self) -> int:
        """Have the device update; returns the exit code."""
        return self.rig.run("update").exit_code

    def asked(self, server: Server | None = None) -> list[Asked]:
        """List what was asked for."""
        return [self._asked(request) for request in (server or self.server).requests]

    def _asked(self, request: httpd.Request) -> Asked:
        file = self.tree / request.path.lstrip("/")
        return Asked(_label(request.path), request.path, file.stat().st_size if file.exists() else 0)

    def check(self) -> str:
        """See that the device has one of the two sets, and nothing that was not verified; returns the version."""
        version = self._version()
        self._check_names()
        self._check_metadata()
        return version

    def _version(self) -> str:
        stated = {entry["package"]: entry for entry in self.rig.state()["package"]}
        versions = {entry["version"] for entry in stated.values()}
        assert len(versions) == 1, f"a mixed set: {versions}"
        (version,) = versions
        assert version in {OLD, NEW}
        for package in PACKAGES:
            data = payload(package, version)
            assert (self.rig.opt / package).read_bytes() == data
            assert stated[package]["sha256"] == hashlib.sha256(data).hexdigest()
        visible = {path.name for path in self.rig.opt.iterdir() if not path.name.startswith(".")}
        assert visible == {*PACKAGES}
        return str(version)

    def _check_names(self) -> None:
        """Whatever is named by a hash has it."""
        for file in self.rig.folder.rglob("*"):
            if is_sha256(file.name):
                assert hashlib.sha256(file.read_bytes()).hexdigest() == file.name, f"{file} is not what it is called"

    def _check_metadata(self) -> None:
        """What is kept of the mirror's metadata is what was signed, then or now."""
        signed = {file.read_bytes() for tree in (self.tree, self.older) for file in tree.glob("metadata/*.json")}
        for file in self.rig.trust.rglob("*.json"):
            assert file.name in {"notes.json", "urls.json"} or file.read_bytes() in signed, f"nobody has signed {file}"


def _label(path: str) -> str:
    first, *rest = path.strip("/").split("/")
    if first == "metadata":
        return rest[0].removesuffix(".json").split(".")[-1]
    if first == "otafiles":
        blobs = {hashlib.sha256(payload(package, NEW)).hexdigest(): package for package in PACKAGES}
        return f"blob-{blobs.get(rest[0], rest[0])}"
    return f"{'list' if first == 'releases' else 'content'}-{rest[0]}"


@contextlib.contextmanager
def laid() -> Iterator[Scene]:
    """Lay a scene out, in memory if possible: nothing here is about disks."""
    memory = Path("/dev/shm")  # noqa: S108 - a folder of its own is made in it
    with contextlib.ExitStack() as stack:
        base = memory if os.access(memory, os.W_OK) else None
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="faulty-", dir=base)))
        tree = folder / "mirror"
        tree.mkdir()
        ca = authority.make(folder)
        stack.enter_context(pytest.MonkeyPatch.context()).setenv("REQUESTS_CA_BUNDLE", str(ca.file))
        tls = (None, None, ca.context)
        servers = [stack.enter_context(httpd.serving(tree, compress=False, tls=each)) for each in tls]
        yield Scene(folder, *servers).lay()

"""Updates that are killed, that fail, or whose machine loses its power: the scene before, and what must hold after.

    scene = updates.lay(folder, updates.MIXED)
    ...                                 # `updates.run(scene, calls)` ends somehow
    updates.settle(scene)

A scene is a device that has the old releases of three packages, and a mirror that has new ones which only go
together: `app`, a file, needs `lib`, another one, and `site`, a folder. (In `FOLDERS` all are folders.) Each has a
service: BeforeUpdate stops it, AfterUpdate starts it on what is in place then, and `restore` is called at the end. All
of that is written to a journal of the scene's own, so that it can be held against what was promised.
"""

from __future__ import annotations

import atexit
import functools
import gzip
import io
import json
import os
import shutil
import sys
import tarfile
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devclient import poll, update
from devclient.settings import config, sample
from devclient.states import State
from mirror.files import Calls, Files
from tests.support import devices, trees
from tests.support.faults import CountingCalls
from tests.support.trees import Release

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from functools import partial

    from devclient.device import Device
    from devclient.outcome import Done
    from devclient.records.results import Result

OLD, NEW = "1.0", "2.0"
BRANCH = "stable"


@dataclass(frozen=True)
class Kind:
    """Which packages there are.

    Attributes:
        files: those that are single files.
        folders: those that are folders.
        head: the one that depends on all others.
    """

    files: tuple[str, ...]
    folders: tuple[str, ...]
    head: str

    @property
    def packages(self) -> tuple[str, ...]:
        """All of them, what is depended on first."""
        return (*sorted({*self.files, *self.folders} - {self.head}), self.head)


MIXED = Kind(("app", "lib"), ("site",), "app")
FOLDERS = Kind((), ("app", "site"), "app")


@dataclass(frozen=True)
class Scene:
    """A device and its mirror, in a folder.

    Attributes:
        services: where services live.
    """

    folder: Path
    kind: Kind
    services: Path

    @property
    def tree(self) -> Path:
        """The mirror."""
        return self.folder / "mirror"

    @property
    def home(self) -> Path:
        """What the device changes: its state file, its work folder and its packages."""
        return self.folder / "device"

    @property
    def log(self) -> Path:
        """The journal of the scene: a line for each hook that ran, and for each start of otadevice."""
        return self.services / "log"

    @property
    def opt(self) -> Path:
        """Where packages are installed."""
        return self.home / "opt"

    def local(self, package: str) -> Path:
        """Where a package is."""
        return self.opt / package

    def device(self, calls: Calls | None = None, **how: Any) -> Device:
        """Put the device together, with these calls."""
        return devices.device(self.home, self.tree, Files(calls), **how)

    def offline(self, calls: Calls | None = None, **how: Any) -> Device:
        """Put the device together without a network."""

        def no_network(url: str) -> Any:
            raise AssertionError(f"the network is not needed for this: {url}")

        return replace(self.device(calls, **how), mirror=no_network)

    def note(self, line: str) -> None:
        """Write a line of the harness's own into the scene's journal."""
        with self.log.open("a") as file:
            file.write(f"{line}\n")

    def lines(self) -> list[str]:
        """Read the scene's journal."""
        return self.log.read_text().splitlines() if self.log.exists() else []


def lay(folder: Path, kind: Kind = MIXED) -> Scene:
    """Lay out a scene in `folder`, which is emptied first; the same folder gives the same bytes each time."""
    # on no disk that is cut: a hook's own files are not otadevice's to make durable
    services = Path(_base().name, "services", *folder.parts[1:])
    template = _template(folder, services, kind)
    for part, name in ((folder, "scene"), (services, "services")):
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(template / name, part, symlinks=True)
    scene = Scene(folder, kind, services)
    renumber(scene.home, scene.opt)
    return scene


def run(scene: Scene, calls: Calls | None = None, **how: Any) -> list[Result]:
    """Do in this process what `otadevice update` does."""
    scene.note("update")
    return poll.run(scene.device(calls, **how))


def recover(scene: Scene, calls: Calls | None = None, **how: Any) -> Done | None:
    """Do in this process what `otadevice recover` does."""
    scene.note("recover")
    return update.recover(scene.offline(calls, **how))


def settle(scene: Scene) -> None:
    """Recover what a crash left, check it, try again, and check that the new set is reached."""
    recover(scene)
    version = check(scene)
    check_story(scene)
    results = run(scene)
    assert [result.outcome for result in results if result.outcome not in {"updated", "nothing newer"}] == []
    assert check(scene) == NEW, f"the retry did not reach the new set from {version}"
    check_story(scene)


def configure(scene: Scene, url: str, more: str = "") -> None:
    """Write the device's settings for a mirror that is served at `url`."""
    (scene.home / config.ROOT).write_bytes((scene.tree / trees.ROOT).read_bytes())
    text = sample.write((url,), (scene.opt,))
    (scene.home / "otadevice.toml").write_text(text + more)


def command(scene: Scene, *words: str) -> list[str]:
    """Give the command line that runs otadevice in a process of its own."""
    return [sys.executable, "-m", "devclient.cli", "--config", str(scene.home / "otadevice.toml"), *words]


def publish(scene: Scene) -> None:
    """Publish the new releases, and sign everything anew: who signs does not know what `lay` has put back."""
    for package in scene.kind.packages:
        releases = [_release(scene, package, version) for version in (OLD, NEW)]
        trees.write(scene.tree, *releases, package=package)
    trees.simulator(scene.tree).publish(everything=True)


def spare(scene: Scene) -> Path:
    """Return the path of the state file that is allocated in advance."""
    return scene.home / ".otadevice.json.next"


def break_hook(scene: Scene, package: str, hook: str, command: str = "exit 1") -> None:
    """Publish the new release of a package anew, with a hook that ends like that."""
    release = _release(scene, package, NEW)
    broken = replace(release, content={**release.content, hook: f"{release.content[hook]}; {command}"})
    trees.write(scene.tree, _release(scene, package, OLD), broken, package=package)


def copy(scene: Scene) -> Path:
    """Copy the device as it is now; returns where the copy is."""
    kept = scene.folder.with_name("kept")
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(scene.home, kept, symlinks=True)
    return kept


def put_back(kept: Path, scene: Scene) -> None:
    """Put the device back to what it was when `kept` was copied."""
    shutil.rmtree(scene.home)
    shutil.copytree(kept, scene.home, symlinks=True)
    renumber(scene.home, scene.opt)


def renumber(home: Path, opt: Path) -> None:
    """Have a device that was copied during an update know the copy of its folder `opt` for the one that it was."""
    file = home / "otadevice-work" / "places.json"
    if file.exists():
        fields = json.loads(file.read_bytes())
        for each in fields["places"].values():
            each["parent"]["inode"] = opt.stat().st_ino
        file.write_text(json.dumps(fields))


def check(scene: Scene) -> str:
    """Check that exactly one set is in place, and nothing else; returns its version."""
    device = scene.offline()
    assert update.open_journal(device).record.state is State.IDLE
    versions = {package: version_of(scene, package) for package in scene.kind.packages}
    assert len(set(versions.values())) == 1, f"a mixed set: {versions}"
    (version,) = set(versions.values())
    assert stated(scene) == versions
    assert running(scene) == versions, "services run on other files than those in place"
    found = strays(scene, version)
    assert found == [], f"files that nothing accounts for: {found}"
    return version


def version_of(scene: Scene, package: str) -> str:
    """Read which release of a package is in place, as whoever uses it would; "" for none."""
    local = scene.local(package)
    if package in scene.kind.files:
        data = local.read_bytes() if local.exists() else b""
        found = [version for version in (OLD, NEW) if data == payload(package, version)]
        assert found or not data, f"{local} has bytes of no release: {data[:60]!r}"
        return found[0] if found else ""
    if not local.exists():
        return ""
    version = (local / "VERSION").read_text()
    assert (local / "data" / "file").read_bytes() == payload(package, version)
    assert (local / "link").readlink() == Path("data/file")
    assert (local / "run.sh").stat().st_mode & 0o777 == 0o755
    return version


def stated(scene: Scene) -> dict[str, str]:
    """Read which releases the state file states."""
    fields = json.loads((scene.home / "otadevice.json").read_bytes())
    return {entry["package"]: entry.get("version", "") for entry in fields["package"]}


def running(scene: Scene) -> dict[str, str]:
    """Read which release each service was started on last; "" if it is stopped."""
    return {name: (scene.services / name).read_text().strip() for name in scene.kind.packages}


def strays(scene: Scene, version: str) -> list[str]:
    """List the files of the device that nothing accounts for while `version` is in place."""
    expected = set(accounted(scene, version))
    found = {os.fspath(path.relative_to(scene.home)) for path in _everything(scene.home)}
    return sorted(path for path in found if not _is_expected(path, expected))


def accounted(scene: Scene, version: str) -> Iterator[str]:
    """Name the files that may be there while `version` is in place."""
    yield from ("otadevice.json", "otadevice-work/journal", "otadevice-work/marks", "otadevice-work/results.json")
    yield from ("otadevice-work/identity.json", "otadevice-work/last.json", "otadevice-work/current")
    yield from ("otadevice.toml", config.ROOT, "otadevice-work/lock", "otadevice-work/trust/**")
    yield from ("otadevice-work/parts/*", "otadevice-work/contents/*")
    for package in scene.kind.packages:
        yield f"opt/{package}"
        if version == NEW and package in scene.kind.files:
            yield f"opt/.{package}.previous"
    device = scene.offline()
    last = device.plans.last
    for name in {device.sets.current, last.before if last else ""} - {""}:
        yield f"otadevice-work/sets/{name}/*"
        yield from (f"otadevice-work/folders/{folder}/**" for folder in device.sets.content(name).values())


def check_story(scene: Scene) -> None:
    """Check what hooks ran, attempt by attempt, against what the contract promises."""
    for attempt in attempts(scene.lines()):
        for package in scene.kind.packages:
            _check_attempt(package, [line.split() for line in attempt if line.startswith(f"{package} ")], attempt)


def attempts(lines: list[str]) -> list[list[str]]:
    """Part the scene's journal into attempts: what an update did, and the recoveries after it."""
    found: list[list[str]] = []
    for line in lines:
        if line == "update":
            found.append([])
        found[-1].append(line)
    return found


def _check_attempt(package: str, ran: list[list[str]], attempt: list[str]) -> None:
    """Check one package's part of an attempt; each line is: package, what, release, result."""
    new = [(what, result) for _, what, release, result in ran if release == NEW]
    for once in (("before", "-"), ("after", "updated")):
        assert new.count(once) <= 1, f"{once} of {package} ran {new.count(once)} times: {attempt}"
    undone = [result for _, what, release, result in ran if (what, release) == ("after", OLD)]
    restored = [result for what, result in new if what == "restore"]
    assert set(undone) <= {"rolled-back"}
    assert len(set(restored)) <= 1, f"restore of {package} was told two outcomes: {attempt}"
    if ("before", "-") in new:
        assert restored or _goes_on(attempt), f"restore of {package} did not run: {attempt}"
    if restored == ["rolled-back"] or (undone and restored):
        assert undone, f"the old AfterUpdate of {package} did not run: {attempt}"


def _goes_on(attempt: list[str]) -> bool:
    """Tell whether nobody has come yet to recover what an attempt left."""
    return "recover" not in attempt


def payload(package: str, version: str) -> bytes:
    """Make the bytes of a release: of the file, or of the largest file in the folder."""
    return b"\x7fELF\0" + f"{package} {version} ".encode() * 200  # no text, which would pass for a sign-in page


class WatchedCalls(CountingCalls):
    """The real calls, with somebody who looks at the installed packages before each of them."""

    def __init__(self, scene: Scene) -> None:
        super().__init__()
        self._scene = scene
        self.seen: list[dict[str, str]] = []

    def _do(self, name: str, call: partial[Any]) -> Any:
        self.look()
        return super()._do(name, call)

    def look(self) -> None:
        """Note what is in place."""
        versions = {package: version_of(self._scene, package) for package in self._scene.kind.packages}
        if versions not in self.seen[-1:]:
            self.seen.append(versions)


def clean_run(kind: Kind = MIXED) -> Callable[[Calls], object]:
    """Give the run of an update whose calls can be counted."""

    def go(calls: Calls) -> None:
        run(lay(place(), kind), calls)

    return go


def place() -> Path:
    """Return the one folder in which this process lays out scenes: hooks have its paths in them."""
    return Path(_base().name) / "scene"


@functools.cache
def _base() -> tempfile.TemporaryDirectory[str]:
    # in memory if possible: what is killed here is the process, never the machine
    memory = Path("/dev/shm")  # noqa: S108 - a folder of its own is made in it
    folder = tempfile.TemporaryDirectory(prefix="updates-", dir=memory if os.access(memory, os.W_OK) else None)
    atexit.register(folder.cleanup)
    return folder


@functools.cache
def _template(folder: Path, services: Path, kind: Kind) -> Path:
    """Build a scene once: install the old releases, then publish the new ones; returns where its copy is."""
    scene = Scene(folder, kind, services)
    for part in (folder, services):
        shutil.rmtree(part, ignore_errors=True)
    _build(scene)
    made = Path(_base().name) / f"template-{_template.cache_info().misses}"
    shutil.copytree(folder, made / "scene", symlinks=True)
    shutil.copytree(services, made / "services", symlinks=True)
    return made


def _build(scene: Scene) -> None:
    for part in (scene.tree, scene.opt, scene.services):
        part.mkdir(parents=True, exist_ok=True)
    entries = []
    for package in reversed(scene.kind.packages):
        trees.write(scene.tree, _release(scene, package, OLD), package=package)
        (scene.services / package).write_text("")
        end = "/" if package in scene.kind.folders else ""
        entries.append({"package": package, "branch": BRANCH, "local": f"{scene.local(package)}{end}"})
    devices.write_state(scene.home / "otadevice.json", *entries)
    results = poll.run(scene.device())
    assert {result.outcome for result in results} == {"updated"}, results
    publish(scene)
    scene.log.unlink()


def _release(scene: Scene, package: str, version: str) -> Release:
    needs = {other: f"=={version}" for other in scene.kind.packages if other != package}
    dependencies = needs if package == scene.kind.head else {}
    data = payload(package, version) if package in scene.kind.files else _archive(package, version)
    service = scene.services / package
    script = scene.services / f"restore-{package}-{version}"
    script.write_text(f'#!/bin/sh\necho {package} restore {version} "$OTA_RESULT" >> {scene.log}\n')
    script.chmod(0o755)
    content = {
        "dependencies": dependencies,
        "before_update": f"echo {package} before {version} - >> {scene.log}; : > {service}",
        "after_update": f'echo {package} after {version} "$OTA_RESULT" >> {scene.log}; echo {version} > {service}',
        "restore": os.fspath(script),
    }
    return Release(version, data, content=content, entry={"dependencies": dependencies})


def _archive(package: str, version: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data, mode in (
            ("VERSION", version.encode(), 0o644),
            ("data/file", payload(package, version), 0o644),
            ("run.sh", b"#!/bin/sh\n", 0o755),
        ):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), mode
            tar.addfile(member, io.BytesIO(data))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "data/file"
        tar.addfile(link)
    return gzip.compress(buffer.getvalue(), mtime=0)


def _everything(folder: Path) -> Iterator[Path]:
    for root, folders, files in os.walk(folder):
        links = [name for name in folders if Path(root, name).is_symlink()]
        yield from (Path(root, name) for name in (*files, *links))


def _is_expected(path: str, expected: set[str]) -> bool:
    pure = Path(path)
    return any(pure.match(pattern) or _below(path, pattern) for pattern in expected)


def _below(path: str, pattern: str) -> bool:
    return pattern.endswith("/**") and path.startswith(pattern[:-2])

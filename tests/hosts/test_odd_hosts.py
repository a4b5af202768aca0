"""What a device does on hosts and behind caches that are odd, and with a second URL when the first one is bad."""

from __future__ import annotations

import dataclasses
import shutil
import time
from typing import TYPE_CHECKING

import pytest

from builder import build
from builder.errors import ClockError
from mirror import layout
from tests.hosts import own, scene
from tests.hosts.scene import BIG, LONG, ODD, Device
from tests.support import sites

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.hosts.own import Answered, Asked, Serving
    from tests.hosts.scene import Mirror

    Answer = Callable[[Asked], Answered]

NEWER = sites.package("3.0+new")


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    """Make a mirror that nobody hosts yet."""
    with scene.mirror() as made:
        yield made


@pytest.fixture(scope="module")
def other() -> Iterator[Mirror]:
    """Make a mirror that is somebody else's."""
    with scene.mirror() as made:
        yield made


HOSTS: dict[str, Callable[[Path], Answer]] = {
    "a plus is a space and missing is forbidden": own.plus_is_space,
    "a page for everything": own.page_for_all,
    "a cache of its own accord, by path alone": lambda root: own.Cache(own.folder(root), lambda asked: asked.path),
    "a cache that obeys no client": lambda root: own.Cache(own.folder(root), lambda asked: asked.target, obeys=False),
}


MOST = {"a page for everything": 3, "a cache that obeys no client": 2}
"""Requests of a poll that finds nothing, where a page or a cache leaves it open whether there is a newer root."""


@pytest.mark.parametrize("host", HOSTS)
def test_a_device_is_served_by_odd_hosts(host: str, mirror: Mirror, tmp_path: Path) -> None:
    """Every name is installed, and a poll that finds nothing ends well."""
    with own.serving(HOSTS[host](mirror.root)) as server:
        device = Device.knowing(tmp_path / "device", mirror, server.url)
        for package in (ODD, LONG, BIG):
            device.add(package)
        device.update()
        server.answered.clear()
        device.update()

    assert [device.has(package) for package in (ODD, LONG, BIG)] == [True] * 3
    assert len(server.answered) <= MOST.get(host, 1)


def test_a_cache_that_keeps_what_was_not_there_is_waited_for(mirror: Mirror, tmp_path: Path) -> None:
    """A 404 that it kept of a blob holds a device up until it is forgotten, and does no other harm."""
    cache = own.Cache(own.folder(mirror.root), lambda asked: asked.target, obeys=False)
    with own.serving(cache) as server:
        device = Device.knowing(tmp_path / "device", mirror, server.url)
        device.add(ODD)
        path = f"/{layout.blob(ODD.content.sha256)}"
        cache.kept[path] = own.Answered(404)

        assert device.run("update").exit_code == 75
        assert not device.has(ODD)
        del cache.kept[path]
        device.update()

    assert device.has(ODD)


def test_a_cache_that_is_behind_holds_nothing_up_for_longer_than_it_is(mirror: Mirror, tmp_path: Path) -> None:
    """What was published is there when it forgets, without an error before or after."""
    cache = own.Cache(own.folder(mirror.root), lambda asked: asked.target, obeys=False)
    with own.serving(cache) as server:
        device = Device.knowing(tmp_path / "device", mirror, server.url)
        device.add(ODD)
        device.update()
        mirror.publish(NEWER)

        device.update()
        assert device.has(ODD)
        cache.kept.clear()
        device.update()

    assert device.has(NEWER)


def test_edges_of_different_age_raise_no_alarm(mirror: Mirror, tmp_path: Path) -> None:
    """A device that met the fresh one keeps what it knows when it meets the stale one."""
    stale = tmp_path / "stale"
    shutil.copytree(mirror.root, stale)
    mirror.publish(NEWER)
    edges = [own.folder(mirror.root), own.folder(stale)]
    with own.serving(edges[0]) as server:
        device = Device.knowing(tmp_path / "device", mirror, server.url)
        device.add(NEWER)
        device.update()
        assert device.has(NEWER)

        server.answer = edges[1]
        device.update()
        device.update()
        server.answer = own.taking_turns(edges[0], edges[1])
        for _ in range(4):
            device.update()

    assert device.has(NEWER)


@pytest.mark.parametrize("days", [5, 13])
def test_a_mirror_that_was_signed_in_the_future_goes_on(days: int, mirror: Mirror, tmp_path: Path) -> None:
    """A device that kept that time takes what is signed once somebody said that the clock is right again."""
    with own.serving(own.folder(mirror.root)) as server:
        device = Device.knowing(tmp_path / "device", mirror, server.url)
        device.add(ODD)
        ahead = sites.package("2.9")
        with build.opened(mirror.site, clock=lambda: time.time() + days * 86_400) as builder:
            builder.publish([sites.release(ahead, mirror.site.paths.var / "made")])
        device.update()

        with build.opened(mirror.site) as builder:
            with pytest.raises(ClockError):
                builder.publish([sites.release(NEWER, mirror.site.paths.var / "made")])
            builder.resign(clock_is_right=True)
        mirror.publish(NEWER)
        device.update()

    assert device.has(NEWER)


def _damaged(root: Path, path: str) -> Answer:
    """Serve a folder with one file in which a byte is another."""
    files = own.folder(root)

    def answer(asked: Asked) -> Answered:
        found = files(asked)
        if asked.path != f"/{path}" or not found.body:
            return found
        return dataclasses.replace(found, body=found.body[:-20] + b"X" + found.body[-19:])

    return answer


def _without(root: Path, *prefixes: str) -> Answer:
    """Serve a folder without the files below these prefixes."""
    files = own.folder(root)
    return lambda asked: own.Answered(404) if asked.path[1:].startswith(prefixes) else files(asked)


@dataclasses.dataclass(frozen=True)
class Trees:
    """The mirror as it is, as it was before the last release, and a mirror of somebody else."""

    now: Path
    before: Path
    other: Path


FIRST: dict[str, Callable[[Trees], Answer]] = {
    "stale": lambda trees: own.folder(trees.before),
    "away": lambda _: lambda _asked: own.Answered(503),
    "emptied": lambda _: own.nothing,
    "a sign-in page": lambda _: own.portal,
    "a page for everything, and nothing else": lambda trees: own.page_for_all(trees.now / "nowhere"),
    "another mirror": lambda trees: own.folder(trees.other),
    "forbidden": lambda _: lambda _asked: own.Answered(403),
    "with a damaged timestamp": lambda trees: _damaged(trees.now, layout.TIMESTAMP),
    "with a damaged blob": lambda trees: _damaged(trees.now, layout.blob(NEWER.content.sha256)),
    "with a damaged content": lambda trees: _damaged(
        trees.now, layout.url_path(layout.get_version("app", "main", NEWER.content.version))
    ),
    "being copied, timestamp first": lambda trees: _without(trees.now, "otafiles", "releases"),
    "without metadata": lambda trees: _without(trees.now, "metadata"),
    "with metadata of before": lambda trees: (
        lambda asked: own.folder(trees.before if asked.path.startswith("/metadata") else trees.now)(asked)
    ),
}


def _update(first: str, device: Device, bad: Serving, mirror: Mirror, trees: Trees) -> None:
    """Publish a release while something is wrong with the first URL, and have the device updated."""
    shutil.copytree(mirror.root, trees.before)
    mirror.publish(NEWER)
    bad.answer = FIRST[first](trees)

    done = device.run("update")

    assert (done.exit_code, device.has(NEWER)) == (0, True), done.output


@pytest.mark.parametrize("first", FIRST)
def test_a_second_url_is_enough_for_a_new_device(first: str, mirror: Mirror, other: Mirror, tmp_path: Path) -> None:
    """Whatever is wrong with the first, it has the newest release after one update."""
    with own.serving(own.portal) as bad, own.serving(own.folder(mirror.root)) as good:
        device = Device.knowing(tmp_path / "device", mirror, bad.url, good.url)
        device.add(ODD)

        _update(first, device, bad, mirror, Trees(mirror.root, tmp_path / "before", other.root))


@pytest.mark.parametrize("first", FIRST)
def test_a_second_url_is_enough_for_one_in_use(first: str, mirror: Mirror, other: Mirror, tmp_path: Path) -> None:
    """It takes what was published since; from a first that still has what it knows, when all are asked."""
    with own.serving(own.folder(mirror.root)) as bad, own.serving(own.folder(mirror.root)) as good:
        device = Device.knowing(tmp_path / "device", mirror, bad.url, good.url)
        device.ask_everyone()
        device.add(ODD)
        device.update()

        _update(first, device, bad, mirror, Trees(mirror.root, tmp_path / "before", other.root))

"""Folder packages that must not or cannot be unpacked: the whole update is refused while nothing is touched.

What exactly makes an archive hostile is held elsewhere; here one of each kind comes as a package of a set.
"""

from __future__ import annotations

import gzip
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from devclient import poll
from devclient.install import room
from devclient.settings.config import Folders
from tests.support import archives, trees, updates
from tests.support.archives import END, LINK, SYMLINK, header, member
from tests.support.trees import Release
from tests.support.updates import NEW, OLD

if TYPE_CHECKING:
    from devclient.records.results import Result
    from tests.support.updates import Scene

MIB = 1024 * 1024
FILE = member("VERSION", NEW.encode())

HOSTILE = {
    "up": (member("../../canary", b"evil"), "'../../canary' may lead out of the folder"),
    "absolute": (member("/etc/canary", b"evil"), "'/etc/canary' is not a path within the folder"),
    "a-link-out": (header("out", SYMLINK, leads_to="../../.."), "'out' is a symlink"),
    "through-a-link": (header("a", SYMLINK, leads_to=".") + member("a/b"), "has a symlink: 'a'"),
    "a-hard-link-out": (header("a", LINK, leads_to="/etc/passwd"), "'/etc/passwd'"),
    "a-file-for-a-folder": (member("a/b") + member("a"), "'a' is a file where the archive has a folder"),
    "a-device": (header("null", b"3"), "'null' is a"),
    "a-pipe": (header("pipe", b"6"), "'pipe' is a"),
    "setuid": (member("su", mode=0o4755), "'su' is setuid"),
    "cut-off": (member("a", b"a" * 10_000)[:5000], "its archive is cut"),
    "no-archive": (b"#!/bin/sh\necho I am no archive\n" * 100, "archive"),
    "a-bomb": (archives.gzip_of_nothing(64 * MIB, header("zeros", size=64 * MIB)), "more than"),
    "too-many": (b"".join(member(f"file-{number}") for number in range(300)), "more than"),
}


def offer(scene: Scene, archive: bytes) -> None:
    """Publish another new release of site, the folder of the set."""
    trees.write(scene.tree, Release(OLD, b"old"), Release(NEW, archive), package="site")


def results_of(scene: Scene, free: int | None = None) -> list[Result]:
    """Update a device that unpacks little, and may have little space."""
    scene.note("update")
    device = scene.device() if free is None else scene.device(free=free)
    limits = Folders(bytes=32 * MIB, entries=200)
    return poll.run(replace(device, settings=replace(device.settings, folders=limits)))


def see_untouched(scene: Scene) -> None:
    """See that no hook has run, the old set is in place, and nothing lies about."""
    assert scene.lines() == ["update"]
    assert updates.check(scene) == OLD
    assert scene.device().marks.listed() == []
    assert [path.name for path in scene.opt.iterdir() if path.name.startswith(".")] == []
    assert len(list((scene.device().work / "folders").iterdir())) == 1


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_stops_its_whole_set(scene: Scene, name: str) -> None:
    """Before any hook, with the reason in words; nobody is to blame but its publisher, so nothing is marked."""
    archive, why = HOSTILE[name]
    ending = b"" if name in {"cut-off", "no-archive", "a-bomb"} else FILE + END
    offer(scene, archive + ending)

    results = results_of(scene)

    assert {(result.outcome, result.code, result.exit_code) for result in results} == {("failed", "archive", 1)}
    assert all(result.message.startswith("site 2.0: ") and why in result.message for result in results), results
    see_untouched(scene)


def test_the_right_archive_mends_it(scene: Scene) -> None:
    """A refusal leaves nothing behind that stands in the way of the next release."""
    offer(scene, HOSTILE["up"][0] + END)
    results_of(scene)

    updates.publish(scene)

    updates.run(scene)
    assert updates.check(scene) == NEW


# space


def sizes(scene: Scene) -> int:
    """Tell how many bytes the new blobs have."""
    return sum(
        (scene.tree / "otafiles" / step.after.sha256).stat().st_size
        for prospect in poll.look(scene.device(), only="app")
        if prospect.plan
        for step in prospect.plan.steps
        if step.after
    )


def test_too_little_space_for_blobs_and_copies_stops_before_the_download(scene: Scene) -> None:
    """With the bytes that must be free, and those that are."""
    needed = 2 * sizes(scene) + room.RESERVE

    results = results_of(scene, free=needed - 1)

    assert {(result.code, result.exit_code) for result in results} == {("space", 1)}
    assert {re.findall(r"\d{5,}", result.message)[-2:] == [str(needed), str(needed - 1)] for result in results}
    assert list(scene.device().parts.iterdir()) == []
    see_untouched(scene)
    results_of(scene, free=needed + MIB)
    assert updates.check(scene) == NEW


def test_too_little_space_to_unpack_stops_before_anything_is_laid_out(scene: Scene) -> None:
    """A small archive may be large: it is measured before it is unpacked, and the download is kept."""
    unpacked = 8 * MIB
    offer(scene, gzip.compress(FILE + member("zeros", bytes(unpacked)) + END))
    free = 4 * MIB + room.RESERVE

    results = results_of(scene, free=free)

    (result,) = [each for each in results if each.package == "site"]
    assert (result.code, result.exit_code) == ("space", 1)
    wanted, there = map(int, re.findall(r"\d{5,}", result.message)[-2:])
    assert wanted >= unpacked + room.RESERVE
    assert there == free
    assert list(scene.device().parts.iterdir()) != []
    see_untouched(scene)

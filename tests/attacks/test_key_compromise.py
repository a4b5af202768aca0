"""Key compromise: the attacker has some of the keys, and they are not enough."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from securesystemslib.signer import CryptoSigner

from devclient.trust.notes import MOST_POLLS
from devclient.trust_errors import BehindError, DamagedMetadataError, SignatureError
from mirror import trust
from tests.attacks.scene import CLAIMED, ROLES, forged
from tests.support.simulator import new_signer

if TYPE_CHECKING:
    from mirror.errors import DeviceError
    from tests.attacks.scene import Scene

KEYED = [each for each in ROLES if each[0] != "bin"]  # bins have the keys of `unclaimed`, one of them is enough


def demand(scene: Scene, role: str, threshold: int) -> None:
    """Have a role need so many signatures, as root or targets say."""
    simulator = scene.simulator
    old = list(simulator.signers[trust.ROOT])
    simulator.require(role, threshold)
    if role in trust.TOP:
        # the new root is signed as the old one wants it, too
        signers = {signer.public_key.keyid: signer for signer in (*old, *simulator.signers[trust.ROOT])}
        simulator.signers[trust.ROOT] = list(signers.values())
        simulator.new_root(publish=False)
    simulator.publish(everything=True)


def relabelled(data: bytes, **labels: str) -> bytes:
    """Change the names of the keys of signatures."""
    value = json.loads(data)
    for signature in value["signatures"]:
        signature["keyid"] = labels.get(signature["keyid"], signature["keyid"])
    return json.dumps(value).encode()


@pytest.mark.parametrize(("role", "claimed"), KEYED)
def test_fewer_keys_than_the_threshold_are_not_enough(scene: Scene, role: str) -> None:
    """Whoever has all but one of the keys that a role needs cannot speak for it."""
    demand(scene, role, 3)

    with scene.refusing(SignatureError):
        scene.replace(role, forged(scene.says(role), *scene.simulator.signers[role][1:]))


@pytest.mark.parametrize(("role", "claimed"), [each for each in KEYED if each[0] != trust.ROOT])
def test_one_key_that_signs_twice_counts_once(scene: Scene, role: str) -> None:
    """Two signatures of one key are not those of two people."""
    demand(scene, role, 2)
    signer = scene.simulator.signers[role][0]

    with scene.refusing(DamagedMetadataError):
        value = json.loads(forged(scene.says(role), signer))
        value["signatures"] *= 2
        scene.replace(role, json.dumps(value).encode())


@pytest.mark.parametrize(("role", "claimed"), KEYED)
def test_one_key_under_two_names_counts_once(scene: Scene, role: str) -> None:
    """A signature counts for the key that made it, not for the key that it says it is by."""
    demand(scene, role, 2)
    first, second = scene.simulator.signers[role]

    with scene.refusing(SignatureError):
        value = json.loads(forged(scene.says(role), first))
        value["signatures"] += json.loads(
            relabelled(json.dumps(value).encode(), **{first.public_key.keyid: second.public_key.keyid})
        )["signatures"]
        scene.replace(role, json.dumps(value).encode())


@pytest.mark.parametrize(("role", "claimed"), ROLES)
def test_a_signature_under_a_false_name_is_refused(scene: Scene, role: str) -> None:
    """A stranger who signs in the name of a trusted key is found out."""
    thief = new_signer()
    (trusted,) = scene.simulator.signers[trust.UNCLAIMED if role == "bin" else role]

    with scene.refusing(SignatureError):
        data = forged(scene.says(role), thief)
        scene.replace(role, relabelled(data, **{thief.public_key.keyid: trusted.public_key.keyid}))


@pytest.mark.parametrize("make", [CryptoSigner.generate_rsa, CryptoSigner.generate_ecdsa], ids=["rsa", "ecdsa"])
def test_a_signature_of_another_kind_is_refused(scene: Scene, make: Any) -> None:
    """A signature of another kind of key is not one of the key that is trusted, whatever it says."""
    thief = make()
    (trusted,) = scene.simulator.signers[trust.TIMESTAMP]

    with scene.refusing(SignatureError):
        data = forged(scene.simulator.timestamp, thief)
        scene.replace(trust.TIMESTAMP, relabelled(data, **{thief.public_key.keyid: trusted.public_key.keyid}))


@pytest.mark.parametrize(
    ("attribute", "value", "error"),
    [
        ("scheme", "none", DamagedMetadataError),
        ("keytype", "rsa", DamagedMetadataError),
        ("keyval", {"public": "ab" * 31}, SignatureError),
        ("keyval", {"public": ""}, SignatureError),
    ],
)
def test_a_key_that_is_none_verifies_nothing(
    scene: Scene, attribute: str, value: object, error: type[DeviceError]
) -> None:
    """A delegation to a key that can verify nothing, signed by all that it takes, is not one to everybody."""
    with scene.refusing(error):
        (key,) = scene.simulator.delegations.keys.values()
        setattr(key, attribute, value)
        scene.simulator.publish(everything=True)


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
def test_a_threshold_of_nobody_is_refused(scene: Scene, *, signed: bool) -> None:
    """A delegation that needs no signature at all is not one, even if all keys of the targets signed it."""
    with scene.refusing(DamagedMetadataError):
        role = scene.simulator.delegations.roles
        assert role is not None
        role[trust.UNCLAIMED].threshold = 0
        if signed:
            scene.simulator.publish()
        else:
            scene.replace(trust.TARGETS, forged(scene.simulator.targets))


def test_a_root_that_needs_nobody_is_none(scene: Scene) -> None:
    """A next root in which roles need no signatures is not taken, even from the root's own keys."""
    simulator = scene.simulator

    with scene.simulator.lying():
        simulator.root.version += 1
        simulator.root.roles[trust.TIMESTAMP].threshold = 0
        simulator.write(trust.ROOT, simulator.root.version, simulator.sign(trust.ROOT, simulator.root))
        scene.replace(trust.TIMESTAMP, forged(simulator.timestamp))
        scene.refuses(SignatureError)
    scene.meets()


@pytest.mark.parametrize("role", [trust.SNAPSHOT, trust.TARGETS])
def test_a_key_that_was_replaced_counts_no_more(scene: Scene, role: str) -> None:
    """Once a new root has replaced a key, whoever has stolen the old one has nothing."""
    stolen = scene.simulator.signers[role]
    scene.simulator.new_root(role)

    with scene.refusing(SignatureError):
        scene.replace(role, forged(scene.says(role), *stolen))


def test_a_timestamps_key_that_was_replaced_counts_no_more(scene: Scene) -> None:
    """Nor that of timestamps; as it may be a cache that is behind, too, it is an alarm only if it lasts."""
    stolen = scene.simulator.signers[trust.TIMESTAMP]
    scene.simulator.new_root(trust.TIMESTAMP)

    with scene.simulator.lying():
        scene.replace(trust.TIMESTAMP, forged(scene.says(trust.TIMESTAMP), *stolen))
        for _ in range(MOST_POLLS - 1):
            scene.refuses(BehindError)
        scene.refuses(SignatureError)
    scene.meets()


def test_the_next_root_needs_the_keys_before_it(scene: Scene) -> None:
    """New keys of the root do not introduce themselves: those before have to sign for them."""
    simulator = scene.simulator

    with scene.refusing(SignatureError):
        simulator.new_root(trust.ROOT)
        scene.replace(trust.ROOT, forged(simulator.root, *simulator.signers[trust.ROOT]))


def test_the_next_root_needs_its_own_keys(scene: Scene) -> None:
    """Old keys of the root do not appoint new ones that have not signed themselves."""
    simulator = scene.simulator
    before = simulator.signers[trust.ROOT]

    with scene.refusing(SignatureError):
        simulator.new_root(trust.ROOT)
        scene.replace(trust.ROOT, forged(simulator.root, *before))


@pytest.mark.parametrize("claimed", [True], ids=["claimed"])
@pytest.mark.parametrize("role", [*trust.TOP[2:], trust.UNCLAIMED])
def test_the_mirrors_keys_are_not_the_publishers(scene: Scene, role: str) -> None:
    """No online key of the mirror signs for a package that its publisher has claimed."""
    with scene.refusing(SignatureError):
        scene.replace(CLAIMED, forged(scene.says(CLAIMED), *scene.simulator.signers[role]))

"""The client workflow of The Update Framework, section 5.3 to 5.7, rule by rule, over a device's real code and HTTP.

Each test is named for its rule, and says which one in brackets. The device looks for a newer root at each refresh.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, TargetFile

from devclient.errors import NotOnMirrorError
from devclient.trust_errors import (
    DamagedMetadataError,
    EndlessDataError,
    ExpiredError,
    IncompleteMirrorError,
    MixAndMatchError,
    RollbackError,
    SignatureError,
    UndelegatedError,
    UnsignedMirrorError,
)
from mirror import layout, trust
from tests.support import trees
from tests.support.httpd import Fault
from tests.support.simulator import seal
from tests.support.trees import Release

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from securesystemslib.signer import Signer

    from tests.support.devices import Rig
    from tests.support.simulator import Simulator

DAY = timedelta(days=1)
LIST = layout.release_list("app", "stable")
ONE, TWO = Release("1.0", b"one"), Release("2.0", b"two")


@pytest.fixture
def rig(rig: Rig) -> Rig:
    """A device that looks for a newer root at each refresh."""
    rig.config.write_text(rig.config.read_text().replace("root_interval = 86400", "root_interval = 0"))
    return rig


@pytest.fixture
def simulator(rig: Rig) -> Simulator:
    """What signs a mirror with one release of app."""
    trees.write(rig.tree, ONE)
    return trees.simulator(rig.tree)


def refresh(rig: Rig, at: datetime | None = None) -> bytes:
    """Refresh, and fetch the list of app."""
    rig.server.requests.clear()
    with rig.mirror(at) as mirror:
        return mirror.release_list("app", "stable")


def refuses(rig: Rig, error: type[Exception] | tuple[type[Exception], ...], at: datetime | None = None) -> None:
    """See that a refresh ends with this error, and that nothing but roots is kept of it."""
    before = kept(rig)
    with pytest.raises(error):
        refresh(rig, at)
    assert kept(rig) == before


def kept(rig: Rig) -> dict[str, bytes]:
    """Read the metadata that the device has kept, but for roots and delegated roles."""
    files = (rig.trust / f"{role}.json" for role in trust.TOP if role != trust.ROOT)
    return {file.name: file.read_bytes() for file in files if file.exists()}


def version(rig: Rig, role: str) -> int:
    """Return the version of a role that the device has kept."""
    if role == trust.ROOT:
        return max(int(file.name.split(".")[0]) for file in (rig.trust / "root_history").iterdir())
    return int(Metadata.from_bytes((rig.trust / f"{role}.json").read_bytes()).signed.version)


def asked(rig: Rig) -> list[str]:
    """List the names of metadata that were asked for."""
    return [request.path.rsplit("/", 1)[1] for request in rig.server.asked("/metadata/")]


def publish_root(simulator: Simulator, signers: Sequence[Signer], version: int | None = None) -> None:
    """Write what the root says now as the next one, signed by these."""
    named = simulator.root.version + 1
    simulator.root.version = named if version is None else version
    simulator.write(trust.ROOT, named, seal(simulator.root, signers))


def appoint(simulator: Simulator, role: str, signers: Sequence[Signer], threshold: int) -> None:
    """Have the root name these keys for a role, and no others."""
    for keyid in [*simulator.root.roles[role].keyids]:
        simulator.root.revoke_key(keyid, role)
    for signer in signers:
        simulator.root.add_key(signer.public_key, role)
    simulator.root.roles[role].threshold = threshold


# 5.3, root


def test_basic_refresh(rig: Rig, simulator: Simulator) -> None:
    """Root, timestamp, snapshot and targets, in this order [5.3 to 5.6]."""
    refresh(rig)

    snapshot = simulator.snapshot.version
    assert asked(rig)[:4] == ["2.root.json", "timestamp.json", f"{snapshot}.snapshot.json", "1.targets.json"]
    assert {role: version(rig, role) for role in trust.TOP} == {
        trust.ROOT: 1,
        trust.TIMESTAMP: simulator.timestamp.version,
        trust.SNAPSHOT: snapshot,
        trust.TARGETS: 1,
    }


def test_root_version_by_version(rig: Rig, simulator: Simulator) -> None:
    """Each next root is asked for, until there is none [5.3.3, 5.3.9]."""
    refresh(rig)
    for _ in range(3):
        simulator.new_root(trust.ROOT, publish=False)

    refresh(rig)

    assert asked(rig)[:5] == ["2.root.json", "3.root.json", "4.root.json", "5.root.json", "timestamp.json"]
    assert version(rig, trust.ROOT) == 4


def test_a_new_root_is_found_though_nothing_else_is_new(rig: Rig, simulator: Simulator) -> None:
    """At every refresh, before the timestamp [5.3]."""
    refresh(rig)
    simulator.new_root(publish=False)

    refresh(rig)

    assert asked(rig)[:3] == ["2.root.json", "3.root.json", "timestamp.json"]
    assert version(rig, trust.ROOT) == 2


def test_max_root_rotations(rig: Rig, simulator: Simulator) -> None:
    """A mirror with more roots than are taken at once is gone on with at the next refresh [5.3.3]."""
    for _ in range(300):
        simulator.new_root(publish=False)
    simulator.publish()

    refresh(rig)
    first = version(rig, trust.ROOT)
    refresh(rig)

    assert 1 < first < simulator.root.version == version(rig, trust.ROOT)


OLD = [CryptoSigner.generate_ed25519() for _ in range(5)]
NEW = [CryptoSigner.generate_ed25519() for _ in range(5)]
ROTATIONS: dict[str, tuple[list[CryptoSigner], int, list[CryptoSigner], int, list[CryptoSigner], bool]] = {
    "1-of-1 key rotation": (OLD[:1], 1, NEW[:1], 1, [OLD[0], NEW[0]], True),
    "1-of-1 key rotation, unused signatures": (OLD[:1], 1, NEW[:1], 1, [OLD[0], OLD[1], NEW[0], NEW[1]], True),
    "1-of-1 key rotation, not signed with old key": (OLD[:1], 1, NEW[:1], 1, [NEW[0], OLD[1]], False),
    "1-of-1 key rotation, not signed with new key": (OLD[:1], 1, NEW[:1], 1, [OLD[0], NEW[1]], False),
    "3-of-5, signed with other keys of the five": (OLD, 3, OLD, 3, [OLD[0], OLD[2], OLD[4]], True),
    "3-of-5, one key rotated": (OLD, 3, [*OLD[1:], NEW[0]], 3, [OLD[0], OLD[2], OLD[4], NEW[0]], True),
    "3-of-5, one key rotated, too few old": (OLD, 3, [*OLD[1:], NEW[0]], 3, [OLD[2], OLD[4], NEW[0]], False),
    "3-of-5, one key rotated, too few new": (OLD, 3, [*OLD[1:], NEW[0]], 3, [OLD[0], OLD[2], OLD[4]], False),
    "3-of-5, all keys rotated": (OLD, 3, NEW, 3, [*OLD[:3], *NEW[:3]], True),
    "3-of-5, all keys rotated, too few new": (OLD, 3, NEW, 3, [*OLD[:3], *NEW[:2]], False),
    "threshold raised": (OLD, 1, OLD, 3, OLD[:3], True),
    "threshold raised, too few": (OLD, 1, OLD, 3, OLD[:2], False),
    "threshold lowered": (OLD, 3, OLD, 1, OLD[:3], True),
    "threshold lowered, too few of before": (OLD, 3, OLD, 1, OLD[:1], False),
}


@pytest.mark.parametrize("rotation", ROTATIONS)
def test_root_rotation(rig: Rig, simulator: Simulator, rotation: str) -> None:
    """A new root is signed by a threshold of the keys before it, and of its own [5.3.4]."""
    before, least_before, after, least, signing, is_right = ROTATIONS[rotation]
    own = simulator.signers[trust.ROOT]
    appoint(simulator, trust.ROOT, before, least_before)
    publish_root(simulator, [*own, *before])
    refresh(rig)
    appoint(simulator, trust.ROOT, after, least)
    publish_root(simulator, signing)

    if is_right:
        refresh(rig)
    else:
        refuses(rig, SignatureError)

    assert version(rig, trust.ROOT) == (3 if is_right else 2)


@pytest.mark.parametrize("wrong", [1, 3, 99])
def test_root_version_is_the_next(rig: Rig, simulator: Simulator, wrong: int) -> None:
    """Neither the same, nor one after the next [5.3.5]."""
    refresh(rig)
    publish_root(simulator, simulator.signers[trust.ROOT], wrong)

    refuses(rig, (RollbackError, MixAndMatchError))

    assert version(rig, trust.ROOT) == 1


def test_an_expired_root_on_the_way_is_walked_over(rig: Rig, simulator: Simulator) -> None:
    """Expiry is looked at once the newest root is found [5.3.6]."""
    now, simulator.now = simulator.now, simulator.now - 1000 * DAY
    simulator.new_root(publish=False)
    simulator.now = now
    simulator.new_root()

    refresh(rig)


def test_root_expired(rig: Rig, simulator: Simulator) -> None:
    """A newest root that has expired is an error, and is kept, because it is the newest [5.3.8, 5.3.10]."""
    simulator.root.expires = simulator.now - DAY
    publish_root(simulator, simulator.signers[trust.ROOT])
    simulator.publish()

    refuses(rig, ExpiredError)

    assert version(rig, trust.ROOT) == 2
    simulator.new_root()
    refresh(rig)


def test_an_expired_local_root_is_no_hindrance(rig: Rig, simulator: Simulator) -> None:
    """What the device has may have expired while it was away [5.3.10]."""
    refresh(rig)
    simulator.now += 400 * DAY
    simulator.new_root(publish=False)
    simulator.publish(everything=True)

    refresh(rig, simulator.now)


@pytest.mark.parametrize("role", [trust.TIMESTAMP, trust.SNAPSHOT])
def test_fast_forward_recovery(rig: Rig, simulator: Simulator, role: str) -> None:
    """New keys for timestamp or snapshot let their versions start lower again [5.3.11]."""
    right = simulator.of(role).version
    simulator.of(role).version = 99_999
    simulator.publish()
    refresh(rig)
    simulator.of(role).version = right
    simulator.new_root(trust.TIMESTAMP, trust.SNAPSHOT)

    refresh(rig)

    assert version(rig, role) == simulator.of(role).version < 99_999


def test_consistent_snapshots_are_the_rule(rig: Rig, simulator: Simulator) -> None:
    """Snapshot and targets are asked for by their versions [5.3.12]."""
    refresh(rig)

    assert {name.split(".")[0].isdecimal() for name in asked(rig) if name != "timestamp.json"} == {True}


# 5.4, timestamp


@pytest.mark.parametrize("role", [trust.TIMESTAMP, trust.SNAPSHOT, trust.TARGETS])
def test_does_not_meet_threshold(rig: Rig, simulator: Simulator, role: str) -> None:
    """Fewer signatures than the root asks for are an error [5.4.2, 5.5.3, 5.6.3]."""
    simulator.require(role, 2)
    publish_root(simulator, simulator.signers[trust.ROOT])
    simulator.publish(everything=True)
    refresh(rig)
    simulator.signers[role] = simulator.signers[role][:1]
    simulator.publish(everything=True)

    refuses(rig, SignatureError)


@pytest.mark.parametrize("role", [trust.TIMESTAMP, trust.SNAPSHOT, trust.TARGETS])
def test_duplicate_signatures_count_once(rig: Rig, simulator: Simulator, role: str) -> None:
    """The same signature twice is one, and so is that of one key under two ids [5.4.2, 5.5.3, 5.6.3]."""
    simulator.require(role, 2)
    publish_root(simulator, simulator.signers[trust.ROOT])
    simulator.publish(everything=True)
    value = json.loads(simulator.read(role))
    value["signatures"] = value["signatures"][:1] * 2

    simulator.write(role, simulator.of(role).version, json.dumps(value).encode())

    refuses(rig, (SignatureError, DamagedMetadataError))


def test_root_names_keys_but_not_those_of_the_role(rig: Rig, simulator: Simulator) -> None:
    """A key that is in the root for another role does not sign for this one [5.5.3]."""
    simulator.signers[trust.SNAPSHOT] = simulator.signers[trust.TARGETS]
    simulator.publish(everything=True)

    refuses(rig, SignatureError)


def test_new_timestamp_version_rollback(rig: Rig, simulator: Simulator) -> None:
    """An older timestamp is not taken; it is a cache that is behind, so what is known stays in force [5.4.3.1]."""
    old = simulator.read(trust.TIMESTAMP)
    trees.write(rig.tree, ONE, TWO)
    refresh(rig)
    before = kept(rig)
    simulator.write(trust.TIMESTAMP, 0, old)

    assert b"2.0" in refresh(rig)

    assert kept(rig) == before


def test_timestamp_eq_versions(rig: Rig, simulator: Simulator) -> None:
    """One of the same version is the same, and ends the refresh with what is here [5.4.3.1]."""
    refresh(rig)
    before = kept(rig)

    refresh(rig)

    assert (asked(rig), kept(rig)) == (["2.root.json", "timestamp.json"], before)


def test_timestamp_content_changes(rig: Rig, simulator: Simulator) -> None:
    """The same version with other bytes is a fault of the mirror; the known one stays [5.4.3.1]."""
    refresh(rig)
    simulator.timestamp.unrecognized_fields["x-more"] = "content"
    simulator.write(trust.TIMESTAMP, 0, simulator.sign(trust.TIMESTAMP, simulator.timestamp))

    refuses(rig, MixAndMatchError)


def test_new_timestamp_snapshot_rollback(rig: Rig, simulator: Simulator) -> None:
    """A timestamp that names an older snapshot than the one before is refused [5.4.3.2]."""
    refresh(rig)
    simulator.timestamp.snapshot_meta.version -= 1
    simulator.publish()

    refuses(rig, RollbackError)


@pytest.mark.parametrize("role", [trust.TIMESTAMP, trust.SNAPSHOT, trust.TARGETS])
def test_expired(rig: Rig, simulator: Simulator, role: str) -> None:
    """Whichever has expired, the refresh ends there [5.4.4, 5.5.6, 5.6.5]."""
    refresh(rig)
    simulator.of(role).expires = simulator.now - timedelta(minutes=1)
    simulator.publish()

    refuses(rig, ExpiredError)


# 5.5, snapshot


def test_snapshot_version_is_that_of_the_timestamp(rig: Rig, simulator: Simulator) -> None:
    """Another one under its name is refused [5.5.4]."""
    old = simulator.read(trust.SNAPSHOT)
    trees.write(rig.tree, ONE, TWO)
    simulator.write(trust.SNAPSHOT, simulator.snapshot.version, old)

    refuses(rig, RollbackError)


@pytest.mark.parametrize("with_hash", [True, False])
def test_snapshot_hash_mismatch(rig: Rig, simulator: Simulator, *, with_hash: bool) -> None:
    """Hash and length of the snapshot hold, where the timestamp tells them [5.5.2]."""
    data = simulator.read(trust.SNAPSHOT)
    hashes = {"sha256": "0" * 64} if with_hash else None
    length = len(data) if with_hash else len(data) - 1
    simulator.timestamp.snapshot_meta = MetaFile(simulator.snapshot.version, length, hashes)
    simulator.publish()

    refuses(rig, (MixAndMatchError, EndlessDataError))


@pytest.mark.parametrize("drop", [True, False])
def test_snapshot_rollback(rig: Rig, simulator: Simulator, *, drop: bool) -> None:
    """No role that a snapshot named falls or goes [5.5.5]."""
    simulator.publish(everything=True)
    refresh(rig)
    if drop:
        del simulator.snapshot.meta["unclaimed.json"]
    else:
        simulator.snapshot.meta["targets.json"].version -= 1
    simulator.publish()

    refuses(rig, RollbackError)


def test_snapshot_rollback_holds_though_the_local_snapshot_no_longer_matches(rig: Rig, simulator: Simulator) -> None:
    """The snapshot of before is compared with, whatever the newer timestamp says of hashes [5.5.5]."""
    simulator.publish(everything=True)
    refresh(rig)
    simulator.snapshot.meta["targets.json"].version -= 1
    simulator.snapshot.version += 1
    data = simulator.sign(trust.SNAPSHOT, simulator.snapshot)
    simulator.write(trust.SNAPSHOT, simulator.snapshot.version, data)
    simulator.timestamp.snapshot_meta = MetaFile.from_data(simulator.snapshot.version, data, ["sha256"])
    simulator.timestamp.version += 1
    simulator.write(trust.TIMESTAMP, 0, simulator.sign(trust.TIMESTAMP, simulator.timestamp))

    refuses(rig, RollbackError)


# 5.6, targets and delegations


def test_targets_version_is_that_of_the_snapshot(rig: Rig, simulator: Simulator) -> None:
    """Another one under its name is refused [5.6.4]."""
    old = simulator.read(trust.TARGETS)
    simulator.publish(everything=True)
    simulator.write(trust.TARGETS, simulator.targets.version, old)

    refuses(rig, RollbackError)


def test_targets_hash_mismatch(rig: Rig, simulator: Simulator) -> None:
    """The hash of a role holds, where the snapshot tells it [5.6.2]."""
    simulator.snapshot.meta["targets.json"] = MetaFile(1, hashes={"sha256": "0" * 64})
    simulator.publish()

    refuses(rig, MixAndMatchError)


def test_delegation_not_in_snapshot(rig: Rig, simulator: Simulator) -> None:
    """A role that is delegated to and that the snapshot does not name is not asked for [5.6.7]."""
    bin_ = simulator.succinct.get_role_for_target(LIST)
    del simulator.snapshot.meta[f"{bin_}.json"]
    simulator.publish()

    with pytest.raises(UndelegatedError):
        refresh(rig)

    assert not any(bin_ in name for name in asked(rig))


def test_delegated_role_is_signed_by_its_delegators_keys(rig: Rig, simulator: Simulator) -> None:
    """Not by those that the root names for other roles [5.6.7]."""
    bin_ = simulator.succinct.get_role_for_target(LIST)
    data = seal(simulator.bins[bin_], simulator.signers[trust.TARGETS])
    simulator.write(bin_, simulator.bins[bin_].version, data)

    with pytest.raises(SignatureError):
        refresh(rig)


def test_a_terminating_delegation_ends_the_search(rig: Rig, simulator: Simulator) -> None:
    """Whoever comes after it is not heard [5.6.7.2]."""
    simulator.claim("app")
    simulator.publish()
    bin_ = simulator.succinct.get_role_for_target(LIST)
    simulator.bins[bin_].targets[LIST] = simulator.claimed[trust.package_role("app")].targets.pop(LIST)
    simulator.publish()

    with pytest.raises(NotOnMirrorError):
        refresh(rig)

    assert f"{simulator.claimed[trust.package_role('app')].version}.pkg-app.json" in asked(rig)
    assert not any(name.endswith(f"{bin_}.json") for name in asked(rig))


def test_a_cycle_of_delegations_comes_to_an_end(rig: Rig, simulator: Simulator) -> None:
    """No role is visited twice [5.6.7.1]."""
    (role,) = (simulator.delegations.roles or {}).values()
    bin_ = simulator.bins[simulator.succinct.get_role_for_target(LIST)]
    del bin_.targets[LIST]
    assert simulator.targets.delegations
    bin_.delegations = type(simulator.targets.delegations)(dict(simulator.delegations.keys), {role.name: role})
    simulator.publish()

    with pytest.raises(NotOnMirrorError):
        refresh(rig)


# 5.7, targets


@pytest.mark.parametrize(
    ("fault", "error"), [(Fault(flip=20), MixAndMatchError), (Fault(extra=b" "), EndlessDataError)]
)
def test_target_hash_mismatch(rig: Rig, simulator: Simulator, fault: Fault, error: type[Exception]) -> None:
    """A target has the hash and the length that are signed for [5.7.2]."""
    rig.server.misbehave("/releases/", fault)

    with pytest.raises(error):
        refresh(rig)


def test_targets_are_asked_for_by_their_hash(rig: Rig, simulator: Simulator) -> None:
    """Their names begin with it [5.7.2]."""
    target: TargetFile = simulator.speaker(LIST).targets[LIST]

    refresh(rig)

    assert [request.path for request in rig.server.asked("/releases/")] == [
        f"/{layout.hashed_release_list('app', 'stable', target.hashes['sha256'])}"
    ]


# lengths, and forms


@pytest.mark.parametrize("role", [trust.TIMESTAMP, trust.SNAPSHOT, trust.TARGETS])
def test_max_lengths(rig: Rig, simulator: Simulator, role: str) -> None:
    """Nothing is read beyond what metadata of its kind may have [5.4.1, 5.5.1, 5.6.1]."""
    data = simulator.read(role)
    simulator.write(role, simulator.of(role).version, data + b" " * (trust.MAX_BYTES[role] + 1 - len(data)))

    refuses(rig, EndlessDataError)


def test_a_root_beyond_the_limit_is_none(rig: Rig, simulator: Simulator) -> None:
    """It cannot be read, so it counts as a root that is not there [5.3.3]."""
    simulator.new_root(publish=False)
    data = simulator.read(trust.ROOT, 2)
    simulator.write(trust.ROOT, 2, data + b" " * trust.MAX_BYTES[trust.ROOT])

    refresh(rig)

    assert version(rig, trust.ROOT) == 1


def test_custom_fields_are_no_hindrance(rig: Rig, simulator: Simulator) -> None:
    """Fields that the specification does not know are signed like any other, and ignored."""
    for role in (trust.TIMESTAMP, trust.SNAPSHOT, trust.TARGETS):
        simulator.of(role).unrecognized_fields["x-custom"] = {"a": [1, "ä"]}
    simulator.root.unrecognized_fields["x-custom"] = "yes"
    simulator.new_root()

    refresh(rig)

    assert version(rig, trust.ROOT) == 2


@pytest.mark.parametrize("make", ["ed25519", "rsa", "ecdsa"])
@pytest.mark.parametrize("role", [trust.TIMESTAMP, trust.SNAPSHOT, trust.TARGETS])
def test_keytype_and_scheme(rig: Rig, simulator: Simulator, role: str, make: str) -> None:
    """Keys of each kind that the contract has sign for roles."""
    signer = getattr(CryptoSigner, f"generate_{make}")()
    appoint(simulator, role, [signer], 1)
    simulator.signers[role] = [signer]
    publish_root(simulator, simulator.signers[trust.ROOT])
    simulator.publish(everything=True)

    refresh(rig)

    assert version(rig, trust.ROOT) == 2


@pytest.mark.parametrize("role", [trust.TIMESTAMP, trust.SNAPSHOT, trust.TARGETS])
def test_a_key_twice_in_one_object_is_refused(rig: Rig, simulator: Simulator, role: str) -> None:
    """Who reads the first `signed` would believe something else than who reads the last."""
    data = simulator.read(role).replace(b'"signed":', b'"signed":{"_type":"evil"},"signed":', 1)
    simulator.write(role, simulator.of(role).version, data)

    with pytest.raises(DamagedMetadataError, match="'signed' stands twice"):
        refresh(rig)


@pytest.mark.parametrize("role", [trust.TIMESTAMP, trust.SNAPSHOT, trust.TARGETS])
def test_metadata_that_is_missing(rig: Rig, simulator: Simulator, role: str) -> None:
    """What is not there ends the refresh, and nothing of it is kept."""
    refresh(rig)
    simulator.publish(everything=True)
    name = "timestamp.json" if role == trust.TIMESTAMP else f"{simulator.of(role).version}.{role}.json"
    rig.server.misbehave(f"/metadata/{name}", Fault(status=404))

    refuses(rig, (IncompleteMirrorError, UnsignedMirrorError))


@pytest.mark.parametrize("role", [trust.TARGETS, trust.TIMESTAMP])
def test_one_key_under_two_ids_counts_once_in_a_root(rig: Rig, simulator: Simulator, role: str) -> None:
    """A newer root in which a role has one key twice is a wrongly signed one."""
    refresh(rig)
    twin: Any = json.loads(simulator.read(trust.ROOT, 1))["signed"]
    keyid = simulator.root.roles[role].keyids[0]
    twin["version"] = 2
    twin["keys"]["0" * 64] = json.loads(simulator.read(trust.ROOT, 1))["signed"]["keys"][keyid]
    twin["roles"][role] = {"keyids": [keyid, "0" * 64], "threshold": 2}
    root = type(simulator.root).from_dict(twin)
    simulator.write(trust.ROOT, 2, seal(root, simulator.signers[trust.ROOT]))

    refuses(rig, SignatureError)


def test_one_key_under_two_ids_counts_once_in_a_delegation(rig: Rig, simulator: Simulator) -> None:
    """So it is where targets delegate to a role that needs two signatures."""
    signed: Any = json.loads(simulator.read(trust.TARGETS))["signed"]
    (role,) = signed["delegations"]["roles"]
    (keyid,) = role["keyids"]
    signed["delegations"]["keys"]["0" * 64] = dict(signed["delegations"]["keys"][keyid])
    role |= {"keyids": [keyid, "0" * 64], "threshold": 2}
    signed["version"] += 1
    data = seal(type(simulator.targets).from_dict(signed), simulator.signers[trust.TARGETS])
    simulator.write(trust.TARGETS, 2, data)
    simulator.snapshot.meta["targets.json"].version = 2
    simulator.publish()

    refuses(rig, SignatureError)

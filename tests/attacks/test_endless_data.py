"""Endless data: a server that sends more than there can be, to fill a device's memory or disk."""

from __future__ import annotations

import itertools
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from tuf.api.metadata import DelegatedRole, Delegations, MetaFile, Targets

from devclient.errors import BrokenPromiseError, NetworkError, NotOnMirrorError
from devclient.trust_errors import EndlessDataError
from mirror import content, layout, trust
from tests.attacks.scene import BELOW_THE_ROOT, BRANCH, PACKAGE, forged
from tests.support.httpd import Fault, bomb

if TYPE_CHECKING:
    from tests.attacks.scene import Scene

_BUFFERED = 8 * 1024 * 1024
"""More than the kernel takes from a server before its client reads."""
_ENDLESS = Fault(status=200, body=b" " * (40 * 1024 * 1024), headers={"Content-Length": None, "Connection": "close"})
_CONTENT = f"/{layout.get_version(PACKAGE, BRANCH, '2.0')}"

below_the_root = pytest.mark.parametrize(("role", "claimed"), BELOW_THE_ROOT)


def limit(role: str) -> int:
    """Tell how large the file of a role may be."""
    return trust.MAX_BYTES.get(role, trust.MAX_BYTES[trust.TARGETS])


@below_the_root
def test_metadata_without_end_is_left(scene: Scene, role: str) -> None:
    """Metadata of any role is read up to its limit and not further, if it is never to end."""
    path = scene.path(role)
    scene.server.requests.clear()
    scene.server.misbehave(f"/{path}", _ENDLESS)

    with scene.refusing(EndlessDataError):
        pass

    sent = [request.sent for request in scene.server.asked(f"/{path}") if request.status == 200]
    assert 0 < sent[0] < limit(role) + _BUFFERED


@below_the_root
def test_metadata_that_unpacks_without_end_is_left(scene: Scene, role: str) -> None:
    """The limit holds for what comes out of gzip, not for the few bytes that come in."""
    fault = bomb(limit(role) + 1)
    assert len(fault.body or b"") < limit(role) / 100

    with scene.refusing(EndlessDataError):
        scene.server.misbehave(f"/{scene.path(role)}", fault)


def test_what_unpacks_without_end_does_not_fill_the_memory(scene: Scene) -> None:
    """What is thrown away was never there as a whole."""
    scene.server.misbehave(f"/{layout.TIMESTAMP}", bomb(100 * 1024 * 1024))

    tracemalloc.start()
    scene.refuses(EndlessDataError)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert most < 10 * 1024 * 1024


def test_delegations_without_end_are_left(scene: Scene) -> None:
    """Who delegates to one who delegates to one who delegates is followed for a while, and not for ever."""
    simulator = scene.simulator
    (signer,) = simulator.signers[trust.UNCLAIMED]
    key, names = signer.public_key, [f"link-{number}" for number in range(100)]

    def delegations(name: str) -> Delegations:
        role = DelegatedRole(name, [key.keyid], 1, terminating=False, paths=[*trust.UNCLAIMED_PATHS])
        return Delegations({key.keyid: key}, {name: role})

    # what a stolen snapshot key has named is named for ever, until a new root replaces the key
    with scene.refusing(NotOnMirrorError, recovery=lambda: simulator.new_root(trust.SNAPSHOT)):
        for name, following in itertools.pairwise(names):
            simulator.snapshot.meta[f"{name}.json"] = MetaFile(1)
            link = Targets(expires=simulator.expiry(name), delegations=delegations(following))
            simulator.write(name, 1, forged(link, signer))
        simulator.unclaimed.delegations = delegations(names[0])
        simulator.publish()

    assert len(scene.server.asked("/metadata/1.link-")) < len(names)


def test_a_list_with_a_byte_too_many_is_left(scene: Scene) -> None:
    """A release list is read up to the size that is signed for."""
    path = f"/{scene.hashed_list}"
    data = (scene.tree / scene.hashed_list).read_bytes()

    with scene.refusing(EndlessDataError):
        scene.server.misbehave(path, Fault(body=data + b" "))


@pytest.mark.parametrize("fault", [_ENDLESS, bomb(40 * 1024 * 1024)], ids=["plain", "gzip"])
def test_a_list_without_end_is_left(scene: Scene, fault: Fault) -> None:
    """So it is if the list is never to end, or unpacks without end."""
    with scene.refusing(EndlessDataError):
        scene.server.misbehave(f"/{scene.hashed_list}", fault)


@pytest.mark.parametrize("fault", [_ENDLESS, bomb(content.MAX_BYTES + 1)], ids=["plain", "gzip"])
def test_a_content_without_end_is_left(scene: Scene, fault: Fault) -> None:
    """A content.json is read up to the limit of the contract."""
    with scene.refusing(EndlessDataError):
        scene.server.misbehave(_CONTENT, fault)


@pytest.mark.parametrize("more", [1, 40 * 1024 * 1024])
def test_a_blob_that_is_announced_too_large_is_left(scene: Scene, more: int) -> None:
    """A blob of another size than its release list tells is not even begun."""
    release = scene.releases[-1]

    with scene.refusing(BrokenPromiseError):
        scene.server.misbehave(f"/{layout.blob(release.sha256)}", Fault(body=release.data + bytes(more)))


def test_a_blob_without_end_is_read_up_to_its_size(scene: Scene) -> None:
    """Of a blob whose size is not told no byte is written beyond the size that its release list tells."""
    path = f"/{layout.blob(scene.releases[-1].sha256)}"
    headers = {"Content-Length": None, "Connection": "close"}
    scene.server.misbehave(path, Fault(body=scene.releases[-1].data + bytes(40 * 1024 * 1024), headers=headers))

    scene.meets()

    assert scene.server.asked(path)[0].sent < _BUFFERED
    assert max(file.stat().st_size for file in scene.rig.folder.rglob("*") if file.is_file()) < 200_000


def test_a_blob_is_never_unpacked(scene: Scene) -> None:
    """A blob is asked for as it is: one that comes compressed is not unpacked, bomb or not."""
    release = scene.releases[-1]

    with scene.refusing(NetworkError):
        scene.server.misbehave(f"/{layout.blob(release.sha256)}", bomb(len(release.data)))

    assert {request.accepts for request in scene.server.asked("/otafiles/")} == {"identity"}


def test_a_head_without_end_is_left(scene: Scene) -> None:
    """Headers come to an end, or nothing is read."""
    raw = b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: endless\r\n" % number for number in range(1_000_000))

    with scene.refusing(NetworkError):
        scene.server.misbehave(f"/{layout.TIMESTAMP}", Fault(raw=raw))

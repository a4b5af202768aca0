"""Poisoned cache: something false is left on the device, or in what it asks with, and keeps the truth out afterwards.

Every attack of this suite ends with an honest refresh that has to succeed (`Scene.refusing`). Here are the lies that
are made for staying, and those that are nothing but damage.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from devclient.errors import NetworkError, WebPageError
from devclient.settings.config import WORK
from devclient.trust_errors import DamagedMetadataError, IncompleteMirrorError, SignatureError, UnsignedMirrorError
from mirror import layout, trust
from tests.attacks.scene import BELOW_THE_ROOT, BIN, BRANCH, CLAIMED, PACKAGE, edited, forged
from tests.support.httpd import PORTAL, Fault
from tests.support.simulator import new_signer

if TYPE_CHECKING:
    from mirror.errors import DeviceError
    from tests.attacks.scene import Scene

below_the_root = pytest.mark.parametrize(("role", "claimed"), BELOW_THE_ROOT)
returning = pytest.mark.parametrize("returning", [True], ids=["returning"])


def test_a_lie_under_the_name_of_the_truth_is_forgotten(scene: Scene) -> None:
    """A refused timestamp that came with the ETag of the right one does not make "not modified" mean the lie."""
    with scene.refusing(SignatureError):
        lie = forged(scene.simulator.timestamp, new_signer())
        scene.server.misbehave(f"/{layout.TIMESTAMP}", Fault(body=lie))  # with the ETag of the file


@pytest.mark.parametrize("returning", [False], ids=["new"])
def test_nothing_new_is_no_answer_to_who_has_nothing(scene: Scene) -> None:
    """A server that says "not modified" to a device that has no timestamp is out of order."""
    with scene.refusing(NetworkError):
        scene.server.misbehave(f"/{layout.TIMESTAMP}", Fault(status=304))


@returning
def test_nothing_new_is_no_answer_about_something_else(scene: Scene) -> None:
    """What a server calls by the name of another file does not keep it from coming."""
    fault = Fault(headers={"ETag": '"the same for all"'})
    scene.server.misbehave("/", fault)
    scene.meets()
    scene.publish("3.0")

    scene.meets()


@below_the_root
def test_a_page_to_sign_in_is_the_networks(scene: Scene, role: str) -> None:
    """A captive portal in the place of any file is a fault of the network, and neither an attack nor "nothing new"."""
    with scene.refusing(NetworkError):
        scene.server.misbehave(f"/{scene.path(role)}", PORTAL)


@returning
@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xfe\x00",
        bytes(500),
        b'{"signatures":[],"signed":{}}',
        b'{"signed":' * 1_400 + b"1" + b"}" * 1_400,
        b'{"signatures":[],"signed":{"_type":"timestamp","version":' + b"9" * 10_000 + b"}}",
    ],
    ids=["binary", "zeros", "hollow", "deep object", "large number"],
)
def test_rubbish_is_refused(scene: Scene, data: bytes) -> None:
    """What is no metadata does no harm, however it is made."""
    with scene.refusing(DamagedMetadataError):
        scene.replace(trust.TIMESTAMP, data)


@returning
@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"[]", b"null", b"Please accept the terms of use.", b'{"captive":true}', b"[" * 10_000],
    ids=["nothing", "empty", "list", "null", "text", "captive portal", "deep list"],
)
def test_what_is_no_file_of_a_mirror_is_the_networks(scene: Scene, data: bytes) -> None:
    """A sign-in in any form: nobody who attacks a mirror needs it, and devices meet it every day."""
    with scene.refusing(WebPageError):
        scene.replace(trust.TIMESTAMP, data)


@below_the_root
def test_half_a_file_is_refused(scene: Scene, role: str) -> None:
    """A file of any role that was cut off is no metadata."""
    with scene.refusing(DamagedMetadataError):
        scene.replace(role, scene.file(role)[:-20])


@below_the_root
def test_the_file_of_another_role_is_refused(scene: Scene, role: str) -> None:
    """A file that is validly signed, but as that of a role of another kind, does not speak for this one."""
    other = trust.SNAPSHOT if role != trust.SNAPSHOT else trust.TARGETS

    with scene.refusing(DamagedMetadataError):
        scene.replace(role, scene.file(other))


@returning
@pytest.mark.parametrize(
    "fields",
    [
        {"version": 0},
        {"version": -1},
        {"version": "9"},
        {"version": 1.5},
        {"expires": "tomorrow"},
        {"expires": 4_102_444_800},
        {"spec_version": "2.0.0"},
        {"spec_version": "latest"},
        {"meta": {}},
        {"meta": {"snapshot.json": {"version": 0}}},
    ],
    ids=str,
)
def test_metadata_that_breaks_the_rules_is_refused(scene: Scene, fields: dict[str, object]) -> None:
    """Fields of a form that the specification does not have are refused, and end no program."""
    with scene.refusing(DamagedMetadataError):
        scene.replace(trust.TIMESTAMP, edited(scene.file(trust.TIMESTAMP), **fields))


@pytest.mark.parametrize(
    ("role", "claimed", "error"),
    [
        (trust.TIMESTAMP, False, UnsignedMirrorError),
        (trust.SNAPSHOT, False, IncompleteMirrorError),
        (trust.TARGETS, False, IncompleteMirrorError),
        (trust.UNCLAIMED, False, IncompleteMirrorError),
        (BIN, False, IncompleteMirrorError),
        (CLAIMED, True, IncompleteMirrorError),
    ],
)
def test_a_file_that_is_missing_is_missed(scene: Scene, role: str, error: type[DeviceError]) -> None:
    """A file that is named and not there leaves the device where it is, until it is there."""
    with scene.refusing(error):
        (scene.tree / scene.path(role)).unlink()


@pytest.mark.parametrize("what", ["list", "content", "blob"])
def test_what_is_named_and_missing_is_missed(scene: Scene, what: str) -> None:
    """So it is with what metadata leads to."""
    paths = {
        "list": scene.hashed_list,
        "content": layout.get_version(PACKAGE, BRANCH, "2.0"),
        "blob": layout.blob(scene.releases[-1].sha256),
    }

    with scene.refusing(IncompleteMirrorError):
        (scene.tree / paths[what]).unlink()


@returning
@below_the_root
@pytest.mark.parametrize("damage", ["rubbish", "empty", "folder", "gone", "forged"])
def test_what_is_damaged_on_the_device_is_fetched_again(scene: Scene, role: str, damage: str) -> None:
    """A file of metadata that the device has kept and that is not sound is not used, and heals."""
    (file,) = (scene.rig.folder / WORK).rglob(f"{scene.name(role)}.json")
    forgery = forged(scene.says(role), new_signer())
    file.unlink()
    if damage == "folder":
        file.mkdir()
    elif damage != "gone":
        file.write_bytes({"rubbish": b"rubbish", "empty": b"", "forged": forgery}[damage])

    scene.meets()

    assert json.loads(file.read_bytes())["signed"]["version"] == scene.says(role).version

"""Several URLs of one mirror: whatever one of them is made to show, the device goes on with the others.

The first URL is under attack, the second is honest. Each is played with a device that has a clock, and with one whose
clock stands at 1970.
"""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from devclient.settings import config
from devclient.trust_errors import (
    DamagedMetadataError,
    IncompleteMirrorError,
    RollbackError,
    SignatureError,
    UnsignedMirrorError,
)
from mirror import layout, trust
from tests.attacks.scene import BIN, BRANCH, PACKAGE, Scene, edited, forged
from tests.support import httpd
from tests.support.httpd import PORTAL, Fault
from tests.support.simulator import Simulator, new_signer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mirror.errors import DeviceError
    from tests.support.devices import Rig
    from tests.support.httpd import Server

TIMESTAMP = f"/{layout.TIMESTAMP}"


@pytest.fixture
def second(tree: Path) -> Iterator[Server]:
    """Serve the mirror at another URL, honestly."""
    with httpd.serving(tree) as running:
        yield running


@pytest.fixture(params=[None, datetime(1970, 1, 1, tzinfo=UTC)], ids=["clock", "1970"])
def scene(request: pytest.FixtureRequest, rig: Rig, second: Server) -> Scene:
    """A device that has met the mirror, and knows it under two URLs."""
    made = Scene(rig, returning=True)
    made.sets("urls", [rig.server.url, second.url])
    made.clock = request.param
    made.meets()
    forget(rig.server, second)
    return made


def forget(*servers: Server) -> None:
    """Forget which requests servers got."""
    for server in servers:
        server.requests.clear()


def copy(scene: Scene, tmp_path: Path) -> Path:
    """Copy the mirror as it is."""
    return shutil.copytree(scene.tree, tmp_path / "copy")


def another(scene: Scene, tmp_path: Path) -> Path:
    """Make a mirror of somebody else's."""
    other = Simulator(tmp_path / "other")
    other.list(PACKAGE, BRANCH, scene.evil_list())
    other.publish(everything=True)
    return other.tree


ATTACKS: dict[str, tuple[Callable[[Scene, Path], Fault], str, str]] = {
    "forged": (lambda scene, _: Fault(body=forged(scene.simulator.timestamp, new_signer())), TIMESTAMP, "signature"),
    "changed": (lambda scene, _: Fault(body=edited(scene.file(trust.TIMESTAMP), x=1)), TIMESTAMP, "signature"),
    "damaged": (lambda scene, _: Fault(body=scene.file(trust.TIMESTAMP)[:-9]), TIMESTAMP, "damaged-metadata"),
    "emptied": (lambda *_: Fault(status=404), "/", "no-signed-mirror"),
    "forbidden": (lambda *_: Fault(status=403), "/", "refused-by-mirror"),
    "a page for everything": (lambda *_: PORTAL, "/", "network"),
    "text for everything": (lambda *_: Fault(status=200, body=b"Welcome! Sign in."), "/", "network"),
    "nothing for everything": (lambda *_: Fault(status=200, body=b""), "/", "network"),
    "away": (lambda *_: Fault(raw=b""), "/", "network"),
    "another mirror": (lambda scene, path: Fault(folder=another(scene, path)), "/", "signature"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_device_updates_though_its_first_url_is_wrong(scene: Scene, tmp_path: Path, attack: str) -> None:
    """What is wrong is held against that URL and told, and the next is asked."""
    make, where, code = ATTACKS[attack]
    scene.publish("3.0")
    scene.server.misbehave(where, make(scene, tmp_path))

    scene.meets()

    assert scene.held() == [code, ""]
    assert scene.told()["error"] is None
    if scene.clock is None:  # by which the command judges
        assert "asked after the others since 20" in scene.rig.run("status").stdout


def test_a_url_that_is_behind_holds_nobody_up(scene: Scene, tmp_path: Path) -> None:
    """A first URL that shows what the mirror was before, rightly signed, is told to be behind."""
    old = copy(scene, tmp_path)
    scene.publish("3.0")
    scene.meets()
    scene.publish("4.0")
    scene.server.misbehave("/", Fault(folder=old))

    scene.meets()

    assert scene.held() == ["behind", ""]


def test_who_was_wrong_is_asked_after_the_others_and_is_asked(scene: Scene, second: Server) -> None:
    """Blame changes the order for the processes that follow, and leaves nobody out."""
    scene.server.misbehave("/", Fault(status=503))
    scene.publish("3.0")
    scene.meets()
    scene.server.behave()
    scene.meets()
    forget(scene.server, second)
    scene.meets()
    assert (len(scene.server.requests), len(second.requests)) == (0, 1)

    second.misbehave("/", Fault(status=404))
    scene.publish("4.0")
    scene.meets()

    assert scene.server.requests


@pytest.mark.parametrize(
    ("first", "other", "worst"),
    [
        (Fault(status=503), Fault(status=404), UnsignedMirrorError),
        (Fault(status=404), Fault(body=b'{"signed": {}, "signatures": 1}'), DamagedMetadataError),
        ("forged", Fault(status=404), SignatureError),
        (PORTAL, "forged", SignatureError),
    ],
)
def test_when_none_works_the_worst_is_told(
    scene: Scene, second: Server, first: Any, other: Any, worst: type[DeviceError]
) -> None:
    """Nothing is installed, and the gravest of what is wrong is the reason."""
    before = scene.installed()
    scene.publish("3.0")
    lie = Fault(body=forged(scene.simulator.timestamp, new_signer()))
    for server, fault in ((scene.server, first), (second, other)):
        server.misbehave(TIMESTAMP, lie if fault == "forged" else fault)

    scene.refuses(worst)

    assert scene.installed() == before


@pytest.mark.parametrize("fault", [Fault(status=404), Fault(status=503), PORTAL, Fault(flip=3), "forged", "older"])
@pytest.mark.parametrize("what", [trust.SNAPSHOT, trust.TARGETS, BIN, "list", "content", "blob"])
def test_what_is_named_comes_from_any_url(scene: Scene, second: Server, what: str, fault: Any) -> None:
    """A file that is missing, wrong or out of reach at the URL of the attempt ends nothing: the other one has it."""
    old = scene.file(what) if what in {trust.SNAPSHOT, trust.TARGETS, BIN} else b"other bytes"
    scene.publish("3.0")
    scene.simulator.publish(everything=True)
    paths = {
        "list": scene.hashed_list,
        "content": layout.get_version(PACKAGE, BRANCH, "3.0"),
        "blob": layout.blob(scene.releases[-1].sha256),
    }
    path = paths.get(what) or scene.path(what)
    if isinstance(fault, str):
        signed = fault == "forged" and what not in paths
        fault = Fault(body=forged(scene.says(what), new_signer()) if signed else old)
    forget(scene.server, second)
    scene.server.misbehave(f"/{path}", fault)

    scene.meets()

    assert scene.server.asked(f"/{path}")
    assert second.asked(f"/{path}")
    assert scene.held()[0]


def test_what_is_named_is_asked_of_the_url_that_names_it(scene: Scene, second: Server, tmp_path: Path) -> None:
    """First: a URL that has nothing newer is not asked for what another one names, and not blamed for lacking it."""
    scene.server.misbehave("/", Fault(folder=copy(scene, tmp_path)))
    scene.rig.config.write_text(scene.rig.config.read_text().replace("root_interval = 86400", "root_interval = 0"))
    scene.publish("3.0")
    forget(scene.server, second)

    scene.meets()

    named = [request.path for request in scene.server.requests if "root" not in request.path]
    assert named == [TIMESTAMP]
    assert scene.held() == ["", ""]


def test_a_half_finished_attempt_leaves_nothing_but_roots(scene: Scene, second: Server) -> None:
    """Timestamp and snapshot of an attempt that could not be completed are not known; its roots are."""
    known = {file: file.read_bytes() for file in scene.rig.trust.glob("*.json")}
    scene.simulator.new_root()
    scene.publish("3.0")
    scene.simulator.publish(everything=True)
    for server in (scene.server, second):
        server.misbehave(f"/{scene.path(trust.TARGETS)}", Fault(status=404))

    scene.refuses(IncompleteMirrorError)

    assert {file: file.read_bytes() for file in known} == known
    newest = layout.metadata(trust.ROOT, scene.simulator.root.version).split("/")[1]
    assert (scene.rig.trust / "root_history" / newest).exists()
    for server in (scene.server, second):
        server.behave()
    scene.meets()


def test_a_half_finished_attempt_is_no_roll_back_for_others(scene: Scene, second: Server) -> None:
    """A URL that shows a newer timestamp, and nothing that it names, does not make the others look old."""
    lie = scene.simulator
    before, now = scene.installed(), lie.read(trust.TIMESTAMP)
    lie.timestamp.version += 100
    lie.timestamp.snapshot_meta.version += 7
    scene.server.misbehave(TIMESTAMP, Fault(body=lie.sign(trust.TIMESTAMP, lie.timestamp)))

    assert scene.updates()["code"] == ""

    assert scene.installed() == before
    assert (scene.rig.trust / "timestamp.json").read_bytes() == now
    assert scene.held()[0] == IncompleteMirrorError.code


def test_validators_go_to_their_sender_alone(scene: Scene, second: Server) -> None:
    """What one URL calls the timestamp is not told to another, and "not modified" counts only as the answer to that."""
    fault = Fault(headers={"ETag": '"the first"', "Last-Modified": None})
    scene.server.misbehave(TIMESTAMP, fault)
    scene.publish("3.0")
    scene.meets()
    second.misbehave(TIMESTAMP, Fault(headers={"ETag": '"the second"', "Last-Modified": None}))
    scene.server.misbehave("/", Fault(status=503))
    forget(scene.server, second)
    scene.meets()
    scene.server.behave()
    scene.server.misbehave(TIMESTAMP, Fault(status=503))
    scene.meets()

    sent = {request.etag for request in second.requests}
    assert '"the first"' not in sent
    assert {request.etag for request in scene.server.requests} <= {"", '"the first"'}


def test_an_equal_version_with_other_bytes_is_the_mirrors_fault(scene: Scene, second: Server) -> None:
    """The known timestamp stays; who shows another one of that version, even rightly signed, has a fault."""
    known = scene.simulator.read(trust.TIMESTAMP)
    scene.simulator.timestamp.unrecognized_fields["x-other"] = "bytes"
    other = Fault(body=scene.simulator.sign(trust.TIMESTAMP, scene.simulator.timestamp))
    scene.server.misbehave(TIMESTAMP, other)

    scene.meets()

    assert scene.held() == ["mix-and-match", ""]
    assert (scene.rig.trust / "timestamp.json").read_bytes() == known
    second.misbehave(TIMESTAMP, other)
    scene.rig.run("update")
    assert (scene.rig.trust / "timestamp.json").read_bytes() == known


def test_retry_after_binds_its_sender(scene: Scene, second: Server) -> None:
    """Who asks for time is left alone for so long, and the other URL goes on."""
    scene.server.misbehave("/", Fault(status=503, headers={"Retry-After": "3600"}))
    scene.publish("3.0")
    scene.meets()
    scene.server.behave()
    forget(scene.server, second)
    scene.publish("4.0")

    scene.meets()

    assert scene.server.requests == []
    with scene.rig.mirror() as mirror:
        mirror.release_list(PACKAGE, BRANCH)
        assert mirror.least_wait == 0


def test_a_newer_root_of_a_liar_is_a_verdict(scene: Scene) -> None:
    """A root that can be read and is wrongly signed is held against its URL as what it is."""
    version = scene.simulator.root.version + 1
    root = scene.simulator.root.to_dict() | {"version": version}
    scene.publish("3.0")
    lie = Fault(body=forged(type(scene.simulator.root).from_dict(root), new_signer()))
    scene.server.misbehave(f"/{layout.metadata(trust.ROOT, version)}", lie)

    scene.meets()

    assert scene.held() == [SignatureError.code, ""]


def test_what_was_wrong_once_is_forgotten_where_there_is_no_other(rig: Rig) -> None:
    """With one URL there is no order, so nothing is told any more once it works."""
    scene = Scene(rig, returning=True)
    scene.server.misbehave("/", Fault(status=503), times=1)
    scene.updates()
    assert scene.held() == ["network"]

    scene.meets()

    assert scene.held() == [""]


def test_the_records_of_urls_are_not_needed(scene: Scene) -> None:
    """If they are lost or damaged, more is asked for."""
    file = scene.rig.folder / config.WORK / "trust" / "main" / "kept" / "urls.json"
    for damage in (b"", b"[1]", b'{"http://x": {}}', b"\xff"):
        file.write_bytes(damage)
        scene.meets()
    assert RollbackError.code not in scene.held()

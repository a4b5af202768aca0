"""Slow retrieval: a server that keeps sending, and so slowly that the device never gets anywhere."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from devclient.errors import NetworkError
from devclient.settings.config import Network
from devclient.web.fetcher import Fetcher
from mirror import layout, trust
from tests.attacks.scene import BRANCH, PACKAGE, ROLES
from tests.support import httpd
from tests.support.httpd import Fault

if TYPE_CHECKING:
    from pathlib import Path

    from tests.attacks.scene import Scene

PROMISED = 90
"""Seconds after which a server that sends a byte a second has been left."""
_DRIPPING = Fault(drip=0.01)


def be_patient(scene: Scene, seconds: float = Network.patience) -> None:
    """Tell the device how patient to be with slow servers."""
    file = scene.rig.config
    file.write_text(re.sub(r"(?m)^patience = .*$", f"patience = {seconds}", file.read_text()))


def leaves(scene: Scene, path: str, fault: Fault = _DRIPPING) -> None:
    """See that a device of little patience leaves a server that is so slow about a file."""
    with scene.refusing(NetworkError, recovery=lambda: be_patient(scene)):
        be_patient(scene, 0.1)
        scene.server.misbehave(f"/{path}", fault)


@pytest.mark.parametrize(("role", "claimed"), ROLES)
def test_metadata_that_drips_is_left(scene: Scene, role: str) -> None:
    """A file of metadata that comes byte by byte costs a little patience, and is given up."""
    scene.simulator.timestamp.unrecognized_fields["x-padding"] = "x" * 400  # else it is compressed to a short drip
    scene.simulator.publish()

    leaves(scene, scene.path(role))


def test_a_list_that_drips_is_left(scene: Scene) -> None:
    """So is a release list."""
    leaves(scene, scene.hashed_list)


def test_a_content_that_drips_is_left(scene: Scene) -> None:
    """So is a content.json."""
    leaves(scene, layout.get_version(PACKAGE, BRANCH, "2.0"))


def test_a_blob_that_drips_is_left(scene: Scene) -> None:
    """So is a blob, however long an honest one may take."""
    leaves(scene, layout.blob(scene.releases[-1].sha256), Fault(drip=0.5))


def test_a_head_that_drips_is_left(scene: Scene) -> None:
    """So is an answer whose head does not come to an end."""
    leaves(scene, layout.TIMESTAMP, Fault(drip_head=0.01))


def test_a_byte_a_second_is_left_as_promised(tmp_path: Path) -> None:
    """With the settings that a device has by default, such a server is left within a minute and a half."""
    (tmp_path / "metadata").mkdir()
    (tmp_path / layout.TIMESTAMP).write_bytes(b" " * 10_000)
    with httpd.serving(tmp_path, compress=False) as server:
        server.misbehave("/", Fault(drip=0.001))

        def a_byte_a_second() -> float:
            return sum(request.sent for request in server.requests)

        with Fetcher(Network(), "otadevice/test", a_byte_a_second) as fetcher, pytest.raises(NetworkError):
            fetcher.ask(f"{server.url}/{layout.TIMESTAMP}", limit=trust.MAX_BYTES[trust.TIMESTAMP])

        assert a_byte_a_second() < PROMISED

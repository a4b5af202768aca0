"""From a dropped package to an updated device, on a real nginx, with a real program."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.journey.accidents import Door
from tests.journey.people import Circle
from tests.support import nginx, published, tools

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OLD, NEW = published.VERSIONS


@pytest.fixture
def circle(tmp_path: Path) -> Circle:
    """A site and a device that know nothing of each other yet."""
    circle = Circle(tmp_path / "circle")
    circle.set_up()
    return circle


@pytest.fixture
def server(circle: Circle, tmp_path: Path) -> Iterator[nginx.Nginx]:
    """The site's mirror on a real nginx, with the configuration that `host nginx` prints."""
    (tmp_path / "nginx").mkdir()
    circle.mirror.mkdir()
    with nginx.running(
        lambda address: circle.run(f"otamirror host nginx --listen {address}", "site"), tmp_path / "nginx"
    ) as server:
        yield server


@pytest.fixture
def programs() -> dict[str, Path]:
    """Two consecutive releases of a published program."""
    try:
        return {version: published.executable(version) for version in published.VERSIONS}
    except published.FetchError as error:
        tools.missing(str(error))


def test_a_dropped_package_reaches_a_device_and_so_does_its_next_release(
    circle: Circle, server: nginx.Nginx, programs: dict[str, Path]
) -> None:
    """Publisher, nginx and device need nothing but the commands that the README shows."""
    circle.publish(programs[OLD], OLD)
    circle.run("otamirror build", "site")
    circle.set_up_device("door-7", server.url)
    circle.run(f"otadevice add uv --branch stable --local {circle.installed}", "device")
    circle.run("otadevice update", "device")
    assert circle.version_on_device() == OLD

    circle.publish(programs[NEW], NEW)
    circle.run("otamirror build", "site")
    assert NEW in circle.run("otadevice check", "device")
    circle.run("otadevice update", "device")
    assert circle.version_on_device() == NEW

    before = len(server.requests())
    circle.run("otadevice update", "device")
    assert len(server.requests()) - before == 1, "a device that has everything asks once"
    assert circle.run("otamirror check", "site") == ""


def test_a_publisher_signs_for_the_fleet_alone(circle: Circle, server: nginx.Nginx, programs: dict[str, Path]) -> None:
    """Claimed, a package is published by its publisher's key; a drop without it goes nowhere, devices go on."""
    circle.publish(programs[OLD], OLD)
    circle.run("otamirror build", "site")
    circle.set_up_device("door-7", server.url)
    circle.run(f"otadevice add uv --branch stable --local {circle.installed}", "device")
    circle.run("otadevice update", "device")
    circle.claim()

    circle.publish(programs[NEW], NEW)
    circle.run("otamirror build", "site", expected=1)
    circle.run("otadevice update", "device")
    assert circle.version_on_device() == OLD

    with circle.receiving() as receiver:
        file = programs[NEW]
        words = (
            f"--key publisher.pem --package uv --branch stable --version {NEW} --to {receiver} --mirror {server.url}"
        )
        circle.run(f"otamirror push {file} {words}", "site")
    circle.run("otadevice update", "device")
    assert circle.version_on_device() == NEW
    assert circle.run("otamirror check", "site") == ""


def test_a_plain_client_finds_the_same_release_by_the_seed_addresses(
    circle: Circle, server: nginx.Nginx, programs: dict[str, Path]
) -> None:
    """Any HTTP client learns the highest version, and gets the bytes that it names."""
    circle.publish(programs[NEW], NEW)
    circle.run("otamirror build", "site")
    asked = {"package": "uv", "branch": "stable"}

    newest = httpx.get(f"{server.url}/maxVersion", params=asked).json()
    again = httpx.get(f"{server.url}/getVersion", params={**asked, "version": newest["version"]}).json()
    blob = httpx.get(f"{server.url}/otafiles/{newest['sha256']}", headers={"Accept-Encoding": "identity"})

    assert newest["version"] == NEW
    assert again == newest
    assert hashlib.sha256(blob.content).hexdigest() == newest["sha256"]


def test_a_service_survives_its_accidents(circle: Circle, server: nginx.Nginx) -> None:
    """What it depends on comes along, a release that does not start is rolled back, a killed update is recovered."""
    circle.run("otamirror build", "site")
    circle.set_up_device("door-7", server.url)

    def build(_package: str, _version: str) -> None:
        circle.run("otamirror build", "site")

    door = Door(circle, build)
    door.bring_along()
    door.fail()
    door.lose_power()

    assert door.state.read_text() == "3.0 runs\n"
    assert "rollback would take door 3.0 to 1.0" in circle.run("otadevice status", "device")

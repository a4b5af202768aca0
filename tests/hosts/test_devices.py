"""What a device does with a mirror on each host: the same everywhere, at the cost that the host allows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mirror import layout
from tests.hosts import own
from tests.hosts.scene import BIG, LONG, Device
from tests.support import sites

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.hosts.conftest import Hosted
    from tests.hosts.own import Serving

_TIMESTAMP = f"/{layout.TIMESTAMP}"


@pytest.fixture
def tap(hosted: Hosted) -> Iterator[Serving]:
    """Stand between device and host, and note what passes."""
    with own.serving(own.forwarding(hosted.url)) as running:
        yield running


@pytest.fixture
def device(hosted: Hosted, tap: Serving, tmp_path: Path) -> Device:
    """A device that knows the host by the tap."""
    return Device.knowing(tmp_path / "device", hosted.mirror, tap.url)


def test_every_name_is_installed(hosted: Hosted, device: Device) -> None:
    """Versions with + and ~, and package, branch and version of full length."""
    newest = sites.package(f"3.0+{hosted.mirror.site.name.encode().hex()[:8]}~rc1")
    hosted.publish(newest)
    for package in (newest, LONG):
        device.add(package)

    device.update()

    assert [device.has(package) for package in (newest, LONG)] == [True, True]


def test_a_poll_that_finds_nothing_is_one_small_request(hosted: Hosted, device: Device, tap: Serving) -> None:
    """The timestamp, answered 304 without a body, by ETag or by time, compressed by the host or not."""
    device.add(LONG)
    device.update()
    tap.answered.clear()

    device.update()

    assert [(each.asked.target, each.status) for each in tap.answered] == [(_TIMESTAMP, 304)]
    assert tap.sent("/") == 0


def test_a_download_that_was_cut_goes_on(hosted: Hosted, device: Device, tap: Serving) -> None:
    """Where the host serves parts, nothing is sent twice."""
    device.add(BIG)
    tap.cut("/otafiles/", after=400_000)

    for _ in range(2):
        device.run("update")

    assert device.has(BIG)
    expected = len(BIG.data) if hosted.host.ranges else len(BIG.data) + 400_000
    assert tap.sent("/otafiles/") == expected


def test_what_is_published_is_installed_by_the_next_poll(hosted: Hosted, device: Device) -> None:
    """Over what was installed before, whatever the host keeps of it."""
    package = sites.package("1.0", f"news-{len(list(hosted.mirror.root.glob('releases/*')))}")
    newer = sites.package("1.0+1", package.content.package)
    hosted.publish(package)
    device.add(package)
    device.update()
    assert device.has(package)

    hosted.publish(newer)
    device.update()

    assert device.has(newer)

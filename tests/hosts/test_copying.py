"""Copying a mirror as docs/serving.md says: a copy is whole whenever it is asked, whatever is published meanwhile."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.hosts import own, scene
from tests.hosts.scene import ODD, Device
from tests.support import sites, tools

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.hosts.scene import Mirror

_PAGE = Path(__file__).parent.parent.parent / "docs" / "serving.md"


def commands(mirror: Mirror, copy: Path) -> list[list[str]]:
    """Read the commands from the page, for these folders."""
    block = re.search(r"```\n(rsync .*?)```", _PAGE.read_text(), re.DOTALL)
    assert block
    tools.require("rsync")
    text = block[1].replace("SOURCE/", f"{mirror.root}/").replace("COPY/", f"{copy}/")
    return [line.split() for line in text.splitlines()]


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    """Make a mirror that nobody hosts yet."""
    with scene.mirror() as made:
        yield made


def test_a_copy_is_whole_after_each_command(mirror: Mirror, tmp_path: Path) -> None:
    """A new device at the copy, and one that was there before, never find that something is missing."""
    copy = tmp_path / "copy"
    with own.serving(own.folder(copy)) as server:
        for line in commands(mirror, copy):
            subprocess.run(line, check=True, cwd=tmp_path)
        known = Device.knowing(tmp_path / "known", mirror, server.url)
        known.add(ODD)
        known.update()
        for number, line in enumerate(commands(mirror, copy)):
            mirror.publish(sites.package(f"3.{number}"))
            subprocess.run(line, check=True, cwd=tmp_path)

            known.update()
            new = Device.knowing(tmp_path / f"new-{number}", mirror, server.url)
            new.add(ODD)
            new.update()

    # the timestamp was taken after the first release, and shows that one
    assert known.has(sites.package("3.0"))
    assert new.has(sites.package("3.0"))


def test_a_copy_in_the_order_of_names_is_waited_for(mirror: Mirror, tmp_path: Path) -> None:
    """What the page is for: with the timestamp first, a device ends with 75, and goes on when the rest is there."""
    copy = tmp_path / "copy"
    with own.serving(own.folder(copy)) as server:
        device = Device.knowing(tmp_path / "device", mirror, server.url)
        device.add(ODD)
        rsync = [tools.require("rsync"), "-a", f"{mirror.root}/", f"{copy}/"]
        subprocess.run([*rsync, "--exclude=/otafiles", "--exclude=/releases"], check=True)

        assert device.run("update").exit_code == 75
        subprocess.run(rsync, check=True)
        device.update()

    assert device.has(ODD)

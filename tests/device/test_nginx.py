"""A device and a real nginx, as `otamirror host nginx` sets it up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mirror import layout
from tests.support import nginx, trees
from tests.support.trees import Release

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.devices import Rig


def test_polls_of_nginx_are_quiet(rig: Rig, tree: Path, tmp_path: Path) -> None:
    """Its ETags, weak ones for what it compresses too, make a poll one 304 without a body."""
    trees.write(tree, Release("1.0", b"one"))
    folder = tmp_path / "nginx"
    folder.mkdir()
    with nginx.running(tree, folder) as server:
        rig.config.write_text(rig.config.read_text().replace(rig.server.url, server.url))
        local = rig.add()
        assert rig.run("update").exit_code == 0
        first = len(server.requests())
        assert rig.run("update").exit_code == 0
        second = server.requests()[first:]
        trees.write(tree, Release("1.0", b"one"), package="other")
        assert rig.run("update").exit_code == 0
        third = server.requests()[first + 1 :]

    assert local.read_bytes() == b"one"
    assert [(each.target, each.status, each.sent) for each in second] == [(f"/{layout.TIMESTAMP}", 304, 0)]
    assert len(third) <= 4

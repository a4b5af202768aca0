"""Our own device reads what our own builder made: they share no code but the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mirror import layout
from tests.interop.conftest import CLAIMED
from tests.support import httpd
from tests.support.devices import Rig

if TYPE_CHECKING:
    from pathlib import Path

    from tests.interop.conftest import Shown


@pytest.mark.parametrize("package", ["package-004", CLAIMED], ids=["unclaimed", "claimed"])
def test_any_root_leads_to_a_package(tmp_path: Path, shown: Shown, package: str) -> None:
    """A device that was given any root there ever was installs a package from the mirror of today."""
    with httpd.serving(shown.tree) as server:
        for version in shown.roots:
            rig = Rig(tmp_path / f"device-{version}", shown.tree, server)
            rig.opt.mkdir(parents=True)
            root = shown.tree / layout.metadata("root", version)
            words = ("--remote", server.url, "--allow", str(rig.opt), "--root", str(root))
            assert rig.run("init", *words).exit_code == 0
            local = rig.opt / package
            assert rig.run("add", package, "--branch", "main", "--local", str(local)).exit_code == 0

            done = rig.run("update")

            assert done.exit_code == 0, done.stderr
            assert local.read_bytes() == f"{package} 1.0 on main\n".encode()

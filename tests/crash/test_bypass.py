"""Proof that nothing but `mirror/files.py` changes the files of a site, SQLite's own aside.

So what is killed, failed and counted at `mirror.files.Calls` is all there is.
"""

from __future__ import annotations

import contextlib
import sqlite3
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support import crashes, sites
from tests.support.trace import announced, bypasses, of_sqlite, record

if TYPE_CHECKING:
    from pathlib import Path

    from builder.site import Site
    from tests.support.systemcalls import SystemCall


@pytest.fixture(params=crashes.SCENES)
def dropped(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    """Lay out a site with packages in its inbox."""
    return crashes.lay(request.param, tmp_path / "site").site


@pytest.fixture
def published(tmp_path: Path) -> Site:
    """Lay out a site on which everything is published."""
    scene = crashes.lay("grown", tmp_path / "site")
    crashes.run(scene.site)
    return scene.site


def changes(site: Site, *words: str) -> list[SystemCall]:
    """Run a command of otamirror; list what it changed that is not SQLite's, after finding no bypass in it."""
    return changes_of(crashes.command(site, *words), site)


def changes_of(command: list[str], site: Site) -> list[SystemCall]:
    """Run any Python program on a site, and do the same."""
    seen = record(announced(command), site.file.parent)
    of_database = of_sqlite(site.paths.catalogue)
    assert bypasses(seen, of_database) == []
    assert any(set(call.paths) <= set(of_database) for call in seen), "SQLite is seen"
    return [call for call in seen if not set(call.paths) <= set(of_database)]


def changed(calls: list[SystemCall], folder: Path) -> set[str]:
    """Name the calls that changed something in a folder."""
    removals = {call: "rmdir" for call in calls if call.name == "unlinkat" and "AT_REMOVEDIR" in call.arguments}
    return {removals.get(call, call.name.removesuffix("at")) for call in calls if call.touches(folder.resolve())}


def test_build_bypasses_nothing(dropped: Site) -> None:
    """Two packages are claimed, copied, published, shown to people and removed through `mirror/files.py` alone."""
    calls = changes(dropped, "build")

    assert len(calls) > 60
    assert changed(calls, dropped.paths.mirror) >= {"rename", "syncfs"}
    assert changed(calls, dropped.paths.spool) >= {"mkdir", "open", "write", "utimens", "rename", "rmdir"}
    assert changed(calls, dropped.paths.claimed) >= {"mkdir", "rename", "unlink", "rmdir"}
    assert changed(calls, dropped.paths.inbox) == {"rename"}


def test_a_refusal_bypasses_nothing(dropped: Site, tmp_path: Path) -> None:
    """What is refused is moved away, with its reason, through `mirror/files.py` alone."""
    sites.drop(dropped.paths.inbox, sites.package(name="bad"), "bad.bin").write_bytes(b"other bytes\n")
    script = tmp_path / "script.py"  # the command's exit code would be that of a failure
    script.write_text(
        "import pathlib, sys\n"
        "from builder import site\n"
        "from tests.support import crashes\n"
        "crashes.run(site.load(pathlib.Path(sys.argv[1])))\n"
    )

    calls = changes_of([sys.executable, str(script), str(dropped.file)], dropped)

    assert changed(calls, dropped.paths.rejected) >= {"rename", "fsync"}
    assert len(list(dropped.paths.rejected.glob("*/reason.json"))) == 1


def test_build_from_scratch_bypasses_nothing(published: Site) -> None:
    """What was damaged or lost is written again through `mirror/files.py` alone."""
    for path in (*published.paths.mirror.glob("releases/*/*.json"), *published.paths.mirror.rglob("*.html")):
        path.write_bytes(b"damaged")

    calls = changes(published, "build", "--from-scratch")

    assert changed(calls, published.paths.mirror) >= {"rename", "syncfs"}
    assert len([call for call in calls if call.name.startswith("rename")]) >= 8


def test_prune_bypasses_nothing(published: Site) -> None:
    """What nobody needs is removed through `mirror/files.py` alone."""
    (published.paths.mirror / "otafiles" / ("0" * 64)).write_bytes(b"of no release")
    with contextlib.closing(sqlite3.connect(published.paths.catalogue)) as catalogue, catalogue:
        catalogue.execute("UPDATE superseded SET since = 0, until = 0")

    calls = changes(published, "prune", "--keep-days", "0")

    assert changed(calls, published.paths.mirror) >= {"unlink"}
    assert len([call for call in calls if call.name.startswith("unlink")]) > 2


def test_recover_bypasses_nothing(published: Site) -> None:
    """A damaged catalogue is put aside, and a new one made, through SQLite and `mirror/files.py` alone."""
    published.paths.catalogue.write_bytes(b"no catalogue" * 1000)
    next(published.paths.mirror.rglob("*.html")).unlink()

    calls = changes(published, "recover")

    assert changed(calls, published.paths.catalogue.with_name("catalogue.sqlite.damaged")) == {"rename"}
    assert changed(calls, published.paths.mirror) >= {"rename", "syncfs"}
    assert len(crashes.catalogued(published)) == 131

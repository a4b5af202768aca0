"""A disk without room: 507, nothing left behind, and all is well once there is room again."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from typing import TYPE_CHECKING

import pytest

from builder import check
from builder.catalogue import Catalogue
from builder.uploads import refusals
from tests.receiver import forms
from tests.receiver import rig as rigs
from tests.receiver.forms import content, form, part, request
from tests.support import powercut

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.receiver.rig import Rig

KIB = 1024
RESERVE = 16 * KIB * KIB
LARGE = bytes(24 * KIB * KIB)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Run a receiver whose site has a disk of its own, with one package on its mirror."""
    with powercut.disk(64 * KIB * KIB) as machine, rigs.running(machine.folder / "site") as running:
        running.publish(version="0.1")
        yield running


@contextlib.contextmanager
def filled(folder: Path, free: int) -> Iterator[None]:
    """Leave so many bytes free on the disk of a folder."""
    path = folder / "filler"
    with path.open("wb") as filler:
        os.posix_fallocate(filler.fileno(), 0, shutil.disk_usage(folder).free - free)
    try:
        yield
    finally:
        path.unlink()


def assert_whole(rig: Rig) -> None:
    """Check that the mirror is exactly what the catalogue says, and the spool is empty."""
    with Catalogue.open(rig.site.paths.catalogue) as catalogue:
        assert list(check.check(rig.site.paths.mirror, catalogue)) == []
    assert rig.spooled() == []


@pytest.mark.root
@pytest.mark.parametrize("framed", [request, forms.chunked], ids=["length", "chunked"])
def test_a_package_larger_than_the_room_is_refused(small: Rig, framed: type) -> None:
    """A file that does not fit is refused, be it announced or not, and the next upload that fits is fine."""
    large = form(part("content", content()), part("file", LARGE))
    before = small.mirror()
    with filled(small.site.paths.var, RESERVE + 3 * KIB * KIB):
        answer = small.put(framed(large))

        assert (answer.status, answer.error) == (507, "disk-full")
        assert small.mirror() == before
        assert_whole(small)
        small.publish(version=f"1.0-{framed.__name__}")


@pytest.mark.root
@pytest.mark.parametrize("free", [64, 512, 4 * KIB, 15 * KIB])
def test_a_disk_that_is_nearly_full_takes_nothing(small: Rig, free: int) -> None:
    """What blob, catalogue and pages need is not begun where it may not end, and is fine once there is room."""
    upload = forms.chunked(forms.good(version=f"2.{free}", description="d" * 20_000))
    before = small.mirror()
    with filled(small.site.paths.var, free * KIB):
        answer = small.put(upload)

        assert (answer.status, answer.error) == (507, "disk-full")
        assert small.mirror() == before
        assert small.spooled() == []

    assert small.put(upload).json["new"]
    assert_whole(small)


def test_a_catalogue_without_room_is_a_full_disk() -> None:
    """SQLite has words of its own for it; its other troubles are faults."""
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("PRAGMA max_page_count = 2")
        connection.execute("CREATE TABLE filler (data)")
        with pytest.raises(sqlite3.OperationalError) as full:
            connection.execute("INSERT INTO filler VALUES (zeroblob(100000))")
        with pytest.raises(sqlite3.OperationalError) as other:
            connection.execute("SELECT * FROM nothing")

    assert (refusals.of(full.value).status_hint, refusals.of(other.value).status_hint) == (507, 500)

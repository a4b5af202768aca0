"""builder/check.py: whatever is not as the catalogue says is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from builder import build, check
from builder.check import Fault
from mirror import canonical, layout
from tests.support import sites

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from builder.site import Site

PACKAGE = sites.package("1.0", data=b"a package's bytes")
BLOB = layout.blob(PACKAGE.content.sha256)
CONTENT = layout.get_version("app", "main", "1.0")


@pytest.fixture
def published(site: Site) -> Site:
    """A site with two releases, so with a superseded list."""
    for package in (sites.package("0.9"), PACKAGE):
        sites.drop(site.paths.inbox, package)
        with build.opened(site) as builder:
            builder.take_inbox()
            builder.refresh_pages()
    return site


def faults(site: Site) -> list[Fault]:
    """Check a site."""
    with build.opened(site) as builder:
        return list(check.check(site.paths.mirror, builder.catalogue))


def test_a_sound_mirror_has_no_faults(published: Site) -> None:
    """Superseded lists and pages for people are as they should be."""
    assert faults(published) == []


@pytest.mark.parametrize(
    ("path", "damage", "problem"),
    [
        (BLOB, lambda file: file.unlink(), "missing"),
        (BLOB, lambda file: file.write_bytes(PACKAGE.data[:-1]), "truncated"),
        (BLOB, lambda file: file.write_bytes(PACKAGE.data + b"!"), "changed"),
        (BLOB, lambda file: file.write_bytes(PACKAGE.data.swapcase()), "changed"),
        (BLOB, lambda file: file.write_bytes(b""), "truncated"),
        (CONTENT, lambda file: file.unlink(), "missing"),
        (CONTENT, lambda file: file.write_bytes(file.read_bytes()[:-1]), "truncated"),
        (CONTENT, lambda file: file.write_bytes(b"{}\n"), "changed"),
        (layout.max_version("app", "main"), lambda file: file.unlink(), "missing"),
        (layout.release_list("app", "main"), lambda file: file.write_bytes(b""), "truncated"),
        ("stray.txt", lambda file: file.write_text("?"), "extra"),
        (layout.blob("0" * 64), lambda file: file.write_text("?"), "extra"),
        (layout.get_version("app", "main", "7"), lambda file: file.write_text("{}"), "extra"),
    ],
)
def test_every_damaged_file_is_named(
    published: Site, path: str, damage: Callable[[Path], object], problem: str
) -> None:
    """The fault is found, with its kind, and nothing else is blamed."""
    damage(published.paths.mirror / path)

    assert faults(published) == [Fault(path, problem)]


def test_a_superseded_list_must_have_the_hash_of_its_name(published: Site) -> None:
    """It is known by its own hash alone."""
    (older,) = (
        path
        for path in sites.paths(published.paths.mirror)
        if (name := layout.parse_release_list(path))
        and name.sha256
        and canonical.digest((published.paths.mirror / layout.release_list("app", "main")).read_bytes()) != name.sha256
    )
    (published.paths.mirror / older).write_bytes(b"{}\n")

    assert faults(published) == [Fault(older, "extra")]

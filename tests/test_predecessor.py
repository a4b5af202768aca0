"""Claims that a release before this one left in the inbox are taken over once; what is not ours is named and stays."""

from __future__ import annotations

import fcntl
import logging
import os
from typing import TYPE_CHECKING

import pytest

from builder import build
from tests.support import sites, tools
from tests.support.sites import Clock

if TYPE_CHECKING:
    from pathlib import Path

    from builder.intake.drops import Pass
    from builder.site import Site

CLAIM = "0123456789abcdef"


def old_claims(site: Site) -> Path:
    """Make the folder in which claims were."""
    folder = site.paths.inbox / ".claimed"
    folder.mkdir(0o700)
    return folder


def claim(folder: Path, name: str = CLAIM, version: str = "1.0") -> Path:
    """Make a claim as the older release did."""
    (folder / name).mkdir(0o700)
    sites.drop(folder / name, sites.package(version))
    return folder / name


def take(site: Site) -> Pass:
    """Make one pass over the inbox."""
    with build.opened(site, clock=Clock()) as builder:
        return builder.take_inbox()


def test_what_was_claimed_is_published(site: Site) -> None:
    """Nothing is lost in an upgrade, and nothing stays of the old place."""
    claim(old_claims(site))

    done = take(site)

    assert [verdict.title for verdict in done.verdicts] == ["app 1.0 on main"]
    assert list(site.paths.inbox.iterdir()) == list(site.paths.claimed.iterdir()) == []


def test_what_was_published_or_refused_is_put_away(site: Site) -> None:
    """A removal that was cut short goes on: the published goes, the refused moves to where it belongs."""
    old = old_claims(site)
    claim(old, f".{CLAIM}")
    (claim(old, "20270115T080000Z-app.bin", "1.1") / ".reason.json").write_bytes(b"{}")

    assert take(site).verdicts == ()

    assert sites.paths(site.paths.rejected) == [
        f"20270115T080000Z-app.bin/{name}" for name in ("app.bin", "app.bin.json", "reason.json")
    ]
    assert list(site.paths.inbox.iterdir()) == []


@pytest.mark.parametrize("kind", ["link", "file", "open to others", "of another user"])
def test_a_folder_that_is_not_ours_alone_is_left(
    kind: str, site: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever may write to the inbox can put one there; nothing in it is touched, and it is told once."""
    outside = tmp_path / "outside"
    outside.mkdir(0o700)
    claim(outside)
    old = site.paths.inbox / ".claimed"
    if kind == "link":
        old.symlink_to(outside)
    elif kind == "file":
        old.touch()
    else:
        claim(old_claims(site))
        old.chmod(0o777 if kind == "open to others" else 0o700)
    if kind == "of another user":
        tools.require_root()
        os.chown(old, 1, 1)

    with build.opened(site, clock=Clock()) as builder:
        passes = [builder.take_inbox(), builder.take_inbox()]

    assert [done.verdicts for done in passes] == [(), ()]
    assert old.is_symlink() or old.exists()
    assert len(list(outside.iterdir())) == 1
    assert len([line for line in caplog.messages if str(old) in line]) == 1


def test_what_is_among_the_claims_and_not_ours_is_named(
    site: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Only folders of our own making are moved, whatever the names of others are."""
    outside = tmp_path / "outside"
    outside.mkdir(0o700)
    old = old_claims(site)
    claim(old)
    (old / "fedcba9876543210").symlink_to(outside)
    (old / "notes").mkdir(0o700)

    done = take(site)

    assert [verdict.title for verdict in done.verdicts] == ["app 1.0 on main"]
    assert sorted(path.name for path in old.iterdir()) == ["fedcba9876543210", "notes"]
    assert any("'fedcba9876543210', 'notes'" in line for line in caplog.messages)


def test_an_older_release_at_work_is_left_alone(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """It holds the lock of then; its claims are its own until it gives that back, and everything else goes on."""
    caplog.set_level(logging.INFO)
    claim(old_claims(site))
    sites.drop(site.paths.inbox, sites.package("2.0"))
    lock = os.open(site.paths.var, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)

    with build.opened(site, clock=Clock()) as builder:
        during = builder.take_inbox()
        os.close(lock)
        after = builder.take_inbox()

    assert [verdict.title for verdict in during.verdicts] == ["app 2.0 on main"]
    assert [verdict.title for verdict in after.verdicts] == ["app 1.0 on main"]
    assert len([line for line in caplog.messages if "an older otamirror may be at work" in line]) == 1

"""Other users of the builder's machine, and publishers who share an inbox, for real: what they try gets them nowhere.

Root makes the users; the service is root itself, so that everything on the machine would be in reach.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from builder import build
from tests.support import sites, strangers, tools

if TYPE_CHECKING:
    from builder.intake.drops import Pass
    from builder.site import Site

pytestmark = pytest.mark.root

HOLD = """
held = []
for root, folders, files in os.walk(words[0]):
    for path in (root, *(os.path.join(root, name) for name in files)):
        try:
            held.append(os.open(path, os.O_RDONLY))
        except PermissionError:
            continue
        fcntl.flock(held[-1], fcntl.LOCK_EX)
        fcntl.lockf(held[-1], fcntl.LOCK_SH) if os.path.isfile(path) else None
print("ready" if held else "nothing could be opened", flush=True)
time.sleep(600)
"""

SLIP_A_TREE_IN = """
inbox, prepared, secret = words
dropped = os.open(os.path.join(inbox, "app"), os.O_RDONLY)
busy = os.open(os.path.join(prepared, "a"), os.O_RDONLY)
ready()
while "app" in os.listdir(inbox):
    pass
for name in sorted(os.listdir(prepared)):
    try:
        os.rename(os.path.join(prepared, name), name, dst_dir_fd=dropped)
    except OSError:
        break
most = len(os.listdir(busy))
while len(os.listdir(busy)) == most:
    pass
for name in sorted(os.listdir(dropped)):
    if name.startswith("z"):
        os.rename(name, "." + name, src_dir_fd=dropped, dst_dir_fd=dropped)
        os.symlink(secret, name, dir_fd=dropped)
time.sleep(600)
"""

EXCHANGE_CLAIMS = """
inbox, var = words
claims = os.path.join(inbox, ".claimed")
try:
    os.rename(claims, os.path.join(inbox, ".before"))
except FileNotFoundError:
    pass
os.mkdir(claims)
os.chmod(claims, 0o777)
ready()
number = 0
while True:
    for name in os.listdir(claims):
        if len(name) == 16:
            number += 1
            try:
                os.rename(os.path.join(claims, name), os.path.join(claims, f"taken-{number}"))
                os.symlink(var, os.path.join(claims, name))
            except OSError:
                pass
"""


@pytest.fixture
def site() -> Site:
    """Make a site in a folder that other users can reach."""
    tools.require_root()
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    return sites.make(folder / "site")


def take(site: Site) -> Pass:
    """Make one pass over the inbox, and bring the pages for people up to date."""
    with build.opened(site) as builder:
        result = builder.take_inbox()
        builder.refresh_pages()
    return result


def test_locks_of_strangers_stop_nothing(site: Site) -> None:
    """Somebody who holds a lock on everything that can be opened keeps nobody from publishing."""
    sites.drop(site.paths.inbox, sites.package("1.0"))
    take(site)
    sites.drop(site.paths.inbox, sites.package("1.1"))

    with strangers.acting(HOLD, site.paths.var), build.opened(site) as builder:
        result = builder.take_inbox()
        builder.refresh_pages(everything=True)

    assert [verdict.is_new for verdict in result.verdicts] == [True]


@pytest.mark.parametrize("mode", [0o777, 0o1777])
def test_a_tree_that_is_slipped_into_a_dropped_folder_takes_nothing_with_it(
    mode: int, site: Site, tmp_path: Path
) -> None:
    """Its publisher holds the folder open, fills it once it is claimed, and makes links of what is being removed."""
    site.paths.inbox.chmod(mode)
    secret, prepared = site.paths.keys, site.paths.var.parent / "prepared"
    for name in ("a", "z0", "z1", "z2", "z3"):
        (prepared / name).mkdir(parents=True)
    for number in range(1000):
        (prepared / "a" / f"{number}").touch()
    dropped = sites.drop_folder(site.paths.inbox, sites.package("1.0", data=b"x" * 3_000_000))
    for path in (prepared, *prepared.rglob("*"), dropped, *dropped.iterdir()):
        os.chown(path, strangers.USER, strangers.USER)
    before = sites.read(secret)

    with strangers.acting(SLIP_A_TREE_IN, site.paths.inbox, prepared, secret):
        take(site)
        take(site)

    assert before
    assert sites.read(secret) == before
    (left,) = site.paths.rejected.iterdir()
    assert (left / "app").is_dir()


def test_claims_cannot_be_exchanged_in_a_shared_inbox(site: Site) -> None:
    """Who makes the folder in which claims once were, and links of claims in it, writes no file of the service's."""
    site.paths.inbox.chmod(0o2770)
    os.chown(site.paths.inbox, 0, strangers.USER)

    with strangers.acting(EXCHANGE_CLAIMS, site.paths.inbox, site.paths.var):
        for number in range(5):
            sites.drop(site.paths.inbox, sites.package(f"1.{number}"), "tokens.json")
            sites.drop(site.paths.inbox, sites.package(f"2.{number}"), f"other-{number}")
            take(site)

    assert not site.paths.tokens.exists()
    assert len(list((site.paths.inbox / ".claimed").iterdir())) == 0
    assert sorted(path.name for path in site.paths.var.iterdir()) == [
        "catalogue.sqlite", "claimed", "inbox", "keys", "mirror", "rejected", "spool",
    ]  # fmt: skip

"""What only the service's own user can open, and what everybody can, whatever umask otamirror was started with."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from builder import build, private
from builder import site as settings
from builder.errors import PrivacyError
from mirror.files import Files
from tests.support import sites, tools

if TYPE_CHECKING:
    from collections.abc import Callable

    from builder.site import Site

FILES = Files()


def mode(path: Path) -> int:
    """Tell the permissions of a path."""
    return stat.S_IMODE(path.lstat().st_mode)


def otamirror(site: Site, *words: str, umask: int = -1) -> str:
    """Run a command of otamirror, and return all that it says."""
    command = [sys.executable, "-m", "builder.cli", "--site", str(site.file), *words]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, umask=umask)
    return done.stdout + done.stderr


@pytest.mark.parametrize("umask", [0o000, pytest.param(0o002, marks=pytest.mark.long), 0o077])
def test_modes_do_not_depend_on_the_umask(umask: int, tmp_path: Path) -> None:
    """A web server of another user can read the mirror and nothing else of the site; nobody else can write anything."""
    (tmp_path / "site.toml").write_text("[trust]\nbins = 2\n")
    site = settings.load(tmp_path / "site.toml")
    subprocess.run(["mkdir", "-p", "-m", "755", site.paths.inbox], check=True, umask=0o022)
    sites.drop(site.paths.inbox, sites.package("1.0"))

    assert otamirror(site, "build", umask=umask).startswith("1 published")

    paths = site.paths
    for folder in (paths.var, paths.inbox, paths.rejected, paths.mirror, *filter(Path.is_dir, paths.mirror.rglob("*"))):
        assert (folder, mode(folder)) == (folder, 0o755)
    for file in filter(Path.is_file, paths.mirror.rglob("*")):
        assert (file, mode(file)) == (file, 0o644)
    for folder in (paths.spool, paths.claimed, paths.keys, *filter(Path.is_dir, paths.spool.rglob("*"))):
        assert (folder, mode(folder)) == (folder, 0o700)
    assert mode(paths.catalogue) == 0o600
    assert {mode(key) for key in paths.keys.glob("*.pem")} <= {0o600}


def test_a_new_site_can_be_reached_whatever_the_umask(tmp_path: Path) -> None:
    """The folder of everything is entered by web servers and publishers on the way to what is theirs."""
    command = [sys.executable, "-m", "builder.cli", "--site", str(tmp_path / "site.toml"), "init"]

    subprocess.run(command, check=True, capture_output=True, timeout=60, umask=0o077)

    assert (mode(tmp_path / "var"), mode(tmp_path / "var" / "inbox")) == (0o755, 0o755)


def test_what_older_releases_left_open_is_closed(site: Site) -> None:
    """A site of a release whose spool and catalogue were readable is closed at the next start; locks depend on it."""
    paths = site.paths
    paths.spool.mkdir(mode=0o755)
    log = paths.catalogue.with_name("catalogue.sqlite-shm")
    for path in (paths.catalogue, log):
        path.touch()
        path.chmod(0o644)

    with build.opened(site):
        assert (mode(paths.spool), mode(paths.catalogue), mode(log)) == (0o700, 0o600, 0o600)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path.mkdir(0o755), r"is open to other users, with the mode 0755: `chmod 700 .*claimed`"),
        (lambda path: path.mkdir(0o710), "is open to other users"),
        (lambda path: path.symlink_to(path.parent / "inbox"), "is open to other users|is a link"),
        (Path.touch, "is a link, or no folder|is open to other users"),
    ],
    ids=["readable", "may be entered", "a link", "a file"],
)
def test_claims_are_only_kept_where_nobody_else_can_get_at_them(
    make: Callable[[Path], object], said: str, site: Site
) -> None:
    """A folder for claims that others can enter is refused, and the error says what to do."""
    make(site.paths.claimed)

    with pytest.raises(PrivacyError, match=said), build.opened(site) as builder:
        builder.take_inbox()


@pytest.mark.parametrize("name", ["claimed", "spool"])
@pytest.mark.root
def test_a_private_folder_of_another_user_is_refused(name: str, site: Site) -> None:
    """Its owner could exchange all that is in it; the error says as whom to run."""
    tools.require_root()
    folder = site.paths.var / name
    folder.mkdir(0o700)
    os.chown(folder, 1, 1)

    with pytest.raises(PrivacyError, match=r"belongs to the user .* run this command as"), build.opened(site):
        pass


@pytest.mark.root
def test_a_private_folder_that_may_not_be_made_is_told(request: pytest.FixtureRequest) -> None:
    """The folder above is somebody else's; the error says that another can be named."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    tools.require_root()
    request.getfixturevalue("unprivileged")

    with pytest.raises(PrivacyError, match=r"cannot be made: Permission denied; .*site\.toml"):
        private.make_folder(folder / "claimed", FILES)


def test_a_folder_of_many_users_is_not_closed_to_them(tmp_path: Path) -> None:
    """A spool that was set to a folder such as /tmp is an error of the settings; /tmp stays as it is."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)

    with pytest.raises(PrivacyError, match=r"site\.toml"):
        private.make_folder(shared, FILES, close=True)

    assert mode(shared) == 0o1777


def test_a_link_in_the_place_of_claims_is_not_followed(tmp_path: Path) -> None:
    """A private folder at the other end of a link is not the one that was meant."""
    (tmp_path / "other").mkdir(0o700)
    (tmp_path / "claimed").symlink_to("other")

    with pytest.raises(PrivacyError, match="is a link"), private.opened(tmp_path / "claimed", FILES):
        pass

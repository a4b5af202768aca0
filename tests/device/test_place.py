"""Where a package may go on a device."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from devclient.errors import PlaceError
from devclient.install import place
from devclient.plan import Found

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def opt(tmp_path: Path) -> Path:
    """The only folder that is allowed."""
    folder = tmp_path / "opt"
    folder.mkdir()
    return folder


def test_a_file_in_an_allowed_folder_may_be_installed(opt: Path) -> None:
    """Whether it exists or not, and whether its folder does."""
    (opt / "app").write_bytes(b"")

    assert place.resolve(f"{opt}/app", [opt]) == opt / "app"
    assert place.resolve(f"{opt}/not/yet", [opt]) == opt / "not" / "yet"


@pytest.mark.parametrize("local", ["/etc/passwd", "/opt-other/app", "{opt}", "{opt}x/app"])
def test_a_file_elsewhere_may_not(opt: Path, local: str) -> None:
    """Only what is inside an allowed folder, and the error names those that there are."""
    with pytest.raises(PlaceError, match=rf"is in none of the allowed folders \({opt}\): see `allow`"):
        place.resolve(local.format(opt=opt), [opt])


@pytest.mark.parametrize("local", ["relative", "{opt}/../etc/passwd", "{opt}//app", "/", "{opt}/./app"])
def test_a_path_that_is_not_plain_may_not(opt: Path, local: str) -> None:
    """Paths keep the rules of the contract."""
    with pytest.raises(PlaceError):
        place.resolve(local.format(opt=opt), [opt])


def test_a_place_must_be_named(opt: Path) -> None:
    """Without `local` there is nowhere to go."""
    with pytest.raises(PlaceError, match="set `local` in the state file"):
        place.resolve("", [opt])


def test_links_are_followed_before_they_are_judged(opt: Path, tmp_path: Path) -> None:
    """A link out of the allowed folders does not lead there, and the error says where it would."""
    (tmp_path / "etc").mkdir()
    (opt / "link").symlink_to(tmp_path / "etc")
    (opt / "app").symlink_to(tmp_path / "etc" / "passwd")

    for local in (f"{opt}/link/passwd", f"{opt}/app"):
        with pytest.raises(PlaceError, match=f"leads to {tmp_path}/etc/passwd, which is in none"):
            place.resolve(local, [opt])


def test_links_inside_lead_to_the_file(opt: Path) -> None:
    """The file that a link names is what is replaced, and the link stays."""
    (opt / "v1").write_bytes(b"")
    (opt / "app").symlink_to("v1")

    assert place.resolve(f"{opt}/app", [opt]) == opt / "v1"


def test_allowed_folders_may_be_links(opt: Path, tmp_path: Path) -> None:
    """What is allowed is the folder that the link leads to."""
    (tmp_path / "link").symlink_to(opt)

    assert place.resolve(f"{tmp_path}/link/app", [tmp_path / "link"]) == opt / "app"
    assert place.resolve(f"{opt}/app", [tmp_path / "link"]) == opt / "app"


def test_links_in_a_circle_lead_nowhere(opt: Path) -> None:
    """They are told."""
    (opt / "app").symlink_to("other")
    (opt / "other").symlink_to("app")

    with pytest.raises(PlaceError, match="in a circle"):
        place.found(f"{opt}/app", place.resolve(f"{opt}/app", [opt]), "")


def test_what_is_no_ordinary_file_stays(opt: Path) -> None:
    """A folder or a pipe is not replaced."""
    (opt / "folder").mkdir()
    os.mkfifo(opt / "pipe")

    for name in ("folder", "pipe"):
        with pytest.raises(PlaceError, match="is not an ordinary file"):
            place.found(f"{opt}/{name}", opt / name, "")


def test_a_folder_of_its_owners_is_only_replaced_if_they_say_so(opt: Path) -> None:
    """A folder package may have its place if its owner allowed that, or if our own link is there."""
    (opt / "site").mkdir()
    link = "/var/lib/otadevice/current/site"

    with pytest.raises(PlaceError, match="add --adopt"):
        place.found(f"{opt}/site/", opt / "site", link)
    assert place.found(f"{opt}/site/", opt / "site", link, adopt=True) is Found.FOLDER

    (opt / "site").rmdir()
    assert place.found(f"{opt}/site/", opt / "site", link) is Found.NOTHING
    (opt / "site").symlink_to(link)
    assert place.resolve(f"{opt}/site/", [opt], link) == opt / "site"
    assert place.found(f"{opt}/site/", opt / "site", link) is Found.LINK


def test_our_own_link_is_found_behind_another_one(opt: Path, tmp_path: Path) -> None:
    """A folder's place may be a link of its owner's: at the next update, too, that leads there and no further."""
    work = tmp_path / "otadevice"
    link = f"{work}/current/site"
    (work / "current" / "site").mkdir(parents=True)
    (opt / "real").mkdir()
    (opt / "site").symlink_to("hop")
    (opt / "hop").symlink_to(opt / "real" / "site")

    for wanted in (Found.NOTHING, Found.LINK):
        target = place.resolve(f"{opt}/site/", [opt], link)

        assert target == opt / "real" / "site"
        assert place.found(f"{opt}/site/", target, link) is wanted
        if wanted is Found.NOTHING:
            target.symlink_to(link)


def test_our_own_link_is_judged_by_where_it_lies(opt: Path, tmp_path: Path) -> None:
    """That it leads into the work folder, which is not allowed, does not matter; that its folder is elsewhere does."""
    link = f"{tmp_path}/otadevice/current/site"
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "site").symlink_to(link)
    (opt / "site").symlink_to(link)
    (opt / "way-out").symlink_to(tmp_path / "etc")

    assert place.resolve(f"{opt}/site/", [opt], link) == opt / "site"
    with pytest.raises(PlaceError, match=f"leads to {tmp_path}/etc/site, which is in none"):
        place.resolve(f"{opt}/way-out/site/", [opt], link)


def test_the_link_of_another_package_is_not_ours_to_change(opt: Path, tmp_path: Path) -> None:
    """Nor is one that is for a file."""
    (opt / "site").symlink_to(f"{tmp_path}/otadevice/current/other")

    for local, link in ((f"{opt}/site/", f"{tmp_path}/otadevice/current/site"), (f"{opt}/site", "")):
        with pytest.raises(PlaceError, match="in none of the allowed folders"):
            place.resolve(local, [opt], link)


@pytest.mark.parametrize("leads_to", ["real/", "../opt/real", "./real/.", "{opt}/real/../real"])
def test_a_link_may_say_it_in_any_way(opt: Path, leads_to: str) -> None:
    """With a slash at its end, relative, or with dots; a folder that it leads to is its owner's."""
    (opt / "real").mkdir()
    (opt / "site").symlink_to(leads_to.format(opt=opt))

    target = place.resolve(f"{opt}/site/", [opt], "/srv/otadevice/current/site")

    assert target == opt / "real"
    assert place.found(f"{opt}/site/", target, "/srv/otadevice/current/site", adopt=True) is Found.FOLDER


@pytest.mark.parametrize("leads_to", ["..", "../..", ".", "/"])
def test_a_link_to_a_folder_above_leads_out(opt: Path, leads_to: str) -> None:
    """No package takes the place of all packages."""
    (opt / "site").symlink_to(leads_to)

    with pytest.raises(PlaceError, match="in none of the allowed folders"):
        place.resolve(f"{opt}/site/", [opt], "/srv/otadevice/current/site")


def test_a_file_where_a_folder_should_be_is_in_the_way(opt: Path) -> None:
    """Also for who allowed that a folder is replaced."""
    (opt / "site").write_bytes(b"")

    with pytest.raises(PlaceError, match="is not a folder: move it away"):
        place.found(f"{opt}/site/", opt / "site", "/srv/otadevice/current/site", adopt=True)


def test_our_own_names_lie_beside_the_place(opt: Path) -> None:
    """In the same folder, so that a rename is all it takes, and hidden."""
    names = {place.new(opt / "app"), place.old(opt / "app"), place.previous(opt / "app")}

    assert len(names) == 3
    assert all(path.parent == opt and path.name.startswith(".app.") for path in names)


def test_a_link_in_a_folder_that_others_may_write_to_is_refused(opt: Path) -> None:
    """Whoever could exchange it could lead the package anywhere; in the middle of the way, too."""
    (opt / "real").mkdir()
    (opt / "open").mkdir()
    (opt / "open" / "app").symlink_to("../real/app")
    (opt / "open" / "folder").symlink_to("../real")
    (opt / "open").chmod(0o775)

    for local in (f"{opt}/open/app", f"{opt}/open/folder/app"):
        with pytest.raises(PlaceError, match="a link that others than root can exchange"):
            place.resolve(local, [opt])
    (opt / "open").chmod(0o755)
    assert place.resolve(f"{opt}/open/app", [opt]) == opt / "real" / "app"


def test_a_link_below_a_folder_that_others_may_write_to_is_refused(opt: Path) -> None:
    """The folder of the link could be exchanged as a whole."""
    (opt / "open" / "inner").mkdir(parents=True)
    (opt / "open" / "inner" / "app").symlink_to("other")
    (opt / "open").chmod(0o777)

    with pytest.raises(PlaceError, match="a link that others than root can exchange"):
        place.resolve(f"{opt}/open/inner/app", [opt])

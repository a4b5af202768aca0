"""A mirror whose lists somebody vouches for."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING

import pytest

from devclient.check import Skipped, check
from devclient.errors import BrokenPromiseError, NotOnMirrorError, SettingsError, WebPageError
from devclient.settings import config
from devclient.state import Package
from devclient.trust.signed import Mirrors
from devclient.trust_errors import EndlessDataError, IncompleteMirrorError, MixAndMatchError
from devclient.web.fetcher import Fetcher
from mirror import canonical, content, layout, releases
from mirror.files import Files
from tests.support import trees
from tests.support.httpd import Fault
from tests.support.trees import Release

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from devclient.settings.config import Settings
    from devclient.trust.signed import SignedMirror
    from tests.support.devices import Rig

ONE = Release("1.0+build~1", b"12345")
APP = Package({"package": "app", "branch": "stable"})
OURS = {"notes.json", "urls.json"}
LIST = layout.release_list("app", "stable")
CONTENT = layout.get_version("app", "stable", ONE.version)


@pytest.fixture
def rig(rig: Rig) -> Rig:
    """A device whose mirror has one release."""
    trees.write(rig.tree, ONE)
    return rig


@pytest.fixture
def mirror(rig: Rig) -> Iterator[SignedMirror]:
    """Its mirror."""
    with rig.mirror() as opened:
        yield opened


def hashed(tree: Path) -> str:
    """Tell where the newest list of app is under its hash."""
    return layout.hashed_release_list("app", "stable", canonical.digest((tree / LIST).read_bytes()))


def test_each_file_has_its_place(rig: Rig, mirror: SignedMirror) -> None:
    """Lists are asked for under their hash, contents and blobs where the contract puts them."""
    mine = ONE.content_on("app", "stable")

    assert mirror.release_list("app", "stable") == (rig.tree / LIST).read_bytes()
    assert mirror.content("app", "stable", ONE.version, mine.digest) == mine.canonical()
    with mirror.blob(ONE.sha256, 2) as body:
        assert b"".join(body.blocks) == b"345"

    paths = [request.path for request in rig.server.requests]
    assert paths[-3:] == [f"/{hashed(rig.tree)}", f"/{layout.url_path(CONTENT)}", f"/otafiles/{ONE.sha256}"]
    assert f"/{LIST}" not in paths


def test_what_nobody_vouches_for_is_not_on_the_mirror(rig: Rig, mirror: SignedMirror) -> None:
    """A list may lie there: if it is not signed for, it is not asked for."""
    other = layout.release_list("app", "edge")
    (rig.tree / other).write_bytes((rig.tree / LIST).read_bytes())

    with pytest.raises(NotOnMirrorError, match="check the names of package and branch") as caught:
        mirror.release_list("app", "edge")

    assert caught.value.url == f"{rig.server.url}/{other}"
    assert not any("/releases/" in request.path for request in rig.server.requests)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault(flip=20), MixAndMatchError),
        (Fault(body=b'{"package":1}'), MixAndMatchError),
        (Fault(body=b"{}"), WebPageError),
        (Fault(body=b"{" * 5000), EndlessDataError),
        (Fault(status=404), IncompleteMirrorError),
    ],
)
def test_a_list_is_the_one_that_is_signed_for(
    rig: Rig, mirror: SignedMirror, fault: Fault, error: type[Exception]
) -> None:
    """To the byte; wrong ones are asked for once more around caches, and nothing else is kept."""
    rig.server.misbehave("/releases/", fault, times=1 if error in {IncompleteMirrorError, WebPageError} else 2)

    with pytest.raises(error):
        mirror.release_list("app", "stable")

    assert mirror.release_list("app", "stable") == (rig.tree / LIST).read_bytes()


@pytest.mark.parametrize("more", [-1, 1])
def test_the_size_of_a_list_is_signed_too(rig: Rig, more: int) -> None:
    """A hash that is right does not make a size right that is wrong."""
    simulator = trees.simulator(rig.tree)
    simulator.speaker(LIST).targets[LIST].length += more
    simulator.publish()

    with rig.mirror() as mirror, pytest.raises((MixAndMatchError, EndlessDataError)):
        mirror.release_list("app", "stable")


def test_a_list_that_is_signed_larger_than_a_list_can_be_is_left(rig: Rig) -> None:
    """The limit of the contract holds whatever is signed."""
    simulator = trees.simulator(rig.tree)
    simulator.list("app", "stable", b"{" + b" " * releases.MAX_BYTES)
    simulator.publish()

    with rig.mirror() as mirror, pytest.raises(EndlessDataError, match=str(releases.MAX_BYTES)):
        mirror.release_list("app", "stable")


def test_a_content_has_the_size_of_one(rig: Rig, mirror: SignedMirror) -> None:
    """More than 64 KiB are not read for a content.json."""
    rig.server.misbehave("/getVersion/", Fault(body=b"{" + b" " * content.MAX_BYTES))

    with pytest.raises(EndlessDataError, match="more than 65536 bytes"):
        mirror.content("app", "stable", ONE.version, "0" * 64)


def test_a_content_that_is_another_is_told_and_not_kept(rig: Rig, mirror: SignedMirror) -> None:
    """The check says so, and the next one asks again."""
    rig.server.misbehave("/getVersion/", Fault(flip=20), times=2)

    with pytest.raises(BrokenPromiseError, match="has the SHA-256"):
        check(APP, (APP,), mirror)

    list_alone = {canonical.digest((rig.tree / LIST).read_bytes()), *OURS}
    assert {path.name for path in (rig.trust / "kept").iterdir()} == list_alone
    assert check(APP, (APP,), mirror).offer is not None


def test_what_was_fetched_is_not_asked_for_again(rig: Rig) -> None:
    """Lists and contents are kept by their hash, and hashed again when they are used."""
    for _ in range(2):
        with rig.mirror() as mirror:
            assert check(APP, (APP,), mirror).offer is not None
    assert len(rig.server.asked("/releases/")) == len(rig.server.asked("/getVersion/")) == 1

    for file in (rig.trust / "kept").iterdir():
        if file.name not in OURS:
            file.write_bytes(file.read_bytes() + b" ")
    with rig.mirror() as mirror:
        assert check(APP, (APP,), mirror).offer is not None
    assert len(rig.server.asked("/releases/")) == len(rig.server.asked("/getVersion/")) == 2


def test_what_is_no_longer_current_goes(rig: Rig) -> None:
    """An update of everything leaves the lists that are signed for now, and the contents that are offered."""
    rig.add()
    rig.run("update")
    trees.write(rig.tree, ONE, Release("2.0", b"2", content={"after_update": "true"}))
    offered = (rig.tree / layout.get_version("app", "stable", "2.0")).read_bytes()

    rig.run("update")

    names = {canonical.digest((rig.tree / LIST).read_bytes()), canonical.digest(offered), *OURS}
    assert {path.name for path in (rig.trust / "kept").iterdir()} == names


def test_nothing_is_forgotten_while_a_mirror_is_away(rig: Rig) -> None:
    """Nobody knows then what is still current."""
    rig.add()
    rig.run("update")
    before = {path.name for path in (rig.trust / "kept").iterdir()}
    rig.server.misbehave("/", Fault(status=503))

    rig.run("update")

    assert {path.name for path in (rig.trust / "kept").iterdir()} == before


def test_a_release_that_needs_the_unknown_is_passed_over(rig: Rig) -> None:
    """Signed or not: a word in `needs` that this device does not know makes it careful."""
    trees.write(rig.tree, ONE, Release("2.0", entry={"needs": ("moon",)}))

    with rig.mirror() as mirror:
        finding = check(APP, (APP,), mirror)

    assert finding.skipped == (Skipped("2.0", "needs moon, which this version of otadevice does not understand"),)
    assert finding.offer is not None
    assert finding.offer.content.version == ONE.version


def test_a_list_that_needs_the_unknown_is_not_taken(rig: Rig) -> None:
    """Nothing of such a list is offered, and it is said why."""
    trees.write(rig.tree, ONE, needs=("moon",))
    rig.add()

    done = rig.run("update")

    assert done.stdout == "app (stable): needs moon, which this version of otadevice does not understand\n"
    assert not (rig.opt / "app").exists()


def test_a_device_goes_only_where_its_owner_sent_it(rig: Rig) -> None:
    """A URL that is not in the settings is no mirror; one that is leads to the same mirror each time."""
    settings = config.load(rig.config)

    with opened(settings) as mirrors:
        assert mirrors("") is mirrors(rig.server.url) is mirrors(f"{rig.server.url}/")
        with pytest.raises(SettingsError, match=r"no mirror is at http://other\.example"):
            mirrors("http://other.example")


def test_each_remote_has_its_own_trust(rig: Rig, tmp_path: Path) -> None:
    """Root, metadata and lists of one are nothing to another."""
    other = tmp_path / "other"
    trees.write(other, ONE)
    more = f'[remotes.second]\nurls = ["{rig.server.url}/second"]\nroot = "{other / trees.ROOT}"\n'
    rig.config.write_text(rig.config.read_text().replace("[network]", f"{more}\n[network]"))
    other.rename(rig.tree / "second")
    root = rig.tree / "second" / trees.ROOT
    rig.config.write_text(rig.config.read_text().replace(str(other / trees.ROOT), str(root)))

    with opened(config.load(rig.config)) as mirrors:
        first, second = mirrors(""), mirrors(f"{rig.server.url}/second")
        assert first.release_list("app", "stable") == second.release_list("app", "stable")
        assert set(mirrors.standings()) == {"main", "second"}

    folders = sorted(path.name for path in rig.trust.parent.iterdir())
    assert folders == ["main", "second"]
    assert (rig.trust / "targets.json").read_bytes() != (rig.trust.parent / "second" / "targets.json").read_bytes()


@contextlib.contextmanager
def opened(settings: Settings) -> Iterator[Mirrors]:
    """Open the mirrors of a device."""
    with (
        Fetcher(settings.network, "otadevice/test", monotonic) as fetcher,
        Mirrors(settings, fetcher, Files(), lambda: datetime.now(UTC), lasting=True) as mirrors,
    ):
        yield mirrors

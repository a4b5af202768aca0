"""The commands that change what is installed: `update`, `recover`, `rollback`, `remove`, `clear-bad`."""

from __future__ import annotations

import json
import random
import subprocess
from typing import TYPE_CHECKING

import pytest

from devclient.settings import config
from tests.support import archives, devices, httpd, trees
from tests.support.archives import Entry
from tests.support.httpd import PORTAL, Fault
from tests.support.rigs import answer, cut_off, edit, entry, release_both, row, spare, want
from tests.support.trees import Release

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.devices import Rig
    from tests.support.httpd import Server

ONE, TWO = Release("1.0", b"one"), Release("2.0", b"two")


@pytest.mark.parametrize(
    ("path", "fault", "code"),
    [
        ("/metadata/timestamp.json", PORTAL, 75),
        ("/metadata/timestamp.json", Fault(status=503), 75),
        ("/metadata/timestamp.json", Fault(status=404), 1),
        ("/metadata/timestamp.json", Fault(status=403), 1),
        ("/releases/", PORTAL, 75),
        ("/releases/", Fault(status=503), 75),
        ("/releases/", Fault(status=404), 75),
        ("/releases/", Fault(status=403), 1),
    ],
)
def test_no_answer_is_a_failure(rig: Rig, tree: Path, path: str, fault: Fault, code: int) -> None:
    """Of check and of update: 75 where trying again may help, 1 where it will not."""
    trees.write(tree, Release("1.0"))
    rig.add()
    rig.server.misbehave(path, fault)

    assert [rig.run("check").exit_code, rig.run("update").exit_code] == [code, code]


def test_what_failed_for_good_comes_before_what_may_pass(rig: Rig, tree: Path) -> None:
    """One exit code for several packages: 1 if any will not mend itself."""
    trees.write(tree, Release("1.0"))
    rig.add("app")
    rig.add("missing")
    rig.server.misbehave("/releases/app/", Fault(status=503))

    assert [rig.run("check").exit_code, rig.run("update").exit_code] == [1, 1]


def test_a_mirror_that_is_gone_means_try_later(rig: Rig, tree: Path) -> None:
    """Nothing is changed, and the exit code says so."""
    with httpd.serving(tree) as other:
        url = other.url
    rig.add()
    rig.config.write_text(rig.config.read_text().replace(rig.server.url, url))

    done = rig.run("update")

    assert done.exit_code == 75
    assert "Connection refused" in done.stderr


def test_a_cut_download_goes_on_with_the_next_update(rig: Rig, tree: Path) -> None:
    """The first ends with 75 once nothing more comes, the second asks for the rest alone."""
    data = random.Random(7).randbytes(256_000)
    trees.write(tree, Release("1.0", data))
    local = rig.add()
    rig.server.misbehave("/otafiles/", Fault(cut_after=200_000), times=1)
    rig.server.misbehave("/otafiles/", Fault(status=503), times=1)

    first, second = rig.run("update"), rig.run("update")

    assert (first.exit_code, second.exit_code) == (75, 0)
    assert [request.range for request in rig.server.asked("/otafiles/")] == ["", *["bytes=200000-"] * 2]
    assert rig.server.asked("/otafiles/")[2].sent == len(data) - 200_000
    assert local.read_bytes() == data


def test_a_changed_byte_is_never_installed(rig: Rig, tree: Path) -> None:
    """What was installed stays, and the state file says so."""
    trees.write(tree, Release("1.0", b"one"))
    local = rig.add()
    rig.run("update")
    trees.write(tree, Release("1.0", b"one"), Release("2.0", b"two"))
    rig.server.misbehave("/otafiles/", Fault(flip=1))

    done = rig.run("update")

    assert done.exit_code == 1
    assert "has the SHA-256" in done.stderr
    assert local.read_bytes() == b"one"
    assert rig.state()["package"][0]["version"] == "1.0"


def test_an_update_tells_a_line_of_each_package(rig: Rig, tree: Path) -> None:
    """Of what came along too; what succeeded on stdout, what did not on stderr, with the reason."""
    release_both(rig, tree, "1.0")
    trees.write(tree, ONE, package="bad")
    trees.write(tree, Release("1.0", content={"before_update": "exit 75"}), package="busy")
    want(rig, "app", "bad", "busy")
    rig.run("update", "bad")
    trees.write(tree, ONE, Release("2.0", b"two", {"after_update": "echo stuck; exit 4"}), package="bad")

    done = rig.run("update")

    assert done.exit_code == 1
    assert done.stdout.splitlines() == ["lib (stable): installed 1.0", "app (stable): installed 1.0"]
    why = "AfterUpdate of bad 2.0 failed with exit code 4"
    assert done.stderr.splitlines()[-2:] == [
        f"bad (stable): rolled back: {why}; `otadevice status` shows the output",
        "busy (stable): postponed: BeforeUpdate of busy 1.0 says: not now",
    ]


def test_an_update_of_nothing_tells_the_next_step(rig: Rig) -> None:
    """A device that wants nothing is no failure."""
    done = rig.run("update")

    assert (done.exit_code, done.stdout) == (0, "no packages yet, add one with `otadevice add`\n")


def test_one_package_is_updated_by_its_name(rig: Rig, tree: Path) -> None:
    """With what it needs, and nothing else."""
    release_both(rig, tree, "1.0")
    trees.write(tree, ONE, package="other")
    want(rig, "other", "app")

    done = rig.run("update", "app")

    assert done.stdout.splitlines() == ["lib (stable): installed 1.0", "app (stable): installed 1.0"]
    assert "version" not in rig.state()["package"][0]


def test_one_release_is_taken_by_its_version(rig: Rig, tree: Path) -> None:
    """A higher one is left alone, a lower one only taken where that is allowed, one that is not there is a failure."""
    trees.write(tree, ONE, Release("1.5", b"between"), TWO)
    local = rig.add()

    assert rig.run("update", "app", "--version", "1.5").stdout == "app (stable): installed 1.5\n"
    lower = rig.run("update", "app", "--version", "1.0")
    absent = rig.run("update", "app", "--version", "7")
    assert [(done.exit_code, done.stdout) for done in (lower, absent)] == [(1, ""), (1, "")]
    assert "it is below 1.5, which is installed" in lower.stderr
    assert "7 is not among the releases of app on stable" in absent.stderr
    assert (row(rig)["last"]["outcome"], row(rig)["last"]["code"]) == ("failed", "not-taken")
    assert local.read_bytes() == b"between"

    down = rig.run("update", "app", "--version", "1.0", "--allow-downgrade")
    again = rig.run("update", "app", "--version", "1.0")
    assert down.stdout == "app (stable): went back from 1.5 to 1.0\n"
    assert again.stdout == "app (stable): installed 1.0 again\n"
    assert local.read_bytes() == b"one"


def test_recover_tells_what_it_did(rig: Rig, tree: Path) -> None:
    """It needs no network; when it is done, all is well, whatever the update came to."""
    trees.write(tree, ONE)
    local = rig.add()
    rig.run("update")
    cut_off(rig, tree)
    rig.server.refuse()

    first, second = rig.run("recover"), rig.run("recover")

    assert (first.exit_code, first.stdout) == (0, "app (stable): rolled back: this device was cut off in PREPARED\n")
    assert (second.exit_code, second.stdout) == (0, "nothing to recover\n")
    assert local.read_bytes() == b"one"


def test_an_update_recovers_first(rig: Rig, tree: Path) -> None:
    """What was cut off is tried again by the next one."""
    local = rig.add()
    cut_off(rig, tree)
    spare(rig)

    done = rig.run("update")

    assert (done.exit_code, done.stdout) == (0, "app (stable): installed 9.0\n")
    assert local.read_bytes() == b"nine"


@pytest.mark.parametrize("words", [("rollback",), ("remove", "app"), ("adopt", "app")], ids=" ".join)
def test_what_was_cut_off_is_recovered_before_anything_is_done(rig: Rig, tree: Path, words: tuple[str, ...]) -> None:
    """Whoever asks for it, the device is whole first."""
    trees.write(tree, ONE)
    rig.add()
    rig.run("update")
    cut_off(rig, tree)

    rig.run(*words)

    assert answer(rig, "status")["pending"] is None


def test_rollback_undoes_the_last_update_whole_and_once(rig: Rig, tree: Path) -> None:
    """All of its packages; what it had brought does not come back by itself."""
    release_both(rig, tree, "1.0")
    rig.add()
    rig.run("update")
    release_both(rig, tree, "1.0", "2.0")
    rig.run("update")

    done, again = rig.run("rollback"), rig.run("rollback")

    assert done.exit_code == 0
    assert sorted(done.stdout.splitlines()) == [
        "app (stable): went back from 2.0 to 1.0",
        "lib (stable): went back from 2.0 to 1.0",
    ]
    assert [(rig.opt / name).read_bytes() for name in ("app", "lib")] == [b"app 1.0", b"lib 1.0"]
    assert (again.exit_code, "there is none, or it was undone already" in again.stderr) == (1, True)
    assert "2.0 failed on this device: undone by the owner" in rig.run("update").stdout
    assert [each["version"] for each in rig.state()["package"]] == ["1.0", "1.0"]

    rig.run("clear-bad")
    rig.run("update")
    assert [each["version"] for each in rig.state()["package"]] == ["2.0", "2.0"]


def test_rollback_of_a_first_installation_leaves_the_package_wanted(rig: Rig, tree: Path) -> None:
    """As before it was installed: nothing is left of it, and a better release will be taken."""
    trees.write(tree, ONE)
    local = rig.add()
    rig.run("update")

    assert rig.run("rollback").stdout == "app (stable): removed\n"

    assert list(local.parent.iterdir()) == []
    assert rig.state()["package"] == [entry(rig, "app")]
    trees.write(tree, ONE, TWO)
    assert rig.run("update").stdout == "app (stable): installed 2.0\n"


def test_rollback_does_not_mark_what_stays(rig: Rig, tree: Path) -> None:
    """If the last update installed the same release again, that is not bad."""
    trees.write(tree, ONE)
    rig.add()
    rig.run("update")
    rig.run("update", "app", "--version", "1.0")

    assert rig.run("rollback").exit_code == 0

    assert row(rig)["bad"] == []


def test_a_rollback_that_is_refused_changes_nothing(rig: Rig, tree: Path) -> None:
    """Not even what counts as bad."""
    trees.write(tree, Release("1.0", archives.pack([Entry("index.html", b"new")])), package="site")
    (rig.opt / "site").mkdir()
    rig.run("add", "site", "--branch", "stable", "--local", f"{rig.opt}/site/", "--adopt")
    rig.run("update")
    before = rig.files()

    done = rig.run("rollback")

    assert (done.exit_code, "was a folder of yours" in done.stderr) == (1, True)
    assert rig.files() == before


def test_remove_takes_a_package_away(rig: Rig, tree: Path) -> None:
    """Its file or folder, what was kept beside it, and its entry; one that was only wanted is forgotten."""
    trees.write(tree, ONE)
    trees.write(tree, Release("1.0", archives.pack([Entry("index.html", b"new")])), package="site")
    local = rig.add()
    rig.run("add", "site", "--branch", "stable", "--local", f"{rig.opt}/site/")
    rig.run("update")
    trees.write(tree, ONE, TWO)
    rig.run("update")
    rig.add("never")

    for name in ("app", "site", "never"):
        done = rig.run("remove", name)
        assert (done.exit_code, done.stdout) == (0, f"{name} (stable): removed\n")

    assert rig.state()["package"] == []
    assert list(local.parent.iterdir()) == []
    assert rig.run("remove", "app").exit_code == 1


def test_remove_refuses_what_others_need(rig: Rig, tree: Path) -> None:
    """It says who does."""
    release_both(rig, tree, "1.0")
    needs = {"dependencies": {"lib": "*"}}
    trees.write(tree, Release("1.0", b"tool", needs, needs), package="tool")
    want(rig, "app", "tool")
    rig.run("update")
    before = rig.files()

    both = rig.run("remove", "lib")
    assert (both.exit_code, rig.files() == before) == (1, True)
    rig.run("remove", "app")
    one = rig.run("remove", "lib")

    assert "app, tool depend on lib; remove those first, nothing was changed" in both.stderr
    assert "tool depends on lib; remove that first, nothing was changed" in one.stderr
    assert (rig.opt / "lib").exists()


def test_remove_tells_who_is_not_needed_any_more(rig: Rig, tree: Path) -> None:
    """What came along stays until somebody removes it; it is told once the last that needed it is gone."""
    needs = {"dependencies": {"lib": "*"}}
    core = {"dependencies": {"core": "*"}}
    trees.write(tree, Release("1.0", b"core", {"local": f"{rig.opt}/core"}), package="core")
    trees.write(tree, Release("1.0", b"lib", {"local": f"{rig.opt}/lib", **core}, core), package="lib")
    trees.write(tree, Release("1.0", b"app", needs, needs))
    trees.write(tree, Release("1.0", b"tool", core, core), package="tool")
    want(rig, "app", "tool")
    rig.run("update")

    first, second = rig.run("remove", "tool"), rig.run("remove", "app")

    assert first.stdout.splitlines()[1:] == [], "app needs lib, and lib needs core"
    assert sorted(second.stdout.splitlines()[1:]) == [told_unneeded("core"), told_unneeded("lib")]
    assert rig.run("remove", "core").exit_code == 1, "lib is still there and needs it"
    third = rig.run("remove", "lib")
    assert (third.exit_code, third.stdout) == (0, "lib (stable): removed\n"), "core was told before"
    assert rig.run("remove", "core").exit_code == 0


def told_unneeded(package: str) -> str:
    """Give the line that says so."""
    return f"{package} came along with others, and nobody needs it now: `otadevice remove {package}`"


def test_clear_bad_lets_releases_be_taken_again(rig: Rig, tree: Path) -> None:
    """Of one package or of all, each told with what had been against it."""
    fail = {"before_update": f"test -e {rig.folder}/works"}
    for name in ("app", "other"):
        trees.write(tree, Release("1.0", content=fail), package=name)
    want(rig, "app", "other")
    rig.run("update")
    (rig.folder / "works").touch()
    assert "installed" not in rig.run("update").stdout

    one, none = rig.run("clear-bad", "app"), rig.run("clear-bad", "app")

    why = "BeforeUpdate of {0} 1.0 failed with exit code 1"
    assert one.stdout == f"app 1.0 may be taken again: {why.format('app')}\n"
    assert (none.exit_code, none.stdout) == (0, "no release was marked bad\n")
    assert rig.run("update").stdout.splitlines()[0] == "app (stable): installed 1.0"
    assert rig.run("clear-bad").stdout == f"other 1.0 may be taken again: {why.format('other')}\n"
    assert rig.run("update").stdout.splitlines()[1] == "other (stable): installed 1.0"


@pytest.mark.parametrize(
    ("hooks", "codes"),
    [
        ({}, (0, 0)),
        ({"before_update": "exit 1"}, (1, 0)),
        ({"before_update": "exit 75"}, (75, 75)),
        ({"after_update": "exit 1"}, (1, 0)),
        ({"after_update": "exit 75"}, (1, 0)),
        ({"after_update": "exit 76"}, (75, 75)),
    ],
    ids=str,
)
def test_exit_codes_of_an_update_and_the_next(
    rig: Rig, tree: Path, hooks: dict[str, str], codes: tuple[int, int]
) -> None:
    """1 for what was rolled back, and 0 once it is not tried any more; 75 as long as it is to come."""
    rig.config.write_text(rig.config.read_text().replace("systemctl reboot || reboot", "true"))
    trees.write(tree, Release("1.0", content=hooks))
    rig.add()

    assert (rig.run("update").exit_code, rig.run("update").exit_code) == codes


@pytest.mark.parametrize("words", [("recover",), ("rollback",), ("remove", "app"), ("adopt", "app")], ids=" ".join)
def test_what_waits_for_a_reboot_stops_what_changes_the_device(rig: Rig, tree: Path, words: tuple[str, ...]) -> None:
    """Try later, says the exit code; the one thing that may be done is to reboot."""
    rig.config.write_text(rig.config.read_text().replace("systemctl reboot || reboot", "true"))
    trees.write(tree, Release("1.0", content={"after_update": "exit 76"}))
    rig.add()
    rig.run("update")
    before = rig.state()

    done = rig.run(*words)

    assert (done.exit_code, "waits for this device to be rebooted" in done.stderr) == (75, True)
    assert rig.state() == before


def test_a_device_is_known_from_its_first_update_on(rig: Rig, tree: Path) -> None:
    """Whatever an image may have been prepared with makes nothing that must differ between its copies."""
    identity = rig.folder / config.WORK / "identity.json"
    trees.write(tree, ONE)
    (rig.opt / "other").write_bytes(b"one")
    trees.write(tree, ONE, package="other")
    rig.add()
    for words in (
        ("check",),
        ("status",),
        ("pin", "app", "<9"),
        ("adopt", "other", "--branch", "stable", "--local", f"{rig.opt}/other"),
        ("update", "--dry-run"),
        ("recover",),
        ("clear-bad",),
        ("remove", "other"),
    ):
        assert rig.run(*words).exit_code == 0
        assert not identity.exists(), words

    rig.run("update")
    made = identity.read_bytes()
    rig.run("update")

    assert identity.read_bytes() == made
    assert identity.stat().st_mode & 0o777 == 0o600


def test_what_its_owner_edits_between_updates_holds(rig: Rig, tree: Path) -> None:
    """The state file is theirs: another branch, a package by hand, keys of their own, an entry taken out."""
    for name in ("app", "gone", "new"):
        trees.write(tree, ONE, package=name)
    trees.write(tree, Release("3.0", b"edge"), branch="edge")
    want(rig, "gone", "app")
    rig.run("update")

    state = rig.state()
    _, app = state["package"]
    state["package"] = [entry(rig, "new"), {**app, "branch": "edge", "note": "mine"}]
    rig.state_file.write_text("\ufeff" + json.dumps({**state, "description": "the door", "x": 1}))
    done = rig.run("update")

    assert done.stdout.splitlines() == ["new (stable): installed 1.0", "app (edge): updated 1.0 to 3.0"]
    found = rig.state()
    assert (found["description"], found["x"], found["package"][1]["note"]) == ("the door", 1, "mine")
    assert (rig.opt / "gone").read_bytes() == b"one", "what is not in the state file is left alone"


def test_an_owner_may_say_that_nothing_is_installed(rig: Rig, tree: Path) -> None:
    """An entry without a version is wanted, and installed anew."""
    trees.write(tree, ONE)
    local = rig.add()
    rig.run("update")
    local.write_bytes(b"spoilt")
    edit(rig, version=None)

    assert rig.run("update").stdout == "app (stable): installed 1.0\n"
    assert local.read_bytes() == b"one"


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Server]:
    """Serve a second mirror, with keys of its own."""
    tree = tmp_path / "other"
    tree.mkdir()
    trees.write(tree, Release("7.0", b"seven"), package="theirs")
    with httpd.serving(tree) as server:
        yield server


def connect(rig: Rig, other: Server, root: Path) -> None:
    """Tell the device of the second mirror."""
    (rig.folder / "other-root.json").write_bytes(root.read_bytes())
    table = f'\n[remotes.other]\nurls = ["{other.url}"]\nroot = "other-root.json"\n'
    rig.config.write_text(rig.config.read_text() + table)


def test_packages_come_from_several_mirrors(rig: Rig, tree: Path, other: Server, tmp_path: Path) -> None:
    """An entry's `remote` says from which; each mirror has its own root, metadata and line in `status`."""
    trees.write(tree, ONE)
    connect(rig, other, tmp_path / "other" / trees.ROOT)
    devices.write_state(rig.state_file, entry(rig, "app"), entry(rig, "theirs", remote=f"{other.url}/"))

    done = rig.run("update")

    assert done.stdout.splitlines() == ["app (stable): installed 1.0", "theirs (stable): installed 7.0"]
    assert rig.state()["package"][1]["remote"] == f"{other.url}/"
    trust = answer(rig, "status")["trust"]
    assert {name: told["error"] for name, told in trust.items()} == {"main": None, "other": None}
    assert sorted(path.name for path in (rig.folder / config.WORK / "trust").iterdir()) == ["main", "other"]
    assert [request.path for request in other.requests if "app" in request.path] == []


def test_a_mirror_is_believed_by_its_own_root_alone(rig: Rig, tree: Path, other: Server) -> None:
    """That of another one vouches for nothing; what comes from elsewhere is updated all the same."""
    trees.write(tree, ONE)
    connect(rig, other, rig.root)
    devices.write_state(rig.state_file, entry(rig, "theirs", remote=other.url), entry(rig, "app"))

    done = rig.run("update")

    assert done.exit_code != 0
    assert done.stdout.splitlines() == ["app (stable): installed 1.0"]
    assert not (rig.opt / "theirs").exists()
    trust = answer(rig, "status")["trust"]
    assert (trust["main"]["error"], bool(trust["other"]["error"])) == (None, True)


def test_a_remote_that_is_not_in_the_settings_is_not_asked(rig: Rig, other: Server) -> None:
    """A URL in the state file, or from a publisher, makes no mirror to be believed."""
    devices.write_state(rig.state_file, entry(rig, "theirs", remote=other.url))

    done = rig.run("update")

    assert done.exit_code == 1
    assert other.url in done.stderr
    assert other.requests == []


@pytest.mark.parametrize("umask", [0o027, 0o077])
def test_what_is_installed_is_for_all_whatever_the_umask(rig: Rig, tree: Path, umask: int) -> None:
    """Files and folders, those that were made above them, and all links on the way: other users can get there."""
    trees.write(tree, Release("1.0", archives.pack([Entry("data", b"x", mode=0o644)])), package="folder")
    trees.write(tree, Release("1.0", b"x"), package="file")
    for package, local in (("folder", "new/folder/"), ("file", "other/new/file")):
        words = ("add", package, "--branch", "stable", "--local", f"{rig.opt}/{local}")
        subprocess.run(rig.command(*words), check=True, umask=umask, capture_output=True)

    subprocess.run(rig.command("update"), check=True, umask=umask, capture_output=True)

    work = rig.folder / config.WORK
    links = [work / "sets", next((work / "sets").iterdir())]
    for path in (rig.opt / "new" / "folder" / "data", rig.opt / "other" / "new" / "file", *links):
        real = path.resolve()
        ways = [each for each in (real, *real.parents) if rig.folder in each.parents]
        assert [each for each in ways if not each.stat().st_mode & (0o004 if each.is_file() else 0o001)] == []

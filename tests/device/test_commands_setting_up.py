"""The commands that set a device up, and say what it wants: `init`, `add`, `adopt`, `pin`."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from devclient.settings import config
from tests.support import archives, trees
from tests.support.archives import Entry
from tests.support.devices import Rig
from tests.support.httpd import Fault
from tests.support.rigs import edit, release_both
from tests.support.trees import Release

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.httpd import Server

STABLE = ("--branch", "stable")


def test_init_writes_settings_and_state(rig: Rig) -> None:
    """Both can be read again, and have what was given; the root is copied beside them."""
    settings = config.load(rig.config)
    (remote,) = settings.remotes

    assert settings.allow == (rig.opt,)
    assert remote.urls == (rig.server.url,)
    assert (remote.root.parent, remote.root.read_bytes()) == (rig.folder, rig.root.read_bytes())
    assert rig.state() == {"device": "door-7", "description": "", "package": []}


def test_init_needs_no_network_and_makes_nothing_of_its_own(tmp_path: Path, rig: Rig) -> None:
    """Two devices that are set up alike are alike: one image serves a thousand of them."""
    made = []
    words = ("init", "--remote", "http://127.0.0.1:1", "--root", str(rig.root))
    for name in ("one", "two"):
        folder = tmp_path / name
        command = [sys.executable, "-m", "devclient.cli", "--config", str(folder / "otadevice.toml")]
        subprocess.run([*command, *words], check=True, capture_output=True)
        made.append({path.name: path.read_bytes() for path in folder.rglob("*")})

    assert made[0] == made[1]
    assert set(made[0]) == {"otadevice.toml", "otadevice.json", "otadevice-root.json"}
    assert json.loads(made[0]["otadevice.json"])["device"] == ""


def test_init_allows_the_usual_folders(tmp_path: Path, server: Server) -> None:
    """Without --allow, packages go where packages go."""
    rig = Rig(tmp_path / "new", tmp_path, server)
    trees.simulator(rig.tree)
    urls = ("--remote", "https://a.example/", "--remote", "https://b.example")

    assert rig.run("init", *urls, "--root", str(rig.root)).exit_code == 0

    settings = config.load(rig.config)
    assert settings.allow == config.ALLOWED
    assert settings.remotes[0].urls == ("https://a.example", "https://b.example")


def test_init_twice_changes_nothing(rig: Rig) -> None:
    """A device that was set up stays as it is."""
    before = rig.files()

    done = rig.run("init", "--remote", "https://other.example", "--root", str(rig.root))

    assert done.exit_code == 1
    assert "is there already, nothing was changed" in done.stderr
    assert rig.files() == before


def test_init_keeps_a_state_file(rig: Rig) -> None:
    """The owner's file is not written over, and one of another device is not taken for this one's."""
    rig.add()
    before = rig.state()
    rig.config.unlink()

    words = ("--remote", "https://a.example", "--root", str(rig.root))
    other = rig.run("init", "--device", "door-8", *words)
    same = rig.run("init", "--device", "door-7", *words)

    assert (other.exit_code, same.exit_code) == (1, 0)
    assert "is the state file of 'door-7', not of 'door-8'" in other.stderr
    assert rig.state() == before


@pytest.mark.parametrize(("name", "branch"), [("app", "stabel"), ("ap", "stable")])
def test_what_the_mirror_does_not_have_is_told_at_once(rig: Rig, tree: Path, name: str, branch: str) -> None:
    """It is added all the same, since it may be published later."""
    trees.write(tree, Release("1.0", b"one"))

    done = rig.run("add", name, "--branch", branch, "--local", str(rig.opt / name))

    assert done.exit_code == 0
    assert f"warning: the mirror has no {name} on {branch} yet: check both names\n" in done.stderr
    assert [(entry["package"], entry["branch"]) for entry in rig.state()["package"]] == [(name, branch)]


def test_what_the_mirror_has_is_added_without_a_word(rig: Rig, tree: Path) -> None:
    """Nor is it asked if it is away: adding works without a network."""
    trees.write(tree, Release("1.0", b"one"))
    words = ("--branch", "stable", "--local")

    there = rig.run("add", "app", *words, str(rig.opt / "app"))
    rig.config.write_text(rig.config.read_text().replace(rig.server.url, "http://127.0.0.1:1"))
    away = rig.run("add", "lib", *words, str(rig.opt / "lib"))

    assert (there.exit_code, there.stderr, away.exit_code, away.stderr) == (0, "", 0, "")


def test_offline_needs_a_place(rig: Rig) -> None:
    """The mirror would have to be asked for it."""
    done = rig.run("add", "app", "--branch", "stable", "--offline")

    assert done.exit_code == 2
    assert "--offline needs --local" in done.stderr


def test_add_needs_no_network_when_the_place_is_given(rig: Rig) -> None:
    """Nothing is asked for, and the entry says no more than what was given."""
    local = rig.add()

    assert rig.state()["package"] == [{"package": "app", "branch": "stable", "local": str(local)}]
    assert rig.server.requests == []


def test_add_takes_the_place_that_is_proposed(rig: Rig, tree: Path) -> None:
    """Without --local, that of the release which would be installed."""
    proposed = {"local": str(rig.opt / "proposed")}
    trees.write(tree, Release("1.0"), Release("2.0", content=proposed))

    done = rig.run("add", "app", "--branch", "stable")

    assert done.exit_code == 0
    assert rig.state()["package"][0]["local"] == str(rig.opt / "proposed")


def test_add_without_any_place_is_told(rig: Rig, tree: Path) -> None:
    """When nobody proposes one, the owner has to; when nobody answers, later or the owner."""
    trees.write(tree, Release("1.0"))
    trees.write(tree, package="empty")

    nobody_proposes = rig.run("add", "app", "--branch", "stable")
    nothing_released = rig.run("add", "empty", "--branch", "stable")
    rig.server.misbehave("/", Fault(status=503))
    nobody_answers = rig.run("add", "app", "--branch", "stable")

    assert (nobody_proposes.exit_code, nothing_released.exit_code, nobody_answers.exit_code) == (1, 1, 75)
    assert "say with --local where it goes" in nobody_proposes.stderr
    assert "nothing is released" in nothing_released.stderr
    assert rig.state()["package"] == []


def test_add_refuses_what_cannot_be_installed(rig: Rig) -> None:
    """A place outside the allowed folders, another package's place, a folder of its owner's: said at once."""
    local = rig.add()
    before = rig.state()

    outside = rig.run("add", "b", "--branch", "stable", "--local", "/etc/passwd")
    taken = rig.run("add", "b", "--branch", "stable", "--local", str(local))
    (rig.opt / "b").mkdir()
    folder = rig.run("add", "b", "--branch", "stable", "--local", f"{rig.opt}/b/")

    assert [done.exit_code for done in (outside, taken, folder)] == [1, 1, 1]
    assert f"in none of the allowed folders ({rig.opt})" in outside.stderr
    assert "is where app goes" in taken.stderr
    assert "add --adopt" in folder.stderr
    assert rig.state() == before


def test_add_and_status_tell_who_else_may_change_the_package(rig: Rig) -> None:
    """It is no reason to refuse it."""
    shared = rig.opt / "shared"
    shared.mkdir()
    shared.chmod(0o777)

    done = rig.run("add", "app", "--branch", "stable", "--local", f"{shared}/app")

    said = f"others than root may write to {shared}"
    assert (done.exit_code, said in done.stderr) == (0, True)
    assert said in rig.run("status").stdout
    (told,) = json.loads(rig.run("status", "--json").stdout)["packages"]
    assert [said in remark for remark in told["remarks"]] == [True]


def test_add_of_a_folder_tells_of_folders_that_others_cannot_pass(rig: Rig) -> None:
    """Packages of folders lie in the work folder: where nobody gets there, nobody can use them."""
    rig.folder.chmod(0o700)

    done = rig.run("add", "app", "--branch", "stable", "--local", f"{rig.opt}/app/")

    assert done.exit_code == 0
    assert "so other users cannot use" in done.stderr
    assert "so other users" not in rig.run("add", "lib", "--branch", "stable", "--local", f"{rig.opt}/lib").stderr


def test_add_again_is_done_already(rig: Rig) -> None:
    """The same package in the same way has no effect; in another way it is refused."""
    local = rig.add()
    before = rig.state()

    assert rig.run("add", "app", "--branch", "stable", "--local", str(local)).exit_code == 0
    assert rig.run("add", "app", "--branch", "stable").exit_code == 0
    other = rig.run("add", "app", "--branch", "edge")

    assert other.exit_code == 1
    assert "edit it there" in other.stderr
    assert rig.state() == before


def test_add_takes_a_folder(rig: Rig, tree: Path) -> None:
    """A place that ends in a slash is one, and its package is unpacked there."""
    trees.write(tree, Release("1.0", archives.pack([Entry("index.html", b"hello")])), package="site")

    added = rig.run("add", "site", *STABLE, "--local", f"{rig.opt}/site/")
    rig.run("update")

    assert added.stdout == f"site from stable goes to {rig.opt}/site/; `otadevice update` installs it\n"
    assert (rig.opt / "site" / "index.html").read_bytes() == b"hello"


@pytest.mark.parametrize("added_before", [False, True], ids=["at first", "later"])
def test_add_adopt_lets_a_folder_be_replaced(rig: Rig, tree: Path, *, added_before: bool) -> None:
    """Its owner's folder is moved aside by the update, also if the package was added before the folder was there."""
    trees.write(tree, Release("1.0", archives.pack([Entry("index.html", b"new")])), package="site")
    words = ("add", "site", *STABLE, "--local", f"{rig.opt}/site/")
    if added_before:
        assert rig.run(*words).exit_code == 0
    (rig.opt / "site").mkdir()
    (rig.opt / "site" / "index.html").write_bytes(b"mine")

    refused = rig.run("update") if added_before else rig.run(*words)
    assert (refused.exit_code, "add --adopt" in refused.stderr) == (1, True)

    assert rig.run(*words, "--adopt").exit_code == 0
    assert (rig.opt / "site" / "index.html").read_bytes() == b"mine"
    assert rig.run("update").exit_code == 0
    assert (rig.opt / "site" / "index.html").read_bytes() == b"new"
    assert (rig.opt / ".site.previous" / "index.html").read_bytes() == b"mine"


def test_add_makes_what_came_along_its_owners_own(rig: Rig, tree: Path) -> None:
    """From then on it is not there for another package's sake."""
    release_both(rig, tree, "1.0")
    rig.add()
    rig.run("update")
    assert rig.state()["package"][1]["otadevice"]["auto"] is True

    done = rig.run("add", "lib", *STABLE)

    assert done.stdout == f"lib from stable goes to {rig.opt}/lib; 1.0 is installed\n"
    assert "auto" not in rig.state()["package"][1]["otadevice"]


def test_adopt_recognises_a_file_by_its_hash(rig: Rig, tree: Path) -> None:
    """It is left as it is, the entry is that of an update, and the next release is taken from there."""
    trees.write(tree, Release("1.0", b"one"), Release("1.1", b"two"), Release("1.2", b"three"))
    local = installed(rig, b"two")
    before = local.stat()

    done = rig.run("adopt", "app", *STABLE, "--local", str(local))

    assert (done.exit_code, done.stdout) == (0, f"app from stable: {local} is 1.1\n")
    assert (local.stat().st_ino, local.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert rig.run("update").stdout == "app (stable): updated 1.1 to 1.2\n"
    assert local.read_bytes() == b"three"


def test_what_is_adopted_has_its_hooks(rig: Rig, tree: Path) -> None:
    """Its content.json is kept, so if the next release fails, it is its AfterUpdate that starts the service again."""
    service = rig.folder / "service"
    start = {"after_update": f"echo $OTA_TO $OTA_RESULT > {service}"}
    trees.write(tree, Release("1.0", b"one", start), Release("2.0", b"two", {"after_update": "exit 1"}))
    local = installed(rig, b"one")
    rig.run("adopt", "app", *STABLE, "--local", str(local))
    kept = rig.folder / config.WORK / "contents" / rig.state()["package"][0]["otadevice"]["content"]
    assert kept.is_file()

    assert rig.run("update").exit_code == 1

    assert service.read_text() == "2.0 rolled-back\n"
    assert local.read_bytes() == b"one"


def test_adopt_finds_old_releases(rig: Rig, tree: Path) -> None:
    """Also those that stand in an older segment of the release list."""
    older = [[Release("1.0", b"one"), Release("1.1", b"two")]]
    trees.write(tree, Release("2.0", b"three"), older=older)
    local = installed(rig, b"one")

    done = rig.run("adopt", "app", *STABLE, "--local", str(local))

    assert (done.exit_code, rig.state()["package"][0]["version"]) == (0, "1.0")
    assert rig.server.asked("/otafiles/") == []


def test_adopt_takes_the_highest_of_equal_releases(rig: Rig, tree: Path) -> None:
    """The same bytes may have been released twice."""
    trees.write(tree, Release("1.0", b"one"), Release("1.1", b"one"))
    local = installed(rig, b"one")

    rig.run("adopt", "app", *STABLE, "--local", str(local))

    assert rig.state()["package"][0]["version"] == "1.1"


def test_adopt_knows_what_is_wanted_already(rig: Rig, tree: Path) -> None:
    """The entry in the state file says where and from which branch; what its owner keeps in it stays."""
    trees.write(tree, Release("1.0", b"one"))
    rig.add()
    rig.run("pin", "app", "<3")
    edit(rig, note="the door at the back")
    installed(rig, b"one")

    assert rig.run("adopt", "app").exit_code == 0

    (entry,) = rig.state()["package"]
    assert (entry["version"], entry["note"], entry["otadevice"]["pin"]) == ("1.0", "the door at the back", "<3")
    assert rig.run("update").stdout == "app (stable): nothing newer than 1.0\n"


def test_adopt_follows_a_link(rig: Rig, tree: Path) -> None:
    """What counts is the file that it leads to, as for an update."""
    trees.write(tree, Release("1.0", b"one"))
    local = installed(rig, b"one")
    (rig.opt / "link").symlink_to(local)

    assert rig.run("adopt", "app", *STABLE, "--local", f"{rig.opt}/link").exit_code == 0
    assert (rig.opt / "link").is_symlink()


def test_adopt_takes_nothing_for_what_it_is_not(rig: Rig, tree: Path) -> None:
    """What no release has, what is no file, what has no place: told with what to do, and nothing is wanted for it."""
    trees.write(tree, Release("1.0", b"one"))
    trees.write(tree, Release("1.0", b"one", entry={"needs": ("moon",)}), package="moon", needs=("moon",))
    local = installed(rig, b"my own")
    words = {
        "has the SHA-256": ("adopt", "app", *STABLE, "--local", str(local)),
        "there is no file to recognise; `otadevice add` and `update` install one": (
            *("adopt", "app", *STABLE),
            *("--local", f"{rig.opt}/nothing"),
        ),
        "is a folder": ("adopt", "app", *STABLE, "--local", f"{rig.opt}/site/"),
        "in none of the allowed folders": ("adopt", "app", *STABLE, "--local", "/etc/passwd"),
        "say with --branch and --local what to adopt": ("adopt", "app"),
        "needs moon": ("adopt", "moon", *STABLE, "--local", str(local)),
        "the mirror has nothing there": ("adopt", "other", *STABLE, "--local", str(local)),
    }
    before = rig.state()

    for told, command in words.items():
        done = rig.run(*command)
        assert (done.exit_code, told in done.stderr) == (1, True), done.stderr

    assert "`otadevice add` and `update` replace it" in rig.run(*words["has the SHA-256"]).stderr
    assert rig.state() == before
    assert local.read_bytes() == b"my own"


def test_adopt_does_not_move_an_entry(rig: Rig, tree: Path) -> None:
    """What is wanted in another way is edited, or removed first."""
    trees.write(tree, Release("1.0", b"one"))
    rig.add()
    other = installed(rig, b"one", "other")
    before = rig.state()

    for words in (("--local", str(other)), ("--branch", "edge")):
        done = rig.run("adopt", "app", *words)
        assert (done.exit_code, "edit it there" in done.stderr) == (1, True)

    assert rig.state() == before


def test_pin_keeps_a_package_in_a_range(rig: Rig, tree: Path) -> None:
    """Until it is let go; all else in its entry stays as it was."""
    trees.write(tree, Release("1.0"), Release("1.1"), Release("2.0"))
    rig.add()
    edit(rig, note="mine")
    before = rig.state()

    pinned = rig.run("pin", "app", "<2")
    assert (pinned.exit_code, pinned.stdout) == (0, "app is pinned to <2\n")
    assert rig.state()["package"] == [{**before["package"][0], "otadevice": {"pin": "<2"}}]
    assert rig.run("update").stdout == "app (stable): installed 1.1\n"
    assert "2.0 is outside the pin <2" in rig.run("check").stdout

    freed = rig.run("pin", "app")
    assert freed.stdout == "app is not pinned\n"
    assert "pin" not in rig.state()["package"][0]["otadevice"]
    assert rig.run("update").stdout == "app (stable): updated 1.1 to 2.0\n"


def test_a_pin_that_leaves_out_what_is_installed_says_so(rig: Rig, tree: Path) -> None:
    """Nothing goes back because of it."""
    trees.write(tree, Release("1.0"), Release("2.0"))
    rig.add()
    rig.run("update")

    done = rig.run("pin", "app", "<2")

    assert done.stdout == "app is pinned to <2; 2.0, which is installed, is outside of it and stays\n"
    assert rig.run("update").stdout == "app (stable): nothing newer than 2.0\n"


def test_a_range_that_is_none_is_refused(rig: Rig) -> None:
    """In the words of the contract, as wrong usage; an unknown package is a failure."""
    rig.add()
    before = rig.files()

    wrong, unknown = rig.run("pin", "app", "<<2"), rig.run("pin", "other", "<2")

    assert (wrong.exit_code, unknown.exit_code) == (2, 1)
    assert "'<<2' is not one of >= > <= < == !=" in " ".join(wrong.stderr.split())
    assert "other is not in" in unknown.stderr
    assert rig.files() == before


def installed(rig: Rig, data: bytes, name: str = "app") -> Path:
    """Put a file into its place by hand; returns that."""
    local = rig.opt / name
    local.write_bytes(data)
    return local

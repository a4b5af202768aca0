"""What the owner of a device asks for by command: adopt, pin, remove, rollback, clear-bad, recover, going back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import trees
from tests.support.trees import Release

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.devices import Rig

ONE, TWO, THREE = (Release(f"{number}.0", f"release {number}".encode()) for number in (1, 2, 3))


@pytest.fixture
def updated(rig: Rig, tree: Path) -> Rig:
    """A device that went from 1.0 of app to 2.0."""
    trees.write(tree, ONE)
    rig.add()
    assert rig.run("update").exit_code == 0
    trees.write(tree, ONE, TWO)
    assert rig.run("update").exit_code == 0
    return rig


def entry(rig: Rig, package: str = "app") -> Any:
    """Read the entry of a package."""
    (found,) = [each for each in rig.state()["package"] if each["package"] == package]
    return found


def app(rig: Rig) -> bytes:
    """Read what is installed."""
    return (rig.opt / "app").read_bytes()


def test_rollback_undoes_the_last_update_once(updated: Rig) -> None:
    """File and state file are those from before; it does not come back until that is allowed."""
    done = updated.run("rollback")

    assert (done.exit_code, done.stdout) == (0, "app (stable): updated 2.0 to 1.0\n")
    assert (app(updated), entry(updated)["version"]) == (ONE.data, "1.0")
    again = updated.run("rollback")
    assert (again.exit_code, "cannot be undone" in again.stderr) == (1, True)
    assert "undone by the owner" in updated.run("update").stdout
    assert app(updated) == ONE.data

    assert "app 2.0 may be taken again" in updated.run("clear-bad").stdout
    assert updated.run("update").exit_code == 0
    assert app(updated) == TWO.data


def test_a_first_installation_can_be_rolled_back(rig: Rig, tree: Path) -> None:
    """Nothing is left of it, and the package is wanted as before."""
    trees.write(tree, ONE)
    local = rig.add()
    rig.run("update")

    assert rig.run("rollback").exit_code == 0

    assert not local.exists()
    assert entry(rig) == {"package": "app", "branch": "stable", "local": str(local)}
    assert [path.name for path in rig.opt.iterdir()] == []


def test_a_lower_release_is_taken_if_its_owner_says_so(updated: Rig) -> None:
    """And only then, with the exact version."""
    refused = updated.run("update", "app", "--version", "1.0")
    assert (refused.exit_code, app(updated)) == (0, TWO.data)

    done = updated.run("update", "app", "--version", "1.0", "--allow-downgrade")

    assert (done.exit_code, app(updated), entry(updated)["version"]) == (0, ONE.data, "1.0")


@pytest.mark.parametrize(
    "words",
    [("update", "--version", "1.0"), ("update", "--allow-downgrade"), ("update", "app", "--allow-downgrade")],
)
def test_a_wish_names_a_package_and_a_version(updated: Rig, words: tuple[str, ...]) -> None:
    """Anything less is a wrong usage."""
    assert updated.run(*words).exit_code == 2


def test_a_pin_keeps_a_package_in_its_range(updated: Rig, tree: Path) -> None:
    """Until it is taken away; it stands in the state file."""
    trees.write(tree, ONE, TWO, THREE)
    assert updated.run("pin", "app", "<3").stdout == "app is kept in <3\n"
    assert entry(updated)["otadevice"]["pin"] == "<3"

    updated.run("update")
    assert app(updated) == TWO.data
    assert "pinned to <3" in updated.run("status").stdout

    assert updated.run("pin", "app").stdout == "app is not pinned\n"
    updated.run("update")
    assert app(updated) == THREE.data


@pytest.mark.parametrize(("words", "code"), [(("pin", "app", ">>1"), 2), (("pin", "other", "<3"), 1)])
def test_a_pin_that_cannot_be_is_refused(updated: Rig, words: tuple[str, ...], code: int) -> None:
    """What is no range, and what is no package here."""
    before = updated.state()

    assert updated.run(*words).exit_code == code

    assert updated.state() == before


def test_adopt_recognises_a_file_by_its_hash(rig: Rig, tree: Path) -> None:
    """It becomes what is installed, without a download, also if it is a release of an older segment."""
    trees.write(tree, TWO, older=[(ONE,)])
    local = rig.opt / "app"
    local.write_bytes(ONE.data)

    done = rig.run("adopt", "app", "--branch", "stable", "--local", str(local))

    assert (done.exit_code, done.stdout) == (0, f"app from stable: {local} is 1.0\n"), done.stderr
    assert entry(rig)["version"] == "1.0"
    assert rig.server.asked("/otafiles/") == []
    assert rig.run("update").stdout == "app (stable): updated 1.0 to 2.0\n"


def test_adopt_refuses_what_is_no_release(rig: Rig, tree: Path) -> None:
    """With the hash, and what would become of the file."""
    trees.write(tree, ONE)
    local = rig.add()
    missing = rig.run("adopt", "app")
    local.write_bytes(b"somebody else's")
    unknown = rig.run("adopt", "app")

    assert (missing.exit_code, unknown.exit_code) == (1, 1)
    assert "there is no file" in missing.stderr
    assert "as no release of app on stable has" in unknown.stderr
    assert "version" not in entry(rig)


def test_remove_takes_a_package_away(updated: Rig) -> None:
    """File and entry are gone, and nothing of it stays beside them."""
    done = updated.run("remove", "app")

    assert (done.exit_code, done.stdout) == (0, "app (stable): removed\n"), done.stderr
    assert updated.state()["package"] == []
    assert [path.name for path in updated.opt.iterdir()] == []


def test_what_others_depend_on_is_not_removed(rig: Rig, tree: Path) -> None:
    """It came by itself, because something needed it; first that has to go."""
    trees.write(tree, ONE, package="lib")
    needs = {"dependencies": {"lib": ">=1"}}
    trees.write(tree, Release("1.0", b"app", content=needs, entry=needs))
    rig.add()
    content = {**needs, "local": str(rig.opt / "lib")}
    trees.write(tree, Release("1.0", b"lib", content={"local": content["local"]}), package="lib")
    assert rig.run("update").exit_code == 0
    assert entry(rig, "lib")["otadevice"]["auto"] is True

    refused = rig.run("remove", "lib")

    assert (refused.exit_code, "app depends on lib" in refused.stderr) == (1, True)
    assert rig.run("remove", "app").exit_code == 0
    assert rig.run("remove", "lib").exit_code == 0


def test_recover_has_nothing_to_do_most_of_the_time(updated: Rig) -> None:
    """It says so, and needs no network."""
    updated.server.refuse()

    done = updated.run("recover")

    assert (done.exit_code, done.stdout) == (0, "nothing to recover\n")


def test_a_failing_hook_is_told_everywhere(updated: Rig, tree: Path) -> None:
    """By update and by status, with its output; and check says that the release is not taken again."""
    broken = Release("3.0", b"3", content={"after_update": "echo no such door; exit 7"})
    trees.write(tree, ONE, TWO, broken)

    done = updated.run("update")

    why = "AfterUpdate of app 3.0 failed with exit code 7"
    assert (done.exit_code, why in done.stderr) == (1, True)
    assert app(updated) == TWO.data
    status = updated.run("status").stdout
    assert "| no such door" in status
    told = json.loads(updated.run("status", "--json").stdout)["packages"][0]
    assert (told["last"]["output"], told["bad"][0]["version"]) == ("no such door\n", "3.0")
    check = json.loads(updated.run("check", "--json").stdout)["packages"][0]
    assert (check["offered"], why in check["skipped"][0]["why"]) == ("", True)


def test_the_identity_is_made_at_the_first_update(rig: Rig, tree: Path) -> None:
    """Not by what may be done to an image before it is copied."""
    trees.write(tree, ONE)
    file = rig.folder / "otadevice-work" / "identity.json"
    rig.add()
    for command in ("check", "status", "recover"):
        rig.run(command)
    assert not file.exists()

    rig.run("update")

    assert file.stat().st_mode & 0o777 == 0o600
    before = file.read_bytes()
    rig.run("update")
    assert file.read_bytes() == before

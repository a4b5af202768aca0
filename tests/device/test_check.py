"""Which release a device takes, and why not another."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from devclient.check import Finding, Skipped, check
from devclient.errors import BrokenPromiseError
from mirror import layout
from tests.support import trees
from tests.support.devices import FolderMirror
from tests.support.trees import Release

if TYPE_CHECKING:
    from pathlib import Path


def found(tree: Path, installed: str = "") -> Finding:
    """Check for app on stable."""
    return check("app", "stable", installed, FolderMirror(tree))


def offered(finding: Finding) -> str:
    """Name the version that is offered."""
    return finding.offer.content.version if finding.offer else ""


def test_the_highest_release_is_offered(tree: Path) -> None:
    """Versions are compared as versions: 1.10 is above 1.9."""
    trees.write(tree, Release("1.9"), Release("1.10", b"ten"), Release("1.10-rc1"))

    finding = found(tree, "1.9")

    assert offered(finding) == "1.10"
    assert finding.offer is not None
    assert finding.offer.size == 3
    assert (finding.why, finding.skipped, finding.yanked) == ("", (), None)


@pytest.mark.parametrize("installed", ["2.0", "2.0.1", "10"])
def test_a_device_never_goes_back(tree: Path, installed: str) -> None:
    """What is not above the installed version is nothing newer."""
    trees.write(tree, Release("1.0"), Release("2.0"))

    finding = found(tree, installed)

    assert finding == Finding(None, f"nothing newer than {installed}")


def test_nothing_released_is_told(tree: Path) -> None:
    """A branch without releases offers nothing."""
    trees.write(tree)

    assert found(tree) == Finding(None, "nothing is released")


def test_a_yanked_release_is_passed_over(tree: Path) -> None:
    """The next lower one is offered, and the yank is told with its reason."""
    yank = {"yanked": {"reason": "breaks doors", "replacement": "2.1"}}
    trees.write(tree, Release("1.0"), Release("2.0", entry=yank))

    finding = found(tree)

    assert offered(finding) == "1.0"
    assert finding.skipped == (Skipped("2.0", "was taken back: breaks doors; take 2.1 instead"),)


def test_a_yank_without_words_is_a_yank(tree: Path) -> None:
    """The key alone takes a release back."""
    trees.write(tree, Release("1.0"), Release("2.0"))
    path = tree / layout.release_list("app", "stable")
    path.write_bytes(path.read_bytes().replace(b'"version":"2.0"', b'"version":"2.0","yanked":{}'))

    assert offered(found(tree)) == "1.0"


def test_the_installed_release_may_be_yanked(tree: Path) -> None:
    """A device that has a release that was taken back knows it, whether there is a newer one or not."""
    yank = {"reason": "breaks doors"}
    trees.write(tree, Release("1.0", entry={"yanked": yank}))

    assert found(tree, "1.0").yanked == yank
    trees.write(tree, Release("1.0", entry={"yanked": yank}), Release("2.0"))
    assert found(tree, "1.0").yanked == yank
    assert offered(found(tree, "1.0")) == "2.0"


def test_a_release_that_needs_the_unknown_is_passed_over(tree: Path) -> None:
    """A word in `needs` that this device does not know makes it careful; the word is told."""
    trees.write(tree, Release("1.0"), Release("2.0", entry={"needs": ("rollout", "moon")}))

    finding = found(tree)

    assert offered(finding) == "1.0"
    why = "needs rollout, moon, which this version of otadevice does not understand"
    assert finding.skipped == (Skipped("2.0", why),)


def test_a_list_that_needs_the_unknown_is_not_taken(tree: Path) -> None:
    """Nothing of such a list is offered."""
    trees.write(tree, Release("1.0"), needs=("moon",))

    finding = found(tree)

    assert finding == Finding(None, "needs moon, which this version of otadevice does not understand")


def test_when_all_newer_ones_are_passed_over_it_is_told_why(tree: Path) -> None:
    """Nothing newer, and the reason that the highest one gives; lower ones than the installed do not count."""
    needs = {"needs": ("moon",)}
    trees.write(tree, Release("0.9", entry=needs), Release("1.0"), Release("2.0", entry=needs))

    finding = found(tree, "1.0")

    assert finding.offer is None
    assert finding.why.startswith("nothing newer can be taken: 2.0 needs moon")
    assert [skipped.version for skipped in finding.skipped] == ["2.0"]


def test_unknown_keys_do_not_matter(tree: Path) -> None:
    """Keys that later versions add to a list do not stop this one."""
    trees.write(tree, Release("1.0", entry={"extra": {"colour": "blue"}}), extra={"later": {"a": [1]}})

    assert offered(found(tree)) == "1.0"


def damage(tree: Path, path: str, before: bytes, after: bytes) -> None:
    """Change a file of the mirror."""
    assert before in (tree / path).read_bytes()
    (tree / path).write_bytes((tree / path).read_bytes().replace(before, after))


LIST = layout.release_list("app", "stable")
CONTENT = layout.get_version("app", "stable", "1.0")


@pytest.mark.parametrize(
    ("path", "before", "after", "problem"),
    [
        (LIST, b'"releases"', b'"relaeses"', "releases is missing"),
        (LIST, b"{", b"<", "is not JSON"),
        (LIST, b'"branch":"stable"', b'"branch":"edge"', "is that of app on edge"),
        (LIST, b'"package":"app"', b'"package":"other"', "is that of other on stable"),
        (CONTENT, b'"description":""', b'"description":"!"', "has the SHA-256"),
    ],
)
def test_a_mirror_that_breaks_its_promise_is_told(
    tree: Path, path: str, before: bytes, after: bytes, problem: str
) -> None:
    """A list or content.json that is not what it should be is an error, and nothing of it is used."""
    trees.write(tree, Release("1.0"))
    damage(tree, path, before, after)

    with pytest.raises(BrokenPromiseError, match=problem):
        found(tree)


@pytest.mark.parametrize(
    "change", [{"version": "1.1"}, {"package": "b"}, {"branch": "edge"}, {"sha256": "0" * 64}], ids=str
)
def test_a_content_of_another_release_is_told(tree: Path, change: dict[str, Any]) -> None:
    """Package, branch, version and blob must be those of the list, even if the hash is right."""
    release = Release("1.0")
    other = replace(release.content_on("app", "stable"), **change)
    trees.write(tree, release, Release("0.1"))
    damage(tree, LIST, release.content_on("app", "stable").digest.encode(), other.digest.encode())
    (tree / CONTENT).write_bytes(other.canonical())

    with pytest.raises(BrokenPromiseError, match="is that of"):
        found(tree)


@pytest.mark.parametrize(("listed", "said"), [({}, {"b": "*"}), ({"b": "*"}, {}), ({"b": "*"}, {"b": ">=1"})])
def test_a_content_with_other_dependencies_is_told(tree: Path, listed: dict[str, str], said: dict[str, str]) -> None:
    """What a release depends on is the same in the list, where it is solved, and in its content.json."""
    trees.write(tree, Release("1.0", content={"dependencies": said}, entry={"dependencies": listed}))

    with pytest.raises(BrokenPromiseError, match="has other dependencies than the release list says"):
        found(tree)


def test_a_content_that_breaks_the_rules_is_told(tree: Path) -> None:
    """A hash that is right does not make a content.json right."""
    release = Release("1.0")
    other = replace(release.content_on("app", "stable"), local="not/absolute")
    trees.write(tree, release)
    damage(tree, LIST, release.content_on("app", "stable").digest.encode(), other.digest.encode())
    (tree / CONTENT).write_bytes(other.canonical())

    with pytest.raises(BrokenPromiseError, match="is not an absolute path"):
        found(tree)

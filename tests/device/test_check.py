"""Which release a device takes, and why not another; what goes with what has tests of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from devclient.check import Finding, Lists, Skipped, Wish, check
from devclient.errors import BrokenPromiseError, NotOnMirrorError
from mirror import canonical, layout, releases
from tests.support import trees
from tests.support.devices import FolderMirror
from tests.support.trees import Release
from tests.support.worlds import MemoryMirror, package, release

if TYPE_CHECKING:
    from pathlib import Path

    from devclient.state import Package
    from mirror.content import Content


def found(tree: Path, installed: str = "") -> Finding:
    """Check for app on stable."""
    return look(FolderMirror(tree), package("app", installed))


def look(mirror: FolderMirror | MemoryMirror, first: Package, *others: Package, **options: Any) -> Finding:
    """Check for a package on a device with others."""
    return check(first, (first, *others), mirror, **options)


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
    """A word in `needs` that this device does not know makes it careful; that word is told, not those it knows."""
    trees.write(tree, Release("1.0"), Release("2.0", entry={"needs": ("rollout", "moon")}))

    finding = found(tree)

    assert offered(finding) == "1.0"
    why = "needs moon, which this version of otadevice does not understand"
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
    trees.write(tree, Release("1.0"), package="b")
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


def test_a_content_that_is_not_canonical_is_told(tree: Path) -> None:
    """The hash in the list is that by which a device knows a content ever after, so there is one way to write it."""
    other = Release("1.0").content_on("app", "stable").canonical().replace(b'"version":', b'"version": ')
    trees.write(tree, Release("1.0"))
    damage(tree, LIST, Release("1.0").content_on("app", "stable").digest.encode(), canonical.digest(other).encode())
    (tree / CONTENT).write_bytes(other)

    with pytest.raises(BrokenPromiseError, match="is not written as the contract says"):
        found(tree)


def test_what_failed_here_is_passed_over() -> None:
    """A content that is marked bad is not tried again, until its mark is cleared."""
    mirror = MemoryMirror(app=[release("1"), release("2")])
    bad = {release("2").content_on("app", "stable").digest: "AfterUpdate ended with 1"}

    finding = look(mirror, package("app", "1"), bad=bad)

    why = "failed on this device: AfterUpdate ended with 1; `otadevice clear-bad` lets it be tried again"
    assert finding == Finding(None, f"nothing newer can be taken: 2 {why}", (Skipped("2", why),))
    assert offered(look(mirror, package("app", "1"), bad={"0" * 64: "it"})) == "2"


def test_a_pin_keeps_a_package_where_it_is() -> None:
    """Only what is in the range is taken."""
    mirror = MemoryMirror(app=[release(version) for version in ("1.4", "1.5", "2", "3")])

    finding = look(mirror, package("app", "1.4", pin="<2"))

    assert offered(finding) == "1.5"
    assert finding.skipped == (Skipped("3", "is outside the pin <2"), Skipped("2", "is outside the pin <2"))
    kept = look(mirror, package("app", "1.4", pin="==1.4"))
    assert (kept.offer, kept.why) == (None, "nothing newer can be taken: 3 is outside the pin ==1.4")


def test_a_release_whose_dependencies_cannot_be_read_is_passed_over() -> None:
    """One that makes no sense keeps no other release from being taken."""
    odd = [release("5", {"lib": ">>1"}), release("4", {"no name": "*"}), release("3", {"app": "*"})]
    finding = look(MemoryMirror(app=[*odd, release("2")]), package("app", "1"))

    assert offered(finding) == "2"
    assert finding.skipped == tuple(
        Skipped(version, f"states a dependency that cannot be read: {dependency}")
        for version, dependency in (("5", "lib >>1"), ("4", "no name *"), ("3", "app *"))
    )


# going back: only where somebody who may says so

YANKED = {"reason": "breaks doors", "replacement": "1"}


def test_a_replacement_leads_back_when_nothing_newer_can_be_taken() -> None:
    """The signed list takes the installed release back and names a lower one: that is offered."""
    mirror = MemoryMirror(app=[release("1"), release("2", yanked=YANKED), release("3", {"lib": "*"})])

    finding = look(mirror, package("app", "2"))

    assert offered(finding) == "1"
    assert finding.yanked == YANKED
    assert finding.skipped == (Skipped("3", "needs lib *, which this mirror does not have on stable"),)


@pytest.mark.parametrize(
    ("installed", "releases", "want"),
    [
        ("2", [release("1"), release("2", yanked=YANKED), release("3")], "3"),
        ("2", [release("1"), release("2", yanked={"reason": "x"})], ""),
        ("2", [release("1"), release("2", yanked={"replacement": "0.9"})], ""),
        ("2", [release("1"), release("2", yanked={"replacement": "no version"})], ""),
        ("2", [release("1"), release("2", yanked={"replacement": 1})], "1"),
        ("2", [release("1"), release("1.5", yanked=YANKED), release("2")], ""),
        ("2", [release("1"), release("1.5", yanked=YANKED)], ""),
        ("", [release("1"), release("2", yanked=YANKED)], "1"),
    ],
)
def test_a_replacement_counts_for_the_installed_release_alone(
    installed: str, releases: list[Release], want: str
) -> None:
    """Nothing leads back but the word of the list on what is installed, and not past anything newer."""
    assert offered(look(MemoryMirror(app=releases), package("app", installed))) == want


@pytest.mark.parametrize(
    ("replacement", "options", "why"),
    [
        (release("1", yanked={}), {}, "1 was taken back"),
        (release("1", needs=("moon",)), {}, "1 needs moon, which this version of otadevice does not understand"),
        (release("1"), {"pin": ">1"}, "1 is outside the pin >1"),
        (release("1", {"lib": ">2"}), {}, "1 needs lib >2, which this mirror does not have on stable"),
    ],
)
def test_a_replacement_must_be_takeable(replacement: Release, options: dict[str, Any], why: str) -> None:
    """It is refused as any other release is, and it is told why."""
    mirror = MemoryMirror(app=[replacement, release("2", yanked=YANKED)])

    finding = look(mirror, package("app", "2", **options))

    assert finding.why == f"nothing newer than 2, and what should replace it cannot be taken: {why}"
    assert finding.offer is None


@pytest.mark.parametrize(
    ("wish", "want"),
    [(Wish("3"), "3"), (Wish("2.5"), "2.5"), (Wish("2"), "2"), (Wish("1", allow_downgrade=True), "1")],
)
def test_the_operator_chooses(wish: Wish, want: str) -> None:
    """What is wished for is offered, be it not the highest, the installed one, or lower where that is allowed."""
    mirror = MemoryMirror(app=[release(version) for version in ("1", "2", "2.5", "3")])

    finding = look(mirror, package("app", "2"), wish=wish)

    assert offered(finding) == want
    assert (finding.why, finding.skipped) == ("", ())


@pytest.mark.parametrize(
    ("wish", "why"),
    [
        (
            Wish("1"),
            "1 cannot be taken: it is below 2, which is installed; `--allow-downgrade` lets this device go back",
        ),
        (Wish("1.5", allow_downgrade=True), "1.5 cannot be taken: it was taken back: breaks doors; take 1 instead"),
        (Wish("3"), "3 cannot be taken: it is outside the pin <3"),
        (Wish("2.5"), "2.5 cannot be taken: it needs lib >=2, which this mirror does not have on stable"),
        (Wish("4", allow_downgrade=True), "4 is not among the releases of app on stable"),
    ],
)
def test_a_wish_is_no_order(wish: Wish, why: str) -> None:
    """What may not be taken is not taken for a wish either; nothing else is offered in its place."""
    releases = [
        release("1"),
        release("1.5", yanked=YANKED),
        release("2.2"),
        release("2.5", {"lib": ">=2"}),
        release("3"),
    ]
    mirror = MemoryMirror(app=releases)

    finding = look(mirror, package("app", "2", pin="<3"), wish=wish)

    assert (finding.offer, finding.changes, finding.why) == (None, (), why)


# older segments: fetched where a pin, a range or a yank needs them

NEW = [release(f"3.{number}") for number in range(3)]
MIDDLE = [release(f"2.{number}") for number in range(3)]
OLD = [release(f"1.{number}") for number in range(3)]


def segmented(middle: list[Release] = MIDDLE, old: list[Release] = OLD) -> MemoryMirror:
    """Make a mirror whose list of app has two older segments."""
    mirror = MemoryMirror()
    mirror.put("app", *NEW, older=(middle, old))
    return mirror


@pytest.mark.parametrize(
    ("entry", "want", "segments"),
    [
        (package("app", "3.1"), "3.2", 0),
        (package("app", "3.2"), "", 0),
        (package("app", "9"), "", 0),
        (package("app"), "3.2", 0),
        (package("app", "2.1"), "3.2", 1),
        (package("app", "2.5"), "3.2", 0),
        (package("app", pin="==2.1"), "2.1", 1),
        (package("app", pin="<2"), "1.2", 1),
        (package("app", pin=">=2, <2.2"), "2.1", 1),
        (package("app", pin=">=4"), "", 0),
        (package("app", pin="==2.7"), "", 0),
        (package("app", pin="!=3.2, !=3.1, !=3.0"), "2.2", 1),
        (package("app", "1.1", pin="<2"), "1.2", 1),
        (package("app", "1.1", pin="<3"), "2.2", 2),
        (package("app", "3.1", pin="<3"), "", 0),
    ],
)
def test_a_segment_is_fetched_when_the_search_gets_there(entry: Package, want: str, segments: int) -> None:
    """One that can hold nothing above the installed release and in the pin stays where it is."""
    mirror = segmented()

    finding = look(mirror, entry)

    assert offered(finding) == want
    assert len([asked for asked in mirror.asked if asked.startswith("segment")]) == segments


def test_a_yank_in_a_segment_is_known() -> None:
    """A device that is far behind learns from the segment that covers its release that this was taken back."""
    yanked = release("2.1", yanked=YANKED)
    assert look(segmented([release("2.0"), yanked, release("2.2")]), package("app", "2.1")).yanked == YANKED
    assert look(segmented([release("2.0"), yanked, release("2.2")]), package("app", "2.0")).yanked is None


def test_a_replacement_may_be_in_a_segment() -> None:
    """Wherever the list has it."""
    mirror = MemoryMirror()
    mirror.put("app", release("3.0", yanked={"replacement": "1.1"}), older=(MIDDLE, OLD))

    assert offered(look(mirror, package("app", "3.0"))) == "1.1"
    assert mirror.asked.count("segment app stable") == 1


def test_a_wish_may_be_in_a_segment() -> None:
    """Wherever the list has it."""
    assert offered(look(segmented(), package("app"), wish=Wish("1.1"))) == "1.1"


def test_a_segment_that_needs_the_unknown_is_not_taken() -> None:
    """Its words stand for each of its releases."""
    mirror = segmented()
    listed = releases.parse(mirror.release_list("app", "stable"))
    data = releases.parse(mirror.segment("app", "stable", listed.older[0].sha256, listed.older[0].size))
    wary = replace(data, needs=("moon",)).encode()
    mirror.put_hashed(wary)
    segment = replace(listed.older[0], sha256=canonical.digest(wary), size=len(wary))
    mirror.put_list(replace(listed, older=(segment, listed.older[1])))

    finding = look(mirror, package("app", "1.2", pin="<3"))

    why = "needs moon, which this version of otadevice does not understand"
    assert finding.skipped[-3:] == tuple(Skipped(version, why) for version in ("2.2", "2.1", "2.0"))


# what is installed

HERE = release("1").content_on("app", "stable")


def current(entry: Package, *releases: Release, lacks: bool = True) -> tuple[Content | None, list[str]]:
    """Return what is found of the installed release, and what contents were asked for."""
    mirror = MemoryMirror(app=releases)
    finding = look(mirror, entry, lacks=lambda sha256: lacks and sha256 == HERE.digest)
    return finding.current, [asked for asked in mirror.asked if asked.startswith("content")]


def test_the_content_of_what_is_installed_is_fetched_if_it_is_lacking() -> None:
    """Whether there is anything newer or not; old hooks can run then."""
    assert current(package("app", "1"), release("1")) == (HERE, ["content app stable 1"])
    assert current(package("app", "1", content=HERE.digest), release("1"))[0] == HERE
    assert current(package("app", "1"), release("1"), release("2"))[0] == HERE
    assert current(package("app", "1"), release("1"), lacks=False) == (None, [])


def test_the_content_of_another_release_is_not_that_of_the_installed_one() -> None:
    """Not of one with other bytes under its version, and of none that is not listed."""
    assert current(package("app", "1", content="0" * 64), release("1")) == (None, [])
    assert current(package("app", "1"), release("2", {"lib": "*"})) == (None, [])
    assert current(package("app"), release("2", {"lib": "*"})) == (None, [])


def test_lists_can_be_shared_between_checks() -> None:
    """Each is asked for once, for the package itself and for what depends on it."""
    mirror = MemoryMirror(app=[release("2", {"lib": ">=2"})], lib=[release("2")])
    lists, packages = Lists(mirror), (package("app", "1"), package("lib", "1"))

    findings = [check(each, packages, lists) for each in packages]

    assert [offered(finding) for finding in findings] == ["2", "2"]
    assert sorted(asked for asked in mirror.asked if asked.startswith("list")) == ["list app stable", "list lib stable"]


@pytest.mark.parametrize(("url", "options"), [("http://one/", {}), ("", {"remote": lambda _url: "main"})])
def test_a_mirror_is_the_same_under_all_its_urls(url: str, options: dict[str, Any]) -> None:
    """An owner may write it in this way here and in that way there; the settings know."""
    mirror = MemoryMirror(app=[release("2", {"lib": ">=2"})], lib=[release("2")])
    lib = package("lib", "1", remote=url)

    finding = look(mirror, package("app", "1", remote="http://one"), lib, **options)

    assert [str(offer) for offer in finding.changes] == ["lib 2", "app 2"]


def test_a_quiet_check_asks_for_the_list_alone() -> None:
    """Nothing else is looked at while nothing is new."""
    mirror = MemoryMirror(app=[release("1", {"lib": "*"})], lib=[release("1"), release("2")])

    assert look(mirror, package("app", "1", {"lib": "*"}), package("lib", "1")).why == "nothing newer than 1"
    assert mirror.asked == ["list app stable"]


def test_a_package_that_is_not_on_the_mirror_is_an_error() -> None:
    """As it is asked for itself; where it is only a dependency, that is a reason among others."""
    with pytest.raises(NotOnMirrorError):
        look(MemoryMirror(), package("app"))

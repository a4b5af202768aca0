"""The state file: the owner's, and edited by hand."""

from __future__ import annotations

import json
import os
import socket
from typing import TYPE_CHECKING, Any

import pytest

from devclient import state
from devclient.errors import StateError
from devclient.state import Package, State
from mirror.content import Content
from mirror.files import Files
from tests.support.faults import KILLS, Fault, FaultyCalls, Killed, every
from tests.support.tools import require_root

if TYPE_CHECKING:
    from pathlib import Path

APP = {"package": "app", "branch": "stable"}
CONTENT = Content(
    package="app",
    version="2.0",
    branch="stable",
    local="/opt/theirs",
    remote="https://theirs.example",
    sha256="a" * 64,
    extra={"new": 1},
)


def load(folder: Path, text: str | bytes) -> State:
    """Load a state file with this text."""
    file = folder / "otadevice.json"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return state.load(file)


def entry(**keys: Any) -> str:
    """Write a state file with one entry for app."""
    return json.dumps({"package": [APP | keys]})


def test_package_and_branch_are_enough(tmp_path: Path) -> None:
    """An entry of two keys is a package that is wanted and not installed."""
    (package,) = load(tmp_path, entry()).packages

    assert (package.name, package.branch) == ("app", "stable")
    assert (package.version, package.local, package.remote) == ("", "", "")


def test_an_empty_file_of_the_owner_is_a_device_without_packages(tmp_path: Path) -> None:
    """Not even the list of packages must be there."""
    assert load(tmp_path, "{}").packages == ()


def test_an_empty_device_is_the_host_name(tmp_path: Path) -> None:
    """A device without a name of its own goes by its host name."""
    assert load(tmp_path, "{}").name == socket.gethostname()
    assert load(tmp_path, '{"device": "door-7"}').name == "door-7"


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    """Editors may leave one."""
    assert load(tmp_path, b'\xef\xbb\xbf{"device": "d"}').device == "d"


def test_what_is_written_is_for_people(tmp_path: Path) -> None:
    """Indented by two, letters as they are, in the owner's order, with a newline at the end."""
    file = tmp_path / "otadevice.json"

    state.save(State({"device": "Tür", "zebra": 1, "package": [APP]}), file, Files())

    assert file.read_text() == (
        '{\n  "device": "Tür",\n  "zebra": 1,\n  "package": [\n    {\n'
        '      "package": "app",\n      "branch": "stable"\n    }\n  ]\n}\n'
    )


def test_unknown_keys_are_kept(tmp_path: Path) -> None:
    """What the owner notes stays, at the top and in each entry, also once the package is updated."""
    before = load(tmp_path, json.dumps({"note": [1.5, None], "package": [APP | {"room": "cellar"}]}))

    after = before.including(before.packages[0].installed(CONTENT, "/opt/app"))

    assert after.fields["note"] == [1.5, None]
    assert after.packages[0].fields["room"] == "cellar"


def test_an_installed_package_is_its_content(tmp_path: Path) -> None:
    """An entry is the content.json of what is installed, and the hash of that under `otadevice`."""
    wanted = load(tmp_path, entry(local="/opt/app")).packages[0]

    installed = wanted.installed(CONTENT, "/opt/app")

    own = {"local": "/opt/app", "remote": ""}
    assert installed.fields == CONTENT.fields() | own | {"otadevice": {"content": CONTENT.digest}}
    assert list(installed.fields)[:5] == ["package", "description", "version", "branch", "local"]


def test_the_owners_remote_stays(tmp_path: Path) -> None:
    """A device does not follow the `remote` of a content.json."""
    wanted = load(tmp_path, entry(remote="https://mine.example")).packages[0]

    assert wanted.installed(CONTENT, "/opt/app").remote == "https://mine.example"


def test_what_else_stands_under_otadevice_stays(tmp_path: Path) -> None:
    """Only the hash of the content changes with an update."""
    wanted = load(tmp_path, entry(otadevice={"content": "old", "pin": "<3"})).packages[0]

    ours = wanted.installed(CONTENT, "/opt/app").fields["otadevice"]

    assert ours == {"content": CONTENT.digest, "pin": "<3"}


def test_an_entry_keeps_its_place() -> None:
    """An update changes one entry, where it stands; a new one comes last."""
    before = State({"package": [APP, {"package": "b", "branch": "x"}]})

    after = before.including(Package(APP | {"version": "1"})).including(Package({"package": "c", "branch": "x"}))

    assert [package.name for package in after.packages] == ["app", "b", "c"]
    assert after.packages[0].version == "1"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[]", r"must be a JSON object, not \[\]"),
        ('{"device": 7}', "device: must be a string, not 7"),
        ('{"package": {}}', r"package: must be a list, not \{\}"),
        ('{"package": [1]}', r"package\[0\]: must be an object, not 1"),
        ('{"package": [{"branch": "b"}]}', r"package\[0\].package: is missing"),
        ('{"package": [{"package": "p"}]}', r"package\[0\].branch: is missing"),
        (entry(branch="a/b"), r"package\[0\].branch: 'a/b' is not a name.*use 'a-b'"),
        (entry(version=1.5), r"package\[0\].version: must be a string, not 1.5"),
        (entry(version="1 2"), r"package\[0\].version: '1 2' is not a version"),
        (entry(local="opt"), r"package\[0\].local: 'opt' is not an absolute path"),
        (entry(remote="ftp://x"), r"package\[0\].remote: 'ftp://x' is not the http"),
        (entry(otadevice=1), r"package\[0\].otadevice: must be an object"),
        (json.dumps({"package": [APP, APP]}), r"package\[1\].package: 'app' stands in package\[0\] too"),
        (
            json.dumps({"package": [APP | {"local": "/opt/x"}, APP | {"package": "b", "local": "/opt/x"}]}),
            r"package\[1\].local: '/opt/x' stands in package\[0\] too",
        ),
        ('{"device": "a", "device": "b"}', "the key 'device' stands twice"),
        ('{\n"device": "a",\n}', "is not JSON: .* at line 3"),
        (b"\xff", "is not UTF-8 at byte 0"),
        (r'{"device": "\ud800"}', "is not UTF-8 text"),
        ("[" * 100_000, "is nested too deep"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path: Path, text: str | bytes, problem: str) -> None:
    """An error in the state file names the file, the entry and the key."""
    with pytest.raises(StateError, match=problem) as caught:
        load(tmp_path, text)

    assert str(caught.value).startswith(f"{tmp_path}/otadevice.json: ")


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """With what the system says about it."""
    with pytest.raises(StateError, match="cannot be read: Is a directory"):
        state.load(tmp_path)


def test_a_missing_file_names_the_way_to_one(tmp_path: Path) -> None:
    """Who has no state file is told how to get one."""
    with pytest.raises(StateError, match="put it back, or write"):
        state.load(tmp_path / "otadevice.json")


def test_packages_without_a_place_do_not_collide(tmp_path: Path) -> None:
    """Only places that are named can be named twice."""
    packages = [APP | {"local": ""}, {"package": "b", "branch": "x"}]

    assert len(load(tmp_path, json.dumps({"package": packages})).packages) == 2


def test_permissions_stay(tmp_path: Path) -> None:
    """A state file that is not for everybody stays so."""
    file = tmp_path / "otadevice.json"
    file.write_text("{}")
    file.chmod(0o600)

    state.save(state.new("d"), file, Files())

    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.root
def test_the_file_stays_its_owners(tmp_path: Path) -> None:
    """Owner, group and mode are as they were, whatever the umask: an owner who is not root goes on editing it."""
    require_root()
    file = tmp_path / "otadevice.json"
    state.save(state.new("door-7"), file, Files())
    os.chown(file, 1234, 5678)
    file.chmod(0o664)

    before = os.umask(0o077)
    try:
        state.save(state.new("door-8"), file, Files())
    finally:
        os.umask(before)

    found = file.stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (1234, 5678, 0o664)


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    """The owner may keep the file elsewhere."""
    (tmp_path / "elsewhere").mkdir()
    file = tmp_path / "otadevice.json"
    file.symlink_to("elsewhere/state.json")

    state.save(state.new("d"), file, Files())

    assert file.is_symlink()
    assert state.load(tmp_path / "elsewhere" / "state.json").device == "d"


@pytest.mark.parametrize("fault", list(every(8, KILLS)), ids=str)
def test_a_killed_save_leaves_the_old_or_the_new(tmp_path: Path, fault: Fault) -> None:
    """The state file is whole at every instant."""
    file = tmp_path / "otadevice.json"
    state.save(state.new("old"), file, Files())

    try:
        state.save(state.new("new"), file, Files(FaultyCalls(fault)))
        done = True
    except Killed:
        done = False

    assert state.load(file).device in ({"new"} if done else {"old", "new"})


def test_the_owners_word_is_what_stays_when_nothing_is_installed(tmp_path: Path) -> None:
    """Package, branch, place, mirror, pin, and keys of their own; nothing of the release."""
    ours = {"pin": "<3", "auto": True, "content": "ab" * 32, "adopt": True}
    wanted = APP | {"local": "/opt/app", "remote": "https://mine.example", "room": "cellar"}
    package = load(tmp_path, entry(**(CONTENT.fields() | wanted), otadevice=ours)).packages[0]

    kept = package.wanted()

    assert kept.fields == wanted | {"new": 1, "otadevice": {"pin": "<3", "auto": True, "adopt": True}}
    assert (kept.version, kept.content, kept.dependencies) == ("", "", {})
    assert kept.wanted() == kept


def test_an_entry_that_is_only_wanted_stays_short(tmp_path: Path) -> None:
    """No empty keys are left behind."""
    package = load(tmp_path, entry()).packages[0]

    assert package.installed(CONTENT, "").wanted().fields == APP | {"new": 1}


def test_a_package_can_be_left_out(tmp_path: Path) -> None:
    """The others keep their order, and everything else stays."""
    before = load(tmp_path, json.dumps({"note": 1, "package": [APP, {"package": "b", "branch": "x"}]}))

    assert [package.name for package in before.without("app").packages] == ["b"]
    assert before.without("app").fields["note"] == 1
    assert before.without("none").packages == before.packages
    assert len(before.packages) == 2


def test_a_changed_entry_is_known_by_its_fingerprint(tmp_path: Path) -> None:
    """Whatever key was changed; in which order they stand makes no difference."""
    package = load(tmp_path, entry(note=[1, {"a": None}])).packages[0]

    again = Package(dict(reversed(list(package.fields.items()))))
    mine = dict(package.fields)
    changed = [mine | {"note": 2}, mine | {"pin": 1}, APP, mine | {"branch": "b"}]

    assert state.fingerprint(again) == state.fingerprint(package)
    assert len({state.fingerprint(Package(fields)) for fields in [mine, *changed]}) == 5
    assert state.fingerprint(None) == ""


def test_what_otadevice_keeps_is_read_from_its_own_key(tmp_path: Path) -> None:
    """And without it nothing is pinned, automatic or adopted."""
    mine = load(tmp_path, entry(local="/srv/x/", otadevice={"auto": True, "adopt": True, "pin": "<3"})).packages[0]
    assert (mine.auto, mine.adopt, mine.pin, mine.is_folder) == (True, True, "<3", True)

    plain = load(tmp_path, entry(local="/srv/x", otadevice={"auto": 1, "adopt": "yes"})).packages[0]
    assert (plain.auto, plain.adopt, plain.pin, plain.is_folder) == (False, False, "", False)


def test_an_installed_folder_is_adopted_no_more(tmp_path: Path) -> None:
    """What its owner allowed once holds for that once."""
    wanted = load(tmp_path, entry(local="/srv/x/", otadevice={"adopt": True, "pin": "<3"})).packages[0]

    installed = wanted.installed(CONTENT, "/srv/x/")

    assert not installed.adopt
    assert installed.pin == "<3"


def test_only_what_is_installed_depends_on_anything(tmp_path: Path) -> None:
    """What stands in the entry of a package that is only wanted is of no release."""
    ranges = {"lib": ">=2"}

    assert load(tmp_path, entry(version="1", dependencies=ranges)).packages[0].dependencies == ranges
    assert load(tmp_path, entry(dependencies=ranges)).packages[0].dependencies == {}
    assert load(tmp_path, entry(version="1", dependencies=["lib"])).packages[0].dependencies == {}

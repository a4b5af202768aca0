"""What is installed stands in the state file: merged into whatever its owner wrote meanwhile, and durably."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from devclient import state
from devclient.errors import StateError
from devclient.install import commit
from devclient.plan import Found, Kind, Plan, Release, Step
from devclient.records.contents import Contents
from mirror.content import Content
from mirror.files import Files
from tests.support import devices, installs
from tests.support.faults import FULL, KILL_BEFORE, KILLS, CountingCalls, Fault, FaultyCalls, Killed, points
from tests.support.tools import require_root

if TYPE_CHECKING:
    from pathlib import Path

    from mirror.files import Calls

APP = {"package": "app", "branch": "stable", "local": "/opt/app", "room": "cellar"}
NEW = Content(package="app", version="2", branch="stable", sha256="ab" * 32, description="the new one")
LIB = Content(package="lib", version="7", branch="stable", sha256="cd" * 32)
OTHER = {"package": "other", "branch": "edge"}


def _step(content: Content, **how: Any) -> Step:
    return Step(
        content.package,
        "stable",
        "",
        f"/opt/{content.package}",
        f"/opt/{content.package}",
        None,
        Release(content.version, content.digest, content.sha256, 5),
        Found.NOTHING,
        **how,
    )


UPDATE = Plan(Kind.UPDATE, 1, (_step(LIB, auto=True), _step(NEW)))
GONE = Plan(Kind.REMOVE, 2, (replace(_step(NEW), after=None),))
UNDONE = Plan(Kind.ROLLBACK, 3, (replace(_step(LIB), after=None), replace(_step(NEW), after=None)))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A state file in which app is wanted, in a mode of its owner's."""
    return _lay(tmp_path)


def _lay(folder: Path, *entries: dict[str, Any]) -> Path:
    for path in folder.glob(".*.next"):
        path.unlink()
    file = folder / "otadevice.json"
    devices.write_state(file, *(entries or (APP,)))
    file.chmod(0o640)
    for content in (NEW, LIB):
        Contents(folder / "contents", Files()).keep(content)
    return file


def _prepare(file: Path, planned: Plan = UPDATE, calls: Calls | None = None) -> None:
    files = Files(calls)
    commit.prepare(planned, file, Contents(file.parent / "contents", files), files)


def _commit(file: Path, planned: Plan = UPDATE, calls: Calls | None = None) -> None:
    files = Files(calls)
    commit.commit(planned, file, Contents(file.resolve().parent / "contents", files), files)


def _read(file: Path) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(file.read_bytes())
    return fields


def test_what_is_installed_is_written(file: Path) -> None:
    """Each entry where it stood, with its owner's keys; a package that came along is added, and known for that."""
    _prepare(file)
    _commit(file)

    app, lib = _read(file)["package"]
    assert (app["version"], app["room"], app["otadevice"]) == ("2", "cellar", {"content": NEW.digest})
    assert (lib["package"], lib["version"], lib["local"]) == ("lib", "7", "/opt/lib")
    assert lib["otadevice"] == {"auto": True, "content": LIB.digest}
    assert list(file.parent.glob(".otadevice*")) == []


@pytest.mark.root
def test_the_file_stays_its_owners(file: Path) -> None:
    """Owner, group and mode are those that it had, though root writes it and whatever the umask."""
    require_root()
    os.chown(file, 1234, 5678)
    before = os.umask(0o077)
    try:
        _prepare(file)
        _commit(file)
    finally:
        os.umask(before)

    found = file.stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (1234, 5678, 0o640)


def test_preparing_changes_nothing_but_takes_the_space(file: Path) -> None:
    """The bytes are there already, so that writing them later needs none."""
    before = file.read_bytes()

    _prepare(file)

    spare = file.with_name(".otadevice.json.next")
    assert file.read_bytes() == before
    assert spare.stat().st_blocks * 512 >= 64 * 1024
    assert spare.stat().st_mode & 0o777 == 0o640
    commit.discard(file, Files())
    commit.discard(file, Files())
    assert not spare.exists()


def test_what_the_owner_wrote_meanwhile_stays(file: Path) -> None:
    """Another entry, a description, another order, keys of their own: only the packages of the update change."""
    _prepare(file)
    fields = {"description": "in the hall", "package": [OTHER, APP | {"room": "hall", "otadevice": {"pin": "<3"}}]}
    file.write_text(json.dumps(fields))

    _commit(file)

    after = _read(file)
    assert after["description"] == "in the hall"
    assert [entry["package"] for entry in after["package"]] == ["other", "app", "lib"]
    assert after["package"][0] == OTHER
    assert (after["package"][1]["room"], after["package"][1]["otadevice"]["pin"]) == ("hall", "<3")


def test_an_entry_that_its_owner_took_out_comes_back(file: Path) -> None:
    """The package is installed, and an installed package has an entry."""
    _prepare(file)
    devices.write_state(file, OTHER)

    _commit(file)

    assert [entry["package"] for entry in _read(file)["package"]] == ["other", "lib", "app"]


def test_committing_again_has_no_effect(file: Path) -> None:
    """The file is not even written anew."""
    _prepare(file)
    _commit(file)
    there, calls = file.stat().st_ino, CountingCalls()

    _commit(file, calls=calls)

    assert file.stat().st_ino == there
    assert calls.bytes_written == 0


@pytest.mark.parametrize("prepared", [True, False])
def test_a_killed_commit_leaves_the_old_or_the_new_and_is_repeated(tmp_path: Path, *, prepared: bool) -> None:
    """Whole at each call, with its mode; what was repeated is durable. The same without the allocated file."""

    def laid() -> Path:
        file = _lay(tmp_path)
        if prepared:
            _prepare(file)
        return file

    file = laid()
    before = file.read_bytes()
    total = points(lambda calls: _commit(file, calls=calls))
    after = file.read_bytes()

    for point in range(1, total + 1):
        for mode in KILLS:
            file = laid()
            killed, repeated = FaultyCalls(Fault(point, mode)), CountingCalls()
            with pytest.raises(Killed):
                _commit(file, calls=killed)

            assert file.read_bytes() in (before, after)
            _commit(file, calls=repeated)
            assert file.read_bytes() == after
            assert file.stat().st_mode & 0o777 == 0o640
            assert installs.unsynced([*killed.calls, *repeated.calls]) == set()


def test_a_killed_preparation_changes_nothing(tmp_path: Path) -> None:
    """And the next one works."""
    file = _lay(tmp_path)
    before, total = file.read_bytes(), points(lambda calls: _prepare(file, calls=calls))

    for point in range(1, total + 1):
        file = _lay(tmp_path)
        with pytest.raises(Killed):
            _prepare(file, calls=FaultyCalls(Fault(point, KILL_BEFORE)))
        assert file.read_bytes() == before
        _prepare(file)
        _commit(file)
        assert _read(file)["package"][0]["version"] == "2"


@pytest.mark.parametrize("more", [0, 1000, 60_000])
def test_it_works_on_a_full_disk(file: Path, more: int) -> None:
    """As long as the owner has not made the file longer by more than 64 KiB meanwhile."""
    _prepare(file)
    reserved = file.with_name(".otadevice.json.next").stat().st_size
    devices.write_state(file, APP | {"note": "x" * more})

    _commit(file, calls=FaultyCalls(Fault(1, FULL)))

    assert _read(file)["package"][0]["version"] == "2"
    assert file.stat().st_size <= reserved


def test_a_link_to_the_state_file_stays_a_link(tmp_path: Path) -> None:
    """The file that it leads to is what is written, where that is."""
    file = _lay(tmp_path)
    link = tmp_path / "etc" / "state.json"
    link.parent.mkdir()
    link.symlink_to("../otadevice.json")

    commit.prepare(UPDATE, link, Contents(tmp_path / "contents", Files()), Files())
    _commit(link)

    assert link.is_symlink()
    assert _read(file)["package"][0]["version"] == "2"
    assert [path.name for path in link.parent.iterdir()] == ["state.json"]


@pytest.mark.parametrize("raw", [b"", b"{", b'{"package": 7}', b"\xff", None])
def test_a_state_file_that_was_broken_meanwhile_is_told(file: Path, raw: bytes | None) -> None:
    """Nothing is changed; once its owner has mended it, the commit goes through."""
    good = file.read_bytes()
    _prepare(file)
    file.unlink() if raw is None else file.write_bytes(raw)

    with pytest.raises(StateError):
        _commit(file)

    assert (file.read_bytes() if file.exists() else None) == raw
    file.write_bytes(good)
    _commit(file)
    assert _read(file)["package"][0]["version"] == "2"


@pytest.mark.parametrize("auto", [True, False])
def test_what_is_removed_leaves_the_file(tmp_path: Path, *, auto: bool) -> None:
    """Whoever had it added; the others stay. A second time it has no effect."""
    installed = APP | {"version": "2", "otadevice": {"content": NEW.digest, "auto": auto}}
    file = _lay(tmp_path, installed, OTHER)

    for _ in range(2):
        with contextlib.suppress(FileExistsError):
            _prepare(file, GONE)
        _commit(file, GONE)

        assert _read(file)["package"] == [OTHER]


def test_what_a_rollback_takes_away_is_wanted_still(tmp_path: Path) -> None:
    """If its owner added it; what only came along goes, and what is kept is the owner's."""
    file = _lay(tmp_path)
    _prepare(file)
    _commit(file)

    for _ in range(2):
        _prepare(file, UNDONE)
        _commit(file, UNDONE)

        assert _read(file)["package"] == [APP]
    assert state.load(file).packages[0].version == ""


def test_a_content_that_is_lost_is_not_made_up(file: Path) -> None:
    """What was not verified is not written."""
    Contents(file.parent / "contents", Files()).tidy({LIB.digest})
    before = file.read_bytes()

    with pytest.raises(RuntimeError, match="the content of app 2 was not kept"):
        _prepare(file)

    assert file.read_bytes() == before


def test_a_content_that_is_lost_later_stops_nothing(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What is in place is written down as far as the plan knows it, with the owner's own keys, and it is said."""
    _prepare(file)
    Contents(file.parent / "contents", Files()).tidy({LIB.digest})

    for _ in range(2):
        _commit(file)

        app, lib = _read(file)["package"]
        assert app == {
            **APP,
            "version": NEW.version,
            "sha256": NEW.sha256,
            "otadevice": {"content": NEW.digest},
        }
        assert lib["version"] == LIB.version
    assert "the content.json of app 2 is damaged or gone" in caplog.text

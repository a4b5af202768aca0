"""Signed metadata on a device: what is asked for, what is kept, what is refused."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from devclient.errors import MirrorRefusesError, NetworkError
from devclient.settings import config
from devclient.trust_errors import (
    DamagedMetadataError,
    IncompleteMirrorError,
    MixAndMatchError,
    SignatureError,
    UndelegatedError,
    UnsignedMirrorError,
)
from mirror import layout, trust
from mirror.files import Files
from tests.support import trees
from tests.support.faults import CountingCalls
from tests.support.httpd import PORTAL, Fault
from tests.support.simulator import new_signer
from tests.support.trees import Release

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.devices import Rig
    from tests.support.httpd import Server
    from tests.support.simulator import Simulator

DAY = timedelta(days=1)
ONE, TWO = Release("1.0", b"one"), Release("2.0", b"two")
NOT_YET = Release("3.0", b"three", entry={"needs": ["time-travel"]})
TIMESTAMP = f"/{layout.TIMESTAMP}"


@pytest.fixture
def simulator(rig: Rig) -> Simulator:
    """What signs a mirror with one release of app."""
    trees.write(rig.tree, ONE)
    return trees.simulator(rig.tree)


@pytest.fixture
def returning(rig: Rig, simulator: Simulator) -> Rig:
    """A device that has 1.0 of app, and has forgotten which requests that took."""
    rig.add()
    assert rig.run("update").exit_code == 0
    rig.server.requests.clear()
    return rig


def now() -> datetime:
    """Tell the time."""
    return datetime.now(UTC)


def bin_of(simulator: Simulator, package: str) -> str:
    """Name the bin of a package's stable branch."""
    return simulator.succinct.get_role_for_target(layout.release_list(package, "stable"))


def elsewhere(simulator: Simulator, *, same_bin: bool) -> str:
    """Find a package whose list is in the bin of app's, or in another."""
    names = (f"other{number}" for number in range(100))
    return next(name for name in names if (bin_of(simulator, name) == bin_of(simulator, "app")) == same_bin)


def asked(server: Server) -> list[str]:
    """List what was asked for, and forget it."""
    paths = [request.path for request in server.requests]
    server.requests.clear()
    return paths


def refresh(rig: Rig, time: datetime | None = None) -> None:
    """Refresh, and fetch the list of app."""
    with rig.mirror(time) as mirror:
        mirror.release_list("app", "stable")


def test_the_first_meeting_asks_for_each_role_once(rig: Rig, simulator: Simulator) -> None:
    """In the order of the specification: the next root, then what each role names."""
    refresh(rig)

    version = simulator.snapshot.version
    assert asked(rig.server)[:-1] == [
        "/metadata/2.root.json",
        TIMESTAMP,
        f"/metadata/{version}.snapshot.json",
        "/metadata/1.targets.json",
        "/metadata/1.unclaimed.json",
        f"/metadata/2.{bin_of(simulator, 'app')}.json",
    ]


# polls: how much they ask for


def test_a_quiet_poll_is_one_request(rig: Rig, tree: Path) -> None:
    """However many packages there are, one with an offer that cannot be taken among them; the answer is tiny."""
    trees.write(tree, ONE)
    trees.write(tree, ONE, NOT_YET, package="b")
    trees.write(tree, ONE, package="c", branch="edge")
    rig.add("app")
    rig.add("b")
    assert rig.run("update").exit_code == 0
    rig.server.requests.clear()

    done = rig.run("update")

    (request,) = rig.server.requests
    assert (request.path, request.status, request.sent) == (TIMESTAMP, 304, 0)
    assert request.head <= 400
    app, b = done.stdout.splitlines()
    assert app == "app (stable): nothing newer than 1.0"
    assert "3.0 needs time-travel" in b


def test_a_quiet_poll_writes_nothing(returning: Rig) -> None:
    """Flash wears out, and most polls are quiet."""
    returning.run("update")  # which forgets the content.json of what is installed now
    calls = CountingCalls()

    with returning.mirror(files=Files(calls)) as mirror:
        mirror.release_list("app", "stable")
        mirror.tidy()

    assert calls.calls == []


def test_what_is_not_on_the_mirror_costs_nothing_either(returning: Rig) -> None:
    """A package that is wanted and not there yet is known to be missing as long as nothing changes."""
    returning.add("missing")
    assert returning.run("update").exit_code == 1
    asked(returning.server)

    done = returning.run("update")

    assert "the mirror has nothing there" in done.stderr
    assert asked(returning.server) == [TIMESTAMP]


@pytest.mark.parametrize(("same_bin", "most"), [(False, 3), (True, 4)])
def test_a_publish_elsewhere_costs_few_requests(
    returning: Rig, simulator: Simulator, *, same_bin: bool, most: int
) -> None:
    """Timestamp, root, snapshot, and the bin if it is that one; no list again."""
    trees.write(returning.tree, ONE, package=elsewhere(simulator, same_bin=same_bin))

    assert returning.run("update").exit_code == 0

    assert len(returning.server.requests) == most <= 4
    assert [request.path for request in returning.server.requests if "/releases/" in request.path] == []
    asked(returning.server)
    assert returning.run("update").exit_code == 0
    assert asked(returning.server) == [TIMESTAMP]


def test_a_mirror_without_etags_is_quiet_too(returning: Rig) -> None:
    """A timestamp that comes again is the same timestamp."""
    kept = returning.trust / "kept" / "notes.json"
    kept.write_text(json.dumps({**json.loads(kept.read_bytes()), "etag": "", "modified": ""}))

    refresh(returning)

    assert asked(returning.server) == [TIMESTAMP]


@pytest.mark.parametrize("left_out", ["ETag", "Last-Modified"])
def test_a_quiet_poll_needs_one_validator(returning: Rig, left_out: str) -> None:
    """Whichever a host gives; and none that compresses can lose it, because that is not asked for."""
    os.utime(returning.tree / layout.TIMESTAMP, (0, 1_000_000_000))
    returning.server.misbehave("/metadata/", Fault(headers={left_out: None}))
    refresh(returning)
    refresh(returning)

    last = returning.server.asked(TIMESTAMP)[-1]
    assert (last.status, last.sent, last.accepts) == (304, 0, "identity")


def test_an_etag_goes_with_the_bytes_that_it_belongs_to(returning: Rig, simulator: Simulator) -> None:
    """Who has another timestamp asks for it as if nothing were known of it."""
    old = (returning.trust / "timestamp.json").read_bytes()
    trees.write(returning.tree, ONE, TWO)
    refresh(returning)
    (returning.trust / "timestamp.json").write_bytes(old)
    returning.server.requests.clear()

    refresh(returning)

    assert [request.etag for request in returning.server.asked(TIMESTAMP)] == [""]
    assert (returning.trust / "timestamp.json").read_bytes() != old


def test_silence_is_doubted_when_an_expiry_is_near(returning: Rig, simulator: Simulator) -> None:
    """With less than a quarter of the lifetime left all is asked for, without a condition."""
    refresh(returning, now() + 10 * DAY)
    assert [request.etag != "" for request in returning.server.asked(TIMESTAMP)] == [True]
    asked(returning.server)

    refresh(returning, now() + 11 * DAY)

    assert [request.etag for request in returning.server.requests] == ["", ""]
    assert asked(returning.server) == ["/metadata/2.root.json", TIMESTAMP]


def test_a_root_near_its_expiry_is_asked_for(returning: Rig, simulator: Simulator) -> None:
    """So that a root that is renewed in the last moment is found though no timestamp says so."""
    simulator.root.expires = simulator.now + 2 * DAY
    simulator.root.version += 1
    simulator.write("root", 2, simulator.sign("root", simulator.root))
    trees.write(returning.tree, ONE, TWO)
    refresh(returning)
    asked(returning.server)

    refresh(returning)

    assert asked(returning.server) == ["/metadata/3.root.json", TIMESTAMP]


def test_by_a_new_root_the_timestamp_is_asked_for_again(returning: Rig, simulator: Simulator) -> None:
    """What was asked for before it may be signed with keys that it revokes."""
    simulator.new_root(trust.TIMESTAMP)

    refresh(returning)

    assert asked(returning.server)[:4] == [TIMESTAMP, "/metadata/2.root.json", "/metadata/3.root.json", TIMESTAMP]


def test_a_quiet_refresh_that_fails_is_made_again_aloud(returning: Rig, simulator: Simulator) -> None:
    """A wrong "not modified" does not keep a device from what there is."""
    simulator.new_root(trust.TIMESTAMP)
    history = returning.trust / "root_history"
    (history / "2.root.json").write_bytes(simulator.read("root", 2))
    returning.server.misbehave(TIMESTAMP, Fault(status=304), times=1)

    refresh(returning)

    assert [request.status for request in returning.server.asked(TIMESTAMP)] == [304, 200]


def test_two_packages_share_one_refresh(rig: Rig, simulator: Simulator) -> None:
    """And what was refused is not asked for a second time in one run."""
    rig.add("app")
    rig.add("b")
    rig.run("update")
    assert asked(rig.server).count(TIMESTAMP) == 1

    rig.server.misbehave(TIMESTAMP, Fault(body=b'{"signed":{}}'))
    done = rig.run("update")

    assert done.exit_code == 1
    assert ["It looks like a damaged file" in line for line in done.stderr.splitlines()] == [True, True]
    assert asked(rig.server).count(TIMESTAMP) == 1


# what networks and servers do

FILES = ["timestamp.json", "2.root.json", "2.snapshot.json", "1.targets.json", "1.unclaimed.json", "bin"]


def address(simulator: Simulator, file: str) -> str:
    """Give the path of a file of metadata, as a request has it."""
    return f"/metadata/2.{bin_of(simulator, 'app')}.json" if file == "bin" else f"/metadata/{file}"


@pytest.mark.parametrize("file", [*(file for file in FILES if file != "2.root.json"), "list"])
def test_a_captive_portal_is_the_networks_fault(rig: Rig, simulator: Simulator, file: str) -> None:
    """In the place of any file that there is; it is never "nothing new", and never an attack."""
    rig.server.misbehave("/releases/" if file == "list" else address(simulator, file), PORTAL)
    rig.add()

    done = rig.run("update")

    assert done.exit_code == 75
    assert "wants a sign-in" in done.stderr
    rig.server.behave()
    assert rig.run("update").exit_code == 0


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("fault", [Fault(status=503), Fault(status=429), Fault(cut_after=1), Fault(raw=b"")], ids=str)
def test_a_server_in_trouble_is_the_networks_fault(rig: Rig, simulator: Simulator, file: str, fault: Fault) -> None:
    """Whatever tuf makes of it on the way."""
    if file == "2.root.json":
        simulator.new_root(publish=False)
    rig.server.misbehave(address(simulator, file), fault)

    with pytest.raises(NetworkError) as caught:
        refresh(rig)

    assert caught.value.url == rig.server.url + address(simulator, file)
    rig.server.behave()
    refresh(rig)


def test_where_nothing_is_signed_there_is_no_mirror(rig: Rig, simulator: Simulator) -> None:
    """A site without a timestamp is told with what to check."""
    rig.server.misbehave(TIMESTAMP, Fault(status=404))

    with pytest.raises(UnsignedMirrorError, match=r"there is no signed mirror there .* check the URL of the remote"):
        refresh(rig)


@pytest.mark.parametrize("file", FILES[2:])
def test_a_mirror_that_lacks_what_it_names_is_incomplete(rig: Rig, simulator: Simulator, file: str) -> None:
    """It may be in the middle of being copied: later is tried again."""
    rig.server.misbehave(address(simulator, file), Fault(status=404))

    with pytest.raises(IncompleteMirrorError):
        refresh(rig)


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_root_that_is_not_there_is_no_fault(rig: Rig, simulator: Simulator, status: int) -> None:
    """Object stores say 403 for it."""
    rig.server.misbehave("/metadata/2.root.json", Fault(status=status))

    refresh(rig)


def test_a_root_that_is_not_given_is_a_fault(rig: Rig, simulator: Simulator) -> None:
    """Any other refusal is not "there is none"."""
    rig.server.misbehave("/metadata/2.root.json", Fault(status=401))

    with pytest.raises(MirrorRefusesError, match="401"):
        refresh(rig)


def test_304_to_who_has_nothing_is_the_networks_fault(rig: Rig, simulator: Simulator) -> None:
    """Nobody can say "nothing new" to a new device."""
    rig.server.misbehave(TIMESTAMP, Fault(status=304))

    with pytest.raises(NetworkError, match="304"):
        refresh(rig)


def test_each_file_comes_from_the_first_url_that_answers(rig: Rig, simulator: Simulator) -> None:
    """A remote may have several URLs."""
    rig.config.write_text(rig.config.read_text().replace("urls = [", 'urls = ["http://127.0.0.1:1", '))

    refresh(rig)

    assert rig.server.asked(TIMESTAMP)


# what is refused


def test_what_is_no_metadata_is_told(rig: Rig, simulator: Simulator) -> None:
    """JSON that says nothing, in the place of metadata."""
    rig.server.misbehave(TIMESTAMP, Fault(body=b'{"signed": {}}'))

    with pytest.raises(DamagedMetadataError) as caught:
        refresh(rig)

    assert caught.value.url == rig.server.url + TIMESTAMP


def test_a_role_with_a_name_that_is_none_is_refused(rig: Rig, simulator: Simulator) -> None:
    """A path that leaves the metadata is not even asked for."""
    (role,) = (simulator.delegations.roles or {}).values()
    role.name = "../../../etc/passwd"
    simulator.delegations.roles = {role.name: role}
    simulator.snapshot.meta[f"{role.name}.json"] = simulator.snapshot.meta["unclaimed.json"]
    simulator.publish()

    with pytest.raises(UndelegatedError, match="not the name of a role"):
        refresh(rig)

    assert {request.path.split("/")[1] for request in rig.server.requests} == {"metadata"}
    assert not any("passwd" in path for path in asked(rig.server))


def test_a_role_says_which_it_is(returning: Rig, simulator: Simulator) -> None:
    """One bin does not pass for another of the same keys and version, nor stay in its place."""
    other = next(name for name in simulator.bins if name != bin_of(simulator, "app"))
    trees.write(returning.tree, ONE, TWO)
    version = simulator.bins[bin_of(simulator, "app")].version
    simulator.bins[other].version = version
    with simulator.lying():
        simulator.write(bin_of(simulator, "app"), version, simulator.sign(other, simulator.bins[other]))
        with pytest.raises(
            MixAndMatchError, match=f"it is the file of {other}, in the place of {bin_of(simulator, 'app')}"
        ):
            refresh(returning)

    refresh(returning)


@pytest.mark.parametrize("nonsense", ["x", "../../etc/passwd", None, 7])
def test_a_publisher_who_signs_nonsense_stops_no_other(rig: Rig, simulator: Simulator, nonsense: Any) -> None:
    """Whatever stands in the place of a hash: that package is refused, the others are updated."""
    trees.write(rig.tree, ONE, package="bad")
    simulator.claim("bad")
    (target,) = simulator.claimed[trust.package_role("bad")].targets.values()
    target.hashes["sha256"] = nonsense
    simulator.publish()
    rig.add("bad")
    rig.add("app")

    done = rig.run("update")

    assert done.stdout == "app (stable): installed 1.0\n"
    assert "bad (stable): " in done.stderr
    assert "It looks like a damaged file" in done.stderr


@pytest.mark.parametrize("name", [7, None, "x" * 300, "a/b", ""])
def test_delegations_that_make_no_sense_are_refused(rig: Rig, simulator: Simulator, name: Any) -> None:
    """What tuf trips over is an error like any other."""
    (role,) = (simulator.delegations.roles or {}).values()
    role.name = name
    simulator.delegations.roles = {"unclaimed": role}
    simulator.publish()

    with pytest.raises((DamagedMetadataError, UndelegatedError)):
        refresh(rig)


def test_of_what_was_refused_only_the_roots_are_kept(returning: Rig, simulator: Simulator) -> None:
    """Timestamp, snapshot and targets are kept together and complete; a root is kept whatever follows it."""
    old = (returning.trust / "timestamp.json").read_bytes()
    simulator.new_root(trust.SNAPSHOT)
    with simulator.lying():
        simulator.write(trust.SNAPSHOT, simulator.snapshot.version, b'{"signed":{}}')
        with pytest.raises(DamagedMetadataError):
            refresh(returning)

    assert (returning.trust / "root_history" / "2.root.json").exists()
    assert (returning.trust / "timestamp.json").read_bytes() == old
    refresh(returning)
    assert (returning.trust / "timestamp.json").read_bytes() == simulator.read(trust.TIMESTAMP)


def test_after_a_refusal_the_next_honest_answer_is_taken(returning: Rig, simulator: Simulator) -> None:
    """Nothing of what was refused stands in its way, its ETag neither."""
    with simulator.lying():
        simulator.signers[trust.TIMESTAMP] = [new_signer()]
        simulator.publish()
        for _ in range(2):
            with pytest.raises(SignatureError):
                refresh(returning)
    trees.write(returning.tree, ONE, TWO)

    assert returning.run("update").stdout == "app (stable): updated 1.0 to 2.0\n"


# what is shown


def trust_of(rig: Rig, *words: str) -> Any:
    """Read what a command tells programs about the mirror."""
    return json.loads(rig.run(*words, "--json").stdout)["trust"]["main"]


def test_status_tells_where_the_mirror_stands(rig: Rig, simulator: Simulator) -> None:
    """Without a network; nothing of a mirror that was never asked."""
    rig.add()
    never = trust_of(rig, "status")
    assert "mirror main: never verified" in rig.run("status").stdout
    rig.run("update")
    asked(rig.server)

    told = trust_of(rig, "status")

    nothing = {"clock": None, "behind": None, "error": None}
    assert never == nothing | {"root": None, "timestamp": None, "issued": "", "expires": "", "urls": []}
    (url,) = told.pop("urls")
    assert told == nothing | {
        "root": 1,
        "timestamp": simulator.timestamp.version,
        "issued": trust.time(simulator.now),
        "expires": trust.time(simulator.timestamp.expires),
    }
    assert (url["url"], url["held"]) == (rig.server.url, None)
    assert url["looked"]
    assert asked(rig.server) == []


def test_a_refusal_is_told_by_check_and_remembered_for_status(returning: Rig, simulator: Simulator) -> None:
    """With its word for programs, until an update believes the mirror again."""
    returning.server.misbehave(TIMESTAMP, Fault(body=b'{"signed":{}}'))
    returning.run("update")

    for command in ("check", "status"):
        error = trust_of(returning, command)["error"]
        assert error["code"] == "damaged-metadata"
        assert "It looks like " in error["message"]
        assert "mirror main: not believed (damaged-metadata); signed " in returning.run(command).stdout
    returning.server.behave()
    returning.run("update")
    assert trust_of(returning, "status")["error"] is None


def test_a_fault_of_the_network_is_no_matter_of_trust(returning: Rig) -> None:
    """It is told of the package alone."""
    returning.server.misbehave("/", Fault(status=503))
    returning.run("update")

    assert trust_of(returning, "check")["error"] is None
    assert trust_of(returning, "status")["error"] is None


def test_who_only_looks_keeps_nothing(returning: Rig, simulator: Simulator) -> None:
    """Check tells what is new and leaves the device as it is, so that it needs no lock and no rights."""
    trees.write(returning.tree, ONE, TWO)
    before = returning.files()

    told = trust_of(returning, "check")

    assert told["timestamp"] == simulator.timestamp.version
    assert returning.files() == before
    assert trust_of(returning, "status")["timestamp"] == simulator.timestamp.version - 1


@pytest.mark.parametrize(("value", "seconds"), [(None, 0), (3600, 3600), (10**9, 86_400), ("soon", 0)])
def test_the_operator_says_how_often_to_ask(rig: Rig, simulator: Simulator, value: object, seconds: int) -> None:
    """Signed in the timestamp, a day at most, and remembered."""
    if value is not None:
        simulator.timestamp.unrecognized_fields[trust.POLL] = value
        simulator.publish()

    with rig.mirror() as mirror:
        assert mirror.poll_seconds == 0
        mirror.release_list("app", "stable")
        assert mirror.poll_seconds == seconds
    with rig.mirror() as mirror:
        assert mirror.poll_seconds == seconds


def test_the_work_folder_names_each_remote(returning: Rig) -> None:
    """What is known of a mirror is in a folder with its name."""
    names = {path.name for path in (returning.folder / config.WORK / "trust" / "main").iterdir()}

    assert {"root_history", "timestamp.json", "snapshot.json", "targets.json", "unclaimed.json", "kept"} <= names
    assert "root.json" not in names

"""`otamirror push --key`, end to end: what a publisher signs at home is what devices get, and nothing else is."""

from __future__ import annotations

import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result
from securesystemslib.signer import CryptoSigner

from builder import cli
from builder.client import edit, parcel, signed
from builder.client.answers import NotNowError
from builder.client.push import Patience, push
from builder.client.signed import ROUNDS, Order
from builder.client.target import target
from builder.signing import keys
from mirror import canonical, layout, trust
from mirror.files import Files
from mirror.releases import CUT, MOST
from tests.support import claimed, httpd, receiving, sites
from tests.support.publishers import entry
from tests.support.receiving import Play

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.claimed import Live

LIST = layout.release_list("app", "main")
MAX_VERSION = layout.max_version("app", "main")


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    """Run a site on which `app` is claimed, with 1.0 on main."""
    with claimed.running(tmp_path, "1.0") as running:
        yield running


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Make a package."""
    path = tmp_path / "app.bin"
    path.write_bytes(b"#!/bin/sh\n")
    return path


def test_what_was_taken_back_is_shown_as_that(live: Live, file: Path) -> None:
    """Pages, `list`, `show` and JSON say so as soon as the publisher has said it; the others are as they were."""
    site = live.ground.site

    def run(*words: str) -> str:
        done = CliRunner().invoke(cli.main, ["--site", str(site.file), *words])
        assert done.exit_code == 0, done.output
        return done.stdout

    for version in ("1.5", "1.6"):
        file.write_bytes(version.encode())
        live.push(str(file), "--version", version, *live.keys)
    yanked = live.push("--yank", "1.6", "--reason", "bricks [red]", "--replacement", "1.5", *live.keys).stdout
    withdrawn = live.push("--withdraw", "1.0", *live.keys).stdout
    renewed = live.push("--renew", *live.keys).stdout
    with live.ground.opened() as builder:
        builder.refresh_pages()

    assert yanked.startswith("app on main: 1.6 is yanked. ")
    assert withdrawn.startswith("app on main: 1.0 is withdrawn. ")
    assert renewed.startswith("app on main: is signed for longer. ")
    states = [line.split("\t")[2::4] for line in run("list", "app").splitlines()[1:]]
    assert states == [["1.6", "yanked: bricks [red]; take 1.5 instead"], ["1.5", ""], ["1.0", "withdrawn"]]
    rows = {row["version"]: row for row in json.loads(run("list", "--json"))}
    assert [rows[version]["offered"] for version in ("1.6", "1.5", "1.0")] == [False, True, False]
    assert [rows[version]["withdrawn"] for version in ("1.6", "1.5", "1.0")] == [False, False, True]
    shown = json.loads(run("show", "app", "1.6", "--branch", "main"))
    assert shown["yanked"] == {"reason": "bricks [red]", "replacement": "1.5"}
    page = (live.mirror / layout.package_page("app")).read_text()
    assert "2 releases, the highest version is 1.5" in page
    assert "yanked: bricks [red]; take 1.5 instead" in page
    assert "app-main-1.6'" not in page
    assert "main 1.5" in (live.mirror / layout.INDEX_PAGE).read_text()


def patience(random: float = 0.0) -> Patience:
    """Make patience that does not wait."""
    return Patience(lambda _: None, lambda: random, time.time)


def order(live: Live, change: edit.Edit) -> Order:
    """Order a change to the main branch, signed with the publisher's keys."""
    signers = [keys.open_signer(str(file), lambda _: "") for file in live.private]
    return Order("app", "main", change, signers, [signer.public_key for signer in signers], 180)


def adding(version: str) -> edit.Edit:
    """Add a release."""
    return partial(edit.with_release, entry=entry(sites.package(version)))


def sent(folder: Path, version: str) -> parcel.Parcel:
    """Make a parcel of a release."""
    made = sites.package(version)
    path = folder / f"app-{version}"
    path.write_bytes(made.data)
    return parcel.written(path, made.content.canonical())


def test_what_a_publisher_signs_is_what_everybody_gets(live: Live, file: Path) -> None:
    """The list on the mirror has the bytes that were signed, devices can verify it, and unsigned pushes are refused."""
    said = json.loads(live.push(str(file), "--version", "1.1", *live.keys, "--json").stdout)

    listed = live.look()[LIST]
    assert said["list"] == {
        "path": LIST,
        "sha256": canonical.digest(listed),
        "size": len(listed),
        "releases": 2,
        "older": 0,
    }
    assert (said["signed"], said["new"], said["attempts"], live.role()) == (2, True, 1, 2)
    assert live.versions() == ["1.1", "1.0"]
    assert (live.mirror / layout.blob(said["sha256"])).read_bytes() == file.read_bytes()
    role = json.loads((live.mirror / layout.metadata("pkg-app", 2)).read_bytes())
    assert [each["keyid"] for each in role["signatures"]] == [
        keys.read_public(live.private[0].with_suffix(".pub")).keyid
    ]

    refused = live.push(str(file), "--version", "1.2", expected=1)
    assert "answers 403: the package is claimed, so its publisher signs each release: push with --key" in refused.stderr
    assert live.versions() == ["1.1", "1.0"]


def test_the_list_names_the_release_as_it_is(live: Live, file: Path) -> None:
    """Version, content, hash, size, dependencies, and the time of the push in UTC."""
    before = datetime.now(UTC).replace(microsecond=0)

    live.push(str(file), "--version", "1.1", "--depends", "lib=>=1", *live.keys)

    added = live.newest().releases[0]
    content = (live.mirror / layout.get_version("app", "main", "1.1")).read_bytes()
    assert (added.content, added.sha256, added.size) == (
        canonical.digest(content),
        canonical.digest(file.read_bytes()),
        len(file.read_bytes()),
    )
    assert added.dependencies == {"lib": ">=1"}
    assert before <= trust.moment(added.published) <= datetime.now(UTC)


def test_the_same_push_again_signs_nothing(live: Live, file: Path) -> None:
    """What the list has already is done, for people and for programs; other bytes are a conflict, found at home."""
    live.push(str(file), "--version", "1.1", *live.keys)
    before = sites.read(live.mirror)

    again = live.push(str(file), "--version", "1.1", *live.keys)
    said = json.loads(live.push(str(file), "--version", "1.1", *live.keys, "--json").stdout)
    file.write_bytes(b"other")
    refused = live.push(str(file), "--version", "1.1", *live.keys, expected=1)

    assert again.stdout == "app 1.1 on main is so already; nothing has to be signed\n"
    assert (said["new"], said["attempts"]) == (False, 0)
    assert "a release never changes" in refused.stderr
    assert sites.read(live.mirror) == before


def test_a_release_is_yanked(live: Live, file: Path) -> None:
    """Devices see reason and replacement in the list, and plain clients are offered the one below."""
    live.push(str(file), "--version", "1.1", *live.keys)

    said = live.push("--yank", "1.1", "--reason", "it ticks", "--replacement", "1.0", *live.keys).stdout

    assert said.startswith("app on main: 1.1 is yanked. app on main: 2 releases, signed as version 3, holds until ")
    assert live.newest().releases[0].yanked == {"reason": "it ticks", "replacement": "1.0"}
    assert (live.mirror / MAX_VERSION).read_bytes() == sites.package("1.0").content.canonical()
    assert live.look()[LIST] == live.newest().encode()


@pytest.mark.parametrize("how", ["--yank", "--withdraw"])
def test_when_none_is_left_plain_clients_are_offered_none(live: Live, file: Path, how: str) -> None:
    """The pointer to the highest release goes with the last that is offered, and comes with the next."""
    assert (live.mirror / MAX_VERSION).exists()

    live.push(how, "1.0", *live.keys)
    assert not (live.mirror / MAX_VERSION).exists()
    live.look()

    live.push(str(file), "--version", "1.1", *live.keys)
    assert json.loads((live.mirror / MAX_VERSION).read_bytes())["version"] == "1.1"
    live.look()


def test_a_release_is_withdrawn_and_its_version_stays_taken(live: Live, file: Path) -> None:
    """The list does without it; nobody gets other bytes under its version, its publisher neither."""
    live.push(str(file), "--version", "1.1", *live.keys)

    live.push("--withdraw", "1.1", *live.keys)
    assert live.versions() == ["1.0"]
    assert live.look()[LIST] == live.newest().encode()

    data = file.read_bytes()
    file.write_bytes(b"other")
    refused = live.push(str(file), "--version", "1.1", *live.keys, expected=1)
    assert "answers 409" in refused.stderr
    assert "app 1.1 on main was published before" in refused.stderr

    file.write_bytes(data)
    live.push(str(file), "--version", "1.1", *live.keys)
    assert live.versions() == ["1.1", "1.0"]
    live.look()


def test_a_list_is_signed_for_longer(live: Live) -> None:
    """The list stays as it is; the role says until when it holds."""
    listed = live.newest().encode()

    said = json.loads(live.push("--renew", "--expires-days", "300", *live.keys, "--json").stdout)

    wanted = datetime.now(UTC) + timedelta(days=300)
    assert abs(trust.moment(said["expires"]) - wanted) < timedelta(minutes=5)
    assert (said["package"], said["branch"], said["signed"], said["new"]) == ("app", "main", 2, True)
    assert live.look()[LIST] == listed


def test_a_new_branch_begins_with_a_push(live: Live, file: Path) -> None:
    """The role names one list more; the others stay."""
    arguments = ["push", str(file), "--package", "app", "--branch", "beta", "--version", "2.0", "--to", live.url]

    result = CliRunner().invoke(cli.main, [*arguments, *live.keys])

    assert result.exit_code == 0, result.output
    assert sorted(live.look()) == [layout.release_list("app", "beta"), LIST]


def test_a_dry_run_signs_and_sends_nothing(live: Live, file: Path) -> None:
    """It shows what would be signed, on top of what the mirror has now."""
    before = sites.read(live.mirror)

    said = live.push(str(file), "--version", "1.1", *live.keys, "--dry-run").stdout
    listed = json.loads(live.push("--withdraw", "1.0", *live.keys, "--dry-run", "--json").stdout)
    elsewhere = ["push", "--renew", "--package", "app", "--branch", "main", "--dry-run", "--mirror", live.url]
    result = CliRunner().invoke(cli.main, [*elsewhere, *live.keys])

    assert said.startswith("app 1.1 on main can be pushed. It would be signed: app on main: 2 releases, signed as ver")
    assert (listed["dry_run"], listed["signed"], listed["list"]["releases"]) == (True, 2, 0)
    assert result.exit_code == 0, result.output
    assert sites.read(live.mirror) == before


def test_the_129th_release_cuts_the_list(tmp_path: Path, file: Path) -> None:
    """The new segment goes with the list; afterwards old releases are yanked and added where they belong."""
    versions = [f"1.{number}" for number in range(MOST + 1) if number != 7]
    with claimed.running(tmp_path, *versions) as live:
        live.push(str(file), "--version", "2.0", *live.keys)
        (reference,) = live.newest().older
        assert (reference.count, len(live.newest().releases)) == (CUT, MOST + 1 - CUT)
        live.look()

        live.push("--yank", "1.3", "--reason", "it ticks", *live.keys)
        live.push(str(file), "--version", "1.7", *live.keys)

        newest = live.newest()
        found = live.get(layout.hashed_release_list("app", "main", newest.older[0].sha256), 2**20)
        entries = {each["version"]: each for each in json.loads(found or b"")["releases"]}
        assert entries["1.3"]["yanked"] == {"reason": "it ticks"}
        assert "1.7" in entries
        assert newest.older[0].count == CUT + 1
        assert live.look()[LIST] == newest.encode()


def test_of_two_that_sign_at_once_both_land(live: Live, tmp_path: Path) -> None:
    """Who comes too late reads what the other one published, and signs again on top of that."""
    faster = order(live, adding("1.1"))
    raced: list[str] = []

    def reading(path: str, most_bytes: int) -> bytes | None:
        found = live.get(path, most_bytes)
        if path.startswith("releases/") and not raced:  # now the role was read, and nothing is sent yet
            raced.append(path)
            assert signed.publish(faster, sent(tmp_path, "1.1"), live.get, target(live.url), patience())
        return found

    done = signed.publish(order(live, adding("1.2")), sent(tmp_path, "1.2"), reading, target(live.url), patience())

    assert done
    assert (done[0].role.signed.version, done[1].attempts) == (3, 2)
    assert live.versions() == ["1.2", "1.1", "1.0"]
    assert live.look()[LIST] == live.newest().encode()


def test_many_publishers_at_once_all_land(live: Live, tmp_path: Path) -> None:
    """However they meet, each release is there in the end."""
    versions = [f"2.{number}" for number in range(4)]

    def publish(version: str) -> None:
        assert signed.publish(order(live, adding(version)), sent(tmp_path, version), live.get, there, patience())

    there = target(live.url)
    with ThreadPoolExecutor(len(versions)) as publishers:
        list(publishers.map(publish, versions))

    assert live.versions() == [*versions[::-1], "1.0"]
    assert live.role() == 1 + len(versions)
    live.look()


def test_a_cache_that_lags_costs_one_more_attempt(live: Live, tmp_path: Path, file: Path) -> None:
    """What the mirror's pointers do not show yet is read by its own name, which no cache can have of before."""
    stale = tmp_path / "stale"
    shutil.copytree(live.mirror, stale)
    live.push(str(file), "--version", "1.1", *live.keys)
    pointers = {path: (stale / path).read_bytes() for path in (layout.TIMESTAMP,)}

    def cached(path: str, most_bytes: int) -> bytes | None:
        return pointers.get(path) or live.get(path, most_bytes)

    done = signed.publish(order(live, adding("1.2")), sent(tmp_path, "1.2"), cached, target(live.url), patience())

    assert done
    assert (done[0].role.signed.version, done[1].attempts) == (3, 2)
    assert live.versions() == ["1.2", "1.1", "1.0"]


def test_a_mirror_elsewhere_is_read_elsewhere(live: Live, file: Path) -> None:
    """Uploads may go past the web server or the CDN that hands the mirror out."""
    with httpd.serving(live.mirror) as cdn:
        live.push(str(file), "--version", "1.1", *live.keys, "--mirror", cdn.url)

        paths = [request.path for request in cdn.requests]
    assert paths[0] == f"/{layout.TIMESTAMP}"
    assert paths[-1].startswith("/releases/app/")
    assert len(paths) == 4


def test_somebody_who_is_always_faster_is_not_run_after(live: Live, tmp_path: Path) -> None:
    """After some rounds the publisher is told to come again; a receiver that only says so cannot keep it busy."""
    late = Play(status=409, body=json.dumps({"error": "stale-role", "version": 1}).encode())

    with receiving.serving(late) as server, pytest.raises(NotNowError, match="again and again") as caught:
        signed.publish(order(live, adding("1.1")), sent(tmp_path, "1.1"), live.get, target(server.url), patience())

    assert caught.value.exit_code == 75
    assert len(server.requests) == ROUNDS


def test_an_answer_that_was_lost_does_not_matter(live: Live, tmp_path: Path) -> None:
    """The same statement is sent again, and taken for what it is."""
    change = order(live, adding("1.1"))
    statement = signed.prepare(change, live.get, datetime.now(UTC))
    assert statement
    first = push(replace(sent(tmp_path, "1.1"), statement=statement), target(live.url), patience())
    again = push(replace(sent(tmp_path, "1.1"), statement=statement), target(live.url), patience())

    assert (first.is_new, again.is_new) == (True, False)
    assert live.role() == 2


def test_a_threshold_needs_its_keys(tmp_path: Path, file: Path) -> None:
    """With two of two signatures it is published, with one it is refused, in words that say so."""
    with claimed.running(tmp_path, "1.0", keys=2, threshold=2) as live:
        one, two = live.keys[:2], live.keys
        refused = live.push(str(file), "--version", "1.1", *one, expected=1)
        assert "is signed by 1 of the keys" in refused.stderr

        live.push(str(file), "--version", "1.1", *two)
        assert live.versions() == ["1.1", "1.0"]
        live.look()


def test_a_colleague_may_have_signed_last(tmp_path: Path, file: Path) -> None:
    """Who trusts the colleague's public key goes on from there; who does not is warned."""
    with claimed.running(tmp_path, "1.0", keys=2) as live:
        mine, theirs = live.keys[:2], live.keys[2:]
        live.push(str(file), "--version", "1.1", *theirs)

        refused = live.push(str(file), "--version", "1.2", *mine, expected=1)
        assert "give the key that app was claimed with, or, if a colleague signed last" in refused.stderr

        trusted = str(live.private[1].with_suffix(keys.PUBLIC))
        live.push(str(file), "--version", "1.2", *mine, "--trusted-key", trusted)
        assert live.versions() == ["1.2", "1.1", "1.0"]


def test_an_encrypted_key_asks_for_its_passphrase(
    live: Live, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From OTAMIRROR_PASSPHRASE, where nobody is there to be asked; a key may be in the environment too."""
    monkeypatch.delenv("OTAMIRROR_PASSPHRASE", raising=False)
    own = keys.open_signer(str(live.private[0]), lambda _: "")
    encrypted = tmp_path / "encrypted.pem"
    assert isinstance(own, CryptoSigner)
    keys.save(own, encrypted, Files(), "correct horse")

    assert "passphrase" in live.push(str(file), "--version", "1.1", "--key", str(encrypted), expected=1).stderr
    monkeypatch.setenv("OTAMIRROR_PASSPHRASE", "correct horse")
    live.push(str(file), "--version", "1.1", "--key", str(encrypted))
    monkeypatch.setenv("APP_KEY", live.private[0].read_text())
    live.push("--renew", "--key", "env:APP_KEY")

    assert live.role() == 3


def test_an_expired_role_is_renewed(live: Live, caplog: pytest.LogCaptureFixture) -> None:
    """Its publisher is told that devices wait, and can end that by any push."""
    later = datetime.now(UTC) + timedelta(days=200)

    statement = signed.prepare(order(live, edit.renewed), live.get, later)

    assert statement
    assert statement.role.signed.expires > later
    assert "devices take nothing of app since" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--yank", "9.9"), "the list of app on main has no release 9.9"),
        (("--withdraw", "9.9"), "the list of app on main has no release 9.9"),
    ],
)
def test_what_is_not_in_the_list_cannot_be_changed(live: Live, arguments: tuple[str, ...], says: str) -> None:
    """A slip of the keys is told; nothing is signed."""
    refused = live.push(*arguments, *live.keys, "--json", expected=1)

    assert says in refused.stderr
    assert json.loads(refused.stdout)["error"] == "unknown-version"
    assert live.role() == 1


def test_an_unclaimed_package_needs_no_key(live: Live, file: Path) -> None:
    """Who signs for one is told so before anything is sent."""
    arguments = ["push", str(file), "--package", "lib", "--branch", "main", "--version", "1.0", "--to", live.url]

    refused = CliRunner().invoke(cli.main, [*arguments, *live.keys])

    assert refused.exit_code == 1
    assert "lib is not claimed on this mirror: push it without --key" in refused.output


def test_another_key_signs_nothing(live: Live, file: Path, tmp_path: Path) -> None:
    """A key that the package was not claimed with is found out at home, and neither list nor role are sent."""
    stranger = tmp_path / "stranger.pem"
    keys.save(keys.generate(), stranger, Files())

    refused = live.push(str(file), "--version", "1.1", "--key", str(stranger), expected=1)

    assert "give the key that app was claimed with" in refused.stderr
    assert live.role() == 1


def test_a_mirror_that_shows_other_lists_is_not_signed_for(live: Live, file: Path) -> None:
    """Whoever writes the mirror's files cannot have the publisher sign a release of theirs."""
    listed = live.mirror / layout.hashed_release_list("app", "main", canonical.digest(live.newest().encode()))
    listed.write_bytes(listed.read_bytes().replace(b'"1.0"', b'"9.9"'))

    refused = live.push(str(file), "--version", "1.1", *live.keys, expected=1)

    assert "has other bytes than were signed" in refused.stderr
    assert live.role() == 1


def run(*arguments: str) -> Result:
    """Run `otamirror push`."""
    return CliRunner().invoke(cli.main, ["push", *arguments])


SUBJECT = ("--package", "app", "--branch", "main", "--to", "http://127.0.0.1:9")


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ((*SUBJECT, "--renew"), "needs --key"),
        ((*SUBJECT, "--yank", "1.0"), "needs --key"),
        ((*SUBJECT, "--mirror", "http://127.0.0.1:9"), "needs --key"),
        (SUBJECT, "Missing argument 'FILE'"),
        ((*SUBJECT, "--key", "k"), "give one of FILE, --renew, --yank and --withdraw"),
        ((*SUBJECT, "--key", "k", "--renew", "--yank", "1"), "give one of"),
        (("app.bin", *SUBJECT, "--key", "k", "--renew"), "give one of"),
        ((*SUBJECT, "--key", "k", "--renew", "--reason", "x"), "go with --yank"),
        ((*SUBJECT, "--key", "k", "--yank", "1/0"), "'1/0' is not a version"),
        ((*SUBJECT, "--key", "k", "--yank", "1.0", "--replacement", "1.0"), "is no other version"),
        ((*SUBJECT, "--key", "k", "--renew", "--version", "1.0"), "version is said of a FILE"),
        ((*SUBJECT, "--key", "k", "--renew", "--expires-days", "0"), "--expires-days"),
        (("--key", "k", "--renew", "--branch", "main", *SUBJECT[4:]), "Missing option '--package'"),
        (("--key", "k", "--renew", "--package", "a/b", *SUBJECT[2:]), "these are no names"),
        (("--key", "k", "--renew", *SUBJECT[:4]), "Missing option '--to'"),
        (("--key", "k", "--renew", *SUBJECT[:4], "--dry-run"), "Missing option '--to'"),
        ((*SUBJECT[:4], "--to", "x", "--key", "k", "--renew"), "http or https URL"),
        ((*SUBJECT, "--mirror", "x", "--key", "k", "--renew"), "http or https URL"),
    ],
)
def test_a_wrong_use_is_told_before_a_key_is_opened(arguments: tuple[str, ...], fault: str) -> None:
    """Exit code 2 means that the command line has to change."""
    result = run(*arguments)

    assert (result.exit_code, fault in result.output) == (2, True), result.output


@pytest.mark.parametrize("key", ["nowhere.pem", "key:nowhere.pem", "env:NOT_SET", "awskms:x"])
def test_a_key_that_is_not_there_is_told(key: str) -> None:
    """Before anything is asked of the mirror."""
    result = run(*SUBJECT, "--key", key, "--renew")

    assert result.exit_code == 1
    assert key.removeprefix("key:").removeprefix("env:") in result.output

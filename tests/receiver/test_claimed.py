"""Uploads for a claimed package: what its publisher signed comes with them, or alone."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from securesystemslib.signer import CryptoSigner

from builder.client import claimed as claims
from builder.client import edit, statements
from builder.lock import Lock
from builder.signing import keys
from builder.verify import lines
from mirror import layout
from tests.receiver import rig as rigs
from tests.receiver.forms import form, part, request
from tests.support import claimed as sites_claimed
from tests.support import sites
from tests.support.publishers import entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from builder.client.edit import Edit
    from builder.submission import Statement
    from tests.receiver.rig import Rig
    from tests.support.claimed import Live
    from tests.support.sites import Package

NEW = sites.package("1.1")
LIST = layout.release_list("app", "main")


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    """Run a site with a claimed package."""
    with sites_claimed.running(tmp_path, "1.0") as running:
        yield running


@pytest.fixture
def rig(live: Live) -> Iterator[Rig]:
    """Run another receiver of the same site, one that can be looked into."""
    with rigs.receiving(live.ground.site) as running:
        yield running


def signed(live: Live, change: Edit, branch: str = "main", signers: Sequence[CryptoSigner] = ()) -> Statement:
    """Sign a change to what is on the mirror."""
    own = [keys.open_signer(str(file), lambda _: "") for file in live.private]
    current = claims.read(live.get, "app", [signer.public_key for signer in own])
    newest = current.newest(branch)
    edited = change(newest, partial(current.segment, newest))
    assert edited
    return statements.sign(current, edited, signers or own, datetime.now(UTC) + timedelta(days=180))


def adding(live: Live, package: Package = NEW, **named: Any) -> Statement:
    """Sign a list with a release more."""
    return signed(live, partial(edit.with_release, entry=entry(package)), package.content.branch, **named)


def parts(statement: Statement, package: Package | None = None) -> list[bytes]:
    """Write the parts of an upload."""
    listed = lines(statement.newest, statement.segments.values())
    own = [part("list", listed), part("signed", statement.signed)]
    if package:
        return [part("content", package.content.canonical()), *own, part("file", package.data)]
    return own


def test_what_came_signed_is_served_as_it_came(live: Live, rig: Rig) -> None:
    """The answer tells release and role; unmodified clients of TUF get the publisher's bytes."""
    statement = adding(live)

    answer = rig.put(request(form(*parts(statement, NEW))))

    assert answer.status == 200
    assert answer.json == {
        "package": "app",
        "branch": "main",
        "version": "1.1",
        "sha256": NEW.content.sha256,
        "signed": 2,
        "new": True,
        "warnings": [],
    }
    assert live.look()[LIST] == statement.listed
    assert rig.mirror()[layout.metadata("pkg-app", 2)][2] == statement.signed
    assert rig.spooled() == []


def test_parts_come_in_any_order(live: Live, rig: Rig) -> None:
    """As with the two parts of other uploads."""
    for number, order in enumerate(itertools.permutations(range(4))):
        package = sites.package(f"2.{number}")
        given = parts(adding(live, package), package)
        answer = rig.put(request(form(*(given[at] for at in order))))
        assert (answer.status, answer.json["new"]) == (200, True)
    assert len(live.versions()) == 25


def test_a_statement_comes_alone(live: Live, rig: Rig) -> None:
    """It needs no file, leaves nothing in the spool, and says of no release that it is new."""
    answer = rig.put(request(form(*parts(signed(live, partial(edit.with_yank, version="1.0", reason="it ticks"))))))

    assert (answer.status, answer.json) == (
        200,
        {"package": "app", "branch": "main", "signed": 2, "new": True, "warnings": []},
    )
    assert live.newest().releases[0].yanked == {"reason": "it ticks"}
    assert rig.spooled() == []


def test_the_same_upload_again_changes_nothing(live: Live, rig: Rig) -> None:
    """A publisher that did not hear the answer may ask again."""
    statement = adding(live)
    body = form(*parts(statement, NEW))
    rig.put(request(body))
    before = rig.mirror()

    again, alone = rig.put(request(body)), rig.put(request(form(*parts(statement))))

    assert (again.status, again.json["new"]) == (200, False)
    assert (alone.status, alone.json["new"]) == (200, False)
    assert rig.mirror() == before


def stale(live: Live) -> list[bytes]:
    """Sign on top of what is not there any more."""
    statement = adding(live)
    live.push("--renew", *live.keys)
    return parts(statement, NEW)


STRANGER = CryptoSigner.generate_ed25519()
LIB = sites.package("1.0", "lib")
REFUSED: dict[str, tuple[Callable[[Live], list[bytes]], int, str]] = {
    "unsigned": (lambda live: [*parts(adding(live), NEW)[:1], *parts(adding(live), NEW)[3:]], 403, "claimed"),
    "signed by a stranger": (lambda live: parts(adding(live, signers=[STRANGER]), NEW), 403, "signature"),
    "too late": (stale, 409, "stale-role"),
    "of an unclaimed package": (
        lambda live: [part("list", b'{"package":"lib","branch":"main","releases":[]}\n'), parts(adding(live))[1]],
        400,
        "not-claimed",
    ),
    "a list without its release": (lambda live: parts(adding(live)), 400, "statement"),
    "a release and a list": (lambda live: [*parts(adding(live), NEW)[::3], parts(adding(live))[0]], 400, "form"),
    "a release and a role": (lambda live: [*parts(adding(live), NEW)[::3], parts(adding(live))[1]], 400, "form"),
    "a list alone": (lambda live: parts(adding(live))[:1], 400, "form"),
    "a role alone": (lambda live: parts(adding(live))[1:], 400, "form"),
    "a statement and content.json": (lambda live: parts(adding(live), NEW)[:3], 400, "form"),
    "a statement and a file": (lambda live: parts(adding(live), NEW)[1:], 400, "form"),
    "a list twice": (lambda live: [*parts(adding(live)), parts(adding(live))[0]], 400, "form"),
    "a role twice": (lambda live: [*parts(adding(live)), parts(adding(live))[1]], 400, "form"),
    "an empty list": (lambda live: [part("list", b""), parts(adding(live))[1]], 400, "statement"),
    "a list of words": (lambda live: [part("list", b"hello\n"), parts(adding(live))[1]], 400, "statement"),
    "a role of words": (lambda live: [parts(adding(live))[0], part("signed", b"hello")], 400, "statement"),
    "the list of another branch": (
        lambda live: parts(adding(live, sites.package("1.1", branch="beta")), NEW),
        400,
        "statement",
    ),
    "other bytes than content.json states": (
        lambda live: [*parts(adding(live), NEW)[:3], part("file", b"x")],
        304,
        "",
    ),
    "a role without end": (
        lambda live: [parts(adding(live))[0], part("signed", bytes(1024 * 1024 + 1))],
        413,
        "too-large",
    ),
    "a list without end": (lambda _: [part("list", bytes(16 * 1024 * 1024 + 1))], 413, "too-large"),
}


@pytest.mark.parametrize(("made", "status", "error"), REFUSED.values(), ids=REFUSED)
def test_what_is_signed_wrong_is_refused_and_leaves_nothing(
    live: Live, rig: Rig, made: Callable[[Live], list[bytes]], status: int, error: str
) -> None:
    """Each gets its status and its word; not a byte of the mirror changes."""
    body = form(*made(live))
    before = rig.mirror()

    answer = rig.put(request(body))

    assert (answer.status, answer.error) == (status, error)
    assert rig.mirror() == before
    assert rig.spooled() == []


def test_who_is_late_is_told_which_role_is_current(live: Live, rig: Rig) -> None:
    """Its file can be fetched by its name at once, past every cache."""
    answer = rig.put(request(form(*stale(live))))

    assert (answer.status, answer.json["version"]) == (409, 2)
    assert live.get(layout.metadata("pkg-app", answer.json["version"]), 2**20)


def test_an_unsigned_drop_is_refused_too(live: Live) -> None:
    """It goes to the rejected, with the sentence that says what to do."""
    site = live.ground.site
    sites.drop(site.paths.inbox, NEW)

    with live.ground.opened() as builder:
        (verdict,) = builder.take_inbox().verdicts

    assert verdict.error
    assert verdict.error.code == "claimed"
    assert any(b"otamirror push --key" in data for data in sites.read(site.paths.rejected).values())
    assert live.versions() == ["1.0"]


@pytest.mark.parametrize("first", ["content", "list"])
def test_a_token_is_judged_as_soon_as_the_package_is_known(live: Live, rig: Rig, first: str) -> None:
    """By content.json or by the list, whichever is there; the rest is not waited for."""
    secret = rig.tokens.add("other", ("lib",), ("main",), None)
    given = parts(adding(live), NEW)
    begun = form(given[0 if first == "content" else 1], part("file", b""))[:-20]

    answer = rig.put(request(begun, Authorization=f"Bearer {secret}", Content_Length=str(2**29)))

    assert (answer.status, answer.error) == (403, "forbidden")
    assert "app" in answer.json["detail"]
    assert rig.spooled() == []


def test_a_token_has_to_allow_both(live: Live, rig: Rig) -> None:
    """A list for which it counts does not let another package's content.json in."""
    secret = rig.tokens.add("app", ("app",), ("main",), None)
    given = parts(adding(live), NEW)
    mixed = form(given[1], given[2], part("content", LIB.content.canonical()), part("file", LIB.data))

    answer = rig.put(request(mixed, Authorization=f"Bearer {secret}"))

    assert (answer.status, answer.error) == (403, "forbidden")


def test_signed_and_unsigned_uploads_share_a_publish(live: Live, rig: Rig) -> None:
    """What waits together goes together, whoever signs for it; what is refused among them leaves no trace."""
    bodies = [
        form(*parts(adding(live), NEW)),
        form(part("content", LIB.content.canonical()), part("file", LIB.data)),
        form(*parts(adding(live, signers=[STRANGER]), NEW)),
    ]
    with ThreadPoolExecutor(len(bodies)) as publishers:
        with Lock(rig.site.paths.spool).held():  # as if another publish ran
            asked = [publishers.submit(rig.put, request(body)) for body in bodies]
            rig.wait_for_spooled(len(bodies))
        statuses = [future.result().status for future in asked]

    assert statuses == [200, 200, 403]
    assert live.versions() == ["1.1", "1.0"]
    assert sorted(live.look()) == [LIST, layout.release_list("lib", "main")]

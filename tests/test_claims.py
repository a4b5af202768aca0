"""builder/claims.py: what a publisher signed is filed as it is, or refused without a trace."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import DelegatedRole, Delegations, Metadata, Snapshot, TargetFile

from builder import claims, errors
from builder.client import edit
from builder.errors import (
    CaseCollisionError,
    ClaimedError,
    NotClaimedError,
    SignatureError,
    StaleRoleError,
    StatementError,
    VersionConflictError,
)
from builder.shelf import Shelves
from builder.submission import Parts
from builder.verify import verify
from mirror import layout, releases
from mirror.canonical import digest
from mirror.errors import PublisherError
from mirror.releases import CUT, MOST, ReleaseList
from tests.support import publishers, sites
from tests.support.publishers import NOW, Draft, entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mirror.content import Content
    from tests.support.publishers import Desk

MAIN, BETA = layout.release_list("app", "main"), layout.release_list("app", "beta")
NEW = sites.package("1.2")
STRANGER = CryptoSigner.generate_ed25519()


@pytest.fixture
def desk() -> Iterator[Desk]:
    """Open a desk."""
    with publishers.desk() as opened:
        yield opened


def changed(draft: Draft, version: str, **fields: Any) -> Draft:
    """Say something else of a release."""
    entries = [replace(each, **fields) if each.version == version else each for each in draft.newest.releases]
    draft.newest = replace(draft.newest, releases=tuple(entries))
    return draft.name_list()


def listing(draft: Draft, *packages: sites.Package) -> Draft:
    """Name more releases."""
    more = (*map(entry, packages), *draft.newest.releases)
    draft.newest = replace(draft.newest, releases=more)
    return draft.name_list()


def written(draft: Draft, change: Callable[[bytes], bytes]) -> Draft:
    """Spell the list otherwise."""
    draft.raw = change(draft.newest.encode())
    return draft.name_list()


def targeting(draft: Draft, path: str, sha256: str | None = None, size: int | None = None, **more: str) -> Draft:
    """Name another hash or size of a list."""
    had = draft.targets.get(path) or TargetFile(7, {"sha256": "0" * 64}, path)
    hashes = {"sha256": sha256 or had.hashes["sha256"], **more}
    draft.targets[path] = TargetFile(had.length if size is None else size, hashes, path)
    return draft


def without(draft: Draft, path: str) -> Draft:
    """Do not name a list."""
    del draft.targets[path]
    return draft


def delegating(draft: Draft) -> Draft:
    """Delegate to somebody else."""
    key = STRANGER.public_key
    role = DelegatedRole("other", [key.keyid], 1, terminating=True, paths=["releases/app/*"])
    draft.delegations = Delegations({key.keyid: key}, {"other": role})
    return draft


def renamed(draft: Draft, package: str = "app", branch: str = "main") -> Draft:
    """Bring the list of another branch, without a release."""
    draft.package, draft.targets = None, dict(draft.filed)
    draft.newest = ReleaseList(package, branch, ())
    return draft.name_list()


WRONG: dict[str, tuple[Callable[[Draft], Draft], type[PublisherError], str]] = {
    # the list
    "a release that nobody has": (
        lambda draft: listing(draft, sites.package("1.3")),
        StatementError,
        "names 1.3, which is not on the mirror",
    ),
    "not the release that came with it": (
        lambda draft: replace(draft, package=sites.package("1.3")),
        StatementError,
        "does not name 1.3",
    ),
    "another content for it": (
        lambda draft: changed(draft, "1.2", content="0" * 64),
        StatementError,
        "of 1.2 is not what came",
    ),
    "another blob for it": (lambda draft: changed(draft, "1.2", sha256="0" * 64), StatementError, "of 1.2 is not what"),
    "another size for it": (lambda draft: changed(draft, "1.2", size=1), StatementError, "of 1.2 is not what came"),
    "other dependencies for it": (
        lambda draft: changed(draft, "1.2", dependencies={"lib": "*"}),
        StatementError,
        "of 1.2 is not what came",
    ),
    "another content of what is there": (
        lambda draft: changed(draft, "1.1", content="0" * 64),
        VersionConflictError,
        "app 1.1 on main was published before",
    ),
    "another blob of what is there": (
        lambda draft: changed(draft, "1.0", sha256="0" * 64),
        VersionConflictError,
        "app 1.0 on main was published before",
    ),
    "another size of what is there": (
        lambda draft: changed(draft, "1.0", size=1),
        VersionConflictError,
        "app 1.0 on main was published before",
    ),
    "other dependencies of what is there": (
        lambda draft: changed(draft, "1.0", dependencies={"lib": "*"}),
        VersionConflictError,
        "app 1.0 on main was published before",
    ),
    "no time": (lambda draft: changed(draft, "1.1", published="yesterday"), StatementError, "1.1: published has to be"),
    "a time spelled otherwise": (
        lambda draft: changed(draft, "1.1", published="2026-1-2T3:04:05Z"),
        StatementError,
        "1.1: published has to be",
    ),
    "the list of an unclaimed package": (lambda draft: renamed(draft, "lib"), NotClaimedError, "lib is not claimed"),
    "the list of a package that is not there": (lambda draft: renamed(draft, "x"), NotClaimedError, "x is not claimed"),
    "a branch in another case": (lambda draft: renamed(draft, branch="Main"), CaseCollisionError, "'Main' differs"),
    "another branch than content.json": (
        lambda draft: replace(draft, package=sites.package("1.2", branch="beta")),
        StatementError,
        "push them apart",
    ),
    "white space": (lambda draft: written(draft, lambda raw: raw.replace(b",", b", ", 1)), StatementError, "canonical"),
    "an escape": (
        lambda draft: written(draft, lambda raw: raw.replace(b"main", b"m\\u0061in")),
        StatementError,
        "cano",
    ),
    "no line end": (lambda draft: written(draft, bytes.rstrip), StatementError, "does not end with a line feed"),
    "nothing": (lambda draft: written(draft, lambda _: b""), StatementError, "does not begin with package"),
    "a carriage return": (
        lambda draft: written(draft, lambda raw: raw.replace(b"\n", b"\r\n")),
        StatementError,
        "canonical",
    ),
    "no JSON": (lambda draft: written(draft, lambda _: b"hello\n"), StatementError, "does not begin with package"),
    "no JSON after its head": (
        lambda draft: written(draft, lambda raw: raw[: raw.index(b'"releases"')] + b"\n"),
        StatementError,
        "is not JSON",
    ),
    "no list": (lambda draft: written(draft, lambda _: b"{}\n"), StatementError, "does not begin with package"),
    "no name of a package": (
        lambda draft: written(draft, lambda raw: raw.replace(b'"package":"app"', b'"package":"../a"')),
        StatementError,
        "whose name is not valid",
    ),
    "another form of the head": (
        lambda draft: written(draft, lambda raw: raw.replace(b'"package":"app"', b'"package": "app"')),
        StatementError,
        "does not begin with package",
    ),
    "more lines than lists": (
        lambda draft: written(draft, lambda raw: raw + b"\n" * 128),
        StatementError,
        "more than 128 lists",
    ),
    "a line of more than 1 MiB": (
        lambda draft: written(draft, lambda raw: raw.replace(b'"releases"', b'"a":"%s","releases"' % (b"x" * 2**20))),
        StatementError,
        "and 1048576 are the most",
    ),
    "more in it than in any list": (
        lambda draft: written(
            draft, lambda raw: raw.replace(b'"releases"', b'"a":[%s0],"releases"' % (b"0," * 200_000))
        ),
        StatementError,
        "more in it than any list or role",
    ),
    "a key twice": (
        lambda draft: written(draft, lambda raw: raw.replace(b'"releases":', b'"releases":[],"releases":')),
        StatementError,
        "more than once",
    ),
    "an empty list of words": (
        lambda draft: written(draft, lambda raw: raw.replace(b'"releases"', b'"needs":[],"releases"')),
        StatementError,
        "canonical",
    ),
    "a second line": (
        lambda draft: replace(draft, after=[draft.newest.encode()]),
        StatementError,
        "a segment comes with the list that it does not name",
    ),
    # the role
    "no signature": (lambda draft: replace(draft, signers=[]), SignatureError, "signed by 0 of the keys"),
    "a stranger's signature": (lambda draft: replace(draft, signers=[STRANGER]), SignatureError, "signed by 0 of the"),
    "the version that is there": (
        lambda draft: replace(draft, version=1),
        StaleRoleError,
        "version 2 is the next, not 1",
    ),
    "a version left out": (lambda draft: replace(draft, version=3), StaleRoleError, "version 2 is the next, not 3"),
    "a huge version": (lambda draft: replace(draft, version=2**53), StaleRoleError, "version 2 is the next"),
    "a version beyond all": (lambda draft: replace(draft, version=2**63), StatementError, "not an integer within"),
    "expired": (lambda draft: replace(draft, expires=NOW), StatementError, "has expired"),
    "for ever": (
        lambda draft: replace(draft, expires=NOW + timedelta(days=3654)),
        StatementError,
        "expires in more than ten years",
    ),
    "a delegation": (delegating, StatementError, "delegates to others"),
    "another package's list": (
        lambda draft: targeting(draft, layout.release_list("lib", "main")),
        StatementError,
        "names releases/lib/main.json, which is no list of app",
    ),
    "a list that is not there": (
        lambda draft: targeting(draft, layout.release_list("app", "gamma")),
        StatementError,
        "names releases/app/gamma.json",
    ),
    "a path that is no list": (
        lambda draft: targeting(draft, "releases/app/../lib/main.json"),
        StatementError,
        r"names releases/app/\.\./lib",
    ),
    "not this list": (lambda draft: without(draft, MAIN), StatementError, f"does not name {MAIN}, which is a list"),
    "not the list of another branch": (lambda draft: without(draft, BETA), StatementError, f"does not name {BETA}"),
    "another hash of this list": (
        lambda draft: targeting(draft, MAIN, sha256="0" * 64),
        StatementError,
        f"does not name the {MAIN} that came with it",
    ),
    "another size of this list": (
        lambda draft: targeting(draft, MAIN, size=1),
        StatementError,
        f"does not name the {MAIN} that came with it",
    ),
    "another hash of another list": (
        lambda draft: targeting(draft, BETA, sha256="0" * 64),
        StatementError,
        f"does not name the {BETA} that is there",
    ),
    "another size of another list": (
        lambda draft: targeting(draft, BETA, size=1),
        StatementError,
        f"does not name the {BETA} that is there",
    ),
    "a second hash": (
        lambda draft: targeting(draft, MAIN, sha512="0" * 128),
        StatementError,
        f"does not name the {MAIN} that came with it",
    ),
    "not named": (lambda draft: replace(draft, fields={}), StatementError, "does not say x-role: pkg-app"),
    "named as another": (
        lambda draft: replace(draft, fields={"x-role": "pkg-b"}),
        StatementError,
        "does not say x-role: pkg-app",
    ),
    "too many words": (
        lambda draft: replace(draft, fields={**draft.fields, "x": "a" * 2**20}),
        StatementError,
        "too large",
    ),
}


@pytest.mark.parametrize(("change", "error", "says"), WRONG.values(), ids=WRONG)
def test_what_is_signed_wrong_changes_nothing(
    desk: Desk, change: Callable[[Draft], Draft], error: type[PublisherError], says: str
) -> None:
    """Every way to be wrong has its error, and leaves catalogue and mirror as they were."""
    draft = change(desk.draft(NEW))
    before, pages = desk.state(), dict(desk.pages)

    with pytest.raises(error, match=says):
        desk.accept(draft)

    assert desk.state() == before
    assert desk.pages == pages


def spelled(**changes: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Change the file of a role after it was signed."""
    return lambda value: {**value, **changes}


def resigned(change: Callable[[dict[str, Any]], object]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Change what is signed, after it was."""

    def after(value: dict[str, Any]) -> dict[str, Any]:
        change(value["signed"])
        return value

    return after


FORGED: dict[str, tuple[Callable[[dict[str, Any]], dict[str, Any]], type[PublisherError], str]] = {
    "other targets than were signed": (
        resigned(lambda signed: signed["targets"][BETA].update(length=1)),
        SignatureError,
        "signed by 0 of the keys",
    ),
    "another version than was signed": (
        resigned(lambda signed: signed.update(version=3)),
        SignatureError,
        "signed by 0 of the keys",
    ),
    "a longer life than was signed": (
        resigned(lambda signed: signed.update(expires="2027-11-23T08:00:00Z")),
        SignatureError,
        "signed by 0 of the keys",
    ),
    "parts that nobody signed": (spelled(notes="x"), StatementError, "parts that nobody signed: notes"),
    "no signatures": (lambda value: {"signed": value["signed"]}, StatementError, "is no metadata"),
    "signatures of no form": (spelled(signatures=["x"]), StatementError, "is no metadata"),
    "a signature twice": (
        lambda value: {**value, "signatures": value["signatures"] * 2},
        StatementError,
        "Multiple signatures",
    ),
    "nothing signed": (spelled(signed={}), StatementError, "is no metadata"),
    "no role": (lambda _: {}, StatementError, "is no metadata"),
    "another kind of role": (
        lambda _: json.loads(Metadata(Snapshot(expires=NOW)).to_bytes()),
        StatementError,
        "is of the type snapshot",
    ),
    "an unknown kind of role": (
        resigned(lambda signed: signed.update(_type="other")),
        StatementError,
        "unrecognized metadata type",
    ),
    "another specification": (
        resigned(lambda signed: signed.update(spec_version="2.0")),
        StatementError,
        "is no metadata",
    ),
    "targets of no form": (resigned(lambda signed: signed.update(targets=[])), StatementError, "is no metadata"),
    "a length of no form": (
        resigned(lambda signed: signed["targets"][BETA].update(length=-1)),
        StatementError,
        "is no metadata",
    ),
    "version zero": (resigned(lambda signed: signed.update(version=0)), StatementError, "is no metadata"),
    "a time spelled otherwise": (
        resigned(lambda signed: signed.update(expires="2027-5-22T8:00:00Z")),
        StatementError,
        "not spelled as its signatures cover it",
    ),
    "a number that is none": (resigned(lambda signed: signed.update(x=1.5)), StatementError, "not an integer within"),
    "a time that is none": (resigned(lambda signed: signed.update(expires="soon")), StatementError, "is no metadata"),
}


@pytest.mark.parametrize(("change", "error", "says"), FORGED.values(), ids=FORGED)
def test_a_role_that_was_changed_is_refused(
    desk: Desk, change: Callable[[dict[str, Any]], dict[str, Any]], error: type[PublisherError], says: str
) -> None:
    """What reaches a mirror is what its publisher signed, in the one form that all clients read alike."""
    parts = desk.draft(NEW).parts()
    forged = Parts(parts.listed, json.dumps(change(json.loads(parts.signed))).encode())
    before = desk.state()

    with pytest.raises(error, match=says):
        desk.judge(forged, NEW)

    assert desk.state() == before


@pytest.mark.parametrize("raw", [b"", b"hello", b'{"signed":1,"signed":2}', b"\xff", b"[" * 50_000, b"[]"])
def test_what_is_no_role_is_refused(desk: Desk, raw: bytes) -> None:
    """Whatever comes as the role, the answer is a sentence."""
    with pytest.raises(StatementError, match="the signed role is not valid"):
        desk.judge(Parts(desk.draft(NEW).parts().listed, raw), NEW)


def test_the_role_of_another_package_is_refused(desk: Desk) -> None:
    """A publisher with two packages and one key cannot be made to mix them up."""
    draft = desk.draft(NEW)
    draft.targets = {
        path.replace("/app/", "/lib/"): TargetFile(each.length, each.hashes, path.replace("/app/", "/lib/"))
        for path, each in draft.targets.items()
    }

    with pytest.raises(StatementError, match="which is no list of app"):
        desk.accept(draft)


def test_every_key_of_the_threshold_signs() -> None:
    """One of two is not enough; both are, and a stranger's beside them does no harm."""
    with publishers.desk(threshold=2) as desk:
        draft = desk.draft(NEW)
        with pytest.raises(SignatureError, match=r"signed by 1 of the keys .*, and needs 2"):
            desk.accept(replace(draft, signers=desk.keys[:1]))
        with pytest.raises(SignatureError, match="signed by 1 of the keys"):
            desk.accept(replace(draft, signers=[desk.keys[0], STRANGER]))

        assert desk.accept(replace(draft, signers=[*desk.keys, STRANGER]))


def test_what_is_signed_is_what_is_served(desk: Desk) -> None:
    """List and role reach the mirror as they came, to the byte, and are known as current."""
    draft = desk.draft(NEW)
    parts = draft.parts()

    (page,) = desk.judge(parts, NEW)

    assert (page.path, page.data) == (layout.metadata("pkg-app", 2), parts.signed)
    assert desk.pages[MAIN] == parts.listed
    assert desk.pages[layout.hashed_release_list("app", "main", digest(parts.listed))] == parts.listed
    assert desk.pages[layout.get_version("app", "main", "1.2")] == NEW.content.canonical()
    assert desk.pages[layout.max_version("app", "main")] == NEW.content.canonical()
    current, filed = desk.roles.get("pkg-app"), desk.roles.list_of("app", "main")
    assert current
    assert filed
    assert (current.version, current.data) == (2, parts.signed)
    assert (filed[0], filed[1].sha256, filed[1].size) == ("pkg-app", digest(parts.listed), len(parts.listed))


def test_the_same_again_is_a_success_without_effect(desk: Desk) -> None:
    """A publisher that did not hear the answer sends it again, with the release or without."""
    parts = desk.draft(NEW).parts()
    desk.judge(parts, NEW)
    before = desk.state()

    assert desk.judge(parts, NEW) == []
    assert desk.judge(parts) == []
    assert desk.state() == before


def test_one_role_signs_one_list(desk: Desk) -> None:
    """The role of before cannot be sent again with another list."""
    draft = desk.draft(NEW)
    role = draft.parts().signed
    desk.accept(draft)
    older = desk.draft(sites.package("1.3")).parts()

    with pytest.raises(StaleRoleError) as caught:
        desk.judge(Parts(older.listed, role))

    assert caught.value.as_json()["version"] == 2
    assert caught.value.status_hint == 409


def test_a_list_can_be_signed_for_longer(desk: Desk) -> None:
    """The same list under a new role is a new statement, and changes nothing else."""
    pages = dict(desk.pages)

    assert desk.accept(desk.draft())
    assert desk.pages == pages


def test_a_new_branch_begins_with_a_release(desk: Desk) -> None:
    """The role names a list more from then on."""
    desk.accept(desk.draft(sites.package("1.0", branch="gamma")))

    assert [each.path for each in desk.roles.targets("pkg-app")] == [BETA, layout.release_list("app", "gamma"), MAIN]


def test_a_yank_is_told_and_not_offered(desk: Desk) -> None:
    """The list says why, and the highest that is offered is another."""
    newest = desk.newest()

    desk.accept(desk.drafted(required(edit.with_yank(newest, no_segment, "1.1", "it ticks", "1.0"))))

    assert desk.newest().releases[0].yanked == {"reason": "it ticks", "replacement": "1.0"}
    assert desk.pages[layout.max_version("app", "main")] == sites.package("1.0").content.canonical()


def test_a_withdrawn_release_is_listed_no_more(desk: Desk) -> None:
    """Its content stays where it was, its version stays taken, and it may come back as it was."""
    desk.accept(desk.drafted(edit.without(desk.newest(), no_segment, "1.1")))
    assert [each.version for each in desk.newest().releases] == ["1.0"]
    assert layout.get_version("app", "main", "1.1") in desk.everything()

    other = sites.package("1.1", data=b"other bytes")
    with pytest.raises(VersionConflictError):
        desk.accept(desk.draft(other))

    desk.accept(desk.drafted(required(edit.with_release(desk.newest(), no_segment, entry(sites.package("1.1"))))))
    assert [each.version for each in desk.newest().releases] == ["1.1", "1.0"]
    assert desk.pages[layout.max_version("app", "main")] == sites.package("1.1").content.canonical()


def test_what_this_builder_does_not_know_is_kept(desk: Desk) -> None:
    """A publisher with a newer otamirror may say more, in the list, an entry, a segment and what is said of it."""
    packages = [sites.package(f"2.{number}") for number in range(MOST)]
    desk.file(*packages)
    newest = desk.newest()
    (part,) = newest.older
    segment = replace(desk.segment(newest, part), extra={"zone": "a"}, needs=("more",))
    reference = replace(
        part, sha256=digest(segment.encode()), size=len(segment.encode()), extra={"hint": {"b": [1], "a": None}}
    )
    entries = (replace(newest.releases[0], extra={"color": "red"}), *newest.releases[1:])
    edited = replace(newest, releases=entries, older=(reference,), needs=("signed",), extra={"zoo": 1})

    desk.accept(desk.drafted(edit.Edited(edited, (segment,))))
    desk.accept(desk.draft(sites.package("3.0")))

    assert desk.newest().older == (reference,)
    assert desk.segment(desk.newest(), reference) == segment
    assert desk.newest().extra == {"zoo": 1}


SEGMENTS: dict[str, tuple[Callable[[Draft], Draft], str]] = {
    "not there": (lambda draft: replace(draft, after=[]), "which the mirror does not have"),
    "twice": (lambda draft: replace(draft, after=draft.after * 2), "or names once"),
    "one more": (lambda draft: replace(draft, after=[*draft.after, draft.newest.encode()]), "does not name"),
    "cut off": (lambda draft: replace(draft, after=[draft.after[0][:-1]]), "does not end with a line feed"),
    "other words": (lambda draft: replace(draft, after=[draft.after[0].replace(b"app", b"apq", 1)]), "does not name"),
    "not canonical": (lambda draft: swapped(draft, lambda raw: raw.replace(b",", b", ", 1)), "canonical form"),
    "of another branch": (
        lambda draft: swapped(draft, lambda raw: raw.replace(b"main", b"beta", 1)),
        "is not one of app",
    ),
    "with fewer releases": (
        lambda draft: swapped(draft, lambda raw: replace(parsed(raw), releases=parsed(raw).releases[1:]).encode()),
        "other releases than its list says",
    ),
    "with segments of its own": (
        lambda draft: swapped(draft, lambda raw: replace(parsed(raw), older=draft.newest.older).encode()),
        "2.61 stands below 1.0",
    ),
    "no list": (lambda draft: swapped(draft, lambda _: b"{}\n"), "package is missing"),
}


def parsed(raw: bytes) -> ReleaseList:
    """Read a list."""
    return releases.parse(raw)


def swapped(draft: Draft, change: Callable[[bytes], bytes]) -> Draft:
    """Send another segment, which the list names by its hash."""
    raw = change(draft.after[0])
    (part,) = draft.newest.older
    draft.newest = replace(draft.newest, older=(replace(part, sha256=digest(raw), size=len(raw)),))
    draft.after = [raw]
    return draft.name_list()


@pytest.mark.parametrize(("change", "says"), SEGMENTS.values(), ids=SEGMENTS)
def test_segments_that_do_not_fit_are_refused(change: Callable[[Draft], Draft], says: str) -> None:
    """Each segment that comes is one that the list names, as the list names it, and none is missing."""
    with publishers.desk() as desk:
        desk.file(*(sites.package(f"2.{number}") for number in range(MOST - 2)))
        assert len(desk.newest().releases) == MOST
        draft = desk.draft(sites.package("3.0"))
        assert len(draft.after) == 1
        assert draft.newest.older[0].count == CUT
        before = desk.state()

        with pytest.raises(StatementError, match=says):
            desk.accept(change(draft))

        assert desk.state() == before
        desk.accept(desk.draft(sites.package("3.0")))


class Forgetful(Shelves):
    """A builder that does not keep what it does not know."""

    def take(self, newest: ReleaseList, segments: Mapping[str, ReleaseList], contents: Mapping[str, Content]) -> None:
        """Take a list over, and leave something out."""
        super().take(replace(newest, extra={}), segments, contents)


def test_what_would_be_served_otherwise_is_refused(desk: Desk) -> None:
    """Nothing is published under a signature that does not fit; all of it is undone."""
    draft = desk.draft()
    draft.newest = replace(draft.newest, extra={"zoo": 1})
    statement = verify(draft.name_list().parts())
    before = desk.state()

    with desk.catalogue.transaction():
        shelves = Forgetful(desk.catalogue.connection)
        with pytest.raises(StatementError, match="would not keep the list of app on main"):
            claims.accept(shelves, desk.roles, statement, None, NOW)

        assert list(shelves.changed()) == []
    assert desk.state() == before


def test_who_claimed_a_package_has_to_sign(desk: Desk) -> None:
    """A release without a statement is refused for the claimed package, and for no other."""
    claims.refuse_unsigned(desk.roles, "lib")
    with pytest.raises(ClaimedError, match="`otamirror push --key`") as caught:
        claims.refuse_unsigned(desk.roles, "app")

    assert caught.value.status_hint == 403


def test_a_claim_that_was_dropped_counts_no_more(desk: Desk) -> None:
    """The publisher's signature is worth nothing then, and an unsigned release is fine."""
    desk.roles.retire(["pkg-app"])

    claims.refuse_unsigned(desk.roles, "app")
    with pytest.raises(NotClaimedError):
        desk.accept(desk.draft(NEW))


def test_refusals_have_the_statuses_of_the_contract() -> None:
    """400 for what has to be mended, 403 for who may not, 409 for who comes too late."""
    found = {
        each.code: each.status_hint
        for each in vars(errors).values()
        if isinstance(each, type) and issubclass(each, PublisherError)
    }

    wanted = {"not-claimed": 400, "statement": 400, "claimed": 403, "signature": 403, "stale-role": 409}
    assert found.items() >= wanted.items()


def no_segment(_: releases.Segment) -> ReleaseList:
    """Nothing older is needed."""
    raise AssertionError


def required(edited: edit.Edited | None) -> edit.Edited:
    """See that something changed."""
    assert edited
    return edited

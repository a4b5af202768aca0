"""Release lists: what is written is read back, what is not known is kept, what is malformed is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from mirror import canonical, releases
from mirror.errors import OTAError
from mirror.releases import Entry, ReleaseList, ReleaseListError, Segment

A, B, C = ("a" * 64, "b" * 64, "c" * 64)
ENTRY = Entry("1.0", A, B, 7, "2026-11-23T07:00:00Z")
FULL = Entry(
    "2.0",
    A,
    B,
    0,
    "2026-11-23T07:00:00Z",
    dependencies={"lib": ">=1"},
    needs=("rollout",),
    rollout={"points": [["2026-11-23T08:00:00Z", 0], ["2026-11-24T08:00:00Z", 1000]], "held": False},
    yanked={"reason": "it ticks", "replacement": "2.1"},
    transfers=({"kind": "delta", "from": C, "path": "x", "size": 1, "sha256": C},),
    extra={"color": "red", "a": [1, {"b": None}]},
)
SEGMENTS = (
    Segment("0.5", "0.9", 64, B, 20_000),
    Segment("0.1", "0.4", 1, C, 300, extra={"shelf": "b"}),
)
LISTS = [
    ReleaseList("app", "main", ()),
    ReleaseList("app", "main", (ENTRY,)),
    ReleaseList("app", "main", (FULL, ENTRY)),
    ReleaseList("app", "main", (FULL, ENTRY), SEGMENTS),
    ReleaseList("app", "main", (FULL,), SEGMENTS, ("signed",), {"zoo": {"b": 1, "a": 2}, "Ärger": "ü", "about": "x"}),
]


def numbered(count: int) -> tuple[Entry, ...]:
    """Make that many entries, highest first."""
    return tuple(replace(ENTRY, version=f"1.{number}") for number in reversed(range(count)))


def raw(**changes: object) -> bytes:
    """Encode a valid list after changes to its keys; `Gone` takes a key away."""
    return changed(json.loads(LISTS[3].encode()), changes)


def raw_entry(**changes: object) -> bytes:
    """Encode a valid list after changes to its first entry."""
    value = json.loads(LISTS[2].encode())
    value["releases"][0] = json.loads(changed(value["releases"][0], changes))
    return canonical.encode(value)


def raw_segment(**changes: object) -> bytes:
    """Encode a valid list after changes to its first reference to an older segment."""
    value = json.loads(LISTS[3].encode())
    value["older"][0] = json.loads(changed(value["older"][0], changes))
    return canonical.encode(value)


class Gone:
    """Stands for a key that is taken away."""


def changed(value: dict[str, Any], changes: dict[str, Any]) -> bytes:
    """Encode an object after changes."""
    merged = {**value, **{key.rstrip("_"): item for key, item in changes.items()}}
    return canonical.encode({key: item for key, item in merged.items() if item is not Gone})


@pytest.mark.parametrize("listed", LISTS)
def test_a_list_is_read_back_as_it_was_written(listed: ReleaseList) -> None:
    """Reading and writing lose nothing, known or not, so the hash of a list stays what it was."""
    data = listed.encode()

    assert releases.parse(data) == listed
    assert releases.parse(data).encode() == data


@pytest.mark.parametrize("listed", LISTS)
def test_joined_fragments_are_the_canonical_form(listed: ReleaseList) -> None:
    """A list put together from parts has the bytes that encoding it whole would give."""
    value, problems = canonical.decode(listed.encode(), limit=releases.MAX_BYTES)

    assert problems == []
    assert canonical.encode(value, ("package", "branch", "needs", "releases", "older")) == listed.encode()


def test_what_does_not_apply_does_not_stand_there() -> None:
    """A plain list has the keys of the contract, in its order, and no others."""
    assert LISTS[1].encode() == (
        b'{"package":"app","branch":"main","releases":[{"content":"%(a)b","published":"2026-11-23T07:00:00Z",'
        b'"sha256":"%(b)b","size":7,"version":"1.0"}]}\n' % {b"a": A.encode(), b"b": B.encode()}
    )


@pytest.mark.parametrize("key", ["rollout", "yanked"])
def test_an_empty_restriction_stays(key: str) -> None:
    """A release that was yanked without a reason is not offered again because a builder wrote the list anew."""
    listed = releases.parse(raw_entry(**{key: {}}))

    assert getattr(listed.releases[0], key) == {}
    assert getattr(releases.parse(listed.encode()).releases[0], key) == {}


def test_needs_are_what_a_reader_must_know() -> None:
    """A device that does not know every word must not take the list, or the release."""
    listed = releases.parse(raw(needs=["signed", "rollout"]))

    assert listed.unknown_needs(frozenset({"rollout"})) == ("signed",)
    assert listed.unknown_needs(frozenset({"rollout", "signed", "more"})) == ()
    assert listed.releases[0].unknown_needs(frozenset()) == ("rollout",)
    assert listed.releases[1].unknown_needs(frozenset()) == ()


def test_a_list_holds_128_releases_and_no_more() -> None:
    """The bound is the contract's: a device may count on it."""
    most = ReleaseList("app", "main", numbered(128))

    assert len(releases.parse(most.encode()).releases) == releases.MOST == 128
    with pytest.raises(ReleaseListError, match="129 releases"):
        releases.parse(replace(most, releases=numbered(129)).encode())


MALFORMED = {
    "nothing": (b"", "empty"),
    "no JSON": (b"{", "not JSON"),
    "no object": (b"[]\n", "must be a JSON object"),
    "a key twice": (b'{"package":"a","package":"a"}', "more than once"),
    "not UTF-8": (b'{"package":"\xff"}', "not UTF-8"),
    "a float": (raw_entry(size=7).replace(b'"size":7', b'"size":7.0'), "integer"),
    "no package": (raw(package=Gone), "package is missing"),
    "package no text": (raw(package=1), "package is not a string"),
    "package no name": (raw(package="../app"), "not names"),
    "no branch": (raw(branch=Gone), "branch is missing"),
    "branch no branch": (raw(branch=f"{A}.main"), "not names"),
    "no releases": (raw(releases=Gone), "releases is missing"),
    "releases no list": (raw(releases={}), "releases is not a list"),
    "releases null": (raw(releases=None), "releases is not a list"),
    "a release no object": (raw(releases=["1.0"]), "releases is not a list of objects"),
    "needs no list": (raw(needs="signed"), "needs is not a list"),
    "needs null": (raw(needs=None), "needs is not a list"),
    "needs no words": (raw(needs=["signed", 1]), "needs is not a list"),
    "older no list": (raw(older={}), "older is not a list"),
    "older null": (raw(older=None), "older is not a list"),
    "a segment no object": (raw(older=[[]]), "older is not a list of objects"),
    "lowest first": (ReleaseList("app", "main", (ENTRY, FULL)).encode(), "2.0 stands below 1.0"),
    "a release twice": (ReleaseList("app", "main", (ENTRY, ENTRY)).encode(), "1.0 stands below 1.0"),
    "lowest segment first": (replace(LISTS[3], older=SEGMENTS[::-1]).encode(), "0.9 stands below 0.1"),
    "segments overlap": (replace(LISTS[3], older=(SEGMENTS[0], SEGMENTS[0])).encode(), "0.9 stands below 0.5"),
    "a segment above the list": (raw_segment(to="3.0"), "3.0 stands below 1.0"),
    "no version": (raw_entry(version=Gone), "version is missing"),
    "version no version": (raw_entry(version="1/2"), "is not a version"),
    "no content": (raw_entry(content=Gone), "content is missing"),
    "content no hash": (raw_entry(content=A.upper()), "content .* is not a SHA-256"),
    "no sha256": (raw_entry(sha256=Gone), "sha256 is missing"),
    "sha256 no hash": (raw_entry(sha256="a"), "sha256 'a' is not a SHA-256"),
    "no size": (raw_entry(size=Gone), "size None"),
    "size negative": (raw_entry(size=-1), "size -1"),
    "size no number": (raw_entry(size="7"), "size '7'"),
    "size a boolean": (raw_entry(size=True), "size True"),
    "no time": (raw_entry(published=Gone), "published is missing"),
    "time no text": (raw_entry(published=0), "published is not a string"),
    "dependencies no object": (raw_entry(dependencies=["lib"]), "dependencies is not an object"),
    "dependencies null": (raw_entry(dependencies=None), "dependencies is not an object"),
    "dependencies no ranges": (raw_entry(dependencies={"lib": 1}), "dependencies is not an object of strings"),
    "release needs no list": (raw_entry(needs={}), "needs is not a list"),
    "rollout no object": (raw_entry(rollout=[]), "rollout is not an object"),
    "rollout null": (raw_entry(rollout=None), "rollout is not an object"),
    "yanked no object": (raw_entry(yanked=True), "yanked is not an object"),
    "yanked null": (raw_entry(yanked=None), "yanked is not an object"),
    "transfers no list": (raw_entry(transfers={}), "transfers is not a list"),
    "a transfer no object": (raw_entry(transfers=["delta"]), "transfers is not a list of objects"),
    "no lower end": (raw_segment(from_=Gone), "from is missing"),
    "lower end no version": (raw_segment(from_=""), "from '' is not a version"),
    "upper end no version": (raw_segment(to="-1"), "to '-1' is not a version"),
    "ends swapped": (raw_segment(from_="0.9", to="0.5"), "older: it goes from 0.9 down to 0.5"),
    "no count": (raw_segment(count=Gone), "count None"),
    "count none": (raw_segment(count=0), "count 0"),
    "count too large": (raw_segment(count=129), "count 129"),
    "count a boolean": (raw_segment(count=True), "count True"),
    "segment without hash": (raw_segment(sha256=Gone), "sha256 is missing"),
    "segment without size": (raw_segment(size=Gone), "size None"),
}


@pytest.mark.parametrize(("data", "problem"), MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_list_is_refused(data: bytes, problem: str) -> None:
    """Whatever is not of the contract's form is an error that says what is wrong with it."""
    with pytest.raises(ReleaseListError, match=problem) as caught:
        releases.parse(data)

    assert isinstance(caught.value, OTAError)
    assert caught.value.problem in str(caught.value)


def test_a_list_too_large_is_refused() -> None:
    """A mirror cannot make a device read without end."""
    data = b'{"package":"app","branch":"main","releases":[],"padding":"' + b"x" * releases.MAX_BYTES + b'"}'

    with pytest.raises(ReleaseListError, match="too large"):
        releases.parse(data)


SEGMENT = ReleaseList("app", "main", numbered(3), needs=("signed",), extra={"zoo": 1})
REFERENCE = Segment("1.0", "1.2", 3, canonical.digest(SEGMENT.encode()), len(SEGMENT.encode()), {"hint": 1})
NEWEST = ReleaseList("app", "main", (FULL,), (REFERENCE,))


def test_a_segment_is_read_as_its_list_names_it() -> None:
    """By its hash, its ends and its count; a segment may have words of its own."""
    assert releases.parse_segment(SEGMENT.encode(), NEWEST, REFERENCE) == SEGMENT


@pytest.mark.parametrize(
    ("segment", "stated", "problem"),
    [
        (SEGMENT, {"sha256": A}, "has other bytes"),
        (SEGMENT, {"size": 1}, "has other bytes"),
        (SEGMENT, {"count": 2}, "has other releases than its list says"),
        (SEGMENT, {"from_version": "0.9"}, "has other releases than its list says"),
        (SEGMENT, {"to_version": "1.3"}, "has other releases than its list says"),
        (replace(SEGMENT, releases=()), {}, "has other releases than its list says"),
        (replace(SEGMENT, package="lib"), {}, "is not one of app on main"),
        (replace(SEGMENT, branch="beta"), {}, "is not one of app on main"),
        (replace(SEGMENT, older=(Segment("0.1", "0.2", 2, A, 1),)), {}, "is not one of app on main"),
    ],
)
def test_a_segment_that_is_not_what_its_list_says_is_refused(
    segment: ReleaseList, stated: dict[str, Any], problem: str
) -> None:
    """A mirror cannot pass one segment off as another."""
    data = segment.encode()
    reference = replace(REFERENCE, **{"sha256": canonical.digest(data), "size": len(data), **stated})

    with pytest.raises(ReleaseListError, match=problem):
        releases.parse_segment(data, NEWEST, reference)


def test_parts_of_a_list_are_read_alone() -> None:
    """An entry and a reference are kept as text in places, and read back as strictly as a whole list."""
    assert releases.parse_entry(json.loads(releases.fragment(FULL))) == FULL
    assert releases.parse_reference(json.loads(releases.fragment(REFERENCE))) == REFERENCE
    for reader in (releases.parse_entry, releases.parse_reference):
        with pytest.raises(ReleaseListError):
            reader({})

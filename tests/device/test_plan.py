"""The file of a plan, and what tells two plans apart."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devclient import plan
from devclient.plan import FORMAT, Found, Kind, Plan, Release, Step

OLD = Release("1", "a1" * 32)
NEW = Release("2", "a2" * 32, "b2" * 32, 1000)
MIRROR = "https://updates.example.org"
APP = Step("app", "stable", MIRROR, "/opt/app", "/opt/app", OLD, NEW, Found.FILE, entry="e1" * 32)
SITE = Step(
    "site",
    "stable",
    MIRROR,
    "/srv/site/",
    "/srv/site",
    None,
    Release("7", "a3" * 32, "b3" * 32, 50),
    Found.NOTHING,
    folder="4-site",
    auto=True,
    timeout=20,
)
GONE = dataclasses.replace(APP, package="gone", after=None)
PLAN = Plan(Kind.UPDATE, 4, (APP, SITE, GONE), "3", "4")


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("found", Found)
def test_a_plan_comes_back_as_it_was(kind: Kind, found: Found) -> None:
    """All of it, in its types."""
    written = dataclasses.replace(PLAN, kind=kind, steps=(dataclasses.replace(APP, found=found), SITE, GONE))

    read = plan.parse(written.encode())

    assert read == written
    assert type(read.kind) is Kind
    assert {type(step.found) for step in read.steps} == {Found}


def test_writing_it_again_gives_the_same_bytes() -> None:
    """Its hash is its name in the journal."""
    assert plan.parse(PLAN.encode()).encode() == PLAN.encode()


def test_a_later_format_is_refused() -> None:
    """Nothing is carried out that is only half understood."""
    fields = json.loads(PLAN.encode()) | {"format": FORMAT + 1}

    with pytest.raises(ValueError, match="a later version"):
        plan.parse(json.dumps(fields).encode())


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b'{"format": 1, "kind": "dream", "steps": []}'])
def test_what_is_no_plan_is_refused(raw: bytes) -> None:
    """With the one error that is told of a plan."""
    with pytest.raises(ValueError):  # noqa: PT011 - whatever the words are
        plan.parse(raw)


def test_another_attempt_at_the_same_has_the_same_identity() -> None:
    """Interruptions are counted by it: where things are laid out beside, and from where, makes no difference."""
    step = dataclasses.replace(SITE, folder="9-site", found=Found.LINK, remote="https://another.example.org", timeout=1)
    again = dataclasses.replace(PLAN, attempt=9, before="8", after="9", steps=(APP, step, GONE))

    assert again.identity == PLAN.identity


@pytest.mark.parametrize(
    "changed",
    [
        dataclasses.replace(PLAN, kind=Kind.ROLLBACK),
        dataclasses.replace(PLAN, steps=(APP, SITE)),
        dataclasses.replace(PLAN, steps=(dataclasses.replace(APP, after=Release("2", "ff" * 32)), SITE, GONE)),
        dataclasses.replace(PLAN, steps=(dataclasses.replace(APP, before=None), SITE, GONE)),
        dataclasses.replace(PLAN, steps=(dataclasses.replace(APP, branch="beta"), SITE, GONE)),
        dataclasses.replace(PLAN, steps=(dataclasses.replace(APP, local="/opt/other"), SITE, GONE)),
    ],
)
def test_a_plan_for_something_else_has_another_identity(changed: Plan) -> None:
    """It does not wait for what another one has suffered."""
    assert changed.identity != PLAN.identity


def test_a_plan_tells_what_has_to_be_kept_for_it() -> None:
    """The contents of both sides, since rolling back has hooks too, and the blobs of the new one."""
    assert PLAN.contents == {"a1" * 32, "a2" * 32, "a3" * 32}
    assert PLAN.blobs == {"b2" * 32, "b3" * 32}


def test_contents_that_are_not_known_are_not_named() -> None:
    """A file that was there before otadevice has none."""
    step = dataclasses.replace(APP, before=Release("1", ""))

    assert dataclasses.replace(PLAN, steps=(step,)).contents == {"a2" * 32}


def test_a_plan_reads_as_what_it_is_for() -> None:
    """One line for the log."""
    assert str(PLAN) == "app 2, site 7, gone (removed)"
    assert (PLAN.touches("site"), PLAN.touches("other")) == (True, False)
    assert (SITE.is_folder, APP.is_folder) == (True, False)
    assert str(SITE.path) == "/srv/site"


_texts = st.text(max_size=20)
_releases = st.none() | st.builds(Release, _texts, _texts, _texts, st.integers(0, 2**53))
_steps = st.builds(
    Step,
    *[_texts] * 5,
    _releases,
    _releases,
    st.sampled_from(Found),
    folder=_texts,
    auto=st.booleans(),
    timeout=st.floats(0.1, 1e9) | st.integers(1, 10**6),
    entry=_texts,
)
_plans = st.builds(
    Plan, st.sampled_from(Kind), st.integers(1, 2**53), st.lists(_steps, max_size=4).map(tuple), _texts, _texts
)


@settings(deadline=None, max_examples=40)
@given(_plans)
def test_any_plan_comes_back(planned: Plan) -> None:
    """Whatever texts and numbers it has; its identity with it."""
    read = plan.parse(planned.encode())

    assert read == planned
    assert read.encode() == planned.encode()
    assert read.identity == planned.identity


@settings(deadline=None, max_examples=40)
@given(_plans, st.integers(1, 9), _texts, _texts)
def test_any_plan_has_the_identity_of_its_next_attempt(planned: Plan, attempt: int, before: str, after: str) -> None:
    """The numbers of attempts and sets are not what it is about."""
    again = dataclasses.replace(planned, attempt=attempt, before=before, after=after)

    assert again.identity == planned.identity

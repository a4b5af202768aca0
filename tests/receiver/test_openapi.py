"""The description of the receiver: it is current, whole, and what the receiver does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import schemathesis
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from builder import errors
from builder.uploads import openapi, refusals
from mirror.errors import OTAError

if TYPE_CHECKING:
    from tests.receiver.rig import Rig

REFERENCE = Path(__file__).parents[2] / "docs" / "openapi.json"


def update(form: int) -> Any:
    """Describe uploads of one form; the tool cannot choose between several that have files in them."""
    description = openapi.description()
    body = description["paths"]["/update"]["put"]["requestBody"]["content"]["multipart/form-data"]
    body["schema"] = body["schema"]["oneOf"][form]
    return schemathesis.openapi.from_dict(description)["/update"]["PUT"]


RELEASE, SIGNED_RELEASE, STATEMENT = map(update, range(3))


@given(case=RELEASE.as_strategy())
@settings(max_examples=50, deadline=None, derandomize=True)
def test_what_is_described_is_accepted(refusing: Rig, case: schemathesis.Case[Any]) -> None:
    """An upload that fits the description is judged by its bytes and the mirror alone, with an answer that is in it."""
    body: Any = case.body
    stated = body["content"]
    assume(stated["package"] not in stated.get("dependencies", {}))  # a rule of two keys, which no schema has
    case.call_and_validate(base_url=f"http://127.0.0.1:{refusing.port}")


@given(case=st.one_of(SIGNED_RELEASE.as_strategy(), STATEMENT.as_strategy()))
@settings(max_examples=50, deadline=None, derandomize=True)
def test_what_nobody_signed_is_answered_as_described(refusing: Rig, case: schemathesis.Case[Any]) -> None:
    """No schema knows what makes a signature good, so any text is refused, with an answer that is in it."""
    unsigned: list[Any] = [positive_data_acceptance]
    case.call_and_validate(base_url=f"http://127.0.0.1:{refusing.port}", excluded_checks=unsigned)


@given(
    case=st.one_of(
        *(each.as_strategy(generation_mode=GenerationMode.NEGATIVE) for each in (RELEASE, SIGNED_RELEASE, STATEMENT))
    )
)
@settings(max_examples=50, deadline=None, derandomize=True)
def test_what_is_not_described_is_answered_as_described(refusing: Rig, case: schemathesis.Case[Any]) -> None:
    """An upload that does not fit the description gets an answer that is in it too."""
    # left out: of a value that may be of several types it believes that another of them does not fit
    unsure: list[Any] = [negative_data_rejection]
    case.call_and_validate(base_url=f"http://127.0.0.1:{refusing.port}", excluded_checks=unsure)


def test_the_reference_is_current() -> None:
    """docs/openapi.json is what the code says."""
    assert json.loads(REFERENCE.read_text()) == openapi.description()


def test_every_refusal_is_described() -> None:
    """A status that an error leads to stands in the description."""
    found = {value for module in (errors, refusals) for value in vars(module).values() if isinstance(value, type)}
    statuses = {str(each.status_hint) for each in found if issubclass(each, OTAError)}

    assert statuses <= openapi.description()["paths"]["/update"]["put"]["responses"].keys()

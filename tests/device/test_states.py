"""The states of an update: what follows what, as the contract and the documentation have it."""

from __future__ import annotations

from pathlib import Path

import pytest

from devclient import states
from devclient.states import TABLE, State

DOCUMENT = Path(__file__).parents[2] / "docs" / "device.md"

FOLLOWING = {
    State.IDLE: {State.OFFERED},
    State.OFFERED: {State.DOWNLOADED, State.IDLE},
    State.DOWNLOADED: {State.PREPARED, State.IDLE},
    State.PREPARED: {State.INSTALLED, State.ROLLING_BACK},
    State.INSTALLED: {State.COMMITTED, State.ROLLING_BACK},
    State.COMMITTED: {State.IDLE},
    State.ROLLING_BACK: {State.ROLLED_BACK},
    State.ROLLED_BACK: {State.IDLE},
}

AFTER_CUT = {
    State.IDLE: State.IDLE,
    State.OFFERED: State.IDLE,
    State.DOWNLOADED: State.IDLE,
    State.PREPARED: State.ROLLING_BACK,
    State.INSTALLED: State.ROLLING_BACK,
    State.COMMITTED: State.COMMITTED,
    State.ROLLING_BACK: State.ROLLING_BACK,
    State.ROLLED_BACK: State.ROLLED_BACK,
}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("following", State)
def test_only_what_is_listed_may_follow(state: State, following: State) -> None:
    """No state is skipped, and none follows itself."""
    if following in FOLLOWING[state]:
        states.check(state, following)
    else:
        with pytest.raises(RuntimeError, match=f"^{following} does not follow {state}$"):
            states.check(state, following)


@pytest.mark.parametrize("state", State)
def test_a_cut_leads_where_the_contract_says(state: State) -> None:
    """Given up before anything was touched, back while it was, onwards once it is final (contract, section 6)."""
    assert TABLE[state].after_cut is AFTER_CUT[state]


@pytest.mark.parametrize("state", State)
def test_after_a_cut_no_state_is_entered_that_may_not_follow(state: State) -> None:
    """Recovery goes the ways that an update goes."""
    after = TABLE[state].after_cut

    assert after is state or after in TABLE[state].next


@pytest.mark.parametrize("state", State)
def test_each_state_leads_to_idle(state: State) -> None:
    """Also if every attempt to recover is cut off once more: nothing goes round in a circle."""
    for _ in State:
        after = TABLE[state].after_cut
        state = after if after is not state else TABLE[state].next[-1]
        if state is State.IDLE:
            return
    pytest.fail("it leads nowhere")


def test_the_new_set_becomes_final_in_one_place() -> None:
    """Once final it is not rolled back, and what is rolled back does not become final."""
    assert [state for state in State if State.COMMITTED in TABLE[state].next] == [State.INSTALLED]
    assert [state for state in State if State.ROLLED_BACK in TABLE[state].next] == [State.ROLLING_BACK]


def test_the_documentation_shows_the_table() -> None:
    """The diagram in docs/device.md is made from the table; print `states.diagram()` to renew it."""
    _, opening, rest = DOCUMENT.read_text(encoding="utf-8").partition("```mermaid\n")
    block, closing, _ = rest.partition("```\n")

    assert (opening, closing) != ("", "")
    assert block == states.diagram()

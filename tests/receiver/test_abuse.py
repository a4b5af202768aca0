"""What is refused changes nothing, and says why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.receiver import abuse, raw

if TYPE_CHECKING:
    from tests.receiver.abuse import Case
    from tests.receiver.rig import Rig


@pytest.mark.parametrize("case", tuple(abuse.cases()), ids=lambda case: case.name)
def test_an_upload_that_is_wrong_is_refused_and_leaves_nothing(refusing: Rig, case: Case) -> None:
    """Each wrong upload gets its status and a reason; not a byte of the mirror changes, and the spool is empty."""
    before = refusing.mirror()

    with raw.connected(refusing.port, case.method) as client:
        client.send(case.request)
        answer = client.answer()
        closed = client.is_closed() if case.closes else True

    assert (answer.status, answer.error) == (case.status, case.error if case.method != "HEAD" else "")
    assert closed
    assert refusing.mirror() == before
    assert refusing.spooled() == []

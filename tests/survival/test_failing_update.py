"""An update whose disk fails: full or broken, once or for good, at any call.

A full disk still removes, renames, and writes over what is allocated: that is all that a rollback needs.
"""

from __future__ import annotations

import contextlib

import pytest

from devclient import update
from devclient.states import State
from mirror.errors import OTAError
from tests.support import updates
from tests.support.faults import BROKEN, BROKEN_ONCE, FULL, FULL_ONCE, CountingCalls, Fault, FaultyCalls, sweep


@sweep(updates.clean_run(), (FULL_ONCE, BROKEN_ONCE, BROKEN), wanted=12)
def test_a_failing_disk_harms_nothing(fault: Fault) -> None:
    """Whichever call fails: old or new, whole, once somebody has recovered it; and the next try reaches the new set."""
    scene = updates.lay(updates.place())

    with contextlib.suppress(OTAError, OSError):
        updates.run(scene, FaultyCalls(fault))

    updates.settle(scene)


@sweep(updates.clean_run(), (FULL,), wanted=20)
def test_an_update_ends_on_a_disk_that_stays_full(fault: Fault) -> None:
    """From whichever call on there is no space: the update ends by itself, old or new, and whole."""
    scene = updates.lay(updates.place())

    with contextlib.suppress(OTAError, OSError):
        updates.run(scene, FaultyCalls(fault))

    assert update.open_journal(scene.offline()).record.state is State.IDLE
    updates.settle(scene)


@pytest.mark.parametrize("hook", ["before_update", "after_update"])
def test_a_rollback_needs_no_space(hook: str) -> None:
    """A hook fails, and the disk is full since everything was allocated: all is put back all the same."""
    scene = updates.lay(updates.place())
    updates.break_hook(scene, "app", hook)
    counting = CountingCalls()
    updates.run(scene, counting)
    allocated = max(point for point, call in enumerate(counting.calls, 1) if call.paths[-1:] == (updates.spare(scene),))

    scene = updates.lay(updates.place())
    updates.break_hook(scene, "app", hook)
    updates.run(scene, FaultyCalls(Fault(allocated + 3, FULL)))

    assert updates.check(scene) == updates.OLD

"""An update that is killed: whatever moment it is, the device has the old set or the new one, and the next try works.

In process, death comes before each call of `mirror.files.Calls` and halfway through each write, and once more while
the update is recovered. What a power cut takes back of what was written is another suite's matter.
"""

from __future__ import annotations

import pytest

from tests.support import updates
from tests.support.faults import KILL_BEFORE, KILLS, Fault, FaultyCalls, Killed, points, spread, sweep
from tests.support.updates import FOLDERS, NEW, OLD, WatchedCalls

AGAIN = 6
"""At how many calls of a recovery it is killed again, for each call of the update."""


@sweep(updates.clean_run(), KILLS, wanted=30)
def test_a_killed_update_is_recovered(fault: Fault) -> None:
    """Old or new, whole, with its services on it and nothing left over; and the next try reaches the new set."""
    scene = updates.lay(updates.place())

    with pytest.raises(Killed):
        updates.run(scene, FaultyCalls(fault))

    updates.settle(scene)


@sweep(updates.clean_run(), KILLS, wanted=12)
def test_a_recovery_that_is_killed_is_recovered(fault: Fault) -> None:
    """The same holds if the recovery itself is killed, wherever; its hooks come to their end all the same."""
    scene = updates.lay(updates.place())
    with pytest.raises(Killed):
        updates.run(scene, FaultyCalls(fault))
    total = points(lambda calls: updates.recover(scene, calls))

    for seed, point in enumerate(spread(total, AGAIN, seed=fault.point)):
        scene = updates.lay(updates.place())
        with pytest.raises(Killed):
            updates.run(scene, FaultyCalls(fault))
        with pytest.raises(Killed):
            updates.recover(scene, FaultyCalls(Fault(point, KILLS[seed % 2])))
        updates.settle(scene)


@sweep(updates.clean_run(FOLDERS), (KILL_BEFORE,), wanted=20)
def test_folders_are_at_no_instant_a_mixed_set(fault: Fault) -> None:
    """Whoever looks at any moment of the update, of its death and of its recovery sees the old set or the new one."""
    scene = updates.lay(updates.place(), FOLDERS)
    sets = [dict.fromkeys(FOLDERS.packages, version) for version in (OLD, NEW)]

    with pytest.raises(Killed):
        updates.run(scene, FaultyCalls(fault))
    watched = WatchedCalls(scene)
    updates.recover(scene, watched)
    updates.run(scene, watched)
    watched.look()

    assert all(seen in sets for seen in watched.seen)
    assert watched.seen[-1] == sets[1]


def test_an_update_of_folders_is_one_step() -> None:
    """Seen from outside it goes from the old set to the new one at once."""
    scene = updates.lay(updates.place(), FOLDERS)
    watched = WatchedCalls(scene)

    updates.run(scene, watched)

    watched.look()
    assert watched.seen == [dict.fromkeys(FOLDERS.packages, version) for version in (OLD, NEW)]

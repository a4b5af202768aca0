"""An update whose machine loses its power: nothing survives that was not asked to be durable.

The update is killed at a call, and the power is cut at once; the machine starts anew, with another boot id, and what
runs before all else there is `otadevice recover`. What services write lies on another disk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import powercut, updates
from tests.support.faults import KILL_BEFORE, Fault, FaultyCalls, Killed, sweep

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.powercut import Disk

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def machine() -> Iterator[Disk]:
    """Start a machine with an empty disk."""
    with powercut.disk() as disk:
        yield disk


@sweep(updates.clean_run(), (KILL_BEFORE,), wanted=12)
def test_an_update_survives_a_power_cut(fault: Fault, machine: Disk) -> None:
    """Cut before any call: old or new, whole; and the next try reaches the new set."""
    scene = updates.lay(machine.folder / "scene")
    machine.sync()
    with pytest.raises(Killed):
        updates.run(scene, FaultyCalls(fault), boot="the boot before")

    with machine.cut():
        updates.settle(scene)

"""The otadevice before comes back, because the new one was not ready in time; run by the one before.

It undoes the last update whole, through the same states as any other, so it may itself be cut off and run again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from devclient import draft, poll, succession

if TYPE_CHECKING:
    from devclient.device import Device
    from devclient.records.results import Result

_REASON = "it did not come up in time, and the otadevice before was put back"


def put_back(attempt: int, device: Device) -> list[Result]:
    """Undo the update `attempt`, if it is the last one; what it brought of otadevice itself is not taken again.

    Raises:
        DeviceError: as `poll.settle`.
        OSError: as `poll.settle`.
    """
    done = list(poll.recover(device).values())
    last = device.plans.last
    if last and last.attempt == attempt:
        for step in last.steps:
            if step.package == device.settings.itself and step.after:
                device.marks.add_bad(step.after.content, step.package, step.after.version, _REASON, device.now())
        done = poll.settle(draft.rollback(last, poll.desk(device)), device)
    succession.arrived(device)
    return done

"""The otadevice before comes back, because the new one was not ready in time; run by the one before.

It undoes the last update whole, through the same states as any other, so it may itself be cut off and run again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from devclient import draft, poll, succession

if TYPE_CHECKING:
    from devclient.device import Device
    from devclient.plan import Plan
    from devclient.records.results import Result

_REASON = "it did not come up in time, and the otadevice before was put back"


def put_back(attempt: int, device: Device) -> list[Result]:
    """Undo the update `attempt`, if it is the last one; what it brought of otadevice itself is not taken again.

    Its hooks cannot keep it from coming back. If it does not come through, as on a disk that fails, the script stays,
    so that it is done again.

    Raises:
        DeviceError: as `poll.settle`.
        OSError: as `poll.settle`.
    """
    done = list(poll.recover(device).values())
    if last := _last(attempt, device):
        for step, release in succession.brought(last, device):
            device.marks.add_bad(release.content, step.package, release.version, _REASON, device.now())
        done = poll.settle(draft.rollback(last, poll.desk(device)), device, forced=True)
    if not _last(attempt, device):
        succession.withdraw(device)
    return done


def _last(attempt: int, device: Device) -> Plan | None:
    last = device.plans.last
    return last if last and last.attempt == attempt else None

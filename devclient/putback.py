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
_ALONG = "it came with an otadevice that did not come up in time, and was put back with that"


def put_back(attempt: int, device: Device) -> list[Result]:
    """Undo the update `attempt`, if it is the last one; nothing of what it brought is taken again.

    Its hooks cannot keep it from coming back. If it does not come through, as on a disk that fails, the script stays,
    so that it is done again.

    Raises:
        DeviceError: as `poll.settle`.
        OSError: as `poll.settle`.
    """
    done = list(poll.recover(device).values())
    if last := _last(attempt, device):
        _mark(last, device)
        done = poll.settle(draft.rollback(last, poll.desk(device)), device, forced=True)
    if not _last(attempt, device):
        succession.withdraw(device)
    return done


def _mark(last: Plan, device: Device) -> None:
    """Mark all that the update brought: what came with otadevice may be why it did not come up."""
    itself = device.settings.itself
    # otadevice first: by its mark the new one knows that it is being put back
    for step in sorted(last.steps, key=lambda step: step.package != itself):
        if step.after and (step.before is None or step.before.content != step.after.content):
            why = _REASON if step.package == itself else _ALONG
            device.marks.add_bad(step.after.content, step.package, step.after.version, why, device.now())


def _last(attempt: int, device: Device) -> Plan | None:
    last = device.plans.last
    return last if last and last.attempt == attempt else None

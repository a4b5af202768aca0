"""What is removed when an update has ended, and what is kept so that the last one can be undone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devclient import succession
from devclient.install import commit, prepare, switch
from devclient.plan import Kind

if TYPE_CHECKING:
    from devclient.device import Device
    from devclient.install.parents import Parents
    from devclient.plan import Plan


def after_commit(plan: Plan, device: Device, parents: Parents) -> None:
    """Keep what `plan` has replaced, and remove what was kept of the time before that."""
    last = device.plans.last
    if last and last.attempt != plan.attempt:
        switch.forget([step for step in last.steps if not plan.touches(step.package)], device.files)
    switch.settle(plan, parents)
    if plan.kind is Kind.UPDATE:
        device.plans.commit()
    else:
        device.plans.forget_last()
    for sha256 in sorted(plan.blobs):
        device.files.remove(device.parts / sha256)
    _tidy(device)


def after_nothing(plan: Plan, device: Device, parents: Parents) -> None:
    """Remove what was laid out for `plan`, which changed nothing in the end; what was downloaded stays."""
    prepare.discard(plan, parents, device.parts, device.files)
    if plan.kind is Kind.UPDATE and plan.touches(device.settings.itself):
        succession.withdraw(device)
    _tidy(device)


def leftovers(device: Device) -> None:
    """Remove files that were being written when a cut came, and had no name of their own yet."""
    file = device.settings.state.resolve()
    ours = [path for folder in (device.work, device.work / "contents") for path in sorted(folder.glob(".*.tmp"))]
    # beside the state file there may be those of others
    for path in [*ours, *(file.with_name(name) for name in (f".{file.name}.tmp", f"..{file.name}.next.tmp"))]:
        device.files.remove(path)


def _tidy(device: Device) -> None:
    commit.discard(device.settings.state, device.files)
    last = device.plans.last
    kept = {last.before} if last and last.before != last.after else set()
    # also if no folder has changed: what the update before kept may be of no use any more
    device.sets.tidy({device.sets.current, *kept})

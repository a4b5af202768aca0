"""What is remembered against releases once an update has ended; again without effect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devclient.plan import Kind

if TYPE_CHECKING:
    from devclient.device import Device
    from devclient.plan import Plan
    from devclient.records.journal import Cause


def after_commit(plan: Plan, device: Device) -> None:
    """Forget its interruptions; if it has undone an update, have no poll bring that back."""
    undone = plan.steps if plan.kind is Kind.ROLLBACK else ()
    stays = {step.after.content for step in undone if step.after}
    for step in undone:
        if step.before and step.before.content not in stays:
            why, now = "undone by the owner of this device", device.now()
            device.marks.add_bad(step.before.content, step.package, step.before.version, why, now)
    device.marks.forget(plan.identity)


def after_rollback(plan: Plan, cause: Cause, device: Device) -> None:
    """Remember what went wrong: against the release whose hook failed, or against the plan as a whole."""
    if cause.code in {"interrupted", "lost", "system"}:
        device.marks.count(plan.identity, plan.attempt, device.now())
    for step in plan.steps:
        if step.after and step.after.content == cause.bad:
            device.marks.add_bad(cause.bad, step.package, step.after.version, cause.message, device.now())

"""What an update has to download: which blobs, the room that they need, and then one after the other."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from devclient import download
from devclient.check import Offer
from devclient.install import prepare, room
from devclient.plan import Kind

if TYPE_CHECKING:
    from pathlib import Path

    from devclient.device import Device
    from devclient.plan import Plan, Step


def are_here(plan: Plan, device: Device) -> bool:
    """Tell whether all blobs were downloaded and verified before."""
    return all((device.parts / sha256).is_file() for step, sha256 in _blobs(plan, device))


def needs(plan: Plan, device: Device) -> list[tuple[Path, int]]:
    """Tell which folders will grow by how many bytes: the rest of each blob, and its copy."""
    found = list[tuple["Path", int]]()
    for step, sha256 in _blobs(plan, device):
        size = step.after.size if step.after else 0
        copied_to = device.work if step.is_folder else step.path.parent
        found += [(device.parts, max(0, size - download.at_hand(sha256, device.parts))), (copied_to, size)]
    return found


def check_room(plan: Plan, device: Device) -> None:
    """See that all blobs have room.

    Raises:
        SpaceError: they have not.
    """
    room.check(needs(plan, device), device.free)


def bring(plan: Plan, device: Device) -> None:
    """Bring all blobs here.

    Raises:
        DeviceError: as `download.download`.
        StoppedError: otadevice shall stop; what has come is kept.
    """
    for step, _ in _blobs(plan, device):
        offer = _offer(step, device)
        progress = functools.partial(_progress, device, offer)
        download.download(offer, device.mirror(step.remote), device.parts, device.files, progress)


def _progress(device: Device, offer: Offer, have: int) -> None:
    device.progress(offer, have)
    device.lifeline.go_on()


def _blobs(plan: Plan, device: Device) -> list[tuple[Step, str]]:
    """List the steps that bring a blob which is not in its place yet, and its hash."""
    if plan.kind is not Kind.UPDATE:
        return []
    new = [(step, step.after) for step in plan.steps if step.after]
    return [
        (step, after.sha256)
        for step, after in new
        if step.is_folder
        or not prepare.holds(step.path, after.sha256, after.size, device.files, lambda _: device.lifeline.go_on())
    ]


def _offer(step: Step, device: Device) -> Offer:
    content = device.contents.get(step.after.content) if step.after else None
    if content is None or step.after is None:
        raise RuntimeError(f"the content of {step} was not kept")
    return Offer(content, step.after.size)

"""A file that is in its place already, recognised by its hash as a release of its package."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devclient import state
from devclient.errors import ProvisionError
from devclient.install import place
from devclient.solve.choices import KNOWN_NEEDS, not_understood
from devclient.solve.lists import Lists
from mirror import blobs

if TYPE_CHECKING:
    from devclient.device import Device
    from devclient.solve.lists import Listed
    from devclient.state import Package
    from mirror.releases import Entry


def adopt(package: Package, device: Device) -> Package:
    """Write into the state file that what lies at the place of `package` is installed; returns its entry.

    Args:
        package: its entry, which need not be in the state file yet.
        device: which device.

    Raises:
        ProvisionError: nothing is there, or it is no release that the mirror has on the branch.
        PlaceError: packages may not go there.
        DeviceError: what the mirror raises.
    """
    if package.is_folder:
        raise ProvisionError(f"{package.name} is a folder, which has no hash; `add --adopt` lets an update replace it")
    file = place.resolve(package.local, device.settings.allow)
    try:
        with device.files.open_folder(file.parent) as folder, folder.read(file.name) as descriptor:
            sha256, _ = blobs.hashed(descriptor)
    except OSError as error:
        raise ProvisionError(
            f"{package.local}: there is no file to recognise; `otadevice add` and `update` install one"
        ) from error
    listed = Lists(device.mirror(package.remote)).of(package.name, package.branch)
    if unknown := listed.newest.unknown_needs(KNOWN_NEEDS):
        raise ProvisionError(f"the release list of {package.name} on {package.branch} {not_understood(unknown)}")
    entry = _find(sha256, listed)
    if entry is None:
        raise ProvisionError(
            f"{package.local} has the SHA-256 {sha256}, as no release of {package.name} on {package.branch} has; "
            "`otadevice add` and `update` replace it, and keep it beside the new one until the next update"
        )
    content = listed.content(entry)
    device.contents.keep(content)
    adopted = package.installed(content, package.local)
    current = state.load(device.settings.state)
    state.save(current.including(adopted), device.settings.state, device.files)
    return adopted


def _find(sha256: str, listed: Listed) -> Entry | None:
    """Find the highest release that has these bytes, in older segments too."""
    return next((entry for part in listed.parts(lambda _: True) for entry in part if entry.sha256 == sha256), None)

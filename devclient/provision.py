"""Setting up a device: its settings, its state file, the packages that it wants.

Works without a network, and makes nothing that must differ between devices: an image that was set up
once may go onto a thousand of them.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from devclient import poll, state
from devclient.check import check
from devclient.errors import NotOnMirrorError, PlaceError, ProvisionError
from devclient.install import access, place
from devclient.settings import config, sample
from devclient.solve.lists import Lists
from devclient.state import Package
from devclient.trust import pinned
from mirror.errors import OTAError

if TYPE_CHECKING:
    from pathlib import Path

    from devclient.device import Device
    from devclient.settings.config import Settings
    from mirror.files import Files


def init(file: Path, device: str, urls: tuple[str, ...], root: Path, allow: tuple[Path, ...], files: Files) -> Settings:
    """Write the settings `file`, a copy of the `root` and, unless one is there, the state file of a device.

    Raises:
        ProvisionError: the device was set up before, the root is none, or the state file is that of another device.
    """
    if file.exists():
        raise ProvisionError(f"{file}: is there already, nothing was changed; edit it, or remove it first")
    for text in (device, *map(str, (*allow, file))):
        try:
            text.encode()
        except UnicodeEncodeError:
            advice = "use other names, or a locale with UTF-8 such as LC_ALL=C.UTF-8"
            raise ProvisionError(f"{text!r} is not UTF-8, and settings are: {advice}") from None
    try:
        trusted = pinned.read_new(root)
    except ValueError as error:
        raise ProvisionError(f"{root}: {error}") from error
    files.make_folder(file.parent)
    _make_state(file.parent / config.STATE, device, files)
    files.replace(file.parent / config.ROOT, trusted)
    # last, because its presence says that the device is set up
    files.replace(file, sample.write(urls, allow).encode())
    return config.load(file)


def add(name: str, branch: str, local: str, device: Device, *, adopt: bool = False) -> Package:
    """Write into the state file that a package is wanted, for its own sake; again without effect.

    Args:
        name: the package.
        branch: the branch to follow.
        local: where to install it; "" for what its publisher proposes, for which the mirror is asked.
        device: which device.
        adopt: whether a folder that is there may be replaced.

    Raises:
        ProvisionError: it is there in another way, or nobody says where it goes.
        PlaceError: it may not go there.
    """
    added = entry(name, branch, local, device, adopt=adopt).keeping(auto=None, **({"adopt": True} if adopt else {}))
    _save(added, device)
    return added


def entry(name: str, branch: str, local: str, device: Device, *, adopt: bool = False) -> Package:
    """Return the entry of a package as it is in the state file, or as it would be added to it.

    Raises:
        DeviceError: as `add`.
    """
    settings = device.settings
    current = state.load(settings.state)
    if present := current.package(name):
        return _same(present, branch, local, settings)
    wanted = Package({"package": name, "branch": branch})
    local = local or _proposed(wanted, device)
    if other := next((each for each in current.packages if each.local.rstrip("/") == local.rstrip("/")), None):
        raise PlaceError(local, f"is where {other.name} goes; give another --local")
    link = device.sets.link(name)
    target = place.resolve(local, settings.allow, link if local.endswith("/") else "")
    place.found(local, target, link, adopt=adopt)
    return Package({**wanted.fields, "local": local})


def remarks(package: Package, device: Device) -> list[str]:
    """Say what its owner should know of a package's place; nothing if it cannot be told yet."""
    link = device.sets.link(package.name) if package.is_folder else ""
    try:
        target = place.resolve(package.local, device.settings.allow, link)
        return access.remarks(target, device.work.resolve(), is_folder=package.is_folder)
    except (PlaceError, OSError):
        return []


def missing(package: Package, device: Device) -> list[str]:
    """Say that the mirror does not have a package on its branch; nothing if it has, or cannot be asked now."""
    try:
        Lists(device.mirror(package.remote)).of(package.name, package.branch)
    except NotOnMirrorError as error:
        if type(error) is NotOnMirrorError:  # others say that the mirror as a whole is not as it should be
            return [f"the mirror has no {package.name} on {package.branch} yet: check both names"]
    except (OTAError, OSError):
        pass  # the update tells
    return []


def pin(name: str, versions: str, device: Device) -> Package:
    """Keep a package in a range of versions, "" for in none any more; returns its entry.

    Raises:
        ProvisionError: it is not in the state file.
    """
    pinned = wanted(name, device.settings).keeping(pin=versions or None)
    _save(pinned, device)
    return pinned


def wanted(name: str, settings: Settings) -> Package:
    """Return the entry of a package.

    Raises:
        ProvisionError: there is none.
    """
    package = state.load(settings.state).package(name)
    if package is None:
        raise ProvisionError(f"{name} is not in {settings.state}; `otadevice add` adds it")
    return package


def _save(package: Package, device: Device) -> None:
    file = device.settings.state
    before = state.load(file)
    if before.package(package.name) != package:
        state.save(before.including(package), file, device.files)


def _make_state(file: Path, device: str, files: Files) -> None:
    if not file.exists():
        state.save(state.new(device), file, files)
    elif device and (there := state.load(file).device) != device:
        raise ProvisionError(f"{file}: is the state file of {there!r}, not of {device!r}; nothing was changed")


def _same(present: Package, branch: str, local: str, settings: Settings) -> Package:
    if (branch, local or present.local) != (present.branch, present.local):
        raise ProvisionError(
            f"{present.name} from {present.branch} at {present.local or 'no place yet'} is in {settings.state} "
            "already, nothing was changed; edit it there"
        )
    return present


def _proposed(wanted: Package, device: Device) -> str:
    name, branch = wanted.name, wanted.branch
    mirror = device.mirror("")
    finding = check(wanted, (wanted,), mirror, turn=functools.partial(poll.turn, device, mirror))
    if finding.offer is None:
        raise ProvisionError(f"{name} on {branch}: {finding.why}; say with --local where it goes")
    if not finding.offer.content.local:
        raise ProvisionError(f"{finding.offer}: its publisher proposes no place; say with --local where it goes")
    return finding.offer.content.local

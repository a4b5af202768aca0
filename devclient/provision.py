"""Setting up a device: its settings, its state file, the packages that it wants.

Works without a network, and makes nothing that must differ between devices: an image that was set up
once may go onto a thousand of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from devclient import config, place, state
from devclient.check import check
from devclient.errors import PlaceError, ProvisionError, UnsupportedError
from devclient.state import Package
from devclient.trust import pinned

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from devclient.check import Mirror
    from devclient.config import Settings
    from mirror.files import Files


def init(file: Path, device: str, urls: tuple[str, ...], root: Path, allow: tuple[Path, ...], files: Files) -> Settings:
    """Write the settings `file`, a copy of the `root` and, unless one is there, the state file of a device.

    Raises:
        ProvisionError: the device was set up before, the root is none, or the state file is that of another device.
    """
    if file.exists():
        raise ProvisionError(f"{file}: is there already, nothing was changed; edit it, or remove it first")
    try:
        trusted = pinned.read(root)
    except ValueError as error:
        raise ProvisionError(f"{root}: {error}") from error
    files.make_folder(file.parent)
    _make_state(file.parent / config.STATE, device, files)
    files.replace(file.parent / config.ROOT, trusted)
    # last, because its presence says that the device is set up
    files.replace(file, config.sample(urls, allow).encode())
    return config.load(file)


def add(name: str, branch: str, local: str, settings: Settings, mirror: Callable[[], Mirror], files: Files) -> Package:
    """Write into the state file that a package is wanted; again without effect.

    Args:
        name: the package.
        branch: the branch to follow.
        local: where to install it; "" for what its publisher proposes, for which `mirror` is asked.
        settings: where the state file is, and what is allowed.
        mirror: gives the mirror; not called if there is no need.
        files: how to write.

    Raises:
        ProvisionError: it is there in another way, or nobody says where it goes.
        PlaceError: it may not go there.
    """
    current = state.load(settings.state)
    if present := current.package(name):
        return _same(present, branch, local, settings)
    local = local or _proposed(name, branch, mirror())
    if local.endswith("/"):
        raise UnsupportedError(name, (f"a folder to be unpacked into ({local})",))
    if other := next((each for each in current.packages if each.local == local), None):
        raise PlaceError(local, f"is where {other.name} goes; give another --local")
    place.resolve(local, settings.allow)
    wanted = Package({"package": name, "branch": branch, "local": local})
    state.save(current.including(wanted), settings.state, files)
    return wanted


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


def _proposed(name: str, branch: str, mirror: Mirror) -> str:
    finding = check(name, branch, "", mirror)
    if finding.offer is None:
        raise ProvisionError(f"{name} on {branch}: {finding.why}; say with --local where it goes")
    if not finding.offer.content.local:
        raise ProvisionError(f"{finding.offer}: its publisher proposes no place; say with --local where it goes")
    return finding.offer.content.local

"""A device put together from the real parts: the system's clocks, servers, processes."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import logging
import subprocess
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from devclient import gate, hooks, lock
from devclient.device import Device
from devclient.install import room
from devclient.lifeline import Lifeline
from devclient.progress import nothing
from devclient.trust.signed import Mirrors
from devclient.web.fetcher import Fetcher
from mirror.files import Calls, Files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from devclient.check import Offer
    from devclient.held_errors import HeldError
    from devclient.settings.config import Settings
    from devclient.trust.copies import Copy

_log = logging.getLogger(__name__)

_REBOOT_TIMEOUT = 30
"""Seconds in which a command that reboots is waited for."""


@contextlib.contextmanager
def device(
    settings: Settings,
    *,
    lasting: bool = True,
    copy: Copy | None = None,
    progress: Callable[[Offer, int], None] = nothing,
    lifeline: Lifeline | None = None,
    by_itself: bool = False,
) -> Iterator[tuple[Device, Mirrors]]:
    """Put a device together.

    Args:
        settings: which.
        lasting: whether it remembers what the mirrors say.
        copy: stands in for one of the mirrors.
        progress: is told of downloads.
        lifeline: gets signs of life, and may want the work to stop.
        by_itself: whether nobody has asked for what it does: it keeps to maintenance windows, and after an update of
            otadevice itself the new one finishes.
    """
    line = lifeline or Lifeline()
    files, now, boot = Files(_Beating(line)), functools.partial(datetime.now, UTC), hooks.boot_id()
    with (
        Fetcher(settings.network, _agent(), time.monotonic, go_on=line.go_on) as fetcher,
        Mirrors(settings, fetcher, files, now, lasting=lasting, copy=copy) as mirrors,
    ):
        made = Device(
            settings=settings,
            files=files,
            mirror=mirrors,
            free=room.free,
            progress=progress,
            now=now,
            runner=hooks.Runner(boot, settings.hooks.grace, line),
            boot=boot,
            reboot=functools.partial(_reboot, settings.hooks.reboot),
            held=functools.partial(_held, settings, now, by_itself=by_itself),
            lifeline=line,
            hands_over=by_itself,
        )
        yield made, mirrors


@contextlib.contextmanager
def locked(settings: Settings, **how: Any) -> Iterator[tuple[Device, Mirrors]]:
    """Put a device together, as `device` does, that no other otadevice works on meanwhile.

    Raises:
        BusyError: one does.
    """
    with lock.hold(settings.work / lock.AT_WORK, Files()), device(settings, **how) as parts:
        yield parts


class _Beating(Calls):
    """The system's calls, with a sign of life at each write: large files and slow disks take long."""

    def __init__(self, lifeline: Lifeline) -> None:
        self._lifeline = lifeline

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        self._lifeline.beat()
        return super().write(descriptor, data)


@functools.cache
def _agent() -> str:
    # looked up once: it is read from among all that is installed
    return f"otadevice/{importlib.metadata.version('otamirror')}"


def _held(settings: Settings, now: Callable[[], datetime], *, by_itself: bool) -> HeldError | None:
    inhibited = gate.inhibited(settings.daemon)
    return inhibited or (gate.outside(settings.daemon, now()) if by_itself else None)


def _reboot(command: str) -> None:
    _log.warning("rebooting: %s", command)
    # it is not ended if it takes long: one may wait until others have finished, and nobody is held up for that
    started = subprocess.Popen(["/bin/sh", "-c", command], stdin=subprocess.DEVNULL, start_new_session=True)
    with contextlib.suppress(subprocess.TimeoutExpired):
        if code := started.wait(_REBOOT_TIMEOUT):
            _log.error("%r failed with exit code %d: reboot this device yourself", command, code)

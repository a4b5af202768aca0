"""What a service manager is told, by the protocol of sd_notify(3).

Without a manager that listens, nothing is said. That it does not hear is no reason to stop: what it does then is its
own affair.
"""

from __future__ import annotations

import contextlib
import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_MOST_TEXT = 500
_TIMEOUT = 1.0  # seconds: a manager that does not read must not hold us up


@dataclass(frozen=True)
class Manager:
    """A service manager.

    Attributes:
        address: its socket, "" for no manager.
        watchdog: the seconds without a sign of life after which it ends us, 0 for never.
    """

    address: str = ""
    watchdog: float = 0

    def ready(self, status: str) -> None:
        """Say that starting, or reading the settings again, is done."""
        self._tell("READY=1", _status(status))

    def status(self, text: str) -> None:
        """Say what goes on, for people."""
        self._tell(_status(text))

    def stopping(self) -> None:
        """Say that we are about to end."""
        self._tell("STOPPING=1", _status("stopping"))

    def alive(self) -> bool:
        """Give a sign of life; tell whether the manager took it."""
        return self._tell("WATCHDOG=1")

    def extend(self, seconds: float) -> None:
        """Ask for so many seconds more, to start or to stop."""
        self._tell(f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")

    def _tell(self, *lines: str) -> bool:
        if not self.address:
            return False
        # an address that begins with an @ is one of Linux's names that are no files
        address = f"\0{self.address[1:]}" if self.address.startswith("@") else self.address
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.settimeout(_TIMEOUT)
            channel.sendto("\n".join(lines).encode(errors="backslashreplace"), address)
            return True
        return False


def of(environment: Mapping[str, str]) -> Manager:
    """Find the manager that has started this process."""
    watchdog = environment.get("WATCHDOG_USEC", "")
    meant = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    seconds = int(watchdog) / 1e6 if watchdog.isdecimal() and meant else 0
    return Manager(environment.get("NOTIFY_SOCKET", ""), seconds)


def _status(text: str) -> str:
    return f"STATUS={' '.join(text.split())[:_MOST_TEXT]}"

"""A stand-in for the service manager: it runs one unit of systemd as far as the unit of otadevice needs that.

    with Manager(unit, folder) as manager:
        manager.start()
        manager.until(lambda: "polls again" in manager.status)
        manager.stop()

It listens to notifications, keeps the time limits and the watchdog of the unit, runs what the unit wants run
after a stop, and starts it again. It does all that only while a test waits in one of its methods.
"""

from __future__ import annotations

import os
import select
import shlex
import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

_PATIENCE = 90.0
_SIGNALS = {"timeout": signal.SIGTERM, "watchdog": signal.SIGABRT}


class Manager:
    """The manager of one unit.

    Attributes:
        messages: all notifications, in order.
        results: how each life of the service ended, in systemd's words.
        pid: the main process of the life that runs.
        ready: whether that life has told that it is ready.
        patience: seconds that a test waits for anything; only one that fails waits so long.
        limits: seconds that hold instead of the unit's, by the names of the directives.
    """

    def __init__(self, unit: str, folder: Path, limits: Mapping[str, float] | None = None) -> None:
        """Manage a unit.

        Args:
            unit: its text.
            folder: for the socket and the log.
            limits: seconds that hold instead of the unit's, by the names of the directives.
        """
        self._unit = dict(line.split("=", 1) for line in unit.splitlines() if "=" in line and not line.startswith("#"))
        self.limits = dict(limits or {})
        self._log = folder / "service.log"
        self._address = folder / "notify"
        self._process: subprocess.Popen[bytes] | None = None
        self.ready = False
        self._stopping = False
        self._why = ""
        self._deadline = self._last_beat = 0.0
        self.messages: list[str] = []
        self.results: list[str] = []
        self.pid = 0
        self.patience = _PATIENCE

    def __enter__(self) -> Self:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self._address))
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        if self._process and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._socket.close()

    @property
    def log(self) -> str:
        """All that the service wrote to stdout and stderr, and what ran after its stops."""
        return self._log.read_text()

    @property
    def status(self) -> str:
        """What the service says that it does."""
        return next((text.removeprefix("STATUS=") for text in reversed(self.messages) if text[:7] == "STATUS="), "")

    def start(self) -> None:
        """Start the service, and wait until it is ready for the first time, in whichever life."""
        self._spawn()
        self.until(lambda: self.ready)

    def stop(self) -> None:
        """Stop the service as `systemctl stop` does."""
        assert self._process is not None
        self._stopping = True
        self._end("")
        self.until(lambda: self._process is None)

    def reload(self) -> None:
        """Have it read its settings again as `systemctl reload` does, and wait until it has."""
        before = self.messages.count("READY=1")
        subprocess.run(_words(self._unit["ExecReload"]), env={**os.environ, "MAINPID": str(self.pid)}, check=True)
        self.until(lambda: self.messages.count("READY=1") > before)

    def until(self, done: Callable[[], bool]) -> None:
        """Manage until something holds."""
        end = time.monotonic() + self.patience
        while not done():
            assert time.monotonic() < end, f"in vain; {self.results[-5:]}, {self.messages[-5:]}\n{self.log[-3000:]}"
            self._listen()
            self._supervise()

    def _spawn(self) -> None:
        self.ready, self._why = False, ""
        watchdog = self._limit("WatchdogSec")
        environment = {**os.environ, "NOTIFY_SOCKET": str(self._address), "WATCHDOG_USEC": str(int(watchdog * 1e6))}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                _words(self._unit["ExecStart"]), env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self.pid = self._process.pid
        self._deadline = time.monotonic() + self._limit("TimeoutStartSec")
        self._last_beat = time.monotonic()

    def _listen(self) -> None:
        patience = 0.02
        while select.select([self._socket], [], [], patience)[0]:
            patience = 0  # only what has come already: one that never falls silent is managed as well
            for message in self._socket.recv(65536).decode().splitlines():
                self.messages.append(message)
                self._heed(message)

    def _heed(self, message: str) -> None:
        now = time.monotonic()
        if message in {"READY=1", "WATCHDOG=1"}:
            self._last_beat = now
        if message == "READY=1":
            self.ready = True
        if message.startswith("EXTEND_TIMEOUT_USEC="):
            self._deadline = max(self._deadline, now + int(message.partition("=")[2]) / 1e6)

    def _supervise(self) -> None:
        if self._process is None:
            return
        now = time.monotonic()
        if self._process.poll() is not None:
            self._bury(self._process.returncode)
        elif (self._why or self._stopping or not self.ready) and now > self._deadline:
            self._process.kill() if self._why or self._stopping else self._end("timeout")
        elif self.ready and not self._why and now > self._last_beat + self._limit("WatchdogSec"):
            self._end("watchdog")

    def _end(self, why: str) -> None:
        assert self._process is not None
        self._why = why
        self._deadline = time.monotonic() + self._limit("TimeoutStopSec")
        self._process.send_signal(_SIGNALS.get(why, signal.SIGTERM))

    def _bury(self, code: int) -> None:
        ended_well = code == 0 or (self._stopping and code == -signal.SIGTERM)
        unready = "success" if self.ready or self._stopping else "protocol"
        result = self._why or (unready if ended_well else "exit-code" if code > 0 else "signal")
        self.results.append(result)
        with self._log.open("ab") as log:
            subprocess.run(
                _words(self._unit["ExecStopPost"]),
                env={
                    **os.environ,
                    "SERVICE_RESULT": result,
                    "EXIT_STATUS": str(code) if code >= 0 else signal.Signals(-code).name[3:],
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                check=False,
                timeout=_PATIENCE,
            )
        self._process = None
        if not self._stopping and self._unit["Restart"] == "always":
            self._spawn()

    def _limit(self, name: str) -> float:
        return self.limits.get(name, float(self._unit[name]))


def _words(command: str) -> list[str]:
    # with a `:` in front, systemd leaves `$` alone
    assert command.startswith(":")
    return [word.replace("%%", "%") for word in shlex.split(command[1:])]

"""A service on a device, in good and bad days: it needs another package, fails to start, and loses its power.

Its state is a file: the hooks of `door` stop it and start it there. Each step is done by real commands.
"""

from __future__ import annotations

import shlex
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.journey.people import Circle

_PATIENCE_SECONDS = 30


class AccidentError(Exception):
    """A step did not do what it should."""


@dataclass(frozen=True)
class Door:
    """The service, its publisher and its device.

    Attributes:
        published: waits until the mirror offers a version of a package.
    """

    circle: Circle
    published: Callable[[str, str], None]

    @property
    def state(self) -> Path:
        """What the service does at the moment."""
        return self.circle.folder / "device" / "door.state"

    @property
    def begun(self) -> Path:
        """Is made by the hook that does not come to its end the first time."""
        return self.circle.folder / "device" / "begun"

    def bring_along(self) -> None:
        """Install the service, which needs a hinge that nobody has asked for."""
        self._publish("hinge", "1.0", local=str(self._place("hinge")))
        self._publish_door("1.0", after=self._start("1.0"))
        self.circle.run(f"otadevice add door --branch stable --local {self._place('door')}", "device")
        self.circle.run("otadevice update", "device")
        if not self._place("hinge").exists():
            raise AccidentError("the hinge was not brought along")
        self._expect("1.0 runs")

    def fail(self) -> None:
        """Publish a release that does not start, and see the old one run again."""
        self._publish_door("2.0", after="echo the door is stuck; exit 1")
        self.circle.run("otadevice update", "device", expected=1)
        self._expect("1.0 runs")
        self.circle.run("otadevice status", "device")

    def lose_power(self) -> None:
        """Kill an update while a hook is at work, recover, and update again."""
        stuck = f"test -e {self.begun} || {{ touch {self.begun}; exec sleep 60; }}"
        self._publish_door("3.0", before=stuck, after=self._start("3.0"))
        self._kill_in_the_hook()
        self._expect("stopped")
        if "`otadevice recover`" not in self.circle.run("otadevice status", "device"):
            raise AccidentError("status does not tell that an update was cut off")
        self.circle.run("otadevice recover", "device")
        self._expect("1.0 runs")
        self.circle.run("otadevice update", "device")
        self._expect("3.0 runs")

    def _kill_in_the_hook(self) -> None:
        self.circle.tell("$ otadevice update & ... kill -9")
        command = self.circle.program("otadevice update")
        process = subprocess.Popen(command, cwd=self.circle.folder / "device", stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + _PATIENCE_SECONDS
        try:
            while not self.begun.exists():
                if time.monotonic() > deadline or process.poll() is not None:
                    raise AccidentError("the update did not come as far as its hook")
                time.sleep(0.05)
        finally:
            process.kill()
            process.wait()

    def _expect(self, wanted: str) -> None:
        found = self.state.read_text().strip()
        self.circle.tell(f"  the door: {found}")
        if found != wanted:
            raise AccidentError(f"the door is {found!r}, not {wanted!r}")

    def _place(self, package: str) -> Path:
        return self.circle.installed.with_name(package)

    def _start(self, version: str) -> str:
        return f"echo {version} runs > {self.state}"

    def _publish_door(self, version: str, *, after: str, before: str = "true") -> None:
        stop = f"echo stopped > {self.state}; {before}"
        self._publish("door", version, depends="hinge=>=1.0", before=stop, after=after)

    def _publish(self, package: str, version: str, **options: str) -> None:
        (self.circle.folder / "site" / package).write_text(f"{package} {version}\n")
        words = " ".join(f"--{name} {shlex.quote(value)}" for name, value in options.items())
        stated = f"--package {package} --branch stable --version {version} --force"
        self.circle.run(f"otamirror pack {package} {stated} {words}", "site")
        self.circle.drop(package)
        self.published(package, version)

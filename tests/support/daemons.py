"""What the tests of the daemon do with a device."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from tests.support import devices

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.devices import Rig
    from tests.support.manager import Manager


def settle(rig: Rig, further: str = "", **daemon: object) -> None:
    """Write the settings of the daemon: without chance unless said otherwise; `further` lines follow its own."""
    text = rig.config.read_text().partition("[daemon]")[0]
    keys = {"interval": 3600, "jitter": 0, "inhibit": f'"{rig.folder}/inhibit"', **daemon}
    rig.config.write_text(f"{text}[daemon]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items()) + further)


def unit(rig: Rig, program: Sequence[str] = (sys.executable, "-m", "devclient.cli")) -> str:
    """Have `program` write the unit of the daemon of a device."""
    folder = rig.folder / "units"
    folder.mkdir(exist_ok=True)
    command = [*program, "--config", str(rig.config), "install-units", "--to", str(folder)]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return (folder / "otadevice.service").read_text()


def held_hook(rig: Rig) -> str:
    """Make a hook that says by the file `waits` that it runs, and goes on once there is a file `go`."""
    return f"touch {rig.folder}/waits; until test -e {rig.folder}/go; do sleep 0.05; done"


def polled(manager: Manager, times: int = 1) -> None:
    """Wait until the daemon has polled so often, since the life that runs was ready last, and sleeps again."""

    def has() -> bool:
        if not manager.ready:
            return False
        told = manager.messages
        ready = max(number for number, text in enumerate(told) if text == "READY=1")
        return sum("polls again" in text for text in told[ready:]) >= times

    manager.until(has)


def want_app(rig: Rig) -> None:
    """Write a state file that wants app, as an owner would who has broken it."""
    devices.write_state(rig.state_file, {"package": "app", "branch": "stable", "local": str(rig.opt / "app")})

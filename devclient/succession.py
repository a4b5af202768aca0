"""An update of otadevice itself: how the one before comes back if the new one is not ready in time.

That it does is a rule of the contract (section 6). Whether the new one is ready, only somebody else can tell: the
service manager, who starts it. For that one a script is laid out before anything is switched, and removed by the new
otadevice once it is ready. It starts the one before, from where that is kept, with the command `put-back`; what that
does is not known here.
"""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from devclient.install import place
from devclient.plan import Found, Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from devclient.device import Device
    from devclient.plan import Plan, Step

SCRIPT = "put-back"
"""The name of the script in the work folder, which the unit of the service knows."""

_TEXT = """\
#!/bin/sh
# {step} is otadevice itself. If it does not come up, this brings back the one before.
for kept in {kept}; do
    if [ -e "$kept" ]; then
        exec {command}
    fi
done
echo "the otadevice before is not there any more" >&2
exit 1
"""


def prepare(plan: Plan, device: Device) -> None:
    """Lay out the script, durably, if `plan` brings another otadevice."""
    step = next((step for step in plan.steps if step.package == device.settings.itself and step.after), None)
    if plan.kind is Kind.UPDATE and step:
        text = script(step, plan, device, running())
        device.files.replace(device.work / SCRIPT, os.fsencode(text), mode=0o600)


def arrived(device: Device) -> None:
    """Remove the script: the otadevice that is in place is ready."""
    device.files.remove(device.work / SCRIPT)


def script(step: Step, plan: Plan, device: Device, command: Sequence[str]) -> str:
    """Write the script that runs `command`, which has run so far, from where it is kept once `step` has replaced it."""
    words = [*command, "--config", str(device.settings.file), SCRIPT, str(plan.attempt)]
    kept = " ".join(shlex.quote(str(path)) for path in _kept(step, plan, device))
    return _TEXT.format(step=step, kept=kept, command=" ".join(_word(word, step) for word in words))


def running() -> list[str]:
    """Tell what has to be run to run this very otadevice."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec and spec.name != "__main__":
        return [sys.executable, "-m", spec.name]
    return [sys.executable, os.path.abspath(sys.argv[0])]  # noqa: PTH100 - links on the way stay as they are


def _kept(step: Step, plan: Plan, device: Device) -> list[Path]:
    """Tell where the otadevice that is replaced will be: before the update is cleaned up after, and then."""
    if step.found is Found.LINK:
        return [device.sets.folder(device.sets.content(plan.before)[step.package])]
    if step.found is Found.NOTHING:
        return [Path("/")]  # the one that runs was not replaced
    return [place.old(step.path), place.previous(step.path)]


def _word(word: str, step: Step) -> str:
    """Write a word of the command for the shell: what lies in the place of `step` comes from where it is kept."""
    path = Path(word)
    for inside in (path, path.parent.resolve() / path.name):
        for base in (step.path, Path(step.local), step.path.resolve()):
            if path.is_absolute() and inside.is_relative_to(base):
                rest = inside.relative_to(base)
                return '"$kept"' + (shlex.quote(f"/{rest}") if rest.parts else "")
    return shlex.quote(word)

"""An update of otadevice itself: how the one before comes back if the new one is not ready in time.

That it does is a rule of the contract (section 6). Whether the new one is ready, only somebody else can tell: the
service manager, who starts it. For that one a script is laid out before anything is switched, and removed by the new
otadevice once it is ready. It starts the one before, from where that is kept, with the command `put-back`; what that
does is not known here.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from devclient import lock
from devclient.held_errors import SuccessorError
from devclient.plan import Found, Kind
from mirror import blobs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from devclient.device import Device
    from devclient.plan import Plan, Release, Step

SCRIPT = "put-back"
"""The name of the script in the work folder, which the unit of the service knows."""

_KEPT = "put-back.kept"
"""The name there of the otadevice before, if it is a single file."""
_MOST_LINKS = 40
"""As many as Linux follows."""
_ANYTHING = Path("/")
"""Where the otadevice that runs is kept if it is not the one that is replaced."""

_AWAITED = "# A daemon makes way for it: until it has come up, nothing else is installed."
_TEXT = """\
#!/bin/sh
# {step} is otadevice itself. If it does not come up, this brings back the one before.
{awaited}
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
    steps = brought(plan, device) if plan.kind is Kind.UPDATE else []
    for step, _ in steps:
        if step.found is Found.FILE:
            _keep(step.path, device)
        text = script(step, plan, device, running())
        device.files.replace(device.work / SCRIPT, os.fsencode(text), mode=0o600)


def arrived(device: Device) -> None:
    """Remove the script: the otadevice that is in place is ready.

    It stays if that one is being put back: whoever has begun with it was cut off, and it has to be done again.
    """
    last, bad = device.plans.last, device.marks.bad
    if not any(release.content in bad for _, release in brought(last, device)):
        withdraw(device)


def withdraw(device: Device) -> None:
    """Remove the script: there is nobody who could have to be put back."""
    for name in (SCRIPT, _KEPT):
        device.files.remove(device.work / name)


def see_that_it_is_over(device: Device) -> None:
    """See that no new otadevice has yet to come up: another update now would leave nothing to put back.

    Where no daemon was at work when it was installed, nobody waits for it to come up.

    Raises:
        SuccessorError: one has.
    """
    with contextlib.suppress(FileNotFoundError):
        if os.fsencode(_AWAITED) in (device.work / SCRIPT).read_bytes():
            raise SuccessorError
        arrived(device)


def brought(plan: Plan | None, device: Device) -> list[tuple[Step, Release]]:
    """Tell which release of otadevice itself, if any, `plan` brings by which step."""
    steps = plan.steps if plan else ()
    return [(step, step.after) for step in steps if step.after and step.package == device.settings.itself]


def script(step: Step, plan: Plan, device: Device, command: Sequence[str]) -> str:
    """Write the script that runs `command`, which has run so far, from where it is kept once `step` has replaced it."""
    words = [*command, "--config", str(device.settings.file), SCRIPT, str(plan.attempt)]
    kept = " ".join(shlex.quote(str(path)) for path in _kept(step, plan, device))
    is_awaited = device.hands_over or lock.is_held(device.work / lock.DAEMON)
    return _TEXT.format(
        step=step,
        awaited=_AWAITED if is_awaited else "#",
        kept=kept,
        command=" ".join(_word(word, step) for word in words),
    )


def running() -> list[str]:
    """Tell what has to be run to run this very otadevice."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec and spec.name != "__main__":
        return [sys.executable, "-m", spec.name]
    return [sys.executable, os.path.abspath(sys.argv[0])]  # noqa: PTH100 - links on the way stay as they are


def _keep(path: Path, device: Device) -> None:
    """Give the file `path` a name of its own; those beside it are the new one's while the update is being undone."""
    files = device.files
    with files.open_folder(path.parent) as folder, files.open_folder(device.work.resolve()) as work:
        try:
            folder.link(path.name, work, _KEPT)
        except OSError:  # the work folder is on another file system, or on one that has no second names
            with folder.read(path.name) as descriptor:
                data, mode = b"".join(blobs.chunks(descriptor)), os.fstat(descriptor).st_mode & 0o7777
            files.replace(device.work / _KEPT, data, mode=mode)


def _kept(step: Step, plan: Plan, device: Device) -> list[Path]:
    """Tell where the otadevice that is replaced will be, at one time or another."""
    if step.found is Found.LINK:
        folder = device.sets.content(plan.before).get(step.package)
        return [device.sets.folder(folder) if folder else _ANYTHING]
    if step.found is Found.NOTHING:
        return [_ANYTHING]
    # a folder of its owner's could not be put back, and no plan replaces one
    return [device.work / _KEPT]


def _word(word: str, step: Step) -> str:
    """Write a word of the command for the shell: what lies in the place of `step` comes from where it is kept."""
    for path in _ways(Path(word)):
        for base in (step.path, step.path.resolve()):
            if path.is_relative_to(base):
                rest = path.relative_to(base)
                return '"$kept"' + (shlex.quote(f"/{rest}") if rest.parts else "")
    return shlex.quote(word)


def _ways(path: Path) -> Iterator[Path]:
    """Follow an absolute path from link to link, as the last is not all that counts.

    A program outside may be a link into the place, and a Python in the place a link to one outside.
    """
    for _ in range(_MOST_LINKS if path.is_absolute() else 0):
        path = path.parent.resolve() / path.name
        yield path
        if not path.is_symlink():
            return
        path = path.parent / path.readlink()

"""Which commands an update runs, and what they are told (contract, section 6).

Only what stands in verified contents is run. How it is run is the matter of `hooks`.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from devclient import hooks
from devclient.hooks import Hook

if TYPE_CHECKING:
    from collections.abc import Callable

    from devclient.plan import Plan, Release, Step
    from devclient.records.contents import Contents
    from mirror.content import Content

_log = logging.getLogger(__name__)

UPDATED = "updated"
ROLLED_BACK = "rolled-back"


class Scripts:
    """The commands of one plan."""

    def __init__(self, plan: Plan, contents: Contents, blob: Callable[[Step], str], link: Callable[[str], str]) -> None:
        """Find what `plan` runs; `blob` tells where that of a step is, `link` our own path to a folder package."""
        self._plan, self._contents, self._blob, self._link = plan, contents, blob, link

    def before(self, step: Step) -> Hook | None:
        """Return what the new release wants run before anything is switched."""
        content = self._content(step.after)
        return self._hook(step, content.before_update) if content else None

    def after(self, step: Step, *, rebooted: bool) -> Hook | None:
        """Return what the new release wants run once everything is switched."""
        content = self._content(step.after)
        return self._hook(step, content.after_update, UPDATED, rebooted=rebooted) if content else None

    def undone(self, step: Step) -> Hook | None:
        """Return what the release that is in place again wants run."""
        content = self._content(step.before)
        return self._hook(step, content.after_update, ROLLED_BACK, to_the_end=True) if content else None

    def restore(self, step: Step, result: str) -> Hook | None:
        """Return the script that the new release wants run once the outcome is durable."""
        content = self._content(step.after)
        if content is None or not content.restore:
            return None
        # a relative path is one of the folder that is in place now, whichever release that is; not by way of the place
        # itself, which whoever may write to its folder can exchange for another
        path = Path(self._link(step.package), content.restore) if step.is_folder else Path(content.restore)
        if not path.is_absolute() or not path.is_file():
            _log.warning("%s: its restore script %s is not there", step, path)
            return None
        return self._hook(step, hooks.script(path), result, to_the_end=True)

    def _content(self, side: Release | None) -> Content | None:
        content = self._contents.get(side.content) if side else None
        if side and content is None:
            _log.warning("no verified content.json of version %s is here, so none of its hooks is run", side.version)
        return content

    def _hook(
        self, step: Step, command: str, result: str = "", *, rebooted: bool = False, to_the_end: bool = False
    ) -> Hook | None:
        if not command:
            return None
        variables = {
            "OTA_PACKAGE": step.package,
            "OTA_BRANCH": step.branch,
            "OTA_FROM": step.before.version if step.before else "",
            "OTA_TO": step.after.version if step.after else "",
            "OTA_FILE": self._blob(step),
            "OTA_LOCAL": step.local,
            "OTA_RESULT": result,
            "OTA_REBOOTED": "1" if rebooted else "",
        }
        return Hook(command, variables, step.timeout, to_the_end)

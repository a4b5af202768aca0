"""Watching the inbox: a pass at every ring of the bell and at every interval, until told to stop."""

from __future__ import annotations

import logging
import sqlite3
from typing import TYPE_CHECKING

from builder.errors import in_words
from mirror.errors import OTAError

if TYPE_CHECKING:
    from collections.abc import Callable

    from builder.intake.drops import Pass

logger = logging.getLogger(__name__)


def watch(
    take: Callable[[], Pass], wait: Callable[[float], bool], scan_seconds: float, waiting_seconds: float | None = None
) -> None:
    """Call `take` until `wait`, given the seconds to the next pass, tells that it is time to stop.

    What waits in the inbox is told once, not at every pass; so is trouble that stays the same. Trouble never ends
    the watch, a fault of the program does.

    Args:
        take: makes one pass.
        wait: waits for a hint, so many seconds at most.
        scan_seconds: between two passes without a hint.
        waiting_seconds: the same while something in the inbox is not complete.
    """
    told: dict[str, str] = {}
    trouble = ""
    while True:
        try:
            waiting = {find.title: find.waiting for find in take().waiting}
            for title, reason in waiting.items():
                if told.get(title) != reason:
                    logger.info("%s waits: %s", title, reason)
            told, trouble = waiting, ""
        except (OTAError, OSError, sqlite3.Error) as error:
            if str(error) != trouble:
                logger.error("the inbox could not be published, trying again: %s", in_words(error))  # noqa: TRY400 - one line
            trouble = str(error)
        soon = told or trouble
        if wait(min(scan_seconds, waiting_seconds or scan_seconds) if soon else scan_seconds):
            return

"""Watching the inbox: a pass at every interval, until told to stop; no error ends it."""

from __future__ import annotations

import logging
import sqlite3
from typing import TYPE_CHECKING

from mirror.errors import OTAError

if TYPE_CHECKING:
    from collections.abc import Callable

    from builder.submission import Pass

logger = logging.getLogger(__name__)


def watch(take: Callable[[], Pass], wait: Callable[[float], bool], interval_seconds: float) -> None:
    """Call `take` until `wait`, given the seconds to the next pass, tells that it is time to stop.

    What waits in the inbox is told once, not at every pass; so is trouble that stays the same.
    """
    waiting: dict[str, str] = {}
    trouble = ""
    while True:
        try:
            found = {find.title: find.waiting for find in take().waiting}
            for title, reason in found.items():
                if waiting.get(title) != reason:
                    logger.info("%s waits: %s", title, reason)
            waiting, trouble = found, ""
        except (OTAError, OSError, sqlite3.Error) as error:
            if str(error) != trouble:
                logger.error(  # noqa: TRY400 - expected trouble is one line; its traceback tells an operator nothing
                    "the inbox could not be published, next try in %g s: %s", interval_seconds, error
                )
            trouble = str(error)
        if wait(interval_seconds):
            return

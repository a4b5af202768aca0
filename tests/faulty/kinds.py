"""Kinds of faulty servers: what each does to a request, and how an update may end.

The exit codes are those that `otadevice --help` explains: 0 done, 1 failed, 75 try again later. A fault of a network,
or of a server that will be better one day, is 75; what a mirror should never say is 1: its operator has to know.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support.httpd import PORTAL, Fault

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faulty.scene import Asked

DONE, FAILED, LATER = 0, 1, 75


@dataclass(frozen=True)
class Kind:
    """One kind.

    Attributes:
        name: for people.
        faults: what happens to a request and to those after it for the same file, the last one again and again if it
            is to be for ever.
        small: exit code if that befalls a small file.
        blob: if it befalls a blob, for ever.
        blob_once: if it befalls a blob once.
        small_once: if it befalls a small file once, where that differs.
        timestamp: if it befalls the timestamp, where that differs from other small files.
        root: if it befalls the next root, which is not there; None if it cannot befall what has no body.
        hasty: whether the device has to have little patience for it.
    """

    name: str
    faults: Callable[[Asked], list[Fault]]
    small: int
    blob: int
    blob_once: int
    small_once: int | None = None
    timestamp: int | None = None
    root: int | None = None
    hasty: bool = False

    def code(self, asked: Asked, *, ever: bool) -> int | None:
        """Tell how an update ends; None if this kind cannot befall that request."""
        if asked.sort == "blob":
            return self.blob if ever else self.blob_once
        if asked.sort == "root" and self.root is None:
            return None
        once = None if ever else self.small_once
        special = {"timestamp": self.timestamp, "root": self.root}.get(asked.sort)
        return next(code for code in (once, special, self.small) if code is not None)


def _always(fault: Fault) -> Callable[[Asked], list[Fault]]:
    return lambda _asked: [fault]


def _halfway(fault: Callable[[int], Fault]) -> Callable[[Asked], list[Fault]]:
    return lambda asked: [fault(asked.size // 2)]


def _resumed(fault: Fault) -> Callable[[Asked], list[Fault]]:
    """Cut off a blob first, so that it is asked for by a Range."""
    return lambda asked: [Fault(cut_after=asked.size // 2), fault] if asked.sort == "blob" else [fault]


def _status(status: int, **headers: str) -> Callable[[Asked], list[Fault]]:
    return _always(Fault(status=status, headers={name.replace("_", "-"): value for name, value in headers.items()}))


def _redirect(asked: Asked) -> list[Fault]:
    return [Fault(status=302, headers={"Location": asked.path})]


def _reset(part: int) -> Callable[[Asked], list[Fault]]:
    return lambda asked: [Fault(reset_after=asked.size * part // 16)]


KINDS = (
    #    what                                                         small   blob    once
    Kind("cut-off", _halfway(lambda half: Fault(cut_after=half)), LATER, DONE, DONE),
    Kind("ended-early", _halfway(lambda half: Fault(keep=half)), FAILED, LATER, DONE),
    Kind("byte-more", _always(Fault(extra=b"!")), FAILED, FAILED, DONE),
    Kind("byte-changed", _halfway(lambda half: Fault(flip=half)), FAILED, FAILED, DONE),
    Kind("200-to-range", _resumed(Fault(ignore_range=True)), DONE, DONE, DONE),
    Kind("wrong-range", _resumed(Fault(headers={"Content-Range": "bytes 0-9/10"})), DONE, DONE, DONE, root=DONE),
    Kind("416", _resumed(Fault(status=416)), LATER, LATER, DONE, root=LATER),
    Kind("gzip", _always(Fault(encoding="gzip")), DONE, LATER, LATER),
    Kind("500", _status(500), LATER, LATER, LATER, root=LATER),
    Kind("502", _status(502), LATER, LATER, LATER, root=LATER),
    Kind("503", _status(503, Retry_After="120"), LATER, LATER, LATER, root=LATER),
    Kind("404", _status(404), LATER, LATER, LATER, timestamp=FAILED, root=DONE),
    # in the place of a newer root it counts as none
    Kind("portal", _always(PORTAL), LATER, LATER, DONE, root=DONE),
    # once is not a loop yet
    Kind("redirect-loop", _redirect, LATER, LATER, DONE, small_once=DONE, root=LATER),
    Kind("byte-now-and-then", _always(Fault(drip=0.1)), LATER, LATER, DONE, hasty=True),
    Kind("stall", _always(Fault(hold_after=0)), LATER, LATER, DONE, hasty=True),
)
RESETS = tuple(
    # as long as bytes come, a blob goes on
    Kind(f"reset-{part}-16", _reset(part), LATER, LATER if part == 0 else DONE, DONE)
    for part in range(16)
)
"""The connection is reset at each sixteenth of the body."""

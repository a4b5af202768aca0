"""Conditional requests and ranges: which part of a file, if any, answers a request.

Pure rules on headers. They are nginx's, because the embedded server and nginx answer alike: RFC 9110 leaves open
what a malformed range means, and where nginx is stricter than the RFC, a client sees more whole files.
"""

from __future__ import annotations

import re
from email.utils import formatdate, parsedate
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

_LAST = 253_402_300_799  # the last second of the year 9999, beyond which no date can be written
_RANGE = re.compile(r" *(?:(?P<first>[0-9]{1,18}) *- *(?P<last>[0-9]{1,18})?|-(?P<length>[0-9]{1,18})) *")


def validators(facts: os.stat_result) -> dict[str, str]:
    """Make the headers that conditional requests come back with, as nginx makes them."""
    modified = min(facts.st_mtime_ns // 10**9, _LAST)
    return {"ETag": f'"{modified:x}-{facts.st_size:x}"', "Last-Modified": formatdate(modified, usegmt=True)}


def is_known(asked: Mapping[str, str], found: Mapping[str, str]) -> bool:
    """Tell whether the client has the file already; of two conditions both must say so.

    Raises:
        HTTPException: 412, the file is not the one that the client asks for.
    """
    modified = parsedate(found["Last-Modified"]) or ()
    if "If-Unmodified-Since" in asked and (parsedate(asked["If-Unmodified-Since"]) or ()) < modified:
        raise HTTPException(412)
    if "If-Match" in asked and not {"*", found["ETag"]} & set(_listed(asked["If-Match"])):
        raise HTTPException(412)
    if "If-Modified-Since" in asked and parsedate(asked["If-Modified-Since"]) != modified:
        return False
    if "If-None-Match" in asked:
        tags = {tag.removeprefix("W/") for tag in _listed(asked["If-None-Match"])}
        return bool({"*", found["ETag"]} & tags)
    return "If-Modified-Since" in asked


def _listed(header: str) -> list[str]:
    return [item.strip() for item in header.split(",")]


def part(asked: Mapping[str, str], found: Mapping[str, str], size: int) -> tuple[int, int] | None:
    """Read the range that is asked for, first byte and end; None stands for the whole file, and for two ranges.

    Raises:
        HTTPException: 416, the range is outside of the file or is none.
    """
    ranges = asked.get("Range", "")
    if len(ranges) < len("bytes=0") or ranges[:6].lower() != "bytes=":
        return None
    if asked.get("If-Range", found["ETag"]) not in {found["ETag"], found["Last-Modified"]}:
        return None
    only = None
    for text in ranges[6:].split(","):
        start, end = _bounds(text, size)
        if start == end == 0 or (only and start < end):
            return None
        only = (start, end) if start < end else only
    if not only:
        raise _unsatisfiable(size)
    return only


def _bounds(text: str, size: int) -> tuple[int, int]:
    match = _RANGE.fullmatch(text)
    if not match:
        raise _unsatisfiable(size)
    if match["length"]:
        return max(0, size - int(match["length"])), size
    return int(match["first"]), min(int(match["last"]) + 1, size) if match["last"] else size


def _unsatisfiable(size: int) -> HTTPException:
    return HTTPException(416, headers={"Content-Range": f"bytes */{size}"})

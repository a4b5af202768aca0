"""From the target of a request to a file of the mirror, for the embedded server.

Section 3 of the contract names the addresses and the spellings; what it does not name is no file of the mirror.
A refusal is an `HTTPException` with its status.
"""

from __future__ import annotations

import re

from starlette.exceptions import HTTPException

from builder.web import classes
from mirror import layout

# clients send this to proxies, and every server has to take it too
_HOST = r"(?:[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.?|\[[0-9A-Fa-f:.]+\])"
_WHOLE_URL = re.compile(rf"[A-Za-z]+://(?P<host>{_HOST}(?::[0-9]*)?)(?P<path>/.*)?")
_ENCODED = re.compile(r"%(2B|2D|2E|5F|7E)", re.IGNORECASE)
_STEPS = re.compile(r"/\.{1,2}(?:/|\Z)")
_FOLDER = re.compile(rf"/{classes.FOLDERS}")
_FILE = re.compile(rf"/(?:{classes.BYTES}|{classes.DOCUMENTS}|{classes.FILES})")
_POINTER = re.compile(rf"/(?:{classes.POINTERS})")
_FOR_PROGRAMS = re.compile(rf"/{classes.PROGRAMS}")


def path(target: str) -> str:
    """Decode the path of a request, if its target is spelled as every server understands it."""
    raw = target.partition("?")[0]
    url = _WHOLE_URL.fullmatch(raw)
    decoded = _decoded((url["path"] or "/") if url else raw)
    if not decoded.startswith("/") or _STEPS.search(decoded) or "#" in target:
        raise HTTPException(400)
    return decoded


def host(target: str) -> str:
    """Return the host, with its port, to which a target that is a whole URL goes; "" if it is a path."""
    url = _WHOLE_URL.fullmatch(target.partition("?")[0])
    return url["host"] if url else ""


def file(asked: str, query: str) -> str:
    """Name the file that answers a decoded path with its query, as a path of `mirror.layout`."""
    try:
        if asked == "/maxVersion":
            return layout.max_version(_parameter(query, "package"), _parameter(query, "branch"))
        if asked == "/getVersion":
            return layout.get_version(*(_parameter(query, key) for key in ("package", "branch", "version")))
    except ValueError:
        raise HTTPException(400) from None
    if _FILE.fullmatch(asked):
        return asked[1:]
    if _FOLDER.fullmatch(asked):
        return asked[1:] + layout.INDEX_PAGE
    raise HTTPException(404)


def is_pointer(asked: str) -> bool:
    """Return whether a decoded path is the name of a file that comes and goes."""
    return bool(_POINTER.fullmatch(asked)) and layout.kind(asked[1:]) is layout.Kind.POINTER


def is_for_people(asked: str) -> bool:
    """Return whether a person may have asked for a decoded path."""
    return not _FOR_PROGRAMS.fullmatch(asked)


def _parameter(query: str, wanted: str) -> str:
    """Read a parameter that is there exactly once: of several, each server would take another."""
    given = [value for key, _, value in (pair.partition("=") for pair in query.split("&")) if key == wanted]
    if len(given) != 1:
        raise HTTPException(400)
    return _decoded(given[0])


def _decoded(text: str) -> str:
    plain = _ENCODED.sub(lambda match: bytes.fromhex(match[1]).decode(), text)
    if "%" in plain:
        raise HTTPException(400)
    return plain

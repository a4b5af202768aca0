"""What single keys of `otadevice.toml` may say, each read by a function that names the key if it is wrong.

A reader takes the key and its value, and raises a ValueError or TypeError that says what belongs there.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from datetime import time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from devclient.settings.windows import DAYS, Window
from mirror import rules

Reader = Callable[[str, Any], Any]

_LONGEST_GRACE = 120
_DAY = 86_400
_PROXY = re.compile(r"(?:https?|socks[45][ah]?)://[!-~]+", re.IGNORECASE)


def table(where: str, value: Any, readers: Mapping[str, Reader]) -> dict[str, Any]:
    """Read a table; `where` is the key it stands under, "" at the top."""
    if not isinstance(value, dict):
        raise TypeError(f"{where}: must be a table, [{where}]")
    prefix = f"{where}." if where else ""
    for key in value:
        if key not in readers:
            nearest = difflib.get_close_matches(key, readers, n=1, cutoff=0)
            raise ValueError(f"{prefix}{key}: there is no such key; the nearest is {prefix}{nearest[0]}")
    return {key: readers[key](prefix + key, each) for key, each in value.items()}


def path(where: str, value: Any) -> Path:
    """Read a path."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError(f'{where}: must be a path such as "/var/lib/otadevice", not {value!r}')
    return Path(value)


def paths(where: str, value: Any) -> tuple[Path, ...]:
    """Read a list of folders."""
    if not isinstance(value, list) or not value:
        raise ValueError(f'{where}: must be a list of folders such as ["/opt"], not {value!r}')
    return tuple(path(where, item) for item in value)


def seconds(where: str, value: Any) -> float:
    """Read a span of time, above 0."""
    # True is an int to Python, but not to the person who wrote it
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e9:
        raise ValueError(f"{where}: must be a number above 0, not {value!r}")
    return value


def interval(where: str, value: Any) -> float:
    """Read a span of time, a day at most; 0 for none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _DAY:
        raise ValueError(f"{where}: must be a number of seconds from 0 to {_DAY}, not {value!r}")
    return value


def grace(where: str, value: Any) -> float:
    """Read a span of time that whoever waits for signs of life waits out: above 0, at most two minutes."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= _LONGEST_GRACE:
        raise ValueError(f"{where}: must be a number above 0 and at most {_LONGEST_GRACE}, not {value!r}")
    return value


def size(where: str, value: Any) -> int:
    """Read a count of bytes, 0 for no limit."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1e15:
        raise ValueError(f"{where}: must be a whole number of bytes, 0 for no limit, not {value!r}")
    return value


def count(where: str, value: Any) -> int:
    """Read a count, above 0."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{where}: must be a whole number above 0, not {value!r}")
    return value


def command(where: str, value: Any) -> str:
    """Read a shell command."""
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise ValueError(f'{where}: must be a shell command such as "reboot", not {value!r}')
    return value


def share(where: str, value: Any) -> float:
    """Read a share, from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"{where}: must be a number from 0 to 1, not {value!r}")
    return value


def name(where: str, value: Any) -> str:
    """Read the name of a package."""
    if not isinstance(value, str) or rules.name(value):
        raise ValueError(f'{where}: must be the name of a package such as "otadevice", not {value!r}')
    return value


def url(where: str, value: Any) -> str:
    """Read the URL of a mirror; a slash at its end is dropped.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(value, str) or not value or {"?", "#"} & set(value) or rules.remote(value):
        problem = f"{value!r} is not the URL of a mirror, such as https://updates.example.org"
        raise ValueError(f"{where}: {problem}" if where else problem)
    return value.rstrip("/")


def urls(where: str, value: Any) -> tuple[str, ...]:
    """Read the URLs of one mirror."""
    if not isinstance(value, list) or not value:
        raise ValueError(f'{where}: must be a list such as ["https://updates.example.org"], not {value!r}')
    return tuple(url(where, item) for item in value)


def proxy(where: str, value: Any) -> str:
    """Read the URL of a proxy, "none" for none, "" for what the environment says."""
    if not isinstance(value, str) or (value not in {"", "none"} and not _PROXY.fullmatch(value)):
        # not shown: there may be a password in it
        raise ValueError(f'{where}: must be the URL of a proxy such as "http://proxy.example.org:3128", or "none"')
    return value


def windows(where: str, value: Any) -> tuple[Window, ...]:
    """Read maintenance windows."""
    if not isinstance(value, list):
        raise TypeError(f"{where}: must be tables, each under [[{where}]]")
    return tuple(_window(f"{where}[{number}]", each) for number, each in enumerate(value))


def _window(where: str, value: Any) -> Window:
    given = table(where, value, {"days": _days, "from": _clock, "to": _end, "zone": _zone})
    for key in ("from", "to"):
        if key not in given:
            raise ValueError(f'{where}.{key}: is missing; a window is from = "22:00" to = "04:00", say')
    return Window(given["from"], given["to"], given.get("days", frozenset(DAYS.values())), given.get("zone"))


def _days(where: str, value: Any) -> frozenset[int]:
    if not isinstance(value, list) or not value or not all(isinstance(day, str) and day in DAYS for day in value):
        raise ValueError(f'{where}: must be a list of days such as ["sat", "sun"], not {value!r}')
    return frozenset(DAYS[day] for day in value)


def _clock(where: str, value: Any) -> time:
    try:
        return time(*_hours_and_minutes(value))
    except (OverflowError, ValueError):
        raise ValueError(f'{where}: must be a time of day such as "22:00", not {value!r}') from None


def _end(where: str, value: Any) -> time:
    return time() if value == "24:00" else _clock(where, value)


def _hours_and_minutes(value: Any) -> tuple[int, int]:
    hours, colon, minutes = value.partition(":") if isinstance(value, str) else ("", "", "")
    if not colon or len(minutes) != 2 or not (hours + minutes).isdecimal():
        raise ValueError(value)
    return int(hours), int(minutes)


def _zone(where: str, value: Any) -> ZoneInfo | None:
    if value == "":
        return None
    try:
        return ZoneInfo(value)
    except (KeyError, OSError, TypeError, ValueError):
        problem = f'must be a time zone such as "Europe/Berlin", or "" for that of the device, not {value!r}'
        raise ValueError(f"{where}: {problem}") from None

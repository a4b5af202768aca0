"""What the values of settings may look like.

A reader turns one value of a TOML file into what the code works with;
what it raises names what is wanted, so that its caller can add which key wants it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

Reader = Callable[[object], Any]  # raises ValueError with what is wanted

GIB = 1024**3
_UNITS = {"": 1, "B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": GIB, "TiB": 1024**4}
_SIZE = re.compile(r"([0-9]{1,15}) ?([A-Za-z]*)")
_KEY = re.compile(r"[a-z][a-z0-9+.-]*:[!-~]+")
_ADDRESS = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})")


class Address(NamedTuple):
    """Where a server listens; port 0 leaves the choice to the system."""

    host: str
    port: int

    def __str__(self) -> str:
        """Spell it as settings and URLs do."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """The URL by which this machine reaches it."""
        return f"http://{self._replace(host=_reachable(self.host))}"


LOOPBACK = Address("127.0.0.1", 8080)


def is_loopback(host: str) -> bool:
    """Tell whether a name or address can only be that of this machine."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.lower() == "localhost"
    mapped = address.ipv4_mapped if address.version == 6 else None
    return (mapped or address).is_loopback


def whole(least: int, most: int) -> Reader:
    """Make the reader of whole numbers from `least` to `most`."""

    def read(value: object) -> int:
        # True is an int to Python, but not to the person who wrote it
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValueError(f"a whole number from {least} to {most}")
        return value

    return read


def power_of_two(least: int, most: int) -> Reader:
    """Make the reader of powers of two from `least` to `most`."""

    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most or value & (value - 1):
            raise ValueError(f"a power of two from {least} to {most}")
        return value

    return read


def size(value: object) -> int:
    """Read a number of bytes: 1048576, "1048576", "1 MiB"."""
    match = _SIZE.fullmatch(str(value)) if isinstance(value, int | str) else None
    if isinstance(value, bool) or match is None or match[2] not in _UNITS:
        raise ValueError(f'a number of bytes, or a text such as "512 MiB" ({", ".join(filter(None, _UNITS))})')
    return int(match[1]) * _UNITS[match[2]]


def seconds(least: float, most: float) -> Reader:
    """Make the reader of times in seconds, whole or not, from `least` to `most`."""

    def read(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise ValueError(f"a number of seconds from {least:g} to {most:g}")
        return float(value)

    return read


def one_of(*words: str) -> Reader:
    """Make the reader of one of some words."""

    def read(value: object) -> str:
        if not isinstance(value, str) or value not in words:
            raise ValueError(f"one of {', '.join(map(repr, words))}")
        return value

    return read


def title(value: object) -> str:
    """Read a line of text for people."""
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise ValueError("a line of text, not empty and without control characters")
    return value


def path(value: object) -> Path:
    """Read a path; it may be relative."""
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ValueError("a path as text, not empty and without control characters")
    return Path(value)


def optional_path(value: object) -> Path | None:
    """Read a path, "" for none."""
    return None if value == "" else path(value)


def key(value: object) -> str:
    """Read where a private key is, "" for the usual place."""
    if not isinstance(value, str) or not (value == "" or _KEY.fullmatch(value)):
        raise ValueError('"", or where the key is, such as "key:/etc/otamirror/timestamp.pem" or "env:OTA_KEY"')
    return value


def address(value: object) -> Address:
    """Read where a server listens."""
    match = _ADDRESS.fullmatch(value) if isinstance(value, str) else None
    if match is None or int(match[2]) > 65_535 or not _is_host(match[1]):
        raise ValueError('an address and a port, such as "127.0.0.1:8080" or "[::1]:8080"')
    return Address(match[1].strip("[]"), int(match[2]))


def optional_address(value: object) -> Address | None:
    """Read where a server listens, "" for nowhere."""
    return None if value == "" else address(value)


def url(value: object) -> str:
    """Read the URL of a mirror, "" for none; a slash at its end is dropped."""
    if value == "":
        return ""
    if not isinstance(value, str) or not _is_mirror_url(value):
        raise ValueError('"", or an http or https URL such as "https://updates.example.org/mirror"')
    return value.rstrip("/")


def _is_host(text: str) -> bool:
    if not text.startswith("["):
        return True
    try:
        ipaddress.IPv6Address(text.strip("[]"))
    except ValueError:
        return False
    return True


def _is_mirror_url(text: str) -> bool:
    """Tell whether paths can be appended to `text`."""
    try:
        parts = urlsplit(text)
        valid_port = parts.port != 0
    except ValueError:
        return False
    plain = text.isascii() and text.isprintable() and not set(text) & set(" ?#@\"'<>\\")
    return plain and parts.scheme in {"http", "https"} and bool(parts.hostname) and valid_port


def _reachable(host: str) -> str:
    """Turn the addresses that mean every interface into the loopback one."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if not address.is_unspecified:
        return host
    return "127.0.0.1" if address.version == 4 else "::1"

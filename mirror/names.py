"""The rules for the words that become path segments (contract, section 2).

Host configurations use the same patterns, so a name that one side takes is a name everywhere.
"""

from __future__ import annotations

import re

NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9_-])?"
VERSION = r"[0-9A-Za-z][0-9A-Za-z.+~_-]{0,127}"
SHA256 = r"[0-9a-f]{64}"

# `<sha256>.<branch>.json` must never be mistaken for the list of a branch.
_HASH_PREFIXED = re.compile(r"[0-9A-Fa-f]{64}\.")
# names of devices on Windows, also before any dot, in any case
_DEVICE = re.compile(r"(?:aux|con|nul|prn|(?:com|lpt)[0-9])(?:\.|\Z)", re.IGNORECASE)
_NAME = re.compile(NAME)
_VERSION = re.compile(VERSION)
_SHA256 = re.compile(SHA256)


def is_name(text: str) -> bool:
    """Tell whether `text` may name a package."""
    return _NAME.fullmatch(text) is not None


def is_branch(text: str) -> bool:
    """Tell whether `text` may name a branch."""
    return is_name(text) and _HASH_PREFIXED.match(text) is None


def is_version(text: str) -> bool:
    """Tell whether `text` may be a version."""
    return _VERSION.fullmatch(text) is not None


def is_sha256(text: str) -> bool:
    """Tell whether `text` is a SHA-256 in lower case hexadecimal digits."""
    return _SHA256.fullmatch(text) is not None


def is_windows_device(text: str) -> bool:
    """Tell whether Windows takes a file of that name for a device, so that it cannot copy a mirror that has one."""
    return _DEVICE.match(text) is not None

"""Metadata that every reader reads alike: no key twice, and no key under two names.

python-tuf takes the last of two keys of the same name; who takes the first would believe something else.
"""

from __future__ import annotations

import json
from typing import Any

from tuf.api.metadata import Metadata, Root

from devclient.trust.standing import UNREADABLE
from mirror import trust


def is_root(data: bytes) -> bool:
    """Return whether something can be read as metadata of type root, whoever has signed it."""
    try:
        _parse(data)
        return Metadata[Root].from_bytes(data).signed.type == trust.ROOT
    except UNREADABLE:
        return False


def role(data: bytes) -> str:
    """Return which role a file says to be; "" if it does not say, or cannot be read.

    Raises:
        ValueError: a key stands twice in an object of it.
    """
    try:
        return str(_parse(data)["signed"][trust.ROLE])
    except AmbiguousError as error:
        raise ValueError(str(error)) from None
    except (ValueError, TypeError, LookupError, RecursionError):
        return ""


class AmbiguousError(ValueError):
    """A key stands twice in one object."""


def _parse(data: bytes) -> Any:
    return json.loads(data, object_pairs_hook=_unique)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = next(key for key, _ in pairs if [each for each, _ in pairs].count(key) > 1)
        raise AmbiguousError(f"the key {twice!r} stands twice in one object")
    return found

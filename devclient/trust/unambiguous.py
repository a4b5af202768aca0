"""Metadata that every reader reads alike: no name twice in an object, and no key under two ids.

python-tuf takes the last of two values of the same name; who takes the first would believe something else.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tuf.api.metadata import Key, Metadata, Root

from devclient.trust.standing import UNREADABLE
from mirror import public_keys, trust

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


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


def one_key_twice(data: bytes) -> str:
    """Say which key a role that needs several is given twice, under two ids; "" if there is none.

    Each counts once, and python-tuf tells keys apart by their ids.
    """
    try:
        signed = _parse(data)["signed"]
        for named in (signed, signed.get("delegations")):
            if isinstance(named, dict) and named.get("keys"):
                for keyids in _shared(named):
                    keys = {keyid: Key.from_dict(keyid, dict(named["keys"][keyid])) for keyid in keyids}
                    for first, second in public_keys.twins(keys):
                        return f"the keys {first} and {second} are one key, which counts once"
    except UNREADABLE:  # what cannot be read is refused elsewhere
        return ""
    return ""


def _shared(named: Mapping[str, Any]) -> Iterator[list[str]]:
    """Yield the ids of the keys of each role that needs more than one signature."""
    roles = named.get("roles") or [named["succinct_roles"]]
    for role in roles.values() if isinstance(roles, dict) else roles:
        if role["threshold"] > 1:
            yield role["keyids"]


class AmbiguousError(ValueError):
    """A key stands twice in one object."""


def _parse(data: bytes) -> Any:
    return json.loads(data, object_pairs_hook=_unique)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = next(key for key, _ in pairs if [each for each, _ in pairs].count(key) > 1)
        raise AmbiguousError(f"{twice!r} stands twice in one object")
    return found

"""The members of a decoded JSON object, read strictly: a ValueError names the key and what is wrong with it.

What the keys mean is not known here. Objects are such as `mirror.canonical.decode` gives without problems.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mirror import names

if TYPE_CHECKING:
    from collections.abc import Mapping


def text(value: Mapping[str, Any], key: str) -> str:
    """Read a string that must be there."""
    found = value.get(key)
    if not isinstance(found, str):
        raise ValueError(f"{key} is {'not a string' if key in value else 'missing'}")  # noqa: TRY004 - one error for all
    return found


def version(value: Mapping[str, Any], key: str) -> str:
    """Read a version."""
    found = text(value, key)
    if not names.is_version(found):
        raise ValueError(f"{key} {found!r} is not a version")
    return found


def sha256(value: Mapping[str, Any], key: str) -> str:
    """Read a SHA-256."""
    found = text(value, key)
    if not names.is_sha256(found):
        raise ValueError(f"{key} {found!r} is not a SHA-256")
    return found


def size(value: Mapping[str, Any], key: str) -> int:
    """Read a number of bytes."""
    found = value.get(key)
    if not isinstance(found, int) or isinstance(found, bool) or found < 0:
        raise ValueError(f"{key} {found!r} is not a number of bytes")
    return found


def optional_object(value: Mapping[str, Any], key: str) -> Mapping[str, Any] | None:
    """Read an object; None if there is none."""
    found = value.get(key)
    if not isinstance(found, dict) and key in value:
        raise ValueError(f"{key} is not an object")
    return found


def texts(value: Mapping[str, Any], key: str) -> Mapping[str, str]:
    """Read an object whose members are all strings; an empty one if there is none."""
    found = optional_object(value, key) or {}
    if not all(isinstance(each, str) for each in found.values()):
        raise ValueError(f"{key} is not an object of strings")
    return found


def objects(value: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """Read a list of objects; an empty one if there is none."""
    found = value.get(key, [])
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise ValueError(f"{key} is not a list of objects")
    return found


def words(value: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """Read a list of words; an empty one if there is none."""
    found = value.get(key, [])
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise ValueError(f"{key} is not a list of words")
    return tuple(found)

"""The root that a device was given, in which all its trust begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root

from devclient.settings.config import ROOT_ADVICE
from mirror import public_keys, trust
from mirror.text import without_mark

if TYPE_CHECKING:
    from pathlib import Path


def read(file: Path) -> bytes:
    """Read a root that is signed as it says itself.

    Raises:
        ValueError: it is none, with what to do about it.
    """
    try:
        with file.open("rb") as opened:
            data = without_mark(opened.read(trust.MAX_BYTES[trust.ROOT] + 1))
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror}); {ROOT_ADVICE}") from error
    if fault := _fault(data):
        raise ValueError(f"is not the root of a mirror: {fault}; {ROOT_ADVICE}")
    return data


def read_new(file: Path) -> bytes:
    """Read the root that a device is to be given: its keys are judged too.

    Raises:
        ValueError: as `read`, or a key of it may not sign.
    """
    data = read(file)
    if fault := next(public_keys.faults(Metadata[Root].from_bytes(data).signed.keys), ""):
        raise ValueError(f"is a root that is not to be trusted: {fault}; tell the mirror's operator")
    return data


def _fault(data: bytes) -> str:
    if len(data) > trust.MAX_BYTES[trust.ROOT]:
        return f"it has more than {trust.MAX_BYTES[trust.ROOT]} bytes"
    try:
        root = Metadata[Root].from_bytes(data)
        if root.signed.type != trust.ROOT:
            return f"it is the metadata of {root.signed.type}"
        root.signed.verify_delegate(trust.ROOT, root.signed_bytes, root.signatures)
    except RepositoryError as error:
        return str(error)
    if not root.signed.consistent_snapshot:
        return "it is that of a repository without consistent snapshots"
    return ""

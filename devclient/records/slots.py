"""A small record that can be replaced without free space: two slots in one file, allocated in advance.

A record goes over the older of the two, in place, and is durable on return. A power cut in the middle leaves a
slot whose checksum is wrong, and the other one with the record before. What records mean is not known here.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mirror.files import Files

_CHECKSUM = 64
"""Hex digits before each record."""


class DamagedError(ValueError):
    """Neither slot holds a record."""


class Slots:
    """One such file; each record has a `sequence`, one more than that of the record before."""

    def __init__(self, path: Path, size: int, files: Files) -> None:
        """Work with the file `path` of slots of `size` bytes, a multiple of 4096 so that no block has parts of two."""
        self.path = path
        self._size = size
        self._files = files

    def load(self) -> Mapping[str, Any] | None:
        """Return the newest record; None if the file is not there.

        Raises:
            DamagedError: neither slot holds a record.
        """
        try:
            raw = self.path.read_bytes()
        except FileNotFoundError:
            return None
        records = [record for record in (_decode(slot) for slot in self._halves(raw)) if record is not None]
        if not records:
            raise DamagedError(f"{self.path}: neither copy of the record can be read")
        return max(records, key=_sequence)

    def save(self, fields: Mapping[str, Any]) -> None:
        """Write a record over the older one.

        Raises:
            ValueError: it does not fit.
        """
        raw, odd = self._encode(fields), fields["sequence"] % 2
        if self.path.exists():
            # the record of the same parity is the one before the last; the last one stays until this one is durable
            self._files.overwrite(self.path, raw, odd * self._size)
            return
        self._files.make_folder(self.path.parent)
        blank = bytes(self._size)
        self._files.replace(self.path, blank + raw if odd else raw + blank, mode=0o600)
        # its folder may be as new as the file, whoever made it
        self._files.sync_all(self.path.parent)

    def _encode(self, fields: Mapping[str, Any]) -> bytes:
        text = json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
        if len(text) + _CHECKSUM + 1 > self._size:
            raise ValueError(f"a record of {len(text)} bytes does not fit into a slot of {self._size}")
        checked = hashlib.sha256(text).hexdigest().encode() + text + b"\n"
        return checked + bytes(self._size - len(checked))

    def _halves(self, raw: bytes) -> tuple[bytes, bytes]:
        return raw[: self._size], raw[self._size :]


def _sequence(record: Mapping[str, Any]) -> int:
    return int(record["sequence"])


def _decode(slot: bytes) -> Mapping[str, Any] | None:
    line, _, _ = slot.partition(b"\n")
    checksum, text = line[:_CHECKSUM], line[_CHECKSUM:]
    if hashlib.sha256(text).hexdigest().encode() != checksum:
        return None
    record: Mapping[str, Any] = json.loads(text)
    return record

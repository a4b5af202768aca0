"""Who this device is: a secret of its own, made at the first run and never before.

So an image that was set up once may go onto a thousand devices. A disk that is put into another machine is another
device: the machine's id tells. The secret leaves the device never; it decides a device's place in a rollout.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mirror import names

if TYPE_CHECKING:
    from mirror.files import Files

_MACHINE = Path("/etc/machine-id")


@dataclass(frozen=True)
class Identity:
    """A device's identity.

    Attributes:
        secret: 32 random bytes in hex.
        machine: a hash of the machine's id, "" if the machine has none.
    """

    secret: str
    machine: str


def ensure(work: Path, files: Files, machine: Path = _MACHINE) -> Identity:
    """Return the identity that is kept in `work`; make one if there is none, or if it is that of another machine."""
    if kept := load(work, machine):
        return kept
    made = Identity(secrets.token_hex(32), _machine(machine))
    files.make_folder(work)
    files.replace(_file(work), f"{json.dumps(asdict(made), indent=2)}\n".encode(), mode=0o600)
    return made


def load(work: Path, machine: Path = _MACHINE) -> Identity | None:
    """Return the identity that is kept in `work`; None if there is none, if it is another machine's or unreadable."""
    kept = _read(_file(work))
    return kept if kept and kept.machine == _machine(machine) else None


def _file(work: Path) -> Path:
    return work / "identity.json"


def _read(file: Path) -> Identity | None:
    try:
        found = Identity(**json.loads(file.read_bytes()))
        return found if names.is_sha256(found.secret) else None  # as many hex digits as that
    except (OSError, ValueError, TypeError):
        return None  # a damaged one is no identity


def _machine(file: Path) -> str:
    try:
        text = file.read_text().strip()
    except (OSError, UnicodeError):
        return ""
    return hashlib.sha256(f"otadevice {text}".encode()).hexdigest() if text else ""

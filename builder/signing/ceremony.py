"""Getting a change signed: by the keys that are here at once, by those that are elsewhere through a file.

Pure of any command line: what is said to people is the caller's.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from securesystemslib.exceptions import KeyMismatchError

from builder.errors import KeysError
from builder.signing import change as changes
from builder.signing import keys
from mirror import trust

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from securesystemslib.signer import Key, Signer

    from builder.signing.change import Change
    from builder.signing.keys import Keyring
    from mirror.files import Files


def sign_here(change: Change, keyring: Keyring) -> list[str]:
    """Sign with every key of the keyring that is wanted; returns the roles that were signed."""
    done = []
    for role, result in [*change.judge()]:
        configured = role if role in trust.TOP else trust.UNCLAIMED
        for key in result.unsigned.values():
            if signer := keyring.find(configured, key):
                done += change.sign(signer)
    return done


def sign_with(change: Change, uris: Sequence[str], secrets: keys.Secrets) -> list[str]:
    """Sign with the keys that URIs name; returns the roles that were signed.

    Raises:
        KeysError: a key cannot be used, or nobody wants its signature.
    """
    return [role for uri in uris for role in change.sign(_signer(change, uri, secrets))]


def new_keys(keyring: Keyring, role: str, count: int, files: Files) -> list[Key]:
    """Make keys for a role in the keyring's folder, under names that nothing has yet."""
    files.make_folder(keyring.folder, 0o700)
    made: list[Key] = []
    for number in itertools.count(1):
        file = keyring.folder / f"{role}-{number}{keys.PRIVATE}"
        if not file.exists() and not file.with_suffix(keys.PUBLIC).exists():
            if len(made) == count:
                break
            signer = keys.generate()
            keys.save(signer, file, files, keyring.passphrase)
            made.append(signer.public_key)
    return made


def read(file: Path, copies: Sequence[Path] = ()) -> Change:
    """Read a change, with the signatures of all its copies.

    Raises:
        KeysError: a file cannot be read, or is of another change.
    """
    change = changes.decode(keys.read(file, changes.MAX_BYTES))
    for copy in copies:
        change.merge(changes.decode(keys.read(copy, changes.MAX_BYTES)))
    return change


def pending(folder: Path) -> list[Path]:
    """Return the files of changes in `folder` that the site's commands made."""
    return sorted(folder.glob("change-*.json"))


def free_file(folder: Path) -> Path:
    """Return a name in `folder` for the file of a change."""
    return next(file for n in itertools.count(1) if not (file := folder / f"change-{n}.json").exists())


def _signer(change: Change, uri: str, secrets: keys.Secrets) -> Signer:
    """Open a key; one that is no file is tried as each of those that are wanted."""
    wanted = {keyid: key for _, result in change.judge() for keyid, key in result.unsigned.items()}
    try:
        return keys.open_signer(uri, secrets)
    except keys.NeedsPublicError:
        for key in wanted.values():
            try:
                return keys.open_signer(uri, secrets, key)
            except (KeysError, KeyMismatchError):
                continue
        raise KeysError(f"{uri} is none of the keys that have to sign this change: {change.wanted()}") from None

"""Keys: files of private and public ones, and signers for those that are elsewhere.

A private key is named by a URI: `key:PATH` is a PEM file, encrypted or not, `env:NAME` the same in a variable of the
environment, and every other scheme is one of securesystemslib's signers: `hsm:`, `awskms:`, `gcpkms:`, ... Beside each
private file NAME.pem lies NAME.pub, the public key, so that a key is found without its passphrase.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, cast

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
from securesystemslib.exceptions import KeyMismatchError
from securesystemslib.signer import CryptoSigner, Signer, SSlibKey

from builder.errors import KeysError
from mirror import public_keys
from mirror.text import without_mark

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
    from securesystemslib.signer import Key

    from mirror.files import Files

    Secrets = Callable[[str], str]

PRIVATE, PUBLIC = ".pem", ".pub"
VARIABLE = "OTAMIRROR_PASSPHRASE"
_PRIVATE_MODE = 0o600
_MAX_BYTES = 64 * 1024
_FILE, _VARIABLE = "key", "env"


class NeedsPublicError(KeysError):
    """A key cannot be opened by its URI alone."""


def generate() -> CryptoSigner:
    """Make a new ed25519 key."""
    return CryptoSigner.generate_ed25519()


def save(signer: CryptoSigner, file: Path, files: Files, passphrase: str = "") -> None:
    """Write a key pair, durably: the private key to `file`, the public one beside it.

    Raises:
        KeysError: the file is there already; a key is never replaced.
    """
    if file.exists():
        raise KeysError(f"{file} is there already, and a key is never replaced; choose another name")
    private = serialization.load_pem_private_key(signer.private_bytes, None)
    encryption = serialization.BestAvailableEncryption(passphrase.encode()) if passphrase else None
    data = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        encryption or serialization.NoEncryption(),
    )
    # the public key last: what has one is whole
    files.replace(file, data, mode=_PRIVATE_MODE)
    files.replace(file.with_suffix(PUBLIC), public_pem(signer.public_key))


def public_pem(key: Key) -> bytes:
    """Return a public key as a file has it.

    Raises:
        KeysError: it is of a kind that has no such file.
    """
    if not isinstance(key, SSlibKey):
        raise KeysError(f"the key {key.keyid} of type {key.keytype} cannot be written as a file")
    raw = key._crypto_key()  # noqa: SLF001 - the only way from a key of TUF to PEM
    pem: bytes = raw.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return pem


def read_public(file: Path) -> SSlibKey:
    """Read a public key that may sign from a PEM file.

    Raises:
        KeysError: the file holds none.
    """
    key = _public(file)
    if weakness := public_keys.weakness(key):
        raise KeysError(f"{file}: {weakness}")
    return key


def open_signer(uri: str, secrets: Secrets, public: Key | None = None) -> Signer:
    """Return the signer for a private key.

    Args:
        uri: where the key is; a plain path is taken as `key:PATH`.
        secrets: asked for a passphrase or PIN by the name of what it is for.
        public: the public key; files and variables can do without.

    Raises:
        KeyMismatchError: it is not the one of `public`.
        KeysError: there is no such key, or it cannot be used.
    """
    scheme, colon, place = uri.partition(":")
    if not colon:
        scheme, place = _FILE, uri
    if scheme in {_FILE, _VARIABLE}:
        raw = read(Path(place)) if scheme == _FILE else _variable(place)
        return _crypto_signer(uri, _private(raw, uri, secrets), public)
    if public is None:
        raise NeedsPublicError(f"{uri}: its public key is needed too, which only files and variables can do without")
    try:
        return Signer.from_priv_key_uri(uri, public, secrets)
    except (KeysError, KeyMismatchError):
        raise
    except Exception as error:  # each kind of signer raises errors of its own
        raise KeysError(f"the key {uri} cannot be used: {error}") from error


class Keyring:
    """The private keys of one machine: those in a folder, and those that settings name by role.

    Attributes:
        folder: where NAME.pem and NAME.pub lie.
        uris: by role, where its key is instead.
        secrets: asked for passphrases.
        passphrase: what encrypts keys that are made in the folder; empty for not at all.
        makes_first: whether the first keys of a site that has none may be made.
    """

    def __init__(
        self,
        folder: Path,
        uris: Mapping[str, str],
        secrets: Secrets,
        passphrase: str = "",
        *,
        makes_first: bool = True,
    ) -> None:
        self.folder = folder
        self.uris = uris
        self.secrets = secrets
        self.passphrase = passphrase
        self.makes_first = makes_first
        self._signers: dict[str, Signer] = {}

    def find(self, role: str, key: Key) -> Signer | None:
        """Return the signer for a key of a role; None if this machine does not have it.

        Raises:
            KeysError: the key is here and cannot be used.
        """
        if key.keyid not in self._signers:
            signer = self._named(role, key) or self._filed(key)
            if signer is None:
                return None
            self._signers[key.keyid] = signer
        return self._signers[key.keyid]

    def _named(self, role: str, key: Key) -> Signer | None:
        """Look where the settings say that the key of a role is."""
        if not (uri := self.uris.get(role)):
            return None
        try:
            return open_signer(uri, self.secrets, key)
        except KeyMismatchError:  # the settings name the key that replaces this one, or was replaced by it
            return None

    def _filed(self, key: Key) -> Signer | None:
        for file, public in self.files():
            if public.keyid == key.keyid and file.exists():
                return open_signer(f"{_FILE}:{file}", self.secrets, key)
        return None

    def files(self) -> Iterator[tuple[Path, SSlibKey]]:
        """Yield every key of the folder: its private file, there or not, and its public key."""
        for file in sorted(self.folder.glob(f"*{PUBLIC}")):
            # one that may not sign any more is needed until others have taken its place
            yield file.with_suffix(PRIVATE), _public(file)


def passphrase_from(file: Path | None) -> str:
    """Return the passphrase that the environment has, else a file; empty if there is neither."""
    if found := os.environ.get(VARIABLE):
        return found
    return read(file).decode(errors="replace").rstrip("\r\n") if file is not None else ""


def secrets_from(file: Path | None, ask: Callable[[str], str] | None) -> Secrets:
    """Make what answers for passphrases: the environment, else a file, else a person, else an error."""

    def answer(name: str) -> str:
        if found := passphrase_from(file):
            return found
        if ask is not None:
            return ask(name)
        raise KeysError(f"the {name} is needed: set {VARIABLE}, or `keys.passphrase_file` in site.toml")

    return answer


def _public(file: Path) -> SSlibKey:
    raw = read(file)
    try:
        key = serialization.load_pem_public_key(raw)
    except (ValueError, UnsupportedAlgorithm):
        hint = "; that is the private one, the public one ends in .pub" if b"PRIVATE KEY" in raw else ""
        raise KeysError(f"{file} holds no public key{hint}; `otamirror keys new` makes one") from None
    try:
        return SSlibKey.from_crypto(key)
    except ValueError:
        raise KeysError(f"{file}: the key is not taken: it is one of {_kind(key)}; {public_keys.ADVICE}") from None


def _crypto_signer(uri: str, private: PrivateKeyTypes, public: Key | None) -> CryptoSigner:
    try:
        return CryptoSigner(private, cast("SSlibKey | None", public))
    except KeyMismatchError:
        raise
    except ValueError:
        raise KeysError(f"{uri}: the key cannot sign: it is one of {_kind(private)}; {public_keys.ADVICE}") from None


def _kind(key: PublicKeyTypes | PrivateKeyTypes) -> str:
    """Name the curve of a key, or its type."""
    if isinstance(key, EllipticCurvePublicKey | EllipticCurvePrivateKey):
        return key.curve.name
    return type(key).__name__.removesuffix("PublicKey").removesuffix("PrivateKey")


def _private(raw: bytes, uri: str, secrets: Secrets) -> PrivateKeyTypes:
    try:
        try:
            return serialization.load_pem_private_key(raw, None)
        except TypeError:  # it is encrypted
            return serialization.load_pem_private_key(raw, secrets(f"passphrase of {uri}").encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeysError(f"{uri} holds no private key that can be read: {error}; is the passphrase right?") from None


def _variable(name: str) -> bytes:
    if not (found := os.environ.get(name)):
        raise KeysError(f"the key is to come from the variable {name}, which is not set")
    return found.encode()


def read(file: Path, most: int = _MAX_BYTES) -> bytes:
    """Read a file of at most `most` bytes, such as a key.

    Raises:
        KeysError: it cannot be read, or is not small.
    """
    try:
        with file.open("rb") as opened:
            raw = opened.read(most + 1)
    except OSError as error:
        raise KeysError(f"{file} cannot be read: {error.strerror}") from error
    if len(raw) > most:
        raise KeysError(f"{file} has more than {most} bytes; is it the right file?")
    return without_mark(raw)

"""The first keys and the first metadata of a site.

`otamirror up` makes them by itself, so that a mirror is signed from its first release on. The keys of root and targets
are only needed when people change who may sign; until they are moved away, whoever takes this machine takes the fleet.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tuf.api.metadata import DelegatedRole, Delegations, Metadata, Root, Targets

from builder.errors import KeysError
from builder.pages import Page
from builder.signing import keys
from mirror import layout, trust

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from securesystemslib.signer import Key, Signer

    from builder.signing.keys import Keyring
    from builder.signing.sign import Signing
    from builder.site import Trust
    from mirror.files import Files

logger = logging.getLogger(__name__)

ONLINE = (trust.SNAPSHOT, trust.TIMESTAMP, trust.UNCLAIMED)
OFFLINE = (trust.ROOT, trust.TARGETS)


class NoKeysError(KeysError):
    """The site has no keys, and this is no moment to make them: devices would be pinned to a root of nothing."""

    def __init__(self) -> None:
        super().__init__("this site has no keys yet: `otamirror keys init` makes them, and `up` and `build` do, too")


def first_keys(keyring: Keyring, settings: Trust, files: Files) -> None:
    """Make the first keys of every role, as many as its threshold; those that are there already stay.

    Raises:
        KeysError: they may not be made now, or what is there, or is named in the settings, is no key.
    """
    if not keyring.makes_first:
        raise NoKeysError
    files.make_folder(keyring.folder, 0o700)
    files.sync_all(keyring.folder)
    for role, number in _wanted(settings):
        file = _file(keyring.folder, role, number)
        if file.with_suffix(keys.PUBLIC).exists():
            continue
        if role in keyring.uris or file.exists():  # it is elsewhere, or a cut came between the two files
            signer = keys.open_signer(keyring.uris.get(role, str(file)), keyring.secrets)
            files.replace(file.with_suffix(keys.PUBLIC), keys.public_pem(signer.public_key))
        else:
            keys.save(keys.generate(), file, files, keyring.passphrase)
            logger.info("made the key %s", file)


def first_metadata(signing: Signing) -> tuple[list[Page], set[str]]:
    """Make the first root, targets and delegations, signed with the first keys; returns pages, and bins to be signed.

    Raises:
        KeysError: a key is missing.
    """
    settings = signing.settings
    public: dict[str, list[Key]] = {}
    for role, number in _wanted(settings):
        public.setdefault(role, []).append(
            keys.read_public(_file(signing.keyring.folder, role, number).with_suffix(keys.PUBLIC))
        )
    root, targets = _root(public, signing), _targets(public[trust.UNCLAIMED], signing)
    pages = [
        _sealed(trust.ROOT, root, _signers(trust.ROOT, public, settings.root_threshold, signing)),
        _sealed(trust.TARGETS, targets, _signers(trust.TARGETS, public, settings.targets_threshold, signing)),
    ]
    now = signing.clock()
    signing.roles.add_root(1, pages[0].data, now, now)
    signing.roles.root_is_settled(1)
    signing.roles.set(trust.TARGETS, 1, trust.time(targets.expires), pages[1].data)
    more, bins = signing.delegate(settings.bins.bit_length() - 1, {key.keyid: key for key in public[trust.UNCLAIMED]})
    return [*pages, *more], bins


def offline_advice(folder: Path) -> str:
    """Say which private keys belong elsewhere; "" if none is there."""
    there = [str(file) for file in _offline(folder)]
    if not there:
        return ""
    return (
        f"{', '.join(there)}: whoever has these may change who signs for this mirror, and nothing else needs them. "
        "Copy them to two places that are offline, then remove them here; the .pub files stay. docs/keys.md says how."
    )


def _offline(folder: Path) -> Iterator[Path]:
    for role in OFFLINE:
        yield from sorted(folder.glob(f"{role}*{keys.PRIVATE}"))


def _wanted(settings: Trust) -> list[tuple[str, int]]:
    """Tell which keys there are at first: role and number."""
    counts = {trust.ROOT: settings.root_threshold, trust.TARGETS: settings.targets_threshold}
    return [(role, number) for role in (*OFFLINE, *ONLINE) for number in range(1, counts.get(role, 1) + 1)]


def _file(folder: Path, role: str, number: int) -> Path:
    return folder / f"{role}{'' if number == 1 else f'-{number}'}{keys.PRIVATE}"


def _root(public: Mapping[str, Sequence[Key]], signing: Signing) -> Root:
    root = Root(1, expires=signing.now() + timedelta(days=signing.settings.root_days))
    for role in trust.TOP:
        for key in public[role]:
            root.add_key(key, role)
    root.roles[trust.ROOT].threshold = signing.settings.root_threshold
    root.roles[trust.TARGETS].threshold = signing.settings.targets_threshold
    return root


def _targets(public: Sequence[Key], signing: Signing) -> Targets:
    keyids = [key.keyid for key in public]
    unclaimed = DelegatedRole(trust.UNCLAIMED, keyids, 1, terminating=False, paths=list(trust.UNCLAIMED_PATHS))
    delegations = Delegations({key.keyid: key for key in public}, {trust.UNCLAIMED: unclaimed})
    expires = signing.now() + timedelta(days=signing.settings.targets_days)
    return Targets(1, expires=expires, delegations=delegations)


def _signers(role: str, public: Mapping[str, Sequence[Key]], threshold: int, signing: Signing) -> list[Signer]:
    return signing.signers(role, {key.keyid: key for key in public[role]}, threshold)


def _sealed(role: str, signed: Root | Targets, signers: Sequence[Signer]) -> Page:
    metadata: Metadata[Any] = Metadata(signed)
    for signer in signers:
        metadata.sign(signer, append=True)
    return Page(layout.metadata(role, signed.version), metadata.to_bytes())

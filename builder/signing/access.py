"""The keys that this machine has for a site, and what signs with them."""

from __future__ import annotations

import getpass
import sys
from typing import TYPE_CHECKING

from builder.signing.establish import ONLINE
from builder.signing.keys import Keyring, passphrase_from, secrets_from
from builder.signing.roles import Roles
from builder.signing.sign import Signing

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from builder.site import Site


def signing(site: Site, connection: sqlite3.Connection, ring: Keyring, clock: Callable[[], float]) -> Signing:
    """Return what signs for a site, by what its catalogue says."""
    return Signing(Roles(connection), ring, site.trust, site.cache.longest_age, clock)


def keyring(site: Site, *, makes_first: bool = True) -> Keyring:
    """Return the keys that a site has; whether the first may be made if it has none is up to the command."""
    uris = {role: uri for role in ONLINE if (uri := getattr(site.keys, role))}
    file = site.keys.passphrase_file
    return Keyring(site.paths.keys, uris, secrets_from(file, ask()), passphrase_from(file), makes_first=makes_first)


def ask() -> Callable[[str], str] | None:
    """Return what asks a person for a passphrase; None if nobody is there."""
    return (lambda name: getpass.getpass(f"{name}: ")) if sys.stdin.isatty() else None

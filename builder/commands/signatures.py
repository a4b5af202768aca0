"""How a change of keys collects its signatures on the command line, and what is said of keys.

keys rotate root            made, signed with the keys that are here, published if that is all
keys sign change-1.json     elsewhere, by those who have the other keys
keys publish change-1.json  at the site, once nothing is missing
"""

from __future__ import annotations

import functools
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from builder import site as sites
from builder.commands import options
from builder.signing import access, expiry, keys
from builder.signing import ceremony as signing_ceremony
from builder.signing.apply import wait
from builder.signing.propose import Draft
from mirror import terminal, trust
from mirror.files import Files

if TYPE_CHECKING:
    from collections.abc import Callable

    from builder.build import Builder
    from builder.signing.change import Change
    from builder.signing.sign import Signing
    from builder.site import Site

NOT_IN_FORCE = 75
"""Exit code where a change waits for signatures of others."""

_PATH = click.Path(path_type=Path, dir_okay=False)
_key = click.option(
    "--key", "uris", multiple=True, metavar="FILE|URI", help="A private key to sign with; may be repeated."
)


@dataclass(frozen=True, slots=True)
class Ceremony:
    """How one change is to be signed.

    Attributes:
        uris: private keys beside those that the site has.
        output: where the change goes if signatures are missing.
        at_once: keys are lost or stolen, so nothing waits for caches.
    """

    uris: tuple[str, ...]
    output: Path | None
    at_once: bool

    def hold(self, site: Site, draft: Callable[[Draft, Builder], None]) -> None:
        """Make a change, sign it with the keys that are here, and publish it or end with 75 and say what is missing."""
        with options.working(site) as builder:
            builder.finish()
            builder.signing.check_clock()  # what people sign has its expiry from it, too
            wanted = Draft(builder.signing)
            draft(wanted, builder)
            change = wanted.change(at_once=self.at_once)
            signing_ceremony.sign_with(change, self.uris, builder.signing.keyring.secrets)
            signing_ceremony.sign_here(change, builder.signing.keyring)
            if change.missing():
                file = self.output or signing_ceremony.free_file(site.paths.var)
                others = [each for each in signing_ceremony.pending(site.paths.var) if each != file]
                Files().replace(file, change.encode())
                _tell_missing(change, file)
                for each in others:
                    terminal.echo(f"{each} is a change from before: only one of them can take effect")
                sys.exit(NOT_IN_FORCE)
            else:
                _publish(builder, change)


def ceremony(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command what it takes to have its change signed, as one argument `ceremony`."""

    @_key
    @click.option("--output", type=options.Output(), help="Where the change goes if signatures are missing.")
    @click.option("--at-once", is_flag=True, help="Keys are lost or stolen: let the new root wait for no cache.")
    @functools.wraps(command)
    def with_ceremony(*arguments: Any, uris: tuple[str, ...], output: Path | None, at_once: bool, **named: Any) -> None:
        command(*arguments, ceremony=Ceremony(uris, output, at_once), **named)

    return with_ceremony


@click.command("sign")
@click.argument("file", type=_PATH)
@_key
@click.option(
    "--passphrase-file", type=_PATH, help=f"File with the passphrase of the keys, instead of {keys.VARIABLE}."
)
@click.pass_obj
def run_sign(site_file: Path, file: Path, uris: tuple[str, ...], passphrase_file: Path | None) -> None:
    """Sign a change, on any machine that has the keys; the signatures are added to FILE.

    Without --key, all keys of the site that are wanted sign.

    \b
    Example: otamirror keys sign change-1.json --key /media/usb/root.pem
    """
    change = signing_ceremony.read(file)
    for note in change.notes:
        terminal.echo(f"- {note}")
    if uris:
        done = signing_ceremony.sign_with(change, uris, keys.secrets_from(passphrase_file, access.ask()))
    else:
        done = signing_ceremony.sign_here(change, access.keyring(sites.load(site_file)))
    Files().replace(file, change.encode())
    terminal.echo(f"signed: {', '.join(done) or 'nothing; no key is here that is missing'}")
    _tell_missing(change, file)
    if not done and change.missing():
        sys.exit(NOT_IN_FORCE)


@click.command("publish")
@click.argument("file", type=_PATH)
@click.argument("copies", nargs=-1, type=_PATH)
@options.pass_site
def run_publish(site: Site, file: Path, copies: tuple[Path, ...]) -> None:
    """Publish a change that has all its signatures; COPIES of FILE that others signed add theirs.

    \b
    Example: otamirror keys publish change-1.json change-1-bob.json
    """
    change = signing_ceremony.read(file, copies)
    with options.working(site) as builder:
        _publish(builder, change)


def rows(signing: Signing) -> list[dict[str, object]]:
    """Return who may sign what: a row for each key of each role."""
    until = {each.role: each for each in expiry.expiries(signing)}
    found = []
    for role, threshold, public in signing.delegated():
        configured = role if role in trust.TOP else trust.UNCLAIMED
        here = [key.keyid for key in public if signing.keyring.find(configured, key)]
        for key in public:
            row = {"role": role, "key": key.keyid[:16], "here": "yes" if key.keyid in here else "no"}
            found.append(
                {**row, "threshold": threshold, "version": until[role].version, "expires": until[role].expires}
            )
    return found


def _publish(builder: Builder, change: Change) -> None:
    builder.change(change)
    for note in change.notes:
        terminal.echo(f"done: {note}")
    newest = builder.signing.roles.newest_roots()[0]
    if newest.published is None:
        terminal.echo(
            f"root {newest.version} follows in {wait(newest):.0f} seconds, when no cache has older metadata: "
            "`otamirror up` publishes it, or run `otamirror resign` then"
        )


def _tell_missing(change: Change, file: Path) -> None:
    if missing := change.missing():
        terminal.echo(f"{file} has the change. Signatures are missing: " + "; ".join(dict.fromkeys(missing)))
        terminal.echo(f"Whoever has the keys runs: otamirror keys sign {file} --key KEY")
    terminal.echo(f"{'Then, at' if missing else 'At'} the site: otamirror keys publish {file}")


COMMANDS = (run_sign, run_publish)

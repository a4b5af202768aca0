"""Commands for those who hold keys: `keys ...`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from builder import build, console
from builder.commands import options, signatures
from builder.errors import KeysError
from builder.signing import access, establish, keys
from builder.signing.ceremony import new_keys
from mirror import rules, terminal, trust
from mirror.files import Files

if TYPE_CHECKING:
    from collections.abc import Sequence

    from securesystemslib.signer import Key

    from builder.build import Builder
    from builder.catalogue import Catalogue
    from builder.commands.signatures import Ceremony
    from builder.signing.propose import Draft
    from builder.signing.sign import Signing
    from builder.site import Site

_ROLES = click.Choice([*trust.TOP, trust.UNCLAIMED])
_HOLDERS = click.Choice(establish.OFFLINE)
_PATH = click.Path(path_type=Path, dir_okay=False)
_threshold = click.option("--threshold", type=click.IntRange(1, 16), help="Signatures that the role needs from now on.")


def _package(_context: click.Context, _parameter: click.Parameter, text: str) -> str:
    if fault := rules.name(text):
        raise click.BadParameter("; ".join(filter(None, fault)))
    return text


@click.group("keys")
def keys_group() -> None:
    """Keys: who may sign what on this mirror.

    Root and targets are signed by people, with keys that belong on no server; releases, snapshot and timestamp by the
    builder. docs/keys.md has the whole story.
    """


@keys_group.command("init")
@click.option(
    "--encrypt", is_flag=True, help="Ask for a passphrase and encrypt the keys; the service then needs it too."
)
@options.pass_site
def run_init(site: Site, *, encrypt: bool) -> None:
    """Make the first keys, and sign the mirror with them; `up` does that by itself, without a passphrase.

    \b
    Example: otamirror keys init
    """
    ring = access.keyring(site)
    if encrypt and any(ring.files()):
        raise KeysError(f"{site.paths.keys} has keys already, and they stay as they are; `keys rotate` makes new ones")
    if encrypt:
        ring.passphrase = click.prompt("Passphrase", hide_input=True, confirmation_prompt=True)
        ring.secrets = lambda _name: ring.passphrase
    with build.opened(site, ring=ring) as builder:
        builder.finish()
    terminal.echo(establish.offline_advice(site.paths.keys))


@keys_group.command("new")
@click.argument("file", type=options.Output())
@click.option("--encrypt", is_flag=True, help="Ask for a passphrase and encrypt the key.")
def run_new(file: Path, *, encrypt: bool) -> None:
    """Make a key pair anywhere: FILE is the private key, the public one lies beside it and ends in .pub.

    \b
    Example: otamirror keys new publisher.pem
    """
    if file.suffix != keys.PRIVATE:
        raise click.BadParameter(f"the name of a private key ends in {keys.PRIVATE}", param_hint="FILE")
    passphrase = click.prompt("Passphrase", hide_input=True, confirmation_prompt=True) if encrypt else ""
    signer = keys.generate()
    keys.save(signer, file, Files(), passphrase)
    terminal.echo(f"{file} is private, {file.with_suffix(keys.PUBLIC)} is for others; key id {signer.public_key.keyid}")


@keys_group.command("list")
@options.as_json
@options.pass_site
def run_list(site: Site, *, as_json: bool) -> None:
    """List who may sign what, which keys are here, and how long each role holds."""
    with options.reading(site) as catalogue:
        rows = signatures.rows(_signing(site, catalogue))
    if as_json:
        console.as_json(rows)
    else:
        headings = ("role", "key", "here", "threshold", "version", "expires")
        console.table(headings, ([row[heading] for heading in headings] for row in rows), empty="no keys yet")


@keys_group.command("add")
@click.argument("role", type=_ROLES)
@click.argument("public", type=_PATH)
@_threshold
@signatures.ceremony
@options.pass_site
def run_add(site: Site, role: str, public: Path, threshold: int | None, ceremony: Ceremony) -> None:
    """Have the key of PUBLIC, a .pub file, sign for ROLE too.

    \b
    Example: otamirror keys add root bob.pub --threshold 2
    """

    def draft(wanted: Draft, _builder: Builder) -> None:
        wanted.add_key(role, keys.read_public(public))
        _set_threshold(wanted, role, threshold)

    ceremony.hold(site, draft)


@keys_group.command("remove")
@click.argument("role", type=_ROLES)
@click.argument("keyid")
@_threshold
@signatures.ceremony
@options.pass_site
def run_remove(site: Site, role: str, keyid: str, threshold: int | None, ceremony: Ceremony) -> None:
    """Have a key, named by the first digits of its id, not sign for ROLE any more.

    \b
    Example: otamirror keys remove root 1f2e3d4c
    """

    def draft(wanted: Draft, _builder: Builder) -> None:
        _set_threshold(wanted, role, threshold)
        wanted.remove_key(role, keyid)

    ceremony.hold(site, draft)


@keys_group.command("rotate")
@click.argument("role", type=_ROLES)
@click.option(
    "--new", "public", multiple=True, type=_PATH, help="A .pub file of the new keys; else they are made here."
)
@signatures.ceremony
@options.pass_site
def run_rotate(site: Site, role: str, public: tuple[Path, ...], ceremony: Ceremony) -> None:
    """Have new keys sign for ROLE instead of all that do.

    Caches may keep older metadata for a while: the new root is published when none does any more, by `up` or `resign`.

    \b
    Example: otamirror keys rotate timestamp
    """
    ceremony.hold(
        site,
        lambda wanted, builder: wanted.replace_keys(role, _new(builder, role, public, wanted.threshold(role))),
    )


@keys_group.command("renew")
@click.argument("role", type=_HOLDERS)
@signatures.ceremony
@options.pass_site
def run_renew(site: Site, role: str, ceremony: Ceremony) -> None:
    """Have root or targets hold for another year, as they are.

    \b
    Example: otamirror keys renew root
    """
    ceremony.hold(site, lambda wanted, _: wanted.renew(role))


@keys_group.command("claim")
@click.argument("package", callback=_package)
@click.option(
    "--publisher-key", "publishers", required=True, multiple=True, type=_PATH, help="The publisher's .pub file."
)
@click.option("--threshold", type=click.IntRange(1, 16), default=1, show_default=True, help="Signatures it needs.")
@click.option(
    "--targets-key", "public", multiple=True, type=_PATH, help="New targets key, if one is needed; else made here."
)
@signatures.ceremony
@options.pass_site
def run_claim(
    site: Site,
    package: str,
    publishers: tuple[Path, ...],
    threshold: int,
    public: tuple[Path, ...],
    ceremony: Ceremony,
) -> None:
    """Have PACKAGE signed by its publisher's own keys, and by nobody else.

    The publisher signs the change too, with `otamirror keys sign`. If the package has releases already, the targets
    key is replaced, so that nobody can show a device the time before.

    \b
    Example: otamirror keys claim app --publisher-key publisher.pub
    """

    def draft(wanted: Draft, builder: Builder) -> None:
        wanted.claim(package, [keys.read_public(file) for file in publishers], threshold)
        if wanted.was_unclaimed(package):
            count = wanted.threshold(trust.TARGETS)
            wanted.replace_keys(trust.TARGETS, _new(builder, trust.TARGETS, public, count))

    ceremony.hold(site, draft)


@keys_group.command("unclaim")
@click.argument("package", callback=_package)
@signatures.ceremony
@options.pass_site
def run_unclaim(site: Site, package: str, ceremony: Ceremony) -> None:
    """Have PACKAGE signed by the mirror's online keys again.

    \b
    Example: otamirror keys unclaim app
    """
    ceremony.hold(site, lambda wanted, _: wanted.unclaim(package))


@keys_group.command("export-root")
@click.option("--version", type=click.IntRange(1), help="This version, instead of the newest.")
@click.option("--output", type=options.Output(), help="Write it there, instead of printing it.")
@options.pass_site
def run_export_root(site: Site, version: int | None, output: Path | None) -> None:
    """Print the root that a device is pinned to: `otadevice init --root`.

    \b
    Example: otamirror keys export-root --output root.json
    """
    with options.reading(site) as catalogue:
        known = _signing(site, catalogue).roles.roots()
        roots = {root.version: root.data for root in known if root.published is not None}
    number = version or max(roots)
    if number not in roots:
        raise KeysError(f"there is no root {number}; the newest is {max(roots)}")
    if output:
        Files().replace(output, roots[number])
        terminal.echo(f"root {number} is in {output}; pin devices to it with `otadevice init --root`", err=True)
    else:
        terminal.echo_bytes(roots[number])


def _signing(site: Site, catalogue: Catalogue) -> Signing:
    """Return what signs for a site that has keys; it is only looked at.

    Raises:
        NoKeysError: it has none.
    """
    signing = access.signing(site, catalogue.connection, access.keyring(site, makes_first=False), time.time)
    if not signing.roles.newest_roots():
        raise establish.NoKeysError
    return signing


def _new(builder: Builder, role: str, public: Sequence[Path], count: int) -> list[Key]:
    """Return new keys for a role: those that were given, else as many as it needs, made here."""
    if public:
        return [keys.read_public(file) for file in public]
    return new_keys(builder.signing.keyring, role, count, Files())


def _set_threshold(wanted: Draft, role: str, threshold: int | None) -> None:
    if threshold is not None:
        wanted.set_threshold(role, threshold)


for _command in signatures.COMMANDS:
    keys_group.add_command(_command)

COMMANDS = (keys_group,)

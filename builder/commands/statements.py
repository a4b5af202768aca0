"""What `push` takes of a publisher who signs: keys, and what the list shall say."""

from __future__ import annotations

import functools
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from builder.client import edit
from builder.client.signed import Order
from builder.signing import keys
from builder.signing.access import ask
from mirror import layout, names, trust
from mirror.canonical import digest
from mirror.releases import Entry

if TYPE_CHECKING:
    from collections.abc import Callable

    from builder.client.edit import Edit
    from builder.client.parcel import Parcel
    from builder.submission import Statement

_FILE = click.Path(path_type=Path, dir_okay=False)


def _version(_context: click.Context, _parameter: click.Parameter, text: str | None) -> str | None:
    if text is not None and not names.is_version(text):
        raise click.BadParameter(f"{text!r} is not a version")
    return text


_OPTIONS = (
    click.option("--key", "uris", multiple=True, metavar="KEY", help="Private key of a claimed package: file or URI."),
    click.option("--public-key", "publics", multiple=True, type=_FILE, help="That of a --key in a KMS or HSM."),
    click.option("--trusted-key", "colleagues", multiple=True, type=_FILE, help="Public key of who may sign too."),
    click.option("--mirror", metavar="URL", help="Where the package is read; --to if not given."),
    click.option("--expires-days", "days", default=180, show_default=True, type=click.IntRange(1, 3650)),
    click.option("--renew", is_flag=True, help="Only sign for longer."),
    click.option("--yank", callback=_version, metavar="VERSION", help="Have no device take a release any more."),
    click.option("--reason", default="", help="Why it is yanked, for people."),
    click.option("--replacement", default="", metavar="VERSION", help="What to take instead."),
    click.option("--withdraw", callback=_version, metavar="VERSION", help="Take a release out of the list."),
)


class Signing(NamedTuple):
    """These options, as they were given."""

    uris: tuple[str, ...]
    publics: tuple[Path, ...]
    colleagues: tuple[Path, ...]
    mirror: str | None
    days: int
    renew: bool
    yank: str | None
    reason: str
    replacement: str
    withdraw: str | None

    @property
    def is_wanted(self) -> bool:
        """Whether something is to be signed."""
        return bool(self.uris)

    @property
    def done(self) -> str:
        """What was done once it is published, in words that follow the name of the branch."""
        if self.yank:
            return f"{self.yank} is yanked"
        if self.withdraw:
            return f"{self.withdraw} is withdrawn"
        return "is signed for longer" if self.renew else "is published"

    def check(self, *, has_file: bool) -> None:
        """See that the options go together.

        Raises:
            UsageError: they do not.
        """
        wishes = [bool(self.renew), self.yank is not None, self.withdraw is not None]
        if not self.is_wanted:
            if any((*wishes, self.publics, self.colleagues, self.mirror, self.reason, self.replacement)):
                raise click.UsageError("what a publisher signs needs --key")
            if not has_file:
                raise click.MissingParameter(param_hint="'FILE'", param_type="argument")
            return
        if sum((*wishes, has_file)) != 1:
            raise click.UsageError("give one of FILE, --renew, --yank and --withdraw")
        if (self.reason or self.replacement) and self.yank is None:
            raise click.UsageError("--reason and --replacement go with --yank")
        if self.replacement and (not names.is_version(self.replacement) or self.replacement == self.yank):
            raise click.BadParameter(f"{self.replacement!r} is no other version", param_hint="--replacement")

    def order(self, package: str, branch: str, parcel: Parcel | None, now: float) -> Order:
        """Return what is to be signed, opening the keys."""
        secrets = keys.secrets_from(None, ask())
        publics = iter(self.publics)
        signers = [
            keys.open_signer(uri, secrets, None if _is_near(uri) else next(map(keys.read_public, publics), None))
            for uri in self.uris
        ]
        trusted = [*(signer.public_key for signer in signers), *map(keys.read_public, self.colleagues)]
        return Order(package, branch, self._edit(parcel, now), signers, trusted, self.days)

    def _edit(self, parcel: Parcel | None, now: float) -> Edit:
        if parcel:
            stated, published = parcel.content, trust.time(datetime.fromtimestamp(now, UTC))
            entry = Entry(
                stated.version, stated.digest, stated.sha256, parcel.size, published, dict(stated.dependencies)
            )
            return partial(edit.with_release, entry=entry)
        if self.yank:
            return partial(edit.with_yank, version=self.yank, reason=self.reason, replacement=self.replacement)
        return partial(edit.without, version=self.withdraw) if self.withdraw else edit.renewed


def options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command these options, as one argument `signing`."""

    @functools.wraps(command)
    def with_signing(*arguments: Any, **given: Any) -> None:
        command(*arguments, signing=Signing(**{name: given.pop(name) for name in Signing._fields}), **given)

    for option in reversed(_OPTIONS):
        option(with_signing)
    return with_signing


def fields(statement: Statement) -> dict[str, object]:
    """Return what was signed, for programs."""
    newest = statement.newest
    return {
        "signed": statement.role.signed.version,
        "expires": trust.time(statement.role.signed.expires),
        "list": {
            "path": layout.release_list(newest.package, newest.branch),
            "sha256": digest(statement.listed),
            "size": len(statement.listed),
            "releases": len(newest.releases),
            "older": len(newest.older),
        },
    }


def sentence(statement: Statement) -> str:
    """Return what was signed, for people."""
    signed, count = statement.role.signed, len(statement.newest.releases)
    older = sum(part.count for part in statement.newest.older)
    return (
        f"{statement.package} on {statement.branch}: {count + older} releases, signed as version {signed.version}, "
        f"holds until {trust.time(signed.expires)}"
    )


def _is_near(uri: str) -> bool:
    """Tell whether a key is a file or in the environment, with its public key in it."""
    scheme, colon, _ = uri.partition(":")
    return not colon or scheme in {"key", "env"}

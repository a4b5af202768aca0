"""Commands for the tokens that publishers upload with: `token add`, `token list`, `token revoke`."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING

import click

from builder import console
from builder.commands import options
from builder.uploads import grants
from builder.uploads.tokens import Tokens
from mirror import terminal
from mirror.files import Files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from builder.site import Site
    from builder.uploads.grants import Grant


@click.group("token")
def token_group() -> None:
    """Tokens: who may upload which packages."""


def _judged(judge: Callable[[str], str | None]) -> Callable[[click.Context, click.Parameter, str], str | None]:
    """Make the callback that refuses a text as `judge` does."""

    def check(_context: click.Context, _parameter: click.Parameter, text: str) -> str | None:
        try:
            return judge(text)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None

    return check


def _patterns(_context: click.Context, _parameter: click.Parameter, texts: tuple[str, ...]) -> tuple[str, ...]:
    try:
        return tuple(grants.pattern(text) for text in texts)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _expiry(text: str) -> str | None:
    return grants.expiry(text, time.time())


_pattern_help = "Pattern of {}, such as {}; repeat it for more. * stands for any characters, ? for one."


@token_group.command("add")
@click.argument("name", callback=_judged(grants.name))
@click.option(
    "--package",
    "packages",
    required=True,
    multiple=True,
    metavar="PATTERN",
    callback=_patterns,
    help=_pattern_help.format("packages", "'app-*'"),
)
@click.option(
    "--branch",
    "branches",
    required=True,
    multiple=True,
    metavar="PATTERN",
    callback=_patterns,
    help=_pattern_help.format("branches", "main"),
)
@click.option(
    "--expires",
    default="90d",
    show_default=True,
    metavar="90d|DATE|never",
    callback=_judged(_expiry),
    help="When it ends: in days, where a day begins in UTC (2027-01-31), or never.",
)
@options.pass_site
def run_add(site: Site, name: str, packages: tuple[str, ...], branches: tuple[str, ...], expires: str | None) -> None:
    """Make a token and print it, this once: only its hash is kept.

    \b
    Example: OTAMIRROR_TOKEN=$(otamirror token add ci --package 'app-*' --branch main)
    """
    secret = _tokens(site).add(name, packages, branches, expires)
    end = f"until {expires}" if expires else "until it is revoked"
    terminal.echo(
        f"{name} may upload {_listed(packages)} to {_listed(branches)}, {end}. Give the token to its publisher, who "
        "sets OTAMIRROR_TOKEN to it; it is never shown again.",
        err=True,
    )
    terminal.echo(secret)


@token_group.command("list")
@options.as_json
@options.pass_site
def run_list(site: Site, *, as_json: bool) -> None:
    """List the tokens and what they allow; the tokens themselves are not kept."""
    tokens = _tokens(site)
    known = tokens.grants()
    now = time.time()
    if as_json:
        console.as_json([{**dataclasses.asdict(grant), "expired": grant.is_expired(now)} for grant in known])
    else:
        headings = ("name", "packages", "branches", "created", "expires")
        console.table(headings, (_row(grant, now) for grant in known))
        if not tokens.are_good():
            terminal.echo(_state(tokens), err=True)


@token_group.command("revoke")
@click.argument("name")
@options.pass_site
def run_revoke(site: Site, name: str) -> None:
    """Remove a token; a running service refuses it from the next request on."""
    tokens = _tokens(site)
    tokens.revoke(name)
    terminal.echo(f"{name} is refused from now on; {_state(tokens)}", err=True)


def _row(grant: Grant, now: float) -> tuple[str, ...]:
    expires = f"{grant.expires} (over)" if grant.is_expired(now) else grant.expires or "never"
    return grant.name, _listed(grant.packages), _listed(grant.branches), grant.created, expires


def _state(tokens: Tokens) -> str:
    """Say who can upload now."""
    if tokens.are_good():
        left = ", ".join(grant.name for grant in tokens.grants() if not grant.is_expired(time.time()))
        return f"uploads still need a token, and these are left: {left}"
    if tokens.are_needed():
        return "no token is left, so nobody can upload, not even from this machine; `otamirror token add` makes one"
    return "no token was ever made, so this machine alone may upload, without one"


def _listed(patterns: Iterable[str]) -> str:
    return ", ".join(patterns)


def _tokens(site: Site) -> Tokens:
    return Tokens(site.paths.tokens, Files(), time.time)


COMMANDS = (token_group,)

"""Commands that write the mirror: `build`, `recover`, `prune`, `resign`, `rebin`."""

from __future__ import annotations

import logging
import sys
import time
from typing import TYPE_CHECKING

import click

from builder import build, console, recover
from builder.commands import options
from builder.intake import sharing
from builder.intake.drops import Pass
from builder.signing import access, expiry
from mirror import terminal
from mirror.files import Files

if TYPE_CHECKING:
    from collections.abc import Callable

    from builder.site import Site

logger = logging.getLogger(__name__)


_clock_is_right = click.option(
    "--clock-is-right",
    is_flag=True,
    help="Sign once by this machine's clock, however far it is from the last signature: look at it first.",
)


@click.command("build")
@click.option("--from-scratch", is_flag=True, help="First render the whole mirror again.")
@options.as_json
@options.pass_site
def run_build(site: Site, *, from_scratch: bool, as_json: bool) -> None:
    """Publish what lies in the inbox, once.

    \b
    Example: otamirror build
    """
    with options.working(site, makes_keys=True, checks_keys=True) as builder:
        for problem in sharing.problems(site.paths.inbox):
            logger.warning("%s", problem)
        rendered = builder.render_all() if from_scratch else 0
        result = _take(builder.take_inbox, site.inbox.settle_seconds)
        builder.refresh_pages(everything=from_scratch)
    if as_json:
        console.as_json(_pass_fields(result) | {"rendered": rendered})
    else:
        _print_pass(result)
    if any(verdict.error for verdict in result.verdicts):
        sys.exit(1)


def _take(take: Callable[[], Pass], settle_seconds: float) -> Pass:
    """Make a pass, and one more if there is what only that one can take."""
    first = take()
    if not first.is_watching:
        return first
    time.sleep(settle_seconds)
    second = take()
    return Pass(first.verdicts + second.verdicts, second.waiting)


def _pass_fields(result: Pass) -> dict[str, object]:
    return {
        "published": [verdict.title for verdict in result.verdicts if verdict.is_new],
        "known": [verdict.title for verdict in result.verdicts if not verdict.is_new and not verdict.error],
        "refused": [{"drop": v.title, **v.error.as_json()} for v in result.verdicts if v.error],
        "waiting": {find.title: find.waiting for find in result.waiting},
    }


def _print_pass(result: Pass) -> None:
    refused = sum(verdict.error is not None for verdict in result.verdicts)
    new = sum(verdict.is_new for verdict in result.verdicts)
    known = len(result.verdicts) - refused - new
    terminal.echo(f"{new} published, {known} there already, {refused} refused, {len(result.waiting)} waiting")
    for find in result.waiting:
        terminal.echo(f"  {find.title} waits: {find.waiting}")


@click.command("recover")
@_clock_is_right
@options.pass_site
def run_recover(site: Site, *, clock_is_right: bool) -> None:
    """Rebuild a lost catalogue from the mirror's folder.

    A catalogue that cannot be read is kept beside, with `.damaged` at the end of its name.
    """
    if recover.set_aside(site.paths.catalogue, Files()):
        terminal.echo(f"kept what could not be read as {site.paths.catalogue}.damaged", err=True)
    ring = access.keyring(site, makes_first=False)
    with build.opened(site, progress=console.progress, ring=ring, recovers=True) as builder:
        count = builder.recover(clock_is_right=clock_is_right)
        builder.render_all()
        builder.refresh_pages(everything=True)
    terminal.echo(f"{count} releases recovered")


@click.command("prune")
@click.option(
    "--keep-days",
    default=30,
    show_default=True,
    help="Keep what is superseded for so long, and in any case until no timestamp that led to it holds.",
)
@click.option("--dry-run", "dry", is_flag=True, help="Only show what would be removed.")
@options.pass_site
def run_prune(site: Site, keep_days: int, *, dry: bool) -> None:
    """Remove blobs that no release names, and release lists and metadata that were superseded long ago.

    \b
    Example: otamirror prune --dry-run
    """
    with options.working(site) as builder:
        gone = builder.prune(keep_days, dry=dry)
    for path in gone:
        terminal.echo(path)
    count = f"{len(gone)} file{'' if len(gone) == 1 else 's'}"
    terminal.echo(f"{count} would be removed" if dry else f"{count} removed", err=True)


@click.command("resign")
@click.option("--all", "everything", is_flag=True, help="Sign everything anew that is signed here, due or not.")
@_clock_is_right
@options.as_json
@options.pass_site
def run_resign(site: Site, *, everything: bool, clock_is_right: bool, as_json: bool) -> None:
    """Sign anew what expires, and go on with a change of keys; for cron, where `up` does not run.

    Ends with 1 if a role has less than a third of its time left after that: those that only people can renew. Ends
    with 1 too if this machine's clock is before the last signature, or so far after it that nothing holds any more.

    \b
    Example: otamirror resign
    """
    with options.working(site, checks_keys=True) as builder:
        written = builder.resign(everything=everything, clock_is_right=clock_is_right)
        due = expiry.alarms(builder.signing)
    if as_json:
        console.as_json({"written": written, "due": [each.fields() for each in due]})
    else:
        terminal.echo(f"{written} files written, {len(due)} roles expire soon")
    if due:
        sys.exit(1)


@click.command("rebin")
@options.pass_site
def run_rebin(site: Site) -> None:
    """Divide the release lists into as many bins as `trust.bins` in site.toml says.

    More bins make an update smaller for devices on a mirror with very many packages.

    \b
    Example: otamirror rebin
    """
    with options.working(site) as builder:
        changed = builder.rebin()
    terminal.echo(f"release lists are in {site.trust.bins} bins{'' if changed else ' already'}")


COMMANDS = (run_build, run_recover, run_prune, run_resign, run_rebin)

"""Commands that change what is installed: `update`, `recover`, `rollback`, `remove`, `clear-bad`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from devclient import config, draft, poll, report
from devclient.check import Wish
from devclient.commands import looking, options
from devclient.errors import UndoError
from mirror import rules

if TYPE_CHECKING:
    from pathlib import Path


@click.command(epilog=options.example("update", "update --dry-run", "update app --version 1.4 --allow-downgrade"))
@click.argument("package", default="", callback=options.rule(rules.name))
@click.option("--version", default="", callback=options.rule(rules.version), help="Take this release of PACKAGE.")
@click.option("--allow-downgrade", is_flag=True, help="Also if it is lower than what is installed.")
@click.option("--dry-run", is_flag=True, help="Only show what would be done.")
@options.as_json
@click.pass_obj
def update(file: Path, package: str, version: str, *, allow_downgrade: bool, dry_run: bool, as_json: bool) -> None:
    """Download and install what the mirror offers, for PACKAGE or for all."""
    if as_json and not dry_run:
        raise click.UsageError("--json goes with --dry-run; `otadevice status --json` tells what an update did")
    if (version or allow_downgrade) and not package:
        raise click.UsageError("--version and --allow-downgrade need the name of a PACKAGE")
    if allow_downgrade and not version:
        raise click.UsageError("--allow-downgrade needs --version, the release to go down to")
    wish = Wish(version, allow_downgrade=allow_downgrade) if version else None
    settings = config.load(file)
    if dry_run:
        looking.show_offers(settings, package, wish, as_json=as_json)
        return
    with options.locked(settings) as device:
        done = poll.run(device, package, wish)
    options.tell(done)


@click.command(epilog=options.example("recover"))
@click.pass_obj
def recover(file: Path) -> None:
    """Finish, or undo, an update that was cut off. Needs no network; run it at boot, before what is updated."""
    with options.locked(config.load(file)) as device:
        done = poll.recover(device)
    for result in done.values():
        click.echo(report.outcome(result))
    if not done:
        click.echo("nothing to recover")


@click.command(epilog=options.example("rollback"))
@click.pass_obj
def rollback(file: Path) -> None:
    """Undo the last update whole, once; what it had brought is not taken again until `clear-bad`."""
    with options.locked(config.load(file)) as device:
        poll.recover(device)
        last = device.plans.last
        if last is None:
            raise UndoError("there is none, or it was undone already")
        planned = draft.rollback(last, poll.desk(device))
        for step in planned.steps:
            if step.before:
                reason = "undone by the owner of this device"
                device.marks.add_bad(step.before.content, step.package, step.before.version, reason, device.now())
        done = poll.settle(planned, device)
    options.tell(done)


@click.command(epilog=options.example("remove app"))
@options.package
@click.pass_obj
def remove(file: Path, package: str) -> None:
    """Remove PACKAGE from this device and from its state file."""
    settings = config.load(file)
    with options.locked(settings) as device:
        poll.recover(device)
        done = poll.remove(package, device)
    options.tell(done)


@click.command("clear-bad", epilog=options.example("clear-bad", "clear-bad app"))
@click.argument("package", default="", callback=options.rule(rules.name))
@click.pass_obj
def clear_bad(file: Path, package: str) -> None:
    """Take releases again that failed on this device, of PACKAGE or all; end the wait after interruptions."""
    with options.locked(config.load(file)) as device:
        gone = device.marks.clear(package or None)
    for mark in gone:
        click.echo(f"{mark['package']} {mark['version']} may be taken again: {mark['reason']}")
    if not gone:
        click.echo("no release was marked bad")


COMMANDS = (update, recover, rollback, remove, clear_bad)

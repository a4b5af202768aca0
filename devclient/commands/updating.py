"""Commands that change what is installed: `update`, `recover`, `rollback`, `remove`, `clear-bad`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from devclient import draft, poll, state
from devclient.check import Wish
from devclient.commands import looking, options
from devclient.errors import UndoError
from devclient.settings import config
from devclient.telling import metrics, report
from devclient.trust import copies
from mirror import rules, terminal
from mirror.errors import OTAError

if TYPE_CHECKING:
    from pathlib import Path

    from devclient.records.results import Result
    from devclient.settings.config import Settings
    from devclient.trust.copies import Copy


def _place(_ctx: click.Context, _parameter: click.Parameter, text: str) -> str:
    try:
        return copies.place(text) if text else ""
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command(
    epilog=options.example(
        "update", "update --dry-run", "update app --version 1.4 --allow-downgrade", "update --from /media/usb/mirror"
    )
)
@click.argument("package", default="", callback=options.rule(rules.name))
@options.ruled("--version", rules.version, "VERSION", "Take this release of PACKAGE.")
@click.option("--allow-downgrade", is_flag=True, help="Also if it is lower than what is installed.")
@click.option(
    "--from",
    "place",
    default="",
    metavar="DIR-OR-URL",
    callback=_place,
    help="Ask this copy of the mirror, on a stick for example, instead of the mirror itself.",
)
@click.option("--dry-run", is_flag=True, help="Only show what would be done.")
@options.as_json
@click.pass_obj
def update(
    file: Path, package: str, version: str, place: str, *, allow_downgrade: bool, dry_run: bool, as_json: bool
) -> None:
    """Install what the mirror offers.

    All packages are asked about, or PACKAGE alone, which may bring others that it depends on. A copy of the mirror is
    believed no more and no less than the mirror; packages from other mirrors are left out then.
    """
    if as_json and not dry_run:
        raise click.UsageError("--json goes with --dry-run; `otadevice status --json` tells what an update did")
    if (version or allow_downgrade) and not package:
        raise click.UsageError("--version and --allow-downgrade need the name of a PACKAGE")
    if allow_downgrade and not version:
        raise click.UsageError("--allow-downgrade needs --version, the release to go down to")
    wish = Wish(version, allow_downgrade=allow_downgrade) if version else None
    settings = config.load(file)
    copy = _copy(settings, package, place) if place else None
    if dry_run:
        looking.show_offers(settings, package, wish, copy, as_json=as_json)
        return
    done = _update(settings, package, wish, copy)
    if not done and not state.load(settings.state).packages:
        terminal.echo(report.NOTHING_WANTED)
    options.tell(done)


def _copy(settings: Settings, package: str, place: str) -> Copy:
    """Choose what the copy at `place` stands in for, and say which packages it does not serve."""
    current = state.load(settings.state)
    copy = copies.stand_in(place, settings, current.package(package))
    serves = copy.serves(settings)
    for each in current.packages:
        if not package and not serves(each):
            other = settings.remote_name(each.remote)
            terminal.echo(
                f"{each.name} ({each.branch}): left out, it is from {other} and not from {copy.remote}", err=True
            )
    return copy


def _update(settings: Settings, package: str, wish: Wish | None, copy: Copy | None) -> list[Result]:
    among = copy.serves(settings) if copy else None
    with options.at_work(settings, copy=copy) as (device, mirrors):
        try:
            done = poll.run(device, package, wish, among=among)
        except (OTAError, OSError) as error:
            metrics.write(device, mirrors.standings(), [], mirrors.received, exit_code=options.exit_code(error))
            raise
        metrics.write(device, mirrors.standings(), done, mirrors.received)
        return done


@click.command(epilog=options.example("recover"))
@click.option("--early", is_flag=True, help="Leave to later what waits for services: an AfterUpdate after its reboot.")
@click.pass_obj
def recover(file: Path, *, early: bool) -> None:
    """Finish or undo an update that was cut off.

    Needs no network. Run it at boot, before what is updated.
    """
    with options.locked(config.load(file)) as device:
        done = poll.recover(device, early=early)
    for result in done.values():
        terminal.echo(report.outcome(result))
    if not (done or early):
        terminal.echo("nothing to recover")


@click.command(epilog=options.example("rollback"))
@click.pass_obj
def rollback(file: Path) -> None:
    """Undo the last update.

    Whole, and once; what it had brought is not taken again until `otadevice clear-bad`.
    """
    with options.locked(config.load(file)) as device:
        poll.recover(device)
        last = device.plans.last
        if last is None:
            raise UndoError("there is none, or it was undone already")
        planned = draft.rollback(last, poll.desk(device))
        done = poll.settle(planned, device)
    options.tell(done)


@click.command(epilog=options.example("remove app"))
@options.package
@click.pass_obj
def remove(file: Path, package: str) -> None:
    """Remove a package from this device.

    PACKAGE goes from its place and from the state file. One that others depend on stays.
    """
    settings = config.load(file)
    with options.locked(settings) as device:
        poll.recover(device)
        before = state.load(settings.state).unneeded()
        done = poll.remove(package, device)
        after = state.load(settings.state).unneeded()
    options.tell(done)
    for each in after:
        if each not in before:
            terminal.echo(
                f"{each.name} came along with others, and nobody needs it now: `otadevice remove {each.name}`"
            )


@click.command("clear-bad", epilog=options.example("clear-bad", "clear-bad app"))
@click.argument("package", default="", callback=options.rule(rules.name))
@click.pass_obj
def clear_bad(file: Path, package: str) -> None:
    """Let releases be taken again that failed here.

    Those of PACKAGE, or all. It also ends the wait after interruptions.
    """
    with options.locked(config.load(file)) as device:
        gone = device.marks.clear(package or None)
    for mark in gone:
        terminal.echo(f"{mark['package']} {mark['version']} may be taken again: {mark['reason']}")
    if not gone:
        terminal.echo("no release was marked bad")


COMMANDS = (update, recover, rollback, remove, clear_bad)

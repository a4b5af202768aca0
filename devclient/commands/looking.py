"""Commands that only look: `check`, `explain`, `status`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from devclient import assembly, gate, poll, provision, state
from devclient.commands import options
from devclient.records import results
from devclient.settings import config
from devclient.telling import explain as explaining
from devclient.telling import facts, report
from devclient.trust import remote_status

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from devclient.check import Wish
    from devclient.settings.config import Settings
    from devclient.trust.copies import Copy


@click.command(epilog=options.example("check", "check --json"))
@options.as_json
@click.pass_obj
def check(file: Path, *, as_json: bool) -> None:
    """Show what the mirror offers, and why not more.

    Changes nothing, and keeps nothing that the mirror says.
    """
    show_offers(config.load(file), as_json=as_json)


@click.command(epilog=options.example("explain app", "explain app --json"))
@options.package
@options.as_json
@click.pass_obj
def explain(file: Path, package: str, *, as_json: bool) -> None:
    """Show why a package is where it is.

    Lists every release of the branch that PACKAGE follows, with the reason why it is or is not the one to be installed,
    as `otadevice update PACKAGE` would find. Changes nothing.
    """
    settings = config.load(file)
    with assembly.device(settings, lasting=False) as (device, mirrors):
        found, pending = explaining.explain(package, device, _held(settings, device.now())), facts.pending(device)
    trust = facts.trust(settings, mirrors.statuses(), facts.obstacles([found.prospect]))
    options.show(settings, trust, [facts.of_explanation(found)], report.explanations, as_json=as_json, pending=pending)
    options.end({options.exit_code(found.error)} if found.error else set())


@click.command(epilog=options.example("status", "status --json"))
@options.as_json
@click.pass_obj
def status(file: Path, *, as_json: bool) -> None:
    """Show what is installed, and what came of updates.

    Needs no network: what is offered is what the last update knew.
    """
    settings = config.load(file)
    last, undone = results.load(settings.work), results.rolled_back(settings.work)
    current = state.load(settings.state)
    packages, unneeded = current.packages, current.unneeded()
    trust = facts.trust(settings, remote_status.statuses(settings), facts.failures(packages, last))
    with assembly.device(settings, lasting=False) as (device, _):
        bad, pending, undo = device.marks.listed(), facts.pending(device), facts.undoing(device)
        remarks = {each.name: provision.remarks(each, device) for each in packages}
    rows = [
        facts.of_package(each, last.get(each.name), undone.get(each.name), bad, unneeded, remarks[each.name])
        for each in packages
    ]
    options.show(settings, trust, rows, report.packages, as_json=as_json, pending=pending, rollback=undo)


def _held(settings: Settings, now: datetime) -> list[str]:
    window = gate.outside(settings.daemon, now)
    inhibited = gate.inhibited(settings.daemon)
    return [f"`otadevice run` waits: {window}"] * bool(window) + [str(inhibited)] * bool(inhibited)


def show_offers(
    settings: Settings, package: str = "", wish: Wish | None = None, copy: Copy | None = None, *, as_json: bool
) -> None:
    """Show what is offered of a package, or of all, and what would be done; `copy` stands in for its mirror."""
    among = copy.serves(settings) if copy else None
    # who only looks holds no lock, so keeps nothing either
    with assembly.device(settings, lasting=False, copy=copy) as (device, mirrors):
        prospects, pending = poll.look(device, package, wish, among=among), facts.pending(device)
    trust = facts.trust(settings, mirrors.statuses(), facts.obstacles(prospects))
    rows = [facts.of_prospect(each) for each in prospects]
    options.show(settings, trust, rows, report.offers, as_json=as_json, pending=pending)
    # a release that cannot be installed is an answer, no answer is a failure
    options.end({options.exit_code(each.error) for each in prospects if each.error and not each.finding})


COMMANDS = (check, explain, status)

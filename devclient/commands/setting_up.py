"""Commands that set a device up, and say what it wants: `init`, `add`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from devclient import adopt as adopting
from devclient import config, provision
from devclient.commands import options
from mirror import rules
from mirror.files import Files

if TYPE_CHECKING:
    from collections.abc import Sequence


def _urls(_ctx: click.Context, _parameter: click.Parameter, urls: Sequence[str]) -> tuple[str, ...]:
    try:
        return tuple(config.url("", url) for url in urls)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command(epilog=options.example("init --device door-7 --remote https://updates.example.org --root root.json"))
@click.option("--device", default="", metavar="NAME", help="Name of this device; without it, its host name.")
@click.option(
    "--remote",
    "urls",
    required=True,
    multiple=True,
    metavar="URL",
    callback=_urls,
    help="URL of the mirror; repeat it for further URLs of the same mirror.",
)
@click.option(
    "--root",
    required=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Root of the mirror, in which all trust begins; its operator gets it by `otamirror keys export-root`.",
)
@click.option(
    "--allow",
    multiple=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Folder in which packages may be installed, may be repeated; "
    f"without it: {', '.join(map(str, config.ALLOWED))}.",
)
@click.pass_obj
def init(file: Path, device: str, urls: tuple[str, ...], root: Path, allow: tuple[Path, ...]) -> None:
    """Set this device up, without a network: settings, state file, the root that it trusts."""
    folders = tuple(folder.absolute() for folder in allow) or config.ALLOWED
    settings = provision.init(file, device, urls, root, folders, Files())
    click.echo(f"{settings.file} and {settings.state} are written; add packages with `otadevice add`")


@click.command(
    epilog=options.example(
        "add app --branch stable --local /opt/app/app", "add site --branch stable --local /srv/site/"
    )
)
@options.package
@click.option("--branch", required=True, callback=options.rule(rules.branch), help="The branch to follow.")
@click.option(
    "--local",
    default="",
    metavar="PATH",
    callback=options.rule(rules.local),
    help="Where to install it, a folder if it ends in /; without it, the mirror is asked what its publisher proposes.",
)
@click.option("--adopt", is_flag=True, help="Replace a folder that is there already; it is kept beside the new one.")
@click.pass_obj
def add(file: Path, package: str, branch: str, local: str, *, adopt: bool) -> None:
    """Want PACKAGE on this device; the next update installs it."""
    settings = config.load(file)
    with options.locked(settings) as device:
        wanted = provision.add(package, branch, local, device, adopt=adopt)
    click.echo(f"{wanted.name} from {wanted.branch} goes to {wanted.local}; install it with `otadevice update`")


@click.command(epilog=options.example("adopt app", "adopt app --branch stable --local /opt/app/app"))
@options.package
@click.option("--branch", default="", callback=options.rule(rules.branch), help="The branch, if it is not added yet.")
@click.option("--local", default="", metavar="PATH", callback=options.rule(rules.local), help="Likewise the file.")
@click.pass_obj
def adopt(file: Path, package: str, branch: str, local: str) -> None:
    """Recognise the file that is in the place of PACKAGE already, by its hash, as one of its releases."""
    settings = config.load(file)
    with options.locked(settings) as device:
        if branch:
            provision.add(package, branch, local, device)
        adopted = adopting.adopt(provision.wanted(package, settings), device)
    click.echo(f"{adopted.name} from {adopted.branch}: {adopted.local} is {adopted.version}")


@click.command(epilog=options.example('pin app "<2"', "pin app ==1.4", "pin app"))
@options.package
@click.argument("versions", default="", metavar="[RANGE]", callback=options.rule(rules.version_range))
@click.pass_obj
def pin(file: Path, package: str, versions: str) -> None:
    """Keep PACKAGE in a range of versions; without RANGE, let it go."""
    with options.locked(config.load(file)) as device:
        pinned = provision.pin(package, versions, device)
    click.echo(f"{pinned.name} is kept in {pinned.pin}" if pinned.pin else f"{pinned.name} is not pinned")


COMMANDS = (init, add, adopt, pin)

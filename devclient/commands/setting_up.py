"""Commands that set a device up, and say what it wants: `init`, `add`, `adopt`, `pin`, `install-units`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from devclient import adopt as adopting
from devclient import poll, provision, state
from devclient.commands import options
from devclient.errors import ProvisionError
from devclient.settings import config, values
from devclient.solve.ranges import Range
from devclient.units import services
from mirror import rules, terminal, unit_files
from mirror.files import Files

if TYPE_CHECKING:
    from collections.abc import Sequence

_FSTAB = Path("/etc/fstab")


def _urls(_ctx: click.Context, _parameter: click.Parameter, urls: Sequence[str]) -> tuple[str, ...]:
    try:
        return tuple(values.url("", url) for url in urls)
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
    """Set this device up, without a network.

    Writes its settings, its state file, and the root that it trusts.
    """
    folders = tuple(folder.absolute() for folder in allow) or config.ALLOWED
    settings = provision.init(file, device, urls, root, folders, Files())
    terminal.echo(f"{settings.file} and {settings.state} are written; add packages with `otadevice add`")


@click.command(
    epilog=options.example(
        "add app --branch stable --local /opt/app/app", "add site --branch stable --local /srv/site/"
    )
)
@options.package
@options.ruled("--branch", rules.branch, "NAME", "The branch to follow.", required=True)
@options.ruled(
    "--local",
    rules.local,
    "PATH",
    "Where to install it, a folder if it ends in /; without it, the mirror is asked what its publisher proposes.",
)
@click.option(
    "--adopt",
    is_flag=True,
    help="Replace a folder that is there already; it is kept as .NAME.previous.",
)
@click.option("--offline", is_flag=True, help="Do not ask the mirror whether it has the package.")
@click.pass_obj
def add(file: Path, package: str, branch: str, local: str, *, adopt: bool, offline: bool) -> None:
    """Want a package; the next update installs it."""
    if offline and not local:
        raise click.UsageError("--offline needs --local: without it, the mirror is asked where the package goes")
    settings = config.load(file)
    with options.locked(settings) as device:
        wanted = provision.add(package, branch, local, device, adopt=adopt)
        remarks = [*provision.remarks(wanted, device), *([] if offline else provision.missing(wanted, device))]
    where = f"{wanted.name} from {wanted.branch} goes to {wanted.local}"
    terminal.echo(
        f"{where}; {wanted.version} is installed" if wanted.version else f"{where}; `otadevice update` installs it"
    )
    for remark in remarks:
        terminal.echo(f"warning: {remark}", err=True)


@click.command(epilog=options.example("adopt app --branch stable --local /opt/app/app", "adopt app"))
@options.package
@options.ruled("--branch", rules.branch, "NAME", "The branch to follow, if it is not added yet.")
@options.ruled(
    "--local",
    rules.local,
    "PATH",
    "The file, if it is not added yet; without it, the one that its publisher proposes.",
)
@click.pass_obj
def adopt(file: Path, package: str, branch: str, local: str) -> None:
    """Recognise a file that is installed already.

    By its hash it is found among the releases of PACKAGE; from then on it is installed as if it had been updated to it.
    """
    settings = config.load(file)
    with options.locked(settings) as device:
        poll.recover(device)
        there = state.load(settings.state).package(package)
        if there is None and not branch:
            raise ProvisionError(f"{package} is not in {settings.state}; say with --branch and --local what to adopt")
        entry = provision.entry(package, branch or (there.branch if there else ""), local, device)
        adopted = adopting.adopt(entry, device)
    terminal.echo(f"{adopted.name} from {adopted.branch}: {adopted.local} is {adopted.version}")


@click.command(epilog=options.example('pin app "<2"', "pin app ==1.4", "pin app"))
@options.package
@click.argument("versions", default="", metavar="[RANGE]", callback=options.rule(rules.version_range))
@click.pass_obj
def pin(file: Path, package: str, versions: str) -> None:
    """Keep a package in a range of versions.

    Updates take no release of PACKAGE that is outside of RANGE; without RANGE, any again. What is installed stays.
    """
    with options.locked(config.load(file)) as device:
        pinned = provision.pin(package, versions, device)
    if not pinned.pin:
        terminal.echo(f"{pinned.name} is not pinned")
        return
    outside = bool(pinned.version) and not Range(pinned.pin).admits(pinned.version)
    stays = f"; {pinned.version}, which is installed, is outside of it and stays" if outside else ""
    terminal.echo(f"{pinned.name} is pinned to {pinned.pin}{stays}")


@click.command("install-units", epilog=options.example("install-units", "install-units --print"))
@click.option(
    "--to",
    "folder",
    default=unit_files.FOLDER,
    show_default=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Folder of the units.",
)
@click.option("--print", "only_print", is_flag=True, help="Only print them.")
@click.option("--force", is_flag=True, help="Replace units that were changed by hand, or are not from otadevice.")
@click.pass_obj
def install_units(file: Path, folder: Path, *, only_print: bool, force: bool) -> None:
    """Write the units by which systemd runs otadevice.

    One keeps this device up to date, the other finishes or undoes at boot an update that was cut off.
    """
    fstab = _FSTAB.read_text(errors="replace") if _FSTAB.is_file() else ""
    units = services.units(
        config.load(file), services.command(Path(sys.executable), Path(sys.argv[0]).absolute()), fstab
    )
    if only_print:
        terminal.echo("\n".join(f"# {folder / unit.name}\n{_text(unit)}" for unit in units), nl=False)
        return
    written = unit_files.write(units, folder.absolute(), Files(), "otadevice", force=force)
    for path in written:
        terminal.echo(f"{path} is written")
    if not written:
        terminal.echo(f"{' and '.join(unit.name for unit in units)} are in {folder} already")
        return
    terminal.echo(f"next:\n  systemctl daemon-reload\n  systemctl enable --now {services.RECOVER} {services.DAEMON}")
    if any(written.values()):
        terminal.echo(f"  systemctl restart {services.DAEMON}")


def _text(unit: unit_files.Unit) -> str:
    return unit_files.marked(unit, "otadevice").decode()


COMMANDS = (init, add, adopt, pin, install_units)

"""The command `otadevice`: options, one call each, output, exit codes."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import json
import logging
import shutil
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from devclient import config, lock, provision, report, results, room, state, update
from devclient.fetcher import Fetcher
from devclient.progress import Bars, nothing
from devclient.trust import signed
from devclient.trust.signed import Mirrors
from devclient.update import Device
from mirror import rules
from mirror.errors import OTAError
from mirror.files import Files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from devclient.config import Settings
    from mirror.rules import Rule

_WIDE = 160  # columns, where no terminal tells how many it has


class _Commands(click.Group):
    """The one place on a device where errors end: a line on stderr and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (OTAError, OSError) as error:
            click.echo(f"otadevice: {error}", err=True)
            ctx.exit(_exit_code(error))


def _rule(rule: Rule) -> Callable[[click.Context, click.Parameter, str], str]:
    """Make the callback that refuses what breaks a rule of the contract."""

    def check(_ctx: click.Context, _parameter: click.Parameter, text: str) -> str:
        if text and (fault := rule(text)):
            raise click.BadParameter("; ".join(filter(None, fault)))
        return text

    return check


def _urls(_ctx: click.Context, _parameter: click.Parameter, urls: Sequence[str]) -> tuple[str, ...]:
    try:
        return tuple(config.url("", url) for url in urls)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _example(*lines: str) -> str:
    return "\n".join(("\b", "Example:", *(f"  otadevice {line}" for line in lines)))


_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")

_EXIT_CODES = """\b
Exit codes:
  0   done
  1   failed; what to do about it is on stderr
  2   wrong usage
  75  try again later: the network, or another otadevice at work"""


@click.group(
    cls=_Commands,
    epilog=_example(
        "init --device door-7 --remote https://updates.example.org --root root.json",
        "add app --branch stable --local /opt/app/app",
        "update",
    )
    + f"\n\n{_EXIT_CODES}",
)
@click.option(
    "--config",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    default="./otadevice.toml",
    show_default=True,
    help="The settings of this device.",
)
@click.version_option(package_name="otamirror", prog_name="otadevice")
@click.pass_context
def main(ctx: click.Context, file: Path) -> None:
    """Keep the packages of this device up to date from a mirror."""
    ctx.obj = file.absolute()
    ctx.with_resource(_logging())


@main.command(epilog=_example("init --device door-7 --remote https://updates.example.org --root root.json"))
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


@main.command(epilog=_example("add app --branch stable --local /opt/app/app"))
@click.argument("package", callback=_rule(rules.name))
@click.option("--branch", required=True, callback=_rule(rules.branch), help="The branch to follow.")
@click.option(
    "--local",
    default="",
    metavar="PATH",
    callback=_rule(rules.local),
    help="Where to install it; without it, the mirror is asked what its publisher proposes.",
)
@click.pass_obj
def add(file: Path, package: str, branch: str, local: str) -> None:
    """Want PACKAGE on this device; the next update installs it."""
    settings = config.load(file)
    with lock.hold(_lock(settings), Files()), _device(settings) as (device, _):
        mirror = functools.partial(device.mirror, "")
        wanted = provision.add(package, branch, local, settings, mirror, device.files)
    click.echo(f"{wanted.name} from {wanted.branch} goes to {wanted.local}; install it with `otadevice update`")


@main.command(epilog=_example("check", "check --json"))
@_as_json
@click.pass_obj
def check(file: Path, *, as_json: bool) -> None:
    """Show what is offered, and why not more. Changes nothing, and keeps nothing that the mirror says."""
    _show_offers(config.load(file), as_json=as_json)


@main.command("update", epilog=_example("update", "update --dry-run"))
@click.option("--dry-run", is_flag=True, help="Only show what would be done.")
@_as_json
@click.pass_obj
def update_command(file: Path, *, dry_run: bool, as_json: bool) -> None:
    """Download and install what the mirror offers."""
    if as_json and not dry_run:
        raise click.UsageError("--json goes with --dry-run; `otadevice status --json` tells what an update did")
    settings = config.load(file)
    if dry_run:
        _show_offers(settings, as_json=as_json)
        return
    with lock.hold(_lock(settings), Files()), _device(settings) as (device, _):
        done = update.run(device)
    for result in done:
        click.echo(report.outcome(result), err=bool(result.exit_code))
    _end({result.exit_code for result in done})


@main.command(epilog=_example("status", "status --json"))
@_as_json
@click.pass_obj
def status(file: Path, *, as_json: bool) -> None:
    """Show what is installed and wanted, and the last result. Needs no network."""
    settings = config.load(file)
    last = results.load(update.results_file(settings))
    packages = state.load(settings.state).packages
    trust = report.trust(settings, signed.standings(settings), report.failures(packages, last))
    rows = [report.of_package(each, last.get(each.name)) for each in packages]
    _show(trust, settings, rows, report.packages, as_json=as_json)


def _show_offers(settings: Settings, *, as_json: bool) -> None:
    # who only looks holds no lock, so keeps nothing either
    with _device(settings, lasting=False) as (device, mirrors):
        plans = update.plan(device)
    trust = report.trust(settings, mirrors.standings(), report.obstacles(plans))
    _show(trust, settings, [report.of_plan(plan) for plan in plans], report.offers, as_json=as_json)
    # a release that cannot be installed is an answer, no answer is a failure
    _end({_exit_code(plan.error) for plan in plans if plan.error and not plan.finding})


def _show(
    trust: Mapping[str, Mapping[str, Any]],
    settings: Settings,
    rows: list[dict[str, Any]],
    table: Callable[[Sequence[Mapping[str, Any]], int], str],
    *,
    as_json: bool,
) -> None:
    name = state.load(settings.state).name
    if as_json:
        click.echo(json.dumps({"device": name, "trust": trust, "packages": rows}, indent=2, ensure_ascii=False))
    elif rows:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else _WIDE
        click.echo("\n".join([f"device {name}", *report.mirrors(trust), "", table(rows, width)]))
    else:
        click.echo(f"device {name}: no packages yet, add one with `otadevice add`")


@contextlib.contextmanager
def _device(settings: Settings, *, lasting: bool = True) -> Iterator[tuple[Device, Mirrors]]:
    """Put together what an update works with; what is not `lasting` forgets what the mirrors say."""
    agent = f"otadevice/{importlib.metadata.version('otamirror')}"
    files, now = Files(), functools.partial(datetime.now, UTC)
    with contextlib.ExitStack() as stack:
        fetcher = stack.enter_context(Fetcher(settings.network, agent, time.monotonic))
        mirrors = stack.enter_context(Mirrors(settings, fetcher, files, now, lasting=lasting))
        progress = stack.enter_context(Bars(Console(stderr=True))) if sys.stderr.isatty() else nothing
        yield Device(settings, files, mirrors, room.free, progress, now), mirrors


@contextlib.contextmanager
def _logging() -> Iterator[None]:
    """Log to stderr: all that is done, or only warnings where a bar shows it."""
    logger = logging.getLogger("devclient")
    handler = logging.StreamHandler(sys.stderr)
    logger.setLevel(logging.WARNING if sys.stderr.isatty() else logging.INFO)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def _lock(settings: Settings) -> Path:
    return settings.work / "lock"


def _exit_code(error: OTAError | OSError) -> int:
    return error.exit_code if isinstance(error, OTAError) else OTAError.exit_code


def _end(codes: set[int]) -> None:
    """End with the worst of the codes: what failed for good comes before what may pass."""
    failed = codes - {0}
    if failed:
        sys.exit(min(failed))


if __name__ == "__main__":
    main()

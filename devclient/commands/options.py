"""What several commands share: the device put together, options, output, exit codes."""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
import sys
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from devclient import assembly, state
from devclient.progress import Bars, nothing
from devclient.telling import report
from mirror import rules, terminal
from mirror.errors import OTAError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from devclient.device import Device
    from devclient.records.results import Result
    from devclient.settings.config import Settings
    from devclient.trust.copies import Copy
    from devclient.trust.signed import Mirrors
    from mirror.rules import Rule

_log = logging.getLogger(__name__)

_WIDE = 160  # columns, where no terminal tells how many it has

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


def example(*lines: str) -> str:
    """Write the example at the end of a command's help."""
    return "\n".join(("\b", "Example:", *(f"  otadevice {line}" for line in lines)))


def rule(rule: Rule) -> Callable[[click.Context, click.Parameter, str], str]:
    """Make the callback that refuses what breaks a rule of the contract."""

    def check(_ctx: click.Context, _parameter: click.Parameter, text: str) -> str:
        if text and (fault := rule(text)):
            raise click.BadParameter("; ".join(filter(None, fault)))
        return text

    return check


def ruled(name: str, rule_: Rule, metavar: str, text: str, *, required: bool = False) -> Callable[[Any], Any]:
    """Make an option whose value, if there is one, keeps a rule of the contract; `text` is its help."""
    given: dict[str, Any] = {"required": True} if required else {"default": ""}
    return click.option(name, metavar=metavar, callback=rule(rule_), help=text, **given)


package = click.argument("package", callback=rule(rules.name))


@contextlib.contextmanager
def locked(settings: Settings) -> Iterator[Device]:
    """Put a device together that no other otadevice works on meanwhile; see `at_work`."""
    with at_work(settings) as (device, _):
        yield device


@contextlib.contextmanager
def at_work(settings: Settings, *, copy: Copy | None = None) -> Iterator[tuple[Device, Mirrors]]:
    """Likewise, with its mirrors, and bars for downloads where a person waits.

    Raises:
        BusyError: another otadevice is at work.
    """
    bars = Bars(Console(stderr=True)) if sys.stderr.isatty() else contextlib.nullcontext(nothing)
    with bars as progress, assembly.locked(settings, copy=copy, progress=progress) as parts:
        yield parts


def show(
    settings: Settings,
    trust: Mapping[str, Mapping[str, Any]],
    rows: Sequence[Mapping[str, Any]],
    table: Callable[[Sequence[Mapping[str, Any]], int], str],
    *,
    as_json: bool,
    **further: Any,
) -> None:
    """Print what is known of a device, for people or for programs, who get what is `further` known too."""
    name = state.load(settings.state).name
    if as_json:
        fields = {"device": name, "trust": trust, **further, "packages": rows}
        terminal.echo(json.dumps(fields, indent=2, ensure_ascii=False))
    elif rows:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else _WIDE
        terminal.echo(
            "\n".join([f"device {name}", *report.mirrors(trust), *report.remarks(further), "", table(rows, width)])
        )
    else:
        terminal.echo("\n".join([f"device {name}: {report.NOTHING_WANTED}", *report.remarks(further)]))


def tell(done: Iterable[Result]) -> None:
    """Print what came of an update, a line for each package, and end with its exit code."""
    results = list(done)
    for result in results:
        terminal.echo(report.outcome(result), err=bool(result.exit_code))
    end({result.exit_code for result in results})


def exit_code(error: OTAError | OSError) -> int:
    """Tell what a command ends with for the sake of an error."""
    return error.exit_code if isinstance(error, OTAError) else OTAError.exit_code


def end(codes: set[int]) -> None:
    """End with the worst of the codes: what failed for good comes before what may pass."""
    failed = codes - {0}
    if failed:
        sys.exit(min(failed))

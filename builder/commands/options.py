"""What several commands take: the site, `--json`, and what a publisher says about a release."""

from __future__ import annotations

import contextlib
import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import click

from builder import build, console, upkeep
from builder import site as sites
from builder.catalogue import Catalogue
from builder.errors import LostCatalogueError
from builder.signing import access
from mirror import content
from mirror.errors import OperatorError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from builder.build import Builder
    from builder.site import Site

_Arguments = ParamSpec("_Arguments")
_Function = TypeVar("_Function", bound="Callable[..., Any]")


class Output(click.Path):
    """A file that is to be written: a regular one, or one that is not there; a device would be replaced by a file."""

    def __init__(self) -> None:
        super().__init__(path_type=Path, dir_okay=False)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path; end with a wrong usage if something else is there."""
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        try:
            is_other = path.exists() and not path.is_file()
        except OSError as error:
            self.fail(f"{path} cannot be written: {error.strerror}", param, ctx)
        if is_other:
            self.fail(f"{path} is no regular file, and would be replaced by one: name another", param, ctx)
        return path


as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")

_REQUIRED = {
    "package": "Name of the package.",
    "branch": "Branch, such as main or stable.",
    "version": "Version, such as 1.4.2.",
}
_RELEASE = (
    click.option("--description", help="One or more lines for people."),
    click.option("--local", help="Absolute path on the device; ending in / for an archive that is unpacked there."),
    click.option("--remote", help="URL of the mirror, for people who read content.json."),
    click.option("--before", "before_update", help="Shell command that the device runs before the update."),
    click.option("--after", "after_update", help="Shell command that the device runs after the update."),
    click.option("--depends", multiple=True, metavar="NAME=RANGE", help="A package it needs, as lib=>=1.2,<2"),
    click.option("--restore", help="Path of a script that the device runs at the very end."),
)


def pass_site(command: Callable[Concatenate[Site, _Arguments], None]) -> Callable[_Arguments, None]:
    """Read the settings that `--site` names and give them to a command, as its first argument."""

    def with_site(file: Path, /, *arguments: _Arguments.args, **named: _Arguments.kwargs) -> None:
        command(sites.load(file), *arguments, **named)

    functools.update_wrapper(with_site, command)
    return click.pass_obj(with_site)


@contextlib.contextmanager
def reading(site: Site) -> Iterator[Catalogue]:
    """Open the catalogue for a command that only reads: nothing is made.

    Raises:
        OperatorError: there is none.
    """
    path = site.paths.catalogue
    is_lost = upkeep.holds_releases(site.paths.mirror)
    if not path.exists() or not path.stat().st_size:
        if is_lost:
            raise LostCatalogueError(path, "empty" if path.exists() else "gone")
        raise OperatorError(f"there is no catalogue at {path}; nothing was published yet")
    with Catalogue.open(path) as catalogue:
        if is_lost and catalogue.is_empty():
            raise LostCatalogueError(path, "empty")
        yield catalogue


@contextlib.contextmanager
def working(site: Site, *, makes_keys: bool = False, checks_keys: bool = False) -> Iterator[Builder]:
    """Open a site for a command that writes; only a few may make its first keys.

    Raises:
        KeysError: it has none, or with `checks_keys` one that signs online is missing.
    """
    ring = access.keyring(site, makes_first=makes_keys)
    with build.opened(site, progress=console.progress, ring=ring) as builder:
        if checks_keys:
            builder.signing.check_keys()
        yield builder


def release(*, required: bool) -> Callable[[_Function], _Function]:
    """Make the decorator that adds what a publisher says in content.json, all but the SHA-256."""

    def decorate(command: _Function) -> _Function:
        for option in reversed(_RELEASE):
            command = option(command)
        for name in reversed(_REQUIRED):
            command = click.option(f"--{name}", required=required, help=_REQUIRED[name])(command)
        return command

    return decorate


def stated(depends: tuple[str, ...], **given: str | None) -> dict[str, object]:
    """Return what the options of `release` say, spelled as in content.json."""
    fields: dict[str, object] = {name: value for name, value in given.items() if value is not None}
    if depends:
        fields["dependencies"] = dict(_dependencies(depends))
    return content.spelled(**fields)


def _dependencies(depends: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for text in depends:
        name, sign, version_range = text.partition("=")
        if not sign:
            raise click.BadParameter(f"{text!r} is not NAME=RANGE", param_hint="--depends")
        yield name, version_range

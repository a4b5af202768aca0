"""What `pack` and `push` do with a folder: an archive of it is the package."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from builder import console, tar_writer
from builder.folder_archive import EARLIEST, FolderArchiveError, FolderContent
from mirror.files import Files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mirror.canonical import Problem

_EPOCH = "SOURCE_DATE_EPOCH"
_LATEST = 2**33  # seconds, until 2242


class Package(NamedTuple):
    """The file of a package, and what was lost when it was made of a folder."""

    file: Path
    warnings: tuple[Problem, ...] = ()


def compressing(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the option that says how the archive of a folder is compressed."""
    choice = click.Choice(list(tar_writer.SUFFIXES))
    help_ = "How the archive that is made of a folder is compressed."
    return click.option("--compress", "compression", type=choice, default="gzip", show_default=True, help=help_)(
        command
    )


@contextlib.contextmanager
def for_a_while(given: Path, compression: str, local: str) -> Iterator[Package]:
    """Give the file of a package; an archive that is made of a folder is removed in the end."""
    if not given.is_dir():
        yield Package(given)
        return
    with tempfile.TemporaryDirectory(prefix="otamirror-") as folder:
        yield archived(given, Path(folder, f"package{tar_writer.SUFFIXES[compression]}"), compression, local)


def beside(given: Path, compression: str) -> Path:
    """Return where the archive of a folder goes by itself: beside it, under its name."""
    folder = given.resolve()
    if not folder.name:
        raise FolderArchiveError(folder, "has no name: say by --archive where its archive goes")
    return folder.with_name(f"{folder.name}{tar_writer.SUFFIXES[compression]}")


def archived(given: Path, target: Path, compression: str, local: str) -> Package:
    """Make the archive of a folder.

    Raises:
        FolderArchiveError: it cannot be made, or is not to be a folder on devices.
    """
    if local and not local.endswith("/"):
        raise FolderArchiveError(given, f"is a folder, but local {local} is a file: let it end with /")
    if target.resolve().is_relative_to(given.resolve()):
        raise FolderArchiveError(target, "lies in the folder that is packed: choose another place")
    content = FolderContent(given.resolve(), _modified())
    with console.progress(f"packing {given}", content.size) as advance:
        content.write(target, compression, Files(), advance)
    return Package(target, content.warnings)


def _modified() -> int:
    """Read the time of all that is packed, as reproducible builds state it."""
    text = os.environ.get(_EPOCH, "") or str(EARLIEST)
    if not text.isascii() or not text.isdigit() or int(text) >= _LATEST:
        raise click.UsageError(f"{_EPOCH} is {text!r}; it has to be seconds since 1970")
    return int(text)

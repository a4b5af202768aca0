"""Writing the content.json of a package: the publisher states facts, the SHA-256 comes from the file."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, NamedTuple

from builder import folder_package
from mirror import blobs, content
from mirror.errors import PublisherError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from mirror.canonical import Problem
    from mirror.content import Content
    from mirror.files import Files

_UNKNOWN_YET = "0" * 64


class PackError(PublisherError):
    """A content.json cannot be made of this file, or not written there.

    Attributes:
        path: the file or folder that is in the way, or missing.
    """

    code = "pack"

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path} {problem}")
        self.path = path


class Packed(NamedTuple):
    """A content.json that was written to `path`."""

    content: Content
    warnings: tuple[Problem, ...]
    path: Path


class Described(NamedTuple):
    """The content of a package of `size` bytes."""

    content: Content
    warnings: tuple[Problem, ...]
    size: int


def pack(
    file: Path,
    fields: Mapping[str, object],
    output: Path | None,
    files: Files,
    progress: Callable[[int], None] = lambda _: None,
    *,
    overwrite: bool = False,
) -> Packed:
    """Write the canonical content.json of `file`, whole or not at all, in constant memory.

    Args:
        file: the package.
        fields: what content.json says, spelled as there; a `sha256` among it is replaced by the file's.
        output: where to write; None means beside the package, as the inbox takes it: its name and `.json`.
        files: what writes.
        progress: is told the size of each part that was hashed.
        overwrite: whether a file that is there already may be replaced.

    Raises:
        ContentError: `fields` break a rule; told before the file is hashed.
        PackError: the file cannot be read, or the output not be written.
    """
    _check_package(file)
    path = output or file.with_name(f"{file.name}.json")
    _check_not_package(path, file)
    _check_output(path, overwrite=overwrite)
    packed, warnings, _ = describe(file, fields, progress)
    _check_output(path, overwrite=overwrite)  # again: hashing gigabytes takes minutes
    _write(path, packed.canonical(), files)
    return Packed(packed, warnings, path)


def describe_first(fields: Mapping[str, object], file: Path, output: Path | None, *, overwrite: bool) -> None:
    """See that `file` can be made and then packed, before it takes long to make it.

    Raises:
        ContentError: `fields` break a rule.
        PackError: one of the two files that are to be written is in the way.
    """
    content.build({**fields, "sha256": _UNKNOWN_YET})
    for path in (file, output or file.with_name(f"{file.name}.json")):
        _check_output(path, overwrite=overwrite)


def describe(file: Path, fields: Mapping[str, object], progress: Callable[[int], None] = lambda _: None) -> Described:
    """Make the content of `file`, as `pack` does, without writing it.

    Raises:
        ContentError: `fields` break a rule; told before the file is hashed.
        PackError: the file cannot be read.
        UnusableArchiveError: it is to be a folder, and no device could unpack it.
    """
    stated, warnings = content.build({**fields, "sha256": _UNKNOWN_YET})
    sha256, size = digest(file, progress)
    described = dataclasses.replace(stated, sha256=sha256)
    return Described(described, (*warnings, *folder_package.judge(described, file)), size)


def digest(file: Path, progress: Callable[[int], None] = lambda _: None) -> tuple[str, int]:
    """Return the SHA-256 and the size in bytes of a package.

    Raises:
        PackError: it cannot be read.
    """
    _check_package(file)
    try:
        return blobs.digest(file, progress)
    except OSError as error:
        raise PackError(file, f"cannot be read: {error.strerror}") from error


def _check_package(file: Path) -> None:
    if file.is_dir():
        raise PackError(file, "is a folder: make a tar archive of it first, that is what a device unpacks")
    if not file.exists():
        raise PackError(file, "does not exist: check its name")
    if not file.is_file():
        raise PackError(file, "is not a regular file: copy its bytes into one first")


def _check_not_package(path: Path, file: Path) -> None:
    if path.is_file() and path.samefile(file):
        raise PackError(path, "is the package itself: choose another output")


def _check_output(path: Path, *, overwrite: bool) -> None:
    if not path.parent.is_dir():
        raise PackError(path.parent, "is not a folder: make it first, or choose another output")
    if path.is_dir():
        raise PackError(path, "is a folder: name the file to write in it")
    if path.exists() and not path.is_file():
        raise PackError(path, "is no regular file, and would be replaced by one: choose another output")
    if not overwrite and os.path.lexists(path):
        raise PackError(path, "exists already: remove it, choose another output, or ask to overwrite it")


def _write(path: Path, data: bytes, files: Files) -> None:
    try:
        files.replace(path, data)
    except OSError as error:
        raise PackError(path, f"cannot be written: {error.strerror}") from error

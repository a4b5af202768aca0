"""Where a package may go on this device, and what is kept beside it.

Links are followed first, each only where nobody but root and otadevice's user can exchange it, and judged by where
they lead. Nothing is made here.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from devclient.errors import PlaceError
from devclient.install import access
from devclient.plan import Found
from mirror import rules

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mirror.folders import Folder

_MOST_LINKS = 40
"""As many as Linux follows."""
_NEW, _OLD, _PREVIOUS, _ASIDE, _TRY, _COPY = _ENDS = (
    ".ota-new",
    ".ota-old",
    ".previous",
    ".aside",
    ".ota-try",
    ".ota-copy",
)
"""How names end that are given beside a place."""
_LONGEST = 1 + max(map(len, _ENDS))
"""Bytes by which they are longer, with the dot at their start."""


def resolve(local: str, allow: Sequence[Path], link: str = "") -> Path:
    """Return the file, or the link to a folder, that `local` is in the end, whether it exists or not.

    Args:
        local: the place as its owner calls it.
        allow: the folders in which packages may be installed.
        link: for a folder, what our own link at its place says: that one is not followed.

    Raises:
        PlaceError: it is not inside one of the folders `allow`, leads through a link that others can exchange, or has
            a name that is ours.
    """
    if not local:
        raise PlaceError(local, "nobody says where the package goes: set `local` in the state file")
    if fault := rules.local(local):
        raise PlaceError(local, " ".join(fault))
    path = _in_the_end(local, link)
    folders = [Path(os.path.realpath(folder)) for folder in allow]
    if not any(folder in path.parents for folder in folders):
        leads = "" if path == Path(local) else f" leads to {path}, which"
        shown = ", ".join(map(str, allow))
        raise PlaceError(
            local, f"{leads} is in none of the allowed folders ({shown}): see `allow` in otadevice.toml".strip()
        )
    if path.name.startswith(".") and path.name.endswith(_ENDS):
        raise PlaceError(local, "has a name like those that otadevice gives to what it keeps: give another place")
    _check_length(local, path)
    return path


def found(local: str, target: Path, link: str, *, adopt: bool = False) -> Found:
    """Tell what lies at a package's place.

    Args:
        local: the place as its owner calls it.
        target: where that is in the end.
        link: what our own link there says.
        adopt: whether its owner lets a folder of theirs be replaced.

    Raises:
        PlaceError: it is in the way.
    """
    try:
        mode = target.lstat().st_mode
    except FileNotFoundError:
        return Found.NOTHING
    return _judge(local, mode, os.fspath(target.readlink()) if stat.S_ISLNK(mode) else "", link, adopt=adopt)


def found_in(folder: Folder, local: str, target: Path, link: str, *, adopt: bool = False) -> Found:
    """Tell the same by the opened folder in which `target` lies.

    Raises:
        PlaceError: it is in the way.
    """
    facts = folder.look(target.name)
    if facts is None:
        return Found.NOTHING
    leads_to = folder.leads_to(target.name) if stat.S_ISLNK(facts.st_mode) else ""
    return _judge(local, facts.st_mode, leads_to, link, adopt=adopt)


def _judge(local: str, mode: int, leads_to: str, link: str, *, adopt: bool) -> Found:
    if stat.S_ISLNK(mode) and leads_to == link:
        return Found.LINK
    if stat.S_ISLNK(mode):
        raise PlaceError(local, "is a link that leads in a circle: remove it")
    if not local.endswith("/"):
        if stat.S_ISREG(mode):
            return Found.FILE
        raise PlaceError(local, "is there already and is not an ordinary file: move it away")
    if not stat.S_ISDIR(mode):
        raise PlaceError(local, "is there already and is not a folder: move it away")
    if not adopt:
        raise PlaceError(
            local, "is a folder that otadevice did not make: move it away, or allow its replacement by `add --adopt`"
        )
    return Found.FOLDER


def new(target: Path) -> Path:
    """Tell where what is to be at `target` is made ready."""
    return target.with_name(f".{target.name}{_NEW}")


def old(target: Path) -> Path:
    """Tell where what was at `target` is during an update."""
    return target.with_name(f".{target.name}{_OLD}")


def previous(target: Path) -> Path:
    """Tell where what was at `target` before the last committed update is kept."""
    return target.with_name(f".{target.name}{_PREVIOUS}")


def aside(target: Path) -> Path:
    """Tell where a folder goes that a hook has made at `target`."""
    return target.with_name(f".{target.name}{_ASIDE}")


def trial(target: Path) -> Path:
    """Tell where it is tried what the file system of `target` allows."""
    return target.with_name(f".{target.name}{_TRY}")


def copy(target: Path) -> Path:
    """Tell where a folder at `target` is copied to that cannot be renamed."""
    return target.with_name(f".{target.name}{_COPY}")


def is_folder(folder: Folder, name: str) -> bool:
    """Tell whether there is a folder itself, not a link to one."""
    facts = folder.look(name)
    return facts is not None and stat.S_ISDIR(facts.st_mode)


def _check_length(local: str, path: Path) -> None:
    there = next(folder for folder in path.parents if folder.is_dir())
    spare = os.pathconf(there, "PC_NAME_MAX") - _LONGEST
    if len(os.fsencode(path.name)) > spare:
        raise PlaceError(
            local, f"has a name of more than {spare} bytes, so no other can be kept beside it: give a shorter one"
        )


def _in_the_end(local: str, link: str) -> Path:
    """Follow links: to our own if one of them is that, otherwise to where they lead."""
    here, is_safe, links = Path("/"), True, 0
    left = list(reversed(Path(local).parts[1:]))
    while left:
        name = left.pop()
        path = here.parent if name == ".." else here / name
        try:
            facts = path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            here = path
            continue
        if not stat.S_ISLNK(facts.st_mode):
            is_safe = is_safe and not access.may_be_exchanged(facts, here.stat())
            here = path
            continue
        leads_to = os.fspath(path.readlink())
        if leads_to == link and not left:
            return path
        if (links := links + 1) > _MOST_LINKS:
            return Path(local)
        if not is_safe or access.is_open(here.stat()) or access.is_foreign(facts):
            raise PlaceError(
                local, f"leads through {path}, a link that others than root can exchange: name the place itself"
            )
        if leads_to.startswith("/"):
            here, is_safe = Path("/"), True
        left += reversed([part for part in leads_to.split("/") if part not in {"", "."}])
    return here

"""The settings of one site: what `site.toml` may say, and what holds where it is silent.

The `site.toml` at the top of the project is the reference: it shows every key with its default.
Paths come out absolute. Nothing is opened here but that one file, and nothing is made.
"""

from __future__ import annotations

import difflib
import itertools
import json
import os
import tomllib
import typing
from dataclasses import dataclass, is_dataclass, replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from builder import values
from builder.errors import SiteError
from mirror import text, trust

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# A key is a field annotated with the reader of its value; a table is a field whose type is a dataclass.


@dataclass(frozen=True)
class Paths:
    """Where the site keeps its files: below `var`, unless site.toml says otherwise."""

    var: Annotated[Path, values.path] = Path("var")
    inbox: Annotated[Path, values.path] = Path("inbox")
    rejected: Annotated[Path, values.path] = Path("rejected")
    claimed: Annotated[Path, values.path] = Path("claimed")
    mirror: Annotated[Path, values.path] = Path("mirror")
    spool: Annotated[Path, values.path] = Path("spool")
    catalogue: Annotated[Path, values.path] = Path("catalogue.sqlite")
    tokens: Annotated[Path, values.path] = Path("tokens.json")
    keys: Annotated[Path, values.path] = Path("keys")


@dataclass(frozen=True)
class Inbox:
    """How the inbox is watched."""

    events: Annotated[str, values.one_of("kernel", "poll", "none")] = "kernel"
    scan_seconds: Annotated[int, values.whole(1, 3600)] = 60
    settle_seconds: Annotated[int, values.whole(0, 3600)] = 2


@dataclass(frozen=True)
class Publish:
    """How releases reach the mirror: at most `group` of them, or about `group_bytes`, in one publish."""

    group: Annotated[int, values.whole(1, 10_000)] = 256
    group_bytes: Annotated[int, values.size] = values.GIB


@dataclass(frozen=True)
class Cache:
    """How many seconds caches may keep the files that change, and keep them at most whatever they are told."""

    pointer_max_age: Annotated[int, values.whole(0, 86_400)] = 60
    longest_age: Annotated[int, values.whole(0, 31 * 86_400)] = 3600


@dataclass(frozen=True)
class Server:
    """Where the embedded web server listens."""

    listen: Annotated[values.Address, values.address] = values.LOOPBACK


@dataclass(frozen=True)
class Receiver:
    """Where uploads come in, and how slow and how many clients may be, those of the web server too."""

    listen: Annotated[values.Address, values.address] = values.LOOPBACK
    min_bytes_per_second: Annotated[int, values.whole(0, values.GIB)] = 1024
    silence_seconds: Annotated[float, values.seconds(0.1, 3600)] = 30.0
    header_seconds: Annotated[float, values.seconds(0.1, 3600)] = 10.0
    connections: Annotated[int, values.whole(1, 100_000)] = 400


@dataclass(frozen=True)
class Metrics:
    """Where figures are served for those who watch the service; None is nowhere."""

    listen: Annotated[values.Address | None, values.optional_address] = None


@dataclass(frozen=True)
class Trust:
    """How metadata is signed: how many signatures roles need, for how long they hold, how many bins there are."""

    bins: Annotated[int, values.power_of_two(2, 1 << trust.MAX_BIN_BITS)] = 256
    root_threshold: Annotated[int, values.whole(1, 16)] = 1
    targets_threshold: Annotated[int, values.whole(1, 16)] = 1
    root_days: Annotated[int, values.whole(1, 3650)] = 365
    targets_days: Annotated[int, values.whole(1, 3650)] = 365
    publisher_days: Annotated[int, values.whole(1, 3650)] = 180
    online_days: Annotated[int, values.whole(1, 3650)] = 90
    timestamp_days: Annotated[int, values.whole(1, 365)] = 14
    poll_seconds: Annotated[int, values.whole(0, trust.MAX_POLL_SECONDS)] = 0


@dataclass(frozen=True)
class Keys:
    """Where private keys are that are not files in `paths.keys`."""

    timestamp: Annotated[str, values.key] = ""
    snapshot: Annotated[str, values.key] = ""
    unclaimed: Annotated[str, values.key] = ""
    passphrase_file: Annotated[Path | None, values.optional_path] = None


@dataclass(frozen=True)
class Limits:
    """What is refused for its size; 0 is no limit."""

    package_bytes: Annotated[int, values.size] = 16 * values.GIB


@dataclass(frozen=True)
class Site:
    """All settings of one site, and the file that they came from.

    `url` is empty if only the running server can tell: none is given, and it listens on port 0.
    """

    file: Path
    name: Annotated[str, values.title] = "otamirror"
    url: Annotated[str, values.url] = ""
    paths: Paths = Paths()
    inbox: Inbox = Inbox()
    publish: Publish = Publish()
    cache: Cache = Cache()
    server: Server = Server()
    receiver: Receiver = Receiver()
    metrics: Metrics = Metrics()
    limits: Limits = Limits()
    trust: Trust = Trust()
    keys: Keys = Keys()


def load(file: Path) -> Site:
    """Read the settings in `file`; an empty file is a site with all defaults.

    Raises:
        SiteError: with all that is wrong with the file.
    """
    file = file.absolute()
    problems: list[str] = []
    given = _read_table(Site, _parse(file), "", problems)
    site = _assemble(file, given)
    problems.extend(_nested(site.paths))
    problems.extend(_impatient(site.cache))
    if problems:
        raise SiteError(file, problems)
    return site


def sample() -> str:
    """Return the site.toml that shows every key with its default, for a new site."""
    return resources.files("builder").joinpath("site.toml").read_text("utf-8")


def _parse(file: Path) -> dict[str, object]:
    try:
        return tomllib.loads(text.read(file))
    except FileNotFoundError:
        advice = "there is no such file: `otamirror init` makes one, --site names another"
        raise SiteError(file, [advice]) from None
    except OSError as error:
        raise SiteError(file, [f"cannot be read: {error.strerror}"]) from error
    except tomllib.TOMLDecodeError as error:
        raise SiteError(file, [f"is not TOML: {error}"]) from error
    except ValueError as error:
        raise SiteError(file, [str(error)]) from error


def _read_table(kind: type, raw: Mapping[str, object], prefix: str, problems: list[str]) -> dict[str, Any]:
    """Read what `raw` gives of the table `kind`; what is wrong with it is added to `problems`."""
    tables, readers = _tables(kind), _readers(kind)
    given: dict[str, Any] = {}
    for name, value in raw.items():
        key = f"{prefix}{name}"
        try:
            if name in readers:
                given[name] = readers[name](value)
            elif name not in tables:
                problems.append(f"{key}: there is no such key{_nearest(key)}")
            elif isinstance(value, dict):
                given[name] = _read_table(tables[name], value, f"{key}.", problems)
            else:
                problems.append(f"{key}: must be a table, [{key}], not {_shown(value)}")
        except ValueError as error:
            problems.append(f"{key}: must be {error}, not {_shown(value)}")
    return given


def _assemble(file: Path, given: Mapping[str, Any]) -> Site:
    """Add the defaults, at last those that follow from other keys."""
    tables = {name: kind(**given.get(name, {})) for name, kind in _tables(Site).items()}
    if "listen" not in given.get("receiver", {}):
        tables["receiver"] = replace(tables["receiver"], listen=tables["server"].listen)
    if secret := tables["keys"].passphrase_file:
        tables["keys"] = replace(tables["keys"], passphrase_file=file.parent / secret)
    site = Site(file, **{**given, **tables, "paths": _placed(file.parent, given.get("paths", {}))})
    if "longest_age" not in given.get("cache", {}):
        longest = max(site.cache.longest_age, site.cache.pointer_max_age)
        site = replace(site, cache=replace(site.cache, longest_age=longest))
    listen = site.server.listen
    return site if site.url or not listen.port else replace(site, url=listen.url)


def _placed(base: Path, given: Mapping[str, Path]) -> Paths:
    """Join the given paths with `base`, the others with `var`."""
    var = base / given.get("var", Paths.var)
    places = {name: var / path for name, path in vars(Paths()).items()}
    places |= {"var": var, **{name: base / path for name, path in given.items()}}
    if "claimed" not in given and {"inbox", "rejected"} <= given.keys():  # those two are on one file system
        places["claimed"] = places["rejected"].parent / Paths.claimed
    return Paths(**places)


def _nested(paths: Paths) -> Iterator[str]:
    """Find paths inside one another: a mirror would serve the inbox, an inbox take in the mirror."""
    places = {name: Path(os.path.normpath(path)) for name, path in vars(paths).items() if name != "var"}
    for one, other in itertools.permutations(places, 2):
        if places[other] in places[one].parents or (places[other] == places[one] and one < other):
            yield f"paths.{one}: must not be in paths.{other}, {places[other]}"


def _impatient(cache: Cache) -> Iterator[str]:
    """Find a longest age below the one that caches are told."""
    if cache.longest_age < cache.pointer_max_age:
        yield (
            f"cache.longest_age: must be at least cache.pointer_max_age, {cache.pointer_max_age}, "
            f"because caches may keep files for that long, not {cache.longest_age}"
        )


def _nearest(key: str) -> str:
    """Name the known key that was probably meant."""
    known = [f"{table}.{name}" for table, kind in _tables(Site).items() for name in _readers(kind)]
    found = difflib.get_close_matches(key, [*_readers(Site), *_tables(Site), *known], n=1, cutoff=0.5)
    return f"; the nearest is {found[0]}" if found else ""


def _readers(kind: type) -> dict[str, values.Reader]:
    hints = typing.get_type_hints(kind, include_extras=True)
    return {name: hint.__metadata__[0] for name, hint in hints.items() if hasattr(hint, "__metadata__")}


def _tables(kind: type) -> dict[str, type]:
    return {
        name: hint
        for name, hint in typing.get_type_hints(kind).items()
        if isinstance(hint, type) and is_dataclass(hint)
    }


def _shown(value: object) -> str:
    shown = json.dumps(value, ensure_ascii=False, default=str)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."

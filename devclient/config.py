"""The settings of one device: what `otadevice.toml` may say, and what holds where it is silent.

Paths come out absolute: relative ones are relative to the file. What the device has or wants installed
stands in the state file, not here.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from devclient.errors import SettingsError
from mirror import names, rules

STATE = "otadevice.json"
"""The name of the state file, unless the settings say otherwise; so is `WORK` that of the work folder."""
WORK = "otadevice-work"
ROOT = "otadevice-root.json"
"""The name under which `init` keeps the root of the mirror."""
ROOT_ADVICE = "ask the mirror's operator for the file that `otamirror keys export-root` writes"
ALLOWED = tuple(map(Path, ("/opt", "/srv", "/usr/local", "/var/lib")))
"""Where packages may be installed, unless the settings say otherwise."""


@dataclass(frozen=True)
class Network:
    """How long servers are waited for, in seconds, and how much is taken from them.

    Attributes:
        connect_timeout: for a connection.
        read_timeout: for the next bytes.
        patience: what waiting may cost beyond what `minimum_rate` explains.
        minimum_rate: bytes a second, below which a server is left once patience is used up.
        deadline: for a small file as a whole, and for the head of a large one.
        bandwidth: bytes of packages a second that are downloaded at most, 0 for no limit.
    """

    connect_timeout: float = 10
    read_timeout: float = 30
    patience: float = 60
    minimum_rate: float = 256
    deadline: float = 300
    bandwidth: int = 0


@dataclass(frozen=True)
class Hooks:
    """How hooks are run; times in seconds.

    Attributes:
        timeout: how long a hook may take.
        grace: how long one that is ended has for it, before it is killed.
        reboot: the shell command that reboots this device.
    """

    timeout: float = 300
    grace: float = 10
    reboot: str = "systemctl reboot || reboot"


@dataclass(frozen=True)
class Folders:
    """What may be unpacked from one package.

    Attributes:
        bytes: in all.
        entries: files, folders and links.
    """

    bytes: int = 16 * 1024**3
    entries: int = 200_000


@dataclass(frozen=True)
class Remote:
    """One mirror.

    Attributes:
        urls: where it is found, the preferred one first.
        root: the file in which all trust in it begins.
    """

    name: str
    urls: tuple[str, ...]
    root: Path


@dataclass(frozen=True)
class Settings:
    """All settings of one device, and the file that they came from.

    Attributes:
        state: the state file.
        work: folder for downloads, the lock, the last results, and what is known of the mirrors.
        allow: folders in which packages may be installed.
        remotes: the first one serves packages that name none.
        timeouts: seconds that the hooks of a package may take, by its name.
    """

    file: Path
    state: Path
    work: Path
    allow: tuple[Path, ...]
    remotes: tuple[Remote, ...]
    network: Network = Network()
    hooks: Hooks = Hooks()
    folders: Folders = Folders()
    timeouts: Mapping[str, float] = field(default_factory=dict)

    def remote(self, url: str) -> Remote | None:
        """Return the remote at `url`, the first one for ""; None if no remote is there."""
        if not url:
            return self.remotes[0]
        return next((remote for remote in self.remotes if url.rstrip("/") in remote.urls), None)

    def remote_name(self, url: str) -> str:
        """Return the name of the remote at `url`, or the URL if no remote is there."""
        remote = self.remote(url)
        return remote.name if remote else url

    def hook_timeout(self, package: str) -> float:
        """Return how many seconds a hook of a package may take."""
        return self.timeouts.get(package, self.hooks.timeout)

    def trust(self, remote: Remote) -> Path:
        """Return the folder of what is known of a remote."""
        return self.work / "trust" / remote.name


def load(file: Path) -> Settings:
    """Read the settings in `file`.

    Raises:
        SettingsError: with the first thing that is wrong.
    """
    file = file.absolute()
    try:
        given = _table("", _parse(file), _READERS)
    except (TypeError, ValueError) as error:
        raise SettingsError(file, str(error)) from None
    if "remotes" not in given:
        raise SettingsError(file, "remotes: is missing; add [remotes.main] with the urls and the root of a mirror")
    base = file.parent
    return Settings(
        file,
        base / given.get("state", STATE),
        base / given.get("work", WORK),
        tuple(base / folder for folder in given.get("allow", ALLOWED)),
        tuple(replace(remote, root=base / remote.root) for remote in given["remotes"]),
        Network(**given.get("network", {})),
        Hooks(**given.get("hooks", {})),
        Folders(**given.get("folders", {})),
        {name: table["hook_timeout"] for name, table in given.get("packages", {}).items() if table},
    )


def _parse(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_bytes().decode())
    except FileNotFoundError:
        advice = "there is no such file: `otadevice init` makes one, --config names another"
        raise SettingsError(file, advice) from None
    except OSError as error:
        raise SettingsError(file, f"cannot be read: {error.strerror}") from error
    except ValueError as error:  # not UTF-8 or not TOML, both say where
        raise ValueError(f"is not TOML: {error}") from error


_Reader = Callable[[str, Any], Any]


def _table(where: str, table: Any, readers: Mapping[str, _Reader]) -> dict[str, Any]:
    """Read a table; `where` is the key it stands under, "" at the top."""
    if not isinstance(table, dict):
        raise TypeError(f"{where}: must be a table, [{where}]")
    prefix = f"{where}." if where else ""
    for key in table:
        if key not in readers:
            nearest = difflib.get_close_matches(key, readers, n=1, cutoff=0)
            raise ValueError(f"{prefix}{key}: there is no such key; the nearest is {prefix}{nearest[0]}")
    return {key: readers[key](prefix + key, value) for key, value in table.items()}


def _path(where: str, value: Any) -> Path:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError(f'{where}: must be a path such as "/var/lib/otadevice", not {value!r}')
    return Path(value)


def _paths(where: str, value: Any) -> tuple[Path, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError(f'{where}: must be a list of folders such as ["/opt"], not {value!r}')
    return tuple(_path(where, item) for item in value)


def _seconds(where: str, value: Any) -> float:
    # True is an int to Python, but not to the person who wrote it
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e9:
        raise ValueError(f"{where}: must be a number above 0, not {value!r}")
    return value


def _bytes(where: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1e15:
        raise ValueError(f"{where}: must be a whole number of bytes, 0 for no limit, not {value!r}")
    return value


def _network(where: str, value: Any) -> dict[str, Any]:
    return _table(where, value, {**dict.fromkeys(vars(Network()), _seconds), "bandwidth": _bytes})


def _count(where: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{where}: must be a whole number above 0, not {value!r}")
    return value


def _command(where: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise ValueError(f'{where}: must be a shell command such as "reboot", not {value!r}')
    return value


def _packages(where: str, value: Any) -> dict[str, dict[str, float]]:
    if not isinstance(value, dict):
        raise TypeError(f"{where}: must be a table, with one such as [{where}.app] for each package")
    return {name: _table(f"{where}.{name}", table, {"hook_timeout": _seconds}) for name, table in value.items()}


def _remotes(where: str, value: Any) -> tuple[Remote, ...]:
    if not isinstance(value, dict) or not value:
        raise ValueError(f"{where}: must name at least one mirror: add [remotes.main] with urls and root")
    return tuple(_remote(f"{where}.{name}", name, table) for name, table in value.items())


def _remote(where: str, name: str, table: Any) -> Remote:
    if not names.is_name(name):
        raise ValueError(f"{where}: {name!r} is not a name such as main")
    given = _table(where, table, {"urls": _urls, "root": _path})
    if "urls" not in given:
        raise ValueError(f"{where}.urls: is missing; give the URLs of the mirror")
    if "root" not in given:
        raise ValueError(f"{where}.root: is missing; {ROOT_ADVICE}, and give its path")
    return Remote(name, given["urls"], given["root"])


def _urls(where: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError(f'{where}: must be a list such as ["https://updates.example.org"], not {value!r}')
    return tuple(url(where, item) for item in value)


def url(where: str, value: Any) -> str:
    """Read the URL of a mirror; a slash at its end is dropped.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(value, str) or not value or {"?", "#"} & set(value) or rules.remote(value):
        problem = f"{value!r} is not the URL of a mirror, such as https://updates.example.org"
        raise ValueError(f"{where}: {problem}" if where else problem)
    return value.rstrip("/")


_READERS: dict[str, _Reader] = {
    "state": _path,
    "work": _path,
    "allow": _paths,
    "remotes": _remotes,
    "hooks": lambda where, value: _table(where, value, {"timeout": _seconds, "grace": _seconds, "reboot": _command}),
    "folders": lambda where, value: _table(where, value, {"bytes": _count, "entries": _count}),
    "packages": _packages,
    "network": _network,
}

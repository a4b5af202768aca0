"""The settings of one device: what `otadevice.toml` may say, and what holds where it is silent.

Paths come out absolute: relative ones are relative to the file. What the device has or wants installed
stands in the state file, not here.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devclient.errors import SettingsError
from devclient.settings import values
from mirror import names, text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from devclient.settings.windows import Window

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
    """How servers are reached, how long they are waited for, in seconds, and how much is taken from them.

    Attributes:
        connect_timeout: for a connection.
        read_timeout: for the next bytes.
        patience: what waiting may cost beyond what `minimum_rate` explains.
        minimum_rate: bytes a second, below which a server is left once patience is used up.
        deadline: for a small file as a whole, and for the head of a large one.
        bandwidth: bytes of packages a second that are downloaded at most, 0 for no limit.
        proxy: the URL of a proxy, "none" for none; "" for what the environment says.
        ca_file: the only certificates of authorities that are believed; None for those that the system trusts.
    """

    connect_timeout: float = 10
    read_timeout: float = 30
    patience: float = 60
    minimum_rate: float = 256
    deadline: float = 300
    bandwidth: int = 0
    proxy: str = ""
    ca_file: Path | None = None


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
class Daemon:
    """What `otadevice run` does by itself; times in seconds.

    Attributes:
        interval: between two polls.
        jitter: the share of it by which a wait is longer or shorter, by chance, from 0 to 1.
        backoff: the longest wait after polls that failed.
        inhibit: while this file is there, nothing is installed.
        metrics: the text file for Prometheus' node exporter; None for none.
        windows: when packages may be installed; none for at any time.
    """

    interval: float = 3600
    jitter: float = 0.5
    backoff: float = 14400
    inhibit: Path = Path("/run/otadevice/inhibit")
    metrics: Path | None = None
    windows: tuple[Window, ...] = ()


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
        itself: the package that otadevice itself is, "" for none.
        root_interval: seconds after which every URL of a mirror is asked for a newer root, 0 for at each poll.
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
    daemon: Daemon = Daemon()
    itself: str = ""
    root_interval: float = 86_400

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
        given = values.table("", _parse(file), _READERS)
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
        Network(**_from(base, given.get("network", {}))),
        Hooks(**given.get("hooks", {})),
        Folders(**given.get("folders", {})),
        {name: table["hook_timeout"] for name, table in given.get("packages", {}).items() if table},
        Daemon(**_from(base, given.get("daemon", {}))),
        given.get("self", ""),
        given.get("root_interval", Settings.root_interval),
    )


def _from(base: Path, given: Mapping[str, Any]) -> dict[str, Any]:
    return {key: base / value if isinstance(value, Path) else value for key, value in given.items()}


def _parse(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text.read(file))
    except FileNotFoundError:
        advice = "there is no such file: `otadevice init` makes one, --config names another"
        raise SettingsError(file, advice) from None
    except OSError as error:
        raise SettingsError(file, f"cannot be read: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"is not TOML: {error}") from error


def _packages(where: str, value: Any) -> dict[str, dict[str, float]]:
    if not isinstance(value, dict):
        raise TypeError(f"{where}: must be a table, with one such as [{where}.app] for each package")
    return {
        name: values.table(f"{where}.{name}", table, {"hook_timeout": values.seconds}) for name, table in value.items()
    }


def _remotes(where: str, value: Any) -> tuple[Remote, ...]:
    if not isinstance(value, dict) or not value:
        raise ValueError(f"{where}: must name at least one mirror: add [remotes.main] with urls and root")
    return tuple(_remote(f"{where}.{name}", name, table) for name, table in value.items())


def _remote(where: str, name: str, table: Any) -> Remote:
    if not names.is_name(name):
        raise ValueError(f"{where}: {name!r} is not a name such as main")
    given = values.table(where, table, {"urls": values.urls, "root": values.path})
    if "urls" not in given:
        raise ValueError(f"{where}.urls: is missing; give the URLs of the mirror")
    if "root" not in given:
        raise ValueError(f"{where}.root: is missing; {ROOT_ADVICE}, and give its path")
    return Remote(name, given["urls"], given["root"])


_DAEMON: dict[str, values.Reader] = {
    "interval": values.seconds,
    "jitter": values.share,
    "backoff": values.seconds,
    "inhibit": values.path,
    "metrics": values.path,
    "windows": values.windows,
}
_NETWORK: dict[str, values.Reader] = {
    **dict.fromkeys(vars(Network()), values.seconds),
    "bandwidth": values.size,
    "proxy": values.proxy,
    "ca_file": values.path,
}
_HOOKS: dict[str, values.Reader] = {"timeout": values.seconds, "grace": values.grace, "reboot": values.command}
_FOLDERS: dict[str, values.Reader] = {"bytes": values.count, "entries": values.count}
_READERS: dict[str, values.Reader] = {
    "state": values.path,
    "work": values.path,
    "allow": values.paths,
    "remotes": _remotes,
    "hooks": lambda where, value: values.table(where, value, _HOOKS),
    "folders": lambda where, value: values.table(where, value, _FOLDERS),
    "packages": _packages,
    "network": lambda where, value: values.table(where, value, _NETWORK),
    "daemon": lambda where, value: values.table(where, value, _DAEMON),
    "self": values.name,
    "root_interval": values.interval,
}

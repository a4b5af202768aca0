"""What stands in the units of one site: all of it in one service, or uploads and the inbox in two beside nginx.

Pure: settings and paths in, text out. Nothing in otamirror needs rights beyond its own folders and addresses, so the
units leave it nothing else.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mirror import unit_files
from mirror.unit_files import Unit, UnitError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from builder.site import Site

UP = "otamirror.service"
RECEIVE = "otamirror-receive.service"
WATCH = "otamirror-watch.service"
USER = "otamirror"
"""The user of the service, unless another is named."""

_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,30}")
_BELOW_IS_PRIVILEGED = 1024
_HOMES = (Path("/home"), Path("/root"), Path("/run/user"))
_SCRATCH = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - where nothing of a site should be, but may


class _Service(NamedTuple):
    """What one unit differs in from the others."""

    name: str
    command: str
    description: str
    others: str


_SERVICES = (
    _Service(UP, "up", "Publish over-the-air updates and serve them", f"{RECEIVE} {WATCH}"),
    _Service(RECEIVE, "receive", "Receive uploads of over-the-air updates and publish them", UP),
    _Service(WATCH, "watch", "Publish the over-the-air updates that are dropped", UP),
)


def units(site: Site, run_by: tuple[Path, ...], user: str) -> tuple[Unit, ...]:
    """Write the units of a site: `UP`, and for a machine on which nginx serves the mirror `RECEIVE` and `WATCH`.

    Args:
        site: its settings.
        run_by: the command that runs otamirror.
        user: who runs it.

    Raises:
        UnitError: a unit cannot name one of the paths, or the user.
    """
    if not _USER.fullmatch(user):
        raise UnitError(f"{user!r} cannot be the name of a user that systemd runs a service as")
    words = [*map(unit_files.word, (*run_by[1:], Path("--site"), site.file))]
    otamirror = " ".join([f":{unit_files.program(run_by[0])}", *words])
    writable = written(site)
    # an environment's python leads to where the libraries are
    places = [site.file, run_by[0], run_by[0].parent / "python", *writable]
    return tuple(
        Unit(
            service.name,
            _UNIT.format(
                service=service,
                otamirror=otamirror,
                user=user,
                mounts=_words([site.file, run_by[0], *writable]),
                writable=_words(writable),
                hidden=_hidden(places),
                capabilities=_capabilities(site),
            ),
        )
        for service in _SERVICES
    )


def written(site: Site) -> list[Path]:
    """Return the folders in which a site's service has to write, none within another."""
    paths = site.paths
    folders = {*vars(paths).values()} - {paths.catalogue, paths.tokens} | {paths.catalogue.parent, paths.tokens.parent}
    return _outermost(folders)


def _outermost(paths: Iterable[Path]) -> list[Path]:
    found = {Path(os.path.normpath(path)) for path in paths}
    return sorted(path for path in found if not found & {*path.parents})


def _words(paths: Iterable[Path]) -> str:
    return " ".join(map(unit_files.word, _outermost(paths)))


def _hidden(places: Iterable[Path]) -> str:
    """Return the lines that hide the folders of users and of programs' scratch, as far as the site is not in them."""
    real = [Path(os.path.realpath(place)) for place in places]

    def has_any(folders: Iterable[Path]) -> bool:
        return any(place.is_relative_to(folder) for place in real for folder in folders)

    home = "ProtectHome=read-only" if has_any(_HOMES) else "ProtectHome=yes"
    return home if has_any(_SCRATCH) else f"{home}\nPrivateTmp=yes"


def _capabilities(site: Site) -> str:
    """Return the lines that leave no right of root's, but that to listen on a port where only root may."""
    listens = (site.server.listen, site.receiver.listen, site.metrics.listen)
    if any(listen and 0 < listen.port < _BELOW_IS_PRIVILEGED for listen in listens):
        return "CapabilityBoundingSet=CAP_NET_BIND_SERVICE\nAmbientCapabilities=CAP_NET_BIND_SERVICE"
    return "CapabilityBoundingSet=\nAmbientCapabilities="


_UNIT = """\
[Unit]
Description={service.description}
Wants=network-online.target
After=network-online.target
Conflicts={service.others}
RequiresMountsFor={mounts}

[Service]
Type=exec
User={user}
ExecStart={otamirror} {service.command}
Restart=on-failure
RestartSec=5
# a publish that is under way ends first
TimeoutStopSec=120

# what the web server reads is made readable by otamirror itself
UMask=0077
# it writes nowhere else; what keys need beside, such as a token's device, is given with `systemctl edit`
ProtectSystem=strict
ReadWritePaths={writable}
{hidden}
PrivateDevices=yes
NoNewPrivileges=yes
{capabilities}
LockPersonality=yes
MemoryDenyWriteExecute=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProcSubset=pid
RemoveIPC=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
# one upload takes little, and a machine has other things to do
MemoryMax=2G
TasksMax=256
LimitNOFILE=65536

[Install]
WantedBy=multi-user.target
"""

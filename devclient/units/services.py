"""What stands in the units of one device: the daemon, and at boot what brings a cut update to its end.

Pure: settings and paths in, text out. The units restrict nothing of what a service may do: hooks inherit all of it,
and packages go anywhere that `allow` says.
"""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mirror import unit_files
from mirror.unit_files import Unit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from devclient.settings.config import Settings

RECOVER = "otadevice-recover.service"
DAEMON = "otadevice.service"
PUT_BACK = "put-back"
"""Name of the script in the work folder that puts the previous otadevice back, if the new one does not come up."""

_SLACK = 60  # seconds, for switching back between the hooks
_NETWORK = re.compile(
    r"(fuse\.)?(afs|ceph|cifs|davfs2?|gfs2?|glusterfs|lustre|ncpfs?|nfs4?|ocfs2|pvfs2|smb3|smbfs|sshfs)"
)


def command(executable: Path, started: Path) -> tuple[Path, ...]:
    """Find what runs otadevice, given the Python and the file that run now.

    Links stay as they are: what they lead to may be another otadevice tomorrow.
    """
    return unit_files.command("otadevice", "devclient.cli", executable, started)


def units(settings: Settings, run_by: tuple[Path, ...], fstab: str) -> tuple[Unit, Unit]:
    """Write both units.

    Args:
        settings: of the device.
        run_by: the command that runs otadevice.
        fstab: the machine's table of file systems.

    Raises:
        UnitError: a unit cannot name one of the paths.
    """
    otadevice = " ".join(
        [f":{unit_files.program(run_by[0])}", *map(unit_files.word, [*run_by[1:], Path("--config"), settings.file])]
    )
    own = (settings.file, settings.state, settings.work, run_by[0])
    early = _without_network(_mounts((*own, *settings.allow)), fstab)
    daemon = _DAEMON.format(
        otadevice=otadevice,
        recover=RECOVER,
        if_not_up=_IF_NOT_UP,
        put_back=unit_files.word(settings.work / PUT_BACK),
        mounts=_lines(_mounts(own)),
        stop=stop_limit(settings),
    )
    return Unit(RECOVER, _RECOVER.format(otadevice=otadevice, mounts=_lines(early))), Unit(DAEMON, daemon)


def stop_limit(settings: Settings) -> int:
    """Return the seconds that the daemon may need to stop: it ends a hook, and the one that follows takes its time."""
    longest = max((settings.hooks.timeout, *settings.timeouts.values()))
    return math.ceil(longest + 2 * settings.hooks.grace + _SLACK)


def _mounts(paths: Iterable[Path]) -> list[Path]:
    # a link and what it leads to may lie on different file systems
    found = {Path(form(path)) for path in paths for form in (os.path.normpath, os.path.realpath)}
    covered = {parent for path in found for parent in path.parents}
    return sorted(found - covered)


def _without_network(paths: Iterable[Path], fstab: str) -> list[Path]:
    # what waits for a mount over the network cannot come before the services that bring the network up
    mounts = list(_network_mounts(fstab))
    return [path for path in paths if not any(path.is_relative_to(mount) for mount in mounts)]


def _network_mounts(fstab: str) -> Iterator[Path]:
    for line in fstab.splitlines():
        fields = line.split()
        if len(fields) < 4 or line.lstrip().startswith("#"):
            continue
        _, place, kind, options, *_ = fields
        if _NETWORK.fullmatch(kind) or "_netdev" in options.split(","):
            yield Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), place))


def _lines(paths: Iterable[Path]) -> str:
    return "\n".join(f"RequiresMountsFor={unit_files.word(path)}" for path in paths)


_RECOVER = """\
[Unit]
Description=Finish or undo an update that was cut off
# before the ordinary services, which run what is updated; none of them waits for its success
DefaultDependencies=no
After=sysinit.target
Before=basic.target shutdown.target
Conflicts=shutdown.target
{mounts}

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={otadevice} recover --early
# hooks have time limits of their own
TimeoutStartSec=infinity
# what a hook has started lives on
KillMode=process

[Install]
WantedBy=basic.target
"""

# 75: another otadevice runs here, and this one has not even begun
_IF_NOT_UP = '[ "$SERVICE_RESULT" = success ] || [ "$EXIT_STATUS" = 75 ] || [ ! -e "$1" ] || exec /bin/sh "$1"'

_DAEMON = """\
[Unit]
Description=Keep the packages of this device up to date
Wants=network-online.target
After=network-online.target {recover}
# it is tried for ever: nobody else would bring the next update
StartLimitIntervalSec=0
{mounts}

[Service]
Type=notify
# put-back asks for the time that hooks take, too
NotifyAccess=exec
ExecStart={otadevice} run
# the shell's own kill: a small system has no other
ExecReload=:/bin/sh -c 'kill -HUP "$MAINPID"'
# if otadevice has just updated itself and does not come up, what was there before is put back
ExecStopPost=:/bin/sh -c '{if_not_up}' put-back {put_back}
Restart=always
RestartSec=5
TimeoutStartSec=120
WatchdogSec=600
# a hook that runs is ended, then the one of the release before has its time
TimeoutStopSec={stop}
# what a successful hook has started lives on; the hook of an otadevice that was killed is ended by the next one
KillMode=process

[Install]
WantedBy=multi-user.target
"""

"""The units of a site: what systemd reads in them, what they leave the service, and that it works with no more."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from builder import services
from builder import site as settings
from builder.cli import main
from mirror import unit_files
from mirror.files import Files
from mirror.unit_files import UnitError
from tests.support import sites, strangers
from tests.support.tools import require, require_root

if TYPE_CHECKING:
    from builder.site import Site
    from mirror.unit_files import Unit

PROGRAM = (Path("/opt/otamirror/bin/otamirror"),)
MOST_EXPOSED = 20  # of 100; what systemd calls "OK" ends at 49, and a service without restrictions has 96


def load(folder: Path, text: str = "") -> Site:
    """Read the settings of a site that is not there."""
    (folder / "site.toml").write_text(text)
    return settings.load(folder / "site.toml")


def made(site: Site, user: str = "ota") -> dict[str, Unit]:
    """Write the units of a site, by their names."""
    return {unit.name: unit for unit in services.units(site, PROGRAM, user)}


def value(unit: Unit, key: str) -> str:
    """Read the only line of a unit with a key."""
    (found,) = re.findall(rf"^{key}=(.*)$", unit.text, re.MULTILINE)
    return str(found)


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    """Ask systemd about units in files."""
    command = [require("systemd-analyze"), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def stand_in(folder: Path) -> tuple[Path]:
    """Make a program that systemd finds."""
    path = folder / "otamirror"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return (path,)


def test_systemd_has_nothing_to_complain_about(tmp_path: Path) -> None:
    """Each unit is one without a flaw, whatever the paths of the site are."""
    odd = tmp_path / 'od d%n $x "q"'
    odd.mkdir()
    units = services.units(load(odd), stand_in(tmp_path), "daemon")

    written = unit_files.write(units, tmp_path, Files(), "otamirror")

    said = analyze("verify", "--man=no", *map(str, written)).stderr
    assert [line for line in said.splitlines() if str(tmp_path) in line] == []
    assert value(units[0], "ReadWritePaths") in (tmp_path / services.UP).read_text()


def test_the_units_leave_little(tmp_path: Path) -> None:
    """By systemd's own measure each is among the least exposed services of a machine."""
    for unit in made(load(tmp_path)).values():
        file = tmp_path / unit.name
        file.write_bytes(unit_files.marked(unit, "otamirror"))

        judged = analyze("security", "--offline=yes", f"--threshold={MOST_EXPOSED}", "--no-pager", str(file))

        assert judged.returncode == 0, judged.stdout[-200:]


def test_a_service_writes_only_where_the_site_says(tmp_path: Path) -> None:
    """Folders outside of var are named one by one, and those within another are not."""
    text = '[paths]\nvar = "/srv/ota"\ninbox = "/mnt/drop/in"\nrejected = "/mnt/drop/out"\ntokens = "/etc/ota/t.json"\n'

    for unit in made(load(tmp_path, text)).values():
        assert value(unit, "ReadWritePaths") == "/etc/ota /mnt/drop/claimed /mnt/drop/in /mnt/drop/out /srv/ota"
        assert value(unit, "ProtectSystem") == "strict"
        assert value(unit, "User") == "ota"


@pytest.mark.parametrize(("port", "capabilities"), [(80, "CAP_NET_BIND_SERVICE"), (8080, ""), (0, "")])
def test_a_port_that_only_root_may_have_is_given(port: int, capabilities: str, tmp_path: Path) -> None:
    """A service on port 80 runs without root, and keeps no other right of root's."""
    unit = made(load(tmp_path, f'[server]\nlisten = "0.0.0.0:{port}"\n'))[services.UP]

    assert value(unit, "CapabilityBoundingSet") == value(unit, "AmbientCapabilities") == capabilities


@pytest.mark.parametrize(
    ("var", "hidden"),
    [
        ("/srv/ota", ["ProtectHome=yes", "PrivateTmp=yes"]),
        ("/home/ota/var", ["ProtectHome=read-only", "PrivateTmp=yes"]),
        ("/tmp/ota", ["ProtectHome=yes"]),  # noqa: S108 - a case
    ],
)
def test_a_site_is_not_hidden_from_its_service(var: str, hidden: list[str]) -> None:
    """Homes and scratch are hidden unless the site lies there."""
    site = settings.Site(Path("/etc/ota/site.toml"), paths=settings._placed(Path("/etc/ota"), {"var": Path(var)}))

    found = re.findall(r"^(?:ProtectHome|PrivateTmp)=.*$", made(site)[services.UP].text, re.MULTILINE)

    assert found == hidden


def test_only_one_way_of_running_a_site_runs(tmp_path: Path) -> None:
    """All in one, or two beside nginx: starting one way ends the other."""
    units = made(load(tmp_path))

    assert value(units[services.UP], "Conflicts").split() == [services.RECEIVE, services.WATCH]
    assert {value(units[name], "Conflicts") for name in (services.RECEIVE, services.WATCH)} == {services.UP}
    assert {value(unit, "ExecStart").split()[-1] for unit in units.values()} == {"up", "receive", "watch"}


@pytest.mark.parametrize("user", ["", "two words", "-x", "a\nb", "%u"])
def test_a_user_that_is_none_is_refused(user: str, tmp_path: Path) -> None:
    """Nothing that a unit would read in another way."""
    with pytest.raises(UnitError, match="cannot be the name"):
        made(load(tmp_path), user)


def run(*words: str) -> str:
    """Run a command of otamirror."""
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    return result.output


def test_install_units_writes_them_and_says_what_comes_next(tmp_path: Path) -> None:
    """A user is made and gets the folders, then systemd is told; a second time there is nothing to write."""
    site = sites.make(tmp_path / "site")
    words = ("--site", str(site.file), "install-units", "--user", "ota-of-a-test", "--to", str(tmp_path))

    first, second = run(*words), run(*words)

    assert [f"{tmp_path / name} is written" in first for name in (services.UP, services.RECEIVE, services.WATCH)] == [
        True, True, True,
    ]  # fmt: skip
    assert "useradd --system --no-create-home --shell /usr/sbin/nologin ota-of-a-test\n" in first
    assert f"chown --recursive ota-of-a-test: {site.paths.var}\n" in first
    assert f"systemctl enable --now {services.UP}\n" in first
    assert f"are in {tmp_path} already" in second


@pytest.mark.parametrize("option", ["--print", "--dry-run"])
def test_install_units_writes_what_it_prints(option: str, tmp_path: Path) -> None:
    """Looking changes nothing."""
    site = sites.make(tmp_path / "site")
    words = ("--site", str(site.file), "install-units", "--user", "ota", "--to", str(tmp_path))

    printed = run(*words, option)
    assert not (tmp_path / services.UP).exists()
    run(*words)

    for name in (services.UP, services.RECEIVE, services.WATCH):
        assert f"# {tmp_path / name}\n{(tmp_path / name).read_text()}" in printed


@pytest.mark.root
def test_the_owner_of_the_folders_runs_the_service(tmp_path: Path) -> None:
    """A site that is in use already is run by whoever it belongs to, without asking."""
    require_root()
    site = sites.make(tmp_path / "site")
    os.chown(site.paths.var, 1, 1)

    assert "\nUser=daemon\n" in run("--site", str(site.file), "install-units", "--print")


def test_what_a_service_calls_is_what_its_unit_allows(tmp_path: Path) -> None:
    """No call of the system that a start, a publish and an end need is filtered out."""
    strace = require("strace")
    site = sites.make(tmp_path / "site", '[server]\nlisten = "127.0.0.1:0"\n')
    sites.drop(site.paths.inbox, sites.package("1.0"))
    command = [strace, "-f", "-qq", "-c", "-o", str(tmp_path / "calls"), sys.executable, "-m", "builder.cli"]

    with subprocess.Popen(
        [*command, "--site", str(site.file), "up"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr
        assert any("published app 1.0" in line for line in process.stderr)
        (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(child), signal.SIGTERM)
        process.communicate(timeout=60)

    called = {words[-1] for line in (tmp_path / "calls").read_text().splitlines()[2:-2] if (words := line.split())}
    assert "execve" in called
    assert called - _allowed("@system-service") == set()
    # as root alone SQLite gives its files to whoever owns the catalogue
    assert called & (_allowed("@privileged") | _allowed("@resources")) <= {"fchown"}


def _allowed(group: str) -> set[str]:
    """Name the calls of a group, with those of the groups in it."""
    names = [line.strip() for line in analyze("syscall-filter", group).stdout.splitlines()[1:]]
    found = {name for name in names if name and name[0] not in "@#"}
    return found.union(*(_allowed(name) for name in names if name.startswith("@")))


CONFINED = """
mount --bind "$1" "$1"
while read -r _ place _; do
  case $place in "$1" | /proc*) ;; *) mount -o remount,bind,ro "$place" 2>/dev/null ;; esac
done </proc/self/mounts
shift
umask 077
exec setpriv --reuid {user} --regid {user} --clear-groups --no-new-privs --inh-caps=-all,+dac_read_search \\
  --ambient-caps=-all,+dac_read_search --bounding-set=-all,+dac_read_search "$@"
"""
WITHOUT_WRITABLE_CODE = """
import ctypes, runpy, sys
deny_write_execute = 65
ctypes.CDLL(None).prctl(deny_write_execute, 1, 0, 0, 0)
sys.argv = ["otamirror", *sys.argv[1:]]
runpy.run_module("builder.cli", run_name="__main__", alter_sys=True)
"""


@pytest.mark.root
def test_a_site_is_published_with_no_more_than_the_unit_leaves(tmp_path: Path) -> None:
    """As another user without rights, with all but var read-only: a mirror that everybody can read, and only that.

    The one capability that is left is for the libraries of these tests, which may lie where only root can read them.
    """
    require_root()
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    site = sites.make(folder / "site", signed=False)
    sites.drop(site.paths.inbox, sites.package("1.0"))
    for path in (site.paths.var, *site.paths.var.rglob("*")):
        os.chown(path, strangers.USER, strangers.USER)
    confined = [require("unshare"), "--mount", "sh", "-c", CONFINED.format(user=strangers.USER), "sh"]
    otamirror = [sys.executable, "-c", WITHOUT_WRITABLE_CODE, "--site", str(site.file), "build"]

    done = subprocess.run(
        [*confined, str(site.paths.var), *otamirror], capture_output=True, text=True, check=False, timeout=60
    )

    assert done.stdout.startswith("1 published"), done.stderr
    assert {path.stat().st_mode & 0o777 for path in site.paths.mirror.rglob("*") if path.is_file()} == {0o644}
    assert site.paths.keys.stat().st_mode & 0o777 == 0o700

"""The script that sets a device up: what it refuses before it changes anything, and what there is after it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from securesystemslib.signer import CryptoSigner

from builder.signing import keys
from devclient.settings import config
from devclient.units.services import DAEMON, RECOVER
from tests.support import httpd, trees
from tests.support.tools import require, require_root

if TYPE_CHECKING:
    from tests.support.httpd import Server

ROOT = Path(__file__).parent.parent.parent
SCRIPT = ROOT / "devclient" / "install-device.sh"
MIRROR = ("--remote", "https://updates.example")


@dataclass(frozen=True)
class Place:
    """A folder that plays a machine: where the script puts everything."""

    folder: Path

    @property
    def prefix(self) -> Path:
        """Where otadevice goes."""
        return self.folder / "opt" / "ota device"

    @property
    def config(self) -> Path:
        """The settings."""
        return self.folder / "etc" / "otadevice.toml"

    @property
    def units(self) -> Path:
        """The units."""
        return self.folder / "units"

    @property
    def root(self) -> Path:
        """The root of the mirror."""
        return self.folder / "tree" / trees.ROOT

    def make(self) -> Place:
        """Make what is there before: the folder of the units, and the root."""
        self.units.mkdir()
        (self.folder / "tree").mkdir()
        trees.simulator(self.folder / "tree")
        return self

    def command(self, *words: str) -> list[str]:
        """Give the command line of the script; what `words` say again holds instead."""
        where = ("--prefix", str(self.prefix), "--config", str(self.config), "--units", str(self.units))
        return ["sh", str(SCRIPT), *where, "--package", "no-such-package-of-ours", *words]

    def install(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the script."""
        return subprocess.run(
            self.command(*words),
            cwd=self.folder,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=250,
        )

    def otadevice(self, *words: str) -> str:
        """Run what was installed."""
        command = [str(self.prefix / "bin" / "otadevice"), "--config", str(self.config), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout

    def files(self) -> dict[str, bytes]:
        """Read all that is there, but what Python has compiled."""
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in self.folder.rglob("*")
            if path.is_file() and path.suffix != ".pyc"
        }


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A machine without otadevice."""
    return Place(tmp_path).make()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build this tree's wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=60)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Place:
    """A machine with otadevice, which the script has put there."""
    made = Place(tmp_path_factory.mktemp("machine")).make()
    wanted = hashlib.sha256(made.root.read_bytes()).hexdigest().upper()
    with httpd.serving(made.folder / "tree") as server:
        root = ("--root", f"{server.url}/{trees.ROOT}", "--root-sha256", wanted)
        done = made.install(*MIRROR, *root, "--device", "door-7", "--package", str(wheel))
    assert done.returncode == 0, done.stderr
    return made


def test_the_script_is_one_for_any_shell() -> None:
    """Debian's own is not bash."""
    subprocess.run(["sh", "-n", SCRIPT], check=True, timeout=30)

    found = subprocess.run([require("shellcheck"), SCRIPT], capture_output=True, text=True, check=False, timeout=60)

    assert found.stdout == ""


def test_help_shows_every_option() -> None:
    """All that the script reads, and nothing else."""
    done = subprocess.run(["sh", SCRIPT, "--help"], capture_output=True, text=True, check=True, timeout=30)

    shown = {line.split()[0] for line in done.stdout.splitlines() if line.startswith("  --")}
    assert shown == {
        *("--remote", "--root", "--root-sha256", "--device", "--prefix", "--config"),
        *("--units", "--package", "--package-sha256", "--constraints", "--no-start", "--help"),
    }


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--root", "root.json"], "--remote is missing"),
        ([*MIRROR], "--root is missing"),
        ([*MIRROR, "--root"], "--root needs a value"),
        ([*MIRROR, "--root", ""], "--root needs a value"),
        ([*MIRROR, "--rot", "root.json"], "--rot is not known"),
        (["--remote", "updates.example", "--root", "root.json"], "is not the URL of a mirror"),
        (["--remote", "https://a.example --allow /", "--root", "root.json"], "is not the URL of a mirror"),
        ([*MIRROR, "--root", "https://updates.example/root.json"], "needs --root-sha256"),
        ([*MIRROR, "--root", "root.json", "--package", ""], "--package needs a value"),
        ([*MIRROR, "--root", "root.json", "--package-sha256", "00"], "--package-sha256 is for a wheel"),
        ([*MIRROR, "--root", "root.json", "--package", "http://a.example/a.whl"], "needs --package-sha256"),
        (
            [*MIRROR, "--root", "root.json", "--package", "otamirror[device] @ http://a.example/a.whl"],
            "needs --package-sha256",
        ),
        ([*MIRROR, "--root", "root.json", "--constraints", "pins.txt"], "with --constraints, --package is a wheel"),
    ],
)
def test_wrong_options_change_nothing(place: Place, words: list[str], says: str) -> None:
    """It is said what is wrong with them, as all commands of ours do: exit code 2."""
    before = place.files()

    done = place.install(*words)

    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert place.files() == before


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--root", "missing.json"], "missing.json cannot be read"),
        (["--root", "foreign/file"], "foreign/file is no root"),
        (["--root", "tree/metadata/1.root.json", "--root-sha256", "00"], "has the SHA-256"),
        (["--root", "tree/metadata/1.root.json", "--package", "missing.whl"], "missing.whl: there is no such file"),
        (
            ["--root", "tree/metadata/1.root.json", "--package", "foreign/file", "--constraints", "missing.txt"],
            "missing.txt: there is no such file",
        ),
        (
            ["--root", "tree/metadata/1.root.json", "--package", "foreign/file", "--package-sha256", "00" * 32],
            f"has the SHA-256 {hashlib.sha256(b'{}').hexdigest()}, not 0000",
        ),
        (["--root", "tree/metadata/1.root.json", "--prefix", "foreign"], "was not made by this script"),
        (["--root", "tree/metadata/1.root.json", "--units", "missing"], "missing is no folder"),
        (["--root", "tree/metadata/1.root.json", "--prefix", "foreign/file/below"], "may not be written to"),
    ],
)
def test_what_cannot_work_changes_nothing(place: Place, words: list[str], says: str) -> None:
    """It is found out first."""
    (place.folder / "foreign").mkdir()
    (place.folder / "foreign" / "file").write_text("{}")
    (place.folder / "pins.txt").touch()
    before = place.files()

    done = place.install(*MIRROR, *words)

    assert (done.returncode, done.stdout) == (1, "")
    assert says in done.stderr
    assert place.files() == before


def test_a_root_of_another_hash_changes_nothing(place: Place, tree: Path, server: Server) -> None:
    """What comes by a URL is the root only if its hash says so."""
    trees.simulator(tree)
    before = place.files()
    wanted = hashlib.sha256((tree / trees.ROOT).read_bytes()).hexdigest()
    words = (*MIRROR, "--root", f"{server.url}/{trees.ROOT}", "--root-sha256")

    wrong = place.install(*words, wanted[:-1] + ("0" if wanted[-1] != "0" else "1"))
    missing = place.install(*MIRROR, "--root", f"{server.url}/none", "--root-sha256", wanted)

    assert (wrong.returncode, missing.returncode) == (1, 1)
    assert f"has the SHA-256 {wanted}, not" in wrong.stderr
    assert "cannot be read: HTTP Error 404" in missing.stderr
    assert place.files() == before


def test_who_may_not_write_is_told_so(place: Place) -> None:
    """It takes root, for the usual places."""
    words = ("--prefix", "/otadevice/new", *MIRROR, "--root", "root.json")
    user = 65534 if os.geteuid() == 0 else None

    done = subprocess.run(
        ["sh", "-s", "--", *place.command(*words)[2:]],
        input=SCRIPT.read_text(),
        cwd="/",
        user=user,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

    assert done.returncode == 1
    assert "/ may not be written to: run this as root" in done.stderr


def test_a_machine_without_python_is_told_what_to_install(place: Place) -> None:
    """Where the script cannot install it by itself."""
    tools = place.folder / "bin"
    tools.mkdir()
    for tool in ("sh", "dirname", "ls", "id", "mktemp", "rm"):
        (tools / tool).symlink_to(str(shutil.which(tool)))

    done = place.install(*MIRROR, "--root", str(place.root), PATH=str(tools))

    assert done.returncode == 1
    assert "python3 is missing: install it first, on Debian as root by apt-get install python3" in done.stderr


def test_what_pip_cannot_install_leaves_nothing(place: Place) -> None:
    """The environment that was made for it is gone again."""
    (place.folder / "broken-1.0-py3-none-any.whl").write_text("no wheel")
    before = place.files()

    done = place.install(*MIRROR, "--root", str(place.root), "--package", "broken-1.0-py3-none-any.whl")

    assert done.returncode == 1
    assert "pip could not install" in done.stderr
    assert place.files() == before
    assert not place.prefix.exists()


def test_no_name_is_installed_that_was_not_given(place: Place) -> None:
    """Where pip looks for it, a name may be anybody's: without --package, only a wheel beside the script will do."""
    script = place.folder / "release" / "install-device.sh"
    script.parent.mkdir()
    script.write_bytes(SCRIPT.read_bytes())
    (place.folder / "otamirror-9.9-py3-none-any.whl").write_text("a trap in the current folder")
    words = [*place.command()[2:-2], *MIRROR, "--root", str(place.root)]
    missing = "--package is missing, the wheel of otamirror or its name"

    def run(*command: str, typed: bytes = b"") -> str:
        done = subprocess.run(
            [*command, *words], cwd=place.folder, input=typed, capture_output=True, check=False, timeout=60
        )
        assert done.returncode != 0
        return done.stderr.decode()

    assert missing in run("sh", str(script))
    assert missing in run("sh", "-s", "--", typed=SCRIPT.read_bytes())
    (script.parent / "otamirror-1.0-py3-none-any.whl").write_text("no wheel")
    words += ["--package-sha256", "00" * 32]
    assert f"{script.parent}/otamirror-1.0-py3-none-any.whl has the SHA-256" in run("sh", str(script))
    (script.parent / "otamirror-1.1-py3-none-any.whl").write_text("another")
    assert missing in run("sh", str(script))


def fake_wheel(folder: Path, name: str, version: str, *lines: str, program: str = "") -> str:
    """Write a wheel of one module; returns its SHA-256."""
    file = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    metadata = "\n".join(["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *lines, ""])
    with zipfile.ZipFile(file, "w") as wheel:
        wheel.writestr(f"{name}.py", program)
        wheel.writestr(f"{info}/METADATA", metadata)
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/entry_points.txt", f"[console_scripts]\notadevice={name}:main\n" if program else "")
        wheel.writestr(f"{info}/RECORD", "")
    return hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("pins", "is_installed"),
    [
        ("helper==1.2 --hash=sha256:{helper}\n", True),
        pytest.param("", False, marks=pytest.mark.long),
        pytest.param("helper==1.2\n", False, marks=pytest.mark.long),
        pytest.param("helper>=1 --hash=sha256:{helper}\n", False, marks=pytest.mark.long),
        pytest.param("helper==1.3 --hash=sha256:{helper}\n", False, marks=pytest.mark.long),
    ],
)
def test_every_byte_that_is_installed_can_be_pinned(place: Place, pins: str, *, is_installed: bool) -> None:
    """By a file of versions and hashes: what it does not name, or has other bytes, is not installed."""
    needs = ("Provides-Extra: device", "Requires-Dist: helper>=1; extra == 'device'")
    program = "def main(): print('otadevice, version 9')\n"
    own = fake_wheel(place.folder, "fakemirror", "1.0", *needs, program=program)
    helper = fake_wheel(place.folder, "helper", "1.2")
    fake_wheel(place.folder, "helper", "1.3")
    (place.folder / "pins.txt").write_text(pins.format(helper=helper))
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(place.folder)}
    wheel = ("--package", "fakemirror-1.0-py3-none-any.whl", "--package-sha256", own)
    words = (*MIRROR, "--root", str(place.root), "--no-start", "--constraints", "pins.txt", *wheel)

    done = place.install(*words, **offline)

    assert (done.returncode == 0) == is_installed, done.stderr
    if not is_installed:
        assert "pip could not install" in done.stderr
        assert not place.prefix.exists()
        return
    assert "otadevice, version 9 is installed" in done.stdout
    installed = {path.name for path in place.prefix.glob("lib/*/site-packages/*.dist-info")}
    assert {"fakemirror-1.0.dist-info", "helper-1.2.dist-info"} <= installed


@pytest.mark.long
def test_a_machine_is_set_up_by_one_command(machine: Place) -> None:
    """Its settings are what was given, its otadevice runs, its units run that."""
    settings = config.load(machine.config)

    assert "otadevice, version" in machine.otadevice("--version")
    assert machine.otadevice("status").startswith("device door-7: no packages yet")
    assert [remote.urls for remote in settings.remotes] == [(MIRROR[1],)]
    assert (machine.config.parent / config.ROOT).read_bytes() == machine.root.read_bytes()
    started = f'ExecStart=:"{machine.prefix}/bin/otadevice" --config {machine.config} run\n'
    assert started in (machine.units / DAEMON).read_text()


@pytest.mark.long
@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_a_machine_verifies_every_kind_of_key_that_signs(machine: Place, kind: str) -> None:
    """Those in tokens and key services are hardly ever of the kind that otamirror makes."""
    make = {"ed25519": keys.generate, "ecdsa": CryptoSigner.generate_ecdsa, "rsa": CryptoSigner.generate_rsa}
    signer = make[kind]()
    words = json.dumps([signer.public_key.keyid, signer.public_key.to_dict(), signer.sign(b"said").to_dict()])
    command = [str(machine.prefix / "bin" / "python"), "-I", "-c", _VERIFY, words]

    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert done.stdout == "verified\n", done.stderr


_VERIFY = """
import json, sys
from securesystemslib.signer import Key, Signature
keyid, key, signature = json.loads(sys.argv[1])
Key.from_dict(keyid, key).verify_signature(Signature.from_dict(signature), b"said")
print("verified")
"""


@pytest.mark.long
def test_the_units_of_a_machine_are_without_a_flaw(machine: Place) -> None:
    """Also for systemd, which looks whether what they run is there."""
    units = [str(machine.units / name) for name in (RECOVER, DAEMON)]
    command = [require("systemd-analyze"), "verify", "--man=no", *units]

    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert [line for line in (done.stdout + done.stderr).splitlines() if "otadevice" in line] == []


@pytest.mark.long
def test_a_second_run_keeps_the_settings(machine: Place, wheel: Path) -> None:
    """It brings otadevice up to date, and what the owner has changed stays: --remote and --root are not needed."""
    machine.config.write_text(machine.config.read_text().replace("timeout = 300.0", "timeout = 600.0"))
    before = {name: data for name, data in machine.files().items() if name.startswith("etc")}
    (machine.units / RECOVER).unlink()

    again = machine.install("--package", f"{wheel}[device]")
    other = machine.install("--remote", "https://other.example", "--package", str(wheel))

    assert (again.returncode, other.returncode) == (0, 0), again.stderr + other.stderr
    assert "is there already and stays as it is" in other.stdout
    assert {name: data for name, data in machine.files().items() if name.startswith("etc")} == before
    assert (machine.units / RECOVER).exists()


@pytest.mark.long
def test_a_wrong_root_changes_nothing_of_what_was_installed(machine: Place) -> None:
    """Neither settings nor otadevice."""
    before = machine.files()

    done = machine.install("--root", str(machine.root), "--root-sha256", "0" * 64, "--package", "any")

    assert done.returncode == 1
    assert machine.files() == before


@pytest.mark.long
def test_what_fails_on_a_machine_that_has_it_removes_nothing(machine: Place) -> None:
    """Only what this run has made is undone."""
    (machine.folder / "broken-1.0-py3-none-any.whl").write_text("no wheel")

    done = machine.install("--package", "broken-1.0-py3-none-any.whl")

    assert done.returncode == 1
    assert machine.otadevice("status").startswith("device door-7")


@pytest.mark.long
@pytest.mark.root
@pytest.mark.parametrize("running", [False, True])
def test_the_units_are_enabled_where_systemd_looks_for_them(machine: Place, wheel: Path, *, running: bool) -> None:
    """Where systemd does not run, as when an image is made, they start with the next boot; else at once."""
    require_root()
    require("systemctl")
    calls = machine.folder / "calls"
    calls.unlink(missing_ok=True)
    # the real one enables them, what would need a running systemd is only written down
    stub = f'#!/bin/sh\necho "$*" >> "{calls}"\ncase $* in *enable*) exec {require("systemctl")} "$@" ;; esac\n'
    (machine.folder / "bin").mkdir(exist_ok=True)
    (machine.folder / "bin" / "systemctl").write_text(stub)
    (machine.folder / "bin" / "systemctl").chmod(0o755)
    inside = f"""
        mount -t tmpfs none /etc/systemd/system && mount -t tmpfs none /run || exit 9
        {"mkdir -p /run/systemd/system" if running else ""}
        SYSTEMD_OFFLINE=1 sh "$@" && cd /etc/systemd/system && find . -type l | sort
    """
    words = machine.command("--package", str(wheel), "--units", "/etc/systemd/system")[1:]

    done = subprocess.run(
        [require("unshare"), "--mount", "sh", "-c", inside, "sh", *words],
        env={**os.environ, "PATH": f"{machine.folder}/bin:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
    )

    assert done.returncode == 0, done.stderr
    enabled = f"./basic.target.wants/{RECOVER}\n./multi-user.target.wants/{DAEMON}\n"
    assert done.stdout.endswith(
        (
            "It runs; 'add' tells it which packages this device wants.\n"
            if running
            else "It starts when this device boots.\n"
        )
        + enabled
    )
    asked = [f"--quiet enable {RECOVER} {DAEMON}"]
    assert calls.read_text().splitlines() == (["daemon-reload", *asked, f"restart {DAEMON}"] if running else asked)

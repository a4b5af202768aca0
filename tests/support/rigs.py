"""What the tests of commands do with a device, and what they read from its answers."""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING, Any

from tests.support import devices, trees
from tests.support.trees import Release

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.devices import Rig

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


def want(rig: Rig, *packages: str) -> None:
    """Want packages in this order, in the state file alone."""
    devices.write_state(rig.state_file, *(entry(rig, package) for package in packages))


def entry(rig: Rig, package: str, **keys: str) -> dict[str, Any]:
    """Make the entry of a package that is wanted."""
    return {"package": package, "branch": "stable", "local": str(rig.opt / package), **keys}


def edit(rig: Rig, package: str = "app", **keys: Any) -> None:
    """Edit the entry of a package as its owner would; a key that is None is taken out."""
    state = rig.state()
    (found,) = [each for each in state["package"] if each["package"] == package]
    found |= keys
    for key in [key for key, value in found.items() if value is None]:
        del found[key]
    rig.state_file.write_text(json.dumps(state, indent=4))


def release_both(rig: Rig, tree: Path, *versions: str) -> None:
    """Release `lib`, and an `app` that needs at least the lib of its own version."""
    local = {"local": str(rig.opt / "lib")}
    trees.write(tree, *(Release(version, f"lib {version}".encode(), local) for version in versions), package="lib")
    needs = {version: {"dependencies": {"lib": f">={version}"}} for version in versions}
    trees.write(
        tree, *(Release(version, f"app {version}".encode(), needs[version], needs[version]) for version in versions)
    )


def cut_off(rig: Rig, tree: Path, version: str = "9.0", data: bytes = b"nine") -> None:
    """Have an update of app be killed by its own hook, with kill -9."""
    killer = {"before_update": f"test -e {rig.folder}/spared || kill -9 $PPID"}
    trees.write(tree, Release(version, data, killer))
    done = subprocess.run(rig.command("update", "app"), capture_output=True, check=False, timeout=60)
    assert done.returncode == -9


def spare(rig: Rig) -> None:
    """Let the hook of `cut_off` kill nobody any more."""
    (rig.folder / "spared").touch()


def answer(rig: Rig, *words: str) -> Any:
    """Run a command that prints JSON; returns that."""
    return json.loads(rig.run(*words, "--json").stdout)


def row(rig: Rig, package: str = "app", command: str = "status") -> Any:
    """Read what a command tells programs of one package."""
    (found,) = [each for each in answer(rig, command)["packages"] if each["package"] == package]
    return found


def notes(rig: Rig) -> list[str]:
    """Read the lines of the table of `check`, without what aligns them."""
    lines = rig.run("check").stdout.splitlines()
    return [" ".join(line.split()) for line in lines[lines.index("") + 2 :]]


def remarks(rig: Rig) -> list[str]:
    """Read what `status` says of the device as a whole, the state of its mirrors aside."""
    lines = rig.run("status").stdout.splitlines()
    return [line for line in lines[1 : lines.index("")] if not line.startswith("mirror ")]


def story(rig: Rig, package: str = "app") -> list[str]:
    """Read what `status` says below its table of one package, with TIME for times."""
    lines = rig.run("status").stdout.splitlines()
    lines = [re.sub(TIME, "TIME", line) for line in lines]
    first = next(number for number, line in enumerate(lines) if line.startswith(f"{package}: "))
    after = next((n for n, line in enumerate(lines[first + 1 :], first + 1) if not line.startswith("  ")), len(lines))
    return lines[first:after]

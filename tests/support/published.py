"""Real packages: two consecutive releases of a published program, fetched from the package registry when first needed.

Each is one self-contained executable of tens of megabytes. What was fetched is kept in tests/packages/cache.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

NAME = "uv"
VERSIONS = ("0.9.2", "0.9.3")

_CACHE = Path(__file__).parent.parent / "packages" / "cache"


class FetchError(Exception):
    """The registry does not hand out the package."""


def executable(version: str) -> Path:
    """Return the program of one release, fetching it if need be.

    Raises:
        FetchError: the registry did not answer, or has no build for this machine.
    """
    cached = _CACHE / f"{NAME}-{version}"
    if not cached.exists():
        _CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=_CACHE) as folder:
            unpacked = _unpack(_download(version, Path(folder)), version, Path(folder))
            unpacked.chmod(0o755)
            unpacked.replace(cached)
    return cached


def _download(version: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--dest", str(folder), f"{NAME}=={version}"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=240, env={**os.environ})
    wheels = list(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        raise FetchError(f"{NAME} {version} could not be fetched:\n{done.stderr}")
    return wheels[0]


def _unpack(wheel: Path, version: str, folder: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        return Path(archive.extract(f"{NAME}-{version}.data/scripts/{NAME}", folder))

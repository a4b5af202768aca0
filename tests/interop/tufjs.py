"""The npm package tuf-js, unmodified, as a client of a mirror.

It is installed once into `node_modules` beside this file, which git ignores, from the registry that npm knows.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support import tools

if TYPE_CHECKING:
    from collections.abc import Iterable

HERE = Path(__file__).parent
_WANTED = HERE / "package.json"
_INSTALLED = HERE / "node_modules" / ".package-lock.json"


class RefusedError(Exception):
    """The client refused the mirror; it says why."""


@dataclass(frozen=True)
class Client:
    """A client that keeps its metadata, and what it downloads, in a folder."""

    node: str
    folder: Path

    def trust(self, root: bytes) -> None:
        """Pin a root."""
        self.folder.mkdir()
        (self.folder / "root.json").write_bytes(root)

    def download(self, url: str, targets: Iterable[str]) -> dict[str, str]:
        """Refresh, and download targets; returns their SHA-256, for those that somebody vouches for.

        Raises:
            RefusedError: something does not verify, or is missing.
        """
        done = subprocess.run(
            [self.node, HERE / "client.js"],
            input=json.dumps({"url": url, "folder": str(self.folder), "targets": list(targets)}),
            env={**os.environ, "NO_PROXY": "127.0.0.1"},
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
        )
        if done.returncode:
            raise RefusedError(done.stderr)
        found: dict[str, str] = json.loads(done.stdout)
        return found


def install() -> str:
    """Install tuf-js unless it is there, and return the path of node; without either, the test is skipped."""
    node, npm = tools.require("node"), tools.require("npm")
    if not _INSTALLED.exists() or _INSTALLED.stat().st_mtime < _WANTED.stat().st_mtime:
        command = [npm, "install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"]
        done = subprocess.run(command, cwd=HERE, check=False, capture_output=True, text=True, timeout=200)
        if done.returncode:
            tools.missing(f"npm cannot install tuf-js: {done.stderr}")
        _INSTALLED.touch()
    return node

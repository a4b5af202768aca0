"""A running site on which a publisher has claimed the package `app`; mirror and receiver share an address.

with claimed.running(tmp_path, "1.0") as live:
    live.push(file, "--version", "1.1", *live.keys)
assert live.look()["releases/app/main.json"] == ...
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from click.testing import CliRunner, Result

from builder import cli
from builder.uploads import receive
from builder.web import serve
from mirror import layout, releases, trust
from tests.signing.ground import Ground, claim

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mirror.releases import ReleaseList

_SUBJECT = ("--package", "app", "--branch", "main")


@dataclass
class Live:
    """The site, and what its publisher has.

    Attributes:
        private: the files of the publisher's keys.
    """

    ground: Ground
    private: list[Path]
    url: str = ""

    @property
    def mirror(self) -> Path:
        """The mirror's folder."""
        return self.ground.mirror

    @property
    def keys(self) -> list[str]:
        """The options that sign with all of the keys."""
        return [word for file in self.private for word in ("--key", str(file))]

    def push(self, *arguments: str, expected: int = 0, to: str = "") -> Result:
        """Run `otamirror push` for the package's main branch."""
        result = CliRunner().invoke(cli.main, ["push", *arguments, *_SUBJECT, "--to", to or self.url])
        assert result.exit_code == expected, result.output
        return result

    def newest(self, branch: str = "main") -> ReleaseList:
        """Read the list as plain clients do."""
        return releases.parse((self.mirror / layout.release_list("app", branch)).read_bytes())

    def versions(self) -> list[str]:
        """Tell which versions the list has."""
        return [each.version for each in self.newest().releases]

    def get(self, path: str, most_bytes: int) -> bytes | None:
        """Read a file of the mirror."""
        file = self.mirror / path
        return file.read_bytes()[: most_bytes + 1] if file.is_file() else None

    def role(self) -> int:
        """Tell the version of the package's role."""
        return self.ground.versions()[trust.package_role("app")]

    def look(self) -> dict[str, bytes]:
        """Verify everything as unmodified clients of TUF do; returns the lists."""
        return self.ground.look()


@contextlib.contextmanager
def running(folder: Path, *versions: str, keys: int = 1, threshold: int = 1) -> Iterator[Live]:
    """Run a site on which these versions were published before the package was claimed."""
    ground = Ground(folder)
    ground.clock.now = time.time()
    if versions:
        ground.publish(*versions)
    private = [ground.new_key(f"publisher-{number}") for number in range(keys)]
    ground.change(claim("app", *private, threshold=threshold), uris=list(map(str, private)), at_once=True)
    application = serve.app(ground.mirror, 60)
    with receive.receiving(ground.site, lambda: None) as receiver:
        receive.share(ground.site, receiver, application)
        with serve.running(application) as server:
            yield Live(ground, private, server.url)

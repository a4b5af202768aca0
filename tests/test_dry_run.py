"""`otamirror push --dry-run --to`: what the mirror would say is said, and nothing is sent."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from builder import cli
from mirror.releases import MOST
from tests.support import claimed, httpd, sites

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.claimed import Live


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    """Run a site with a long list of `lib` and its pages; `app` is claimed."""
    with claimed.running(tmp_path, "1.0") as running:
        running.ground.publish(*(f"1.{number}" for number in range(MOST + 2)), package="lib")
        with running.ground.opened() as builder:
            builder.refresh_pages(everything=True)
        yield running


def push(live: Live, data: bytes, *words: str, package: str = "lib", branch: str = "main") -> Result:
    """Try whether a release of these bytes can be pushed."""
    file = live.ground.site.file.parent / "file.bin"
    file.write_bytes(data)
    stated = ("--package", package, "--branch", branch, "--to", live.url)
    return CliRunner().invoke(cli.main, ["push", str(file), *stated, *words])


@pytest.mark.parametrize(
    ("version", "package", "branch", "says"),
    [
        ("1.129", "lib", "main", "was published before with other bytes"),
        ("1.1", "lib", "main", "was published before with other bytes"),
        ("v1.129", "lib", "main", "is the same version as 1.129"),
        ("1.1.0", "lib", "main", "is the same version as 1.1,"),
        ("1.0", "LIB", "main", "the package 'LIB' differs from the existing 'lib' only in case"),
        ("1.0", "lib", "Main", "the branch 'Main' differs from the existing 'main' only in case"),
        ("1.1", "app", "main", "app is claimed by its publisher"),
    ],
)
def test_what_the_mirror_would_refuse_is_told(version: str, package: str, branch: str, says: str, live: Live) -> None:
    """Before anything is sent; the upload itself is refused for the same reason."""
    before = sites.stamps(live.mirror)

    dry = push(live, b"others", "--version", version, "--dry-run", package=package, branch=branch)
    wet = push(live, b"others", "--version", version, package=package, branch=branch)

    assert dry.exit_code == wet.exit_code == 1
    assert says in dry.stderr
    assert says in wet.stderr
    assert sites.stamps(live.mirror) == before


def test_what_can_be_pushed_is_told(live: Live) -> None:
    """Something new, and what is there already as it is; the mirror stays as it was."""
    before = sites.stamps(live.mirror)

    new = push(live, b"others", "--version", "2.0", "--dry-run")
    program = push(live, b"others", "--version", "2.0", "--dry-run", "--json")
    again = push(live, sites.package("1.1", "lib").data, "--version", "1.1", "--dry-run")
    first = push(live, b"others", "--version", "2.0", "--dry-run", package="new", branch="Main")

    assert [done.exit_code for done in (new, program, again, first)] == [0] * 4
    assert new.stdout.startswith("lib 2.0 on main can be pushed: ")
    assert json.loads(program.stdout)["new"] is True
    assert again.stdout == "lib 1.1 on main was published before, with the same bytes\n"
    assert first.stdout.startswith("new 2.0 on Main can be pushed: ")
    assert sites.stamps(live.mirror) == before


def test_a_place_that_is_no_mirror_is_told(live: Live, tmp_path: Path) -> None:
    """A dry run that could not ask says so, and does not promise."""
    (tmp_path / "empty").mkdir()
    with httpd.serving(tmp_path / "empty") as server:
        live.url = server.url
        done = push(live, b"others", "--version", "2.0", "--dry-run")

    assert done.exit_code == 1
    assert "metadata/timestamp.json is not on the mirror: look whether --to or --mirror is right" in done.stderr

"""builder/cli.py: the commands as people and scripts use them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from builder import build, cli
from builder.commands import writing
from builder.intake.drops import Find, Pass
from builder.submission import Verdict
from mirror import content, layout
from tests.support import clients, sites

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from builder.site import Site


@pytest.fixture
def run(site: Site) -> Callable[..., Result]:
    """Run `otamirror` on the site under test."""

    def run(*arguments: str, expected: int = 0) -> Result:
        result = CliRunner().invoke(cli.main, ["--site", str(site.file), *arguments])
        assert result.exit_code == expected, result.output
        return result

    return run


@pytest.fixture
def published(site: Site) -> Site:
    """A site with one release."""
    sites.drop(site.paths.inbox, sites.package("1.0"))
    with build.opened(site) as builder:
        builder.take_inbox()
    return site


@pytest.mark.parametrize(
    "command", ["init", "up", "build", "pack", "list", "show", "check", "recover", "prune", "host"]
)
def test_every_command_explains_itself(command: str) -> None:
    """Help is there, and needs no site."""
    assert "Usage: main " in CliRunner().invoke(cli.main, [command, "--help"]).output


def test_init_writes_settings_that_can_be_used(tmp_path: Path) -> None:
    """The new site.toml is complete and valid; a second one is refused and changes nothing."""
    file = tmp_path / "new" / "site.toml"
    arguments = ["--site", str(file), "init"]

    assert CliRunner().invoke(cli.main, arguments).exit_code == 0
    written = file.read_bytes()
    again = CliRunner().invoke(cli.main, arguments)

    assert again.exit_code == 1
    assert "is there already" in again.output
    assert file.read_bytes() == written
    assert (file.parent / "var/inbox").is_dir(), "where the help of `otamirror` drops files into"
    assert CliRunner().invoke(cli.main, ["--site", str(file), "build"]).exit_code == 0


def test_a_missing_site_says_what_to_do(tmp_path: Path) -> None:
    """The first error that a newcomer meets names the command that helps."""
    result = CliRunner().invoke(cli.main, ["--site", str(tmp_path / "site.toml"), "build"])

    assert result.exit_code == 1
    assert "otamirror init" in result.output


def test_pack_and_build_publish(site: Site, run: Callable[..., Result]) -> None:
    """What `pack` writes, `build` takes."""
    file = site.paths.inbox / "app.bin"
    file.write_bytes(b"program")

    run("pack", str(file), "--package", "app", "--branch", "main", "--version", "1.0", "--depends", "lib=>=1,<2")
    result = run("build")

    assert "1 published, 0 there already, 0 refused, 0 waiting" in result.output
    page = site.paths.mirror / layout.max_version("app", "main")
    assert content.parse(page.read_bytes()).content.dependencies == {"lib": ">=1,<2"}


def test_pack_names_every_mistake_at_once(site: Site, run: Callable[..., Result]) -> None:
    """A publisher mends all of them in one go."""
    file = site.paths.inbox / "app.bin"
    file.write_bytes(b"program")

    result = run("pack", str(file), "--package", "a/b", "--branch", "feature/x", "--version", "", expected=1)

    assert "feature-x" in result.output
    assert all(f"{key}:" in result.output for key in ("package", "branch", "version"))


def test_a_refused_drop_makes_build_fail(site: Site, run: Callable[..., Result]) -> None:
    """Scripts see it by the exit code, people by the reason."""
    file = sites.drop(site.paths.inbox, sites.package("1.0"))
    file.write_bytes(b"damaged")
    sites.drop(site.paths.inbox, sites.package("1.1"), "good.bin")
    (site.paths.inbox / "lonely").touch()

    result = json.loads(run("build", "--json", expected=1).stdout)

    assert result["published"] == ["app 1.1 on main"]
    assert [(refusal["drop"], refusal["error"]) for refusal in result["refused"]] == [("app.bin", "hash-mismatch")]
    assert list(result["waiting"]) == ["lonely"]


def test_list_and_show_tell_what_is_published(published: Site, run: Callable[..., Result]) -> None:
    """For people as a line, for programs as JSON."""
    (row,) = json.loads(run("list", "--json").stdout)
    shown = json.loads(run("show", "app", "1.0", "--branch", "main").stdout)

    assert (row["package"], row["branch"], row["version"]) == ("app", "main", "1.0")
    heading, line = run("list", "app").stdout.splitlines()
    assert heading.split("\t") == ["package", "branch", "version", "size", "published", "sha256", "state"]
    assert line.startswith("app\tmain\t1.0\t16 B\t")
    none = run("list", "other")
    assert (none.stdout, none.stderr) == ("", "no release is published of other\n")
    assert shown["content"] == sites.package("1.0").content.fields()


def test_show_says_when_there_is_no_such_release(published: Site, run: Callable[..., Result]) -> None:
    """The error names a command that shows what there is."""
    assert "otamirror list app" in run("show", "app", "2.0", "--branch", "main", expected=1).output


def test_check_fails_on_a_fault_and_names_it(published: Site, run: Callable[..., Result]) -> None:
    """Cron can rely on the exit code."""
    assert run("check").stdout == ""
    path = layout.blob(sites.package("1.0").content.sha256)
    (published.paths.mirror / path).write_bytes(b"other bytes than before")

    assert run("check", expected=1).stdout == f"changed\t{path}\n"
    assert json.loads(run("check", "--json", expected=1).stdout)["faults"] == [{"path": path, "problem": "changed"}]


def test_check_tells_of_an_inbox_that_is_shared_badly(published: Site, run: Callable[..., Result]) -> None:
    """It is no fault of the mirror, so the exit code stays."""
    published.paths.inbox.chmod(0o777)

    assert run("check").stdout.startswith(
        f"shared badly\tthe inbox {published.paths.inbox} may be written to by everyb"
    )
    assert len(json.loads(run("check", "--json").stdout)["inbox"]) == 1


def test_build_looks_again_where_one_pass_cannot_know() -> None:
    """A `build` takes what only a second look can judge: no pass comes after it by itself."""
    waiting = Find(("app.json", "app"), waiting="app was changed in the future")
    first, second = Verdict("lib 1.0 on main", is_new=True), Verdict("app 1.0 on main", is_new=True)
    passes = iter([Pass((first,), (waiting,), is_watching=True), Pass((second,))])

    assert writing._take(lambda: next(passes), 0) == Pass((first, second))
    assert list(passes) == []


def test_build_from_scratch_mends_the_mirror(
    published: Site, run: Callable[..., Result], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Lost or damaged pages come back as they were; what was signed here is signed anew, and clients go on."""
    mirror, device = published.paths.mirror, tmp_path / "device"
    before, lists = sites.pages(mirror), clients.look(mirror, device)
    for path in sites.paths(mirror):
        if not path.startswith(layout.BLOBS):
            (mirror / path).write_bytes(b"damaged")

    run("build", "--from-scratch")

    after = sites.pages(mirror)
    assert {path: after[path] for path in before} == before
    assert clients.look(mirror, device) == lists
    assert run("check").stdout == ""
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []


@pytest.mark.parametrize("left", [None, b""])
def test_a_lost_catalogue_is_one_sentence(left: bytes | None, published: Site, run: Callable[..., Result]) -> None:
    """Whatever command finds it, it says what to do and leaves no empty catalogue behind."""
    for file in published.paths.var.glob("catalogue.sqlite*"):
        file.unlink()
    if left is not None:
        published.paths.catalogue.write_bytes(left)

    for words in (["check"], ["list"], ["keys", "list"], ["keys", "export-root"], ["build"], ["resign"], ["prune"]):
        said = run(*words, expected=1).output
        assert "but the mirror holds releases: the catalogue was lost;" in said, words
        assert "otamirror recover" in said
        assert len([line for line in said.splitlines() if " INFO " not in line]) == 1
        assert left is not None or not published.paths.catalogue.exists()
    assert "1 releases recovered" in run("recover").output


def test_many_faults_of_a_kind_are_counted(published: Site, run: Callable[..., Result]) -> None:
    """People see some of each kind and how many more there are; programs get all."""
    for number in range(50):
        (published.paths.mirror / f"{number:02}.tmp").write_bytes(b"")
    (published.paths.mirror / layout.max_version("app", "main")).unlink()

    lines = run("check", expected=1).stdout.splitlines()

    assert len(lines) == 1 + 21
    assert f"missing\t{layout.max_version('app', 'main')}" in lines
    assert "extra\tand 30 more; --json names them all" in lines
    assert len(json.loads(run("check", "--json", expected=1).stdout)["faults"]) == 51


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "unclaimed"])
def test_a_missing_key_is_told_before_it_is_needed(role: str, published: Site, run: Callable[..., Result]) -> None:
    """Every start, resign and check load all keys that sign online, and say which is missing."""
    key = published.paths.keys / f"{role}.pem"
    key.rename(key.with_suffix(".away"))
    sites.drop(published.paths.inbox, sites.package("2.0"))
    inbox = sites.stamps(published.paths.inbox)

    for words in (["up"], ["watch"], ["receive"], ["build"], ["resign"], ["check"], ["check", "--json"]):
        said = run(*words, expected=1).output
        assert f"{role} needs 1 of the keys " in said, words
        assert "put the key back into paths.keys" in said

    assert sites.stamps(published.paths.inbox) == inbox
    key.with_suffix(".away").rename(key)
    assert "1 published" in run("build").output


def test_only_a_few_commands_make_keys(tmp_path: Path) -> None:
    """A device that is pinned to a root of nothing never gets an update: readers make and publish nothing."""
    site = sites.make(tmp_path / "site", signed=False)
    public = tmp_path / "new.pub"
    runner = CliRunner()
    runner.invoke(cli.main, ["keys", "new", str(public.with_suffix(".pem"))])
    words = ["keys list", "keys export-root", "list", "check", "show app 1 --branch main", "resign", "prune", "rebin"]
    words += [
        "watch",
        "receive",
        f"keys claim app --publisher-key {public}",
        "keys rotate timestamp",
        "keys renew root",
    ]
    words += ["keys unclaim app", f"keys add root {public}", "keys remove root 00", "recover", "token list"]

    for each in words:
        done = runner.invoke(cli.main, ["--site", str(site.file), *each.split()])
        assert each == "token list" or done.exit_code == 1, each
        assert each in {"token list", "recover"} or re.search("no keys yet|nothing was published yet", done.output), (
            each
        )
    assert not list(site.paths.keys.glob("*"))
    assert not list(site.paths.mirror.rglob("*.json"))

    assert runner.invoke(cli.main, ["--site", str(site.file), "keys", "init"]).exit_code == 0
    assert runner.invoke(cli.main, ["--site", str(site.file), "keys", "export-root"]).exit_code == 0


def test_build_from_scratch_needs_the_blobs(published: Site, run: Callable[..., Result]) -> None:
    """Bytes that are lost cannot be rendered; the error says where they may come from."""
    (published.paths.mirror / layout.blob(sites.package("1.0").content.sha256)).unlink()

    assert "backup" in run("build", "--from-scratch", expected=1).output


def test_recover_brings_the_catalogue_back(published: Site, run: Callable[..., Result], tmp_path: Path) -> None:
    """The command does all of it, for a damaged catalogue too, which it keeps; clients notice nothing."""
    mirror, device = published.paths.mirror, tmp_path / "device"
    before, lists = sites.pages(mirror), clients.look(mirror, device)
    published.paths.catalogue.write_bytes(b"damaged")

    assert "recover" in run("build", expected=1).output
    result = run("recover")

    assert "1 releases recovered" in result.output
    assert published.paths.catalogue.with_name("catalogue.sqlite.damaged").read_bytes() == b"damaged"
    after = sites.pages(mirror)
    assert {path: after[path] for path in before} == before
    assert clients.look(mirror, device) == lists
    assert run("check").stdout == ""


def test_commands_that_read_do_not_make_a_catalogue(site: Site, run: Callable[..., Result]) -> None:
    """Before the first publish they say so, and leave nothing behind."""
    site.paths.catalogue.unlink()
    assert "nothing was published yet" in run("list", expected=1).output
    assert not site.paths.catalogue.exists()


def test_host_nginx_prints_this_sites_configuration(site: Site, run: Callable[..., Result]) -> None:
    """The mirror's folder and the site's cache times stand in it."""
    printed = run("host", "nginx", "--server-name", "ota.example.org").stdout

    assert str(site.paths.mirror) in printed
    assert "ota.example.org" in printed


def test_what_is_published_can_be_read_by_a_web_server(site: Site) -> None:
    """A careful umask of the operator's does not lock the server's user out."""
    sites.drop(site.paths.inbox, sites.package("1.0"))
    command = [sys.executable, "-m", "builder.cli", "--site", str(site.file), "build"]

    subprocess.run(command, check=True, umask=0o077, timeout=60)

    for path in site.paths.mirror.rglob("*"):
        assert path.stat().st_mode & 0o004, path

"""mirror/terminal.py: every command of both programs, on any standard output and standard error."""

from __future__ import annotations

import ast
import io
import itertools
import json
import logging
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder import build
from mirror import terminal, text
from tests.support import consoles, sites
from tests.support.consoles import Call
from tests.test_house import commands

if TYPE_CHECKING:
    from collections.abc import Iterator

# words for each command; those that are not here print their help
WORDS = {
    "otamirror": {
        "init": "init",
        "token add": "token add ci --package * --branch *",
        "token list": "token list",
        "token revoke": "token revoke ☃",
        "keys list": "keys list",
        "keys export-root": "keys export-root",
        "keys new": "keys new new.pem",
        "keys renew": "keys renew targets",
        "keys rotate": "keys rotate timestamp",
        "keys sign": "keys sign nothing.json",
        "pack": "pack ☃.bin --package app --branch main --version 2 --force",
        "push": "push ☃.bin --package app --branch main --version 2 --dry-run",
        "build": "build",
        "recover": "recover",
        "prune": "prune",
        "resign": "resign --all",
        "rebin": "rebin",
        "list": "list",
        "show": "show app 1.0 --branch main",
        "check": "check",
        "schema": "schema",
        "host nginx": "host nginx",
    },
    "otadevice": {
        "init": "init --device door --remote http://127.0.0.1:1 --root root.json --allow .",
        "add": "add app --branch main --local ☃",
        "pin": "pin app <2",
        "install-units": "install-units --print",
        "check": "check",
        "explain": "explain app",
        "status": "status",
        "update": "update",
        "recover": "recover",
        "rollback": "rollback",
        "remove": "remove other",
        "clear-bad": "clear-bad",
    },
}
STATES = {
    "ascii": ({"PYTHONIOENCODING": "ascii:strict"}, "{}.out", "{}.err"),
    "latin-1": ({"PYTHONIOENCODING": "iso-8859-1"}, "{}.out", "{}.err"),
    "locale": ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, "{}.out", "{}.err"),
    "gone": ({}, "gone", "{}.err"),
    "all gone": ({}, "gone", "gone"),
    "closed": ({}, "closed", "{}.err"),
    "all closed": ({}, "closed", "closed"),
}
SAMPLE = ("ascii", "gone")  # in every run; the others are in the long suite


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a site with a release that has more than ASCII in it, and what a device needs, once."""
    folder = tmp_path_factory.mktemp("consoles") / "template"
    site = sites.make(folder)
    sites.drop(site.paths.inbox, sites.package("1.0", description="Grüße, ☃ [red]"))
    with build.opened(site) as builder:
        builder.take_inbox()
        root = builder.signing.roles.roots()[0].data
    (folder / "root.json").write_bytes(root)
    (folder / "☃.bin").write_bytes(b"snow")
    return folder


@pytest.fixture
def folder(template: Path) -> Iterator[Path]:
    """Give a fresh copy at a place that is always the same, so that what is printed is the same, too."""
    place = template.with_name("run")
    shutil.copytree(template, place, symlinks=True)
    yield place
    shutil.rmtree(place)


def names() -> list[str]:
    """Return all commands, as "PROGRAM COMMAND"."""
    return [f"{program} {name}" for program in WORDS for name in commands(program)]


def outcomes(folder: Path, wanted: list[str], state: str | None = None) -> dict[str, tuple[int, str]]:
    """Run commands; returns the exit code of each, and what it wrote to standard error."""
    environment, out, err = STATES[state] if state else ({"PYTHONIOENCODING": "utf-8"}, "{}.out", "{}.err")
    calls = []
    for number, name in enumerate(wanted):
        program, _, command = name.partition(" ")
        words = WORDS[program].get(command, f"{command} --help").split()
        calls.append(Call(program, tuple(words), out.format(number), err.format(number)))
    codes = consoles.run(calls, folder, **environment)
    told = [Path(folder, call.err).read_bytes().decode(errors="replace") if "err" in call.err else "" for call in calls]
    return dict(zip(wanted, zip(codes, told, strict=True), strict=True))


@pytest.fixture(scope="module")
def usual(template: Path) -> dict[str, int]:
    """Tell what each command ends with where nothing is unusual."""
    place = template.with_name("run")
    shutil.copytree(template, place, symlinks=True)
    found = {name: code for name, (code, _) in outcomes(place, names()).items()}
    shutil.rmtree(place)
    return found


@pytest.mark.parametrize(
    "state", [state if state in SAMPLE else pytest.param(state, marks=pytest.mark.long) for state in STATES]
)
def test_every_command_ends_the_same_in_every_state(state: str, folder: Path, usual: dict[str, int]) -> None:
    """Whatever its streams are: the exit code is that of the work, and nothing is told of the streams."""
    found = outcomes(folder, names(), state)

    assert {name: code for name, (code, _) in found.items()} == usual
    noise = ("Traceback", "UnicodeEncodeError", "Broken pipe", "Bad file descriptor", "Exception ignored")
    assert [told for _, told in found.values() if any(word in told for word in noise)] == []


def test_the_usual_is_that_most_succeed(usual: dict[str, int]) -> None:
    """The commands of these tests do something: a few fail, as those that ask a mirror that is not there."""
    assert set(usual.values()) <= {0, 1, 2, 75}
    assert sum(code == 0 for code in usual.values()) > len(usual) * 2 / 3


def test_what_cannot_be_written_is_an_error(folder: Path) -> None:
    """A full disk behind `>` is told: the file that a program reads next would be empty."""
    words = ("list", "keys export-root", "--help")
    calls = [Call("otamirror", tuple(each.split()), "/dev/full", f"{each}.err") for each in words]

    assert consoles.run(calls, folder) == [1, 1, 1]
    for call in calls[:2]:
        assert (folder / call.err).read_text().endswith("No space left on device: 'standard output'\n")


def test_a_full_disk_behind_standard_error_ends_nothing(folder: Path) -> None:
    """There is nowhere to tell it; the work goes on, and a wrong usage is still one."""
    calls = [Call("otamirror", words, "out", "/dev/full") for words in (("build",), ("nonsense",))]

    assert consoles.run(calls, folder) == [0, 2]


def test_the_description_is_json_in_every_encoding(folder: Path) -> None:
    """What an encoding cannot write is escaped as JSON escapes it, so programs read the same."""
    shown = ("show", "app", "1.0", "--branch", "main")
    found = []
    for encoding in ("utf-8", "cp437", "utf-16"):
        assert consoles.run([Call("otamirror", shown, "out", "err")], folder, PYTHONIOENCODING=encoding) == [0]
        found.append(json.loads((folder / "out").read_bytes().decode(encoding)))

    assert found[0]["content"]["description"] == "Grüße, ☃ [red]"
    assert all(each == found[0] for each in found)


def test_nothing_is_printed_elsewhere() -> None:
    """All that both programs say goes through mirror/terminal.py; a bar and a table of rich's are escaped before."""
    root = Path(terminal.__file__).parents[1]
    forbidden = {"print", "click.echo", "click.secho", "sys.stdout.write", "sys.stderr.write"}
    found = [
        f"{path.relative_to(root)}: {ast.unparse(node.func)}"
        for path in itertools.chain.from_iterable((root / name).rglob("*.py") for name in ("builder", "devclient"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in forbidden
        and path.name != "openapi.py"  # run by hand
    ]
    assert found == []


@given(st.text())
def test_escaped_text_obeys_nobody(words: str) -> None:
    """No control character is left but line ends and tabs; one line is one line; plain text stays as it is."""
    shown = text.escaped(words)

    assert not {letter for letter in shown if ord(letter) < 32 or 0x7F <= ord(letter) < 0xA0} - {"\n", "\t"}
    assert shown.encode("utf-8", "strict") is not None
    assert len(text.one_line(words).splitlines()) <= 1
    assert text.escaped(shown) == shown


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("plain ☃ ü 👩\u200d🚒", "plain ☃ ü 👩\u200d🚒"),
        ("\x1b]0;pwned\x07", "\\u001b]0;pwned\\u0007"),
        ("\x9b31m\x7f", "\\u009b31m\\u007f"),
        ("a\u202egpj.exe", "a\\u202egpj.exe"),
        ("\udcff", "\\udcff"),
        ("\U000e0041", "\\udb40\\udc41"),
        ("one\r\ntwo\tthree", "one\\r\ntwo\tthree"),
    ],
)
def test_what_a_terminal_would_obey_is_escaped(given: str, shown: str) -> None:
    """As JSON escapes it; letters of every script stay."""
    assert text.escaped(given) == shown


def test_a_record_is_one_line() -> None:
    """Nothing that a server or a publisher wrote can look like a record of ours; a traceback is indented."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(terminal.LineFormatter("%(levelname)s %(message)s"))
    logger = logging.Logger("test")  # noqa: LOG001 - one of its own, that nobody else hears
    logger.addHandler(handler)

    logger.warning("refused %s", "app\n2026-12-01 INFO all is well\x1b[2J")
    try:
        int("one\ntwo")
    except ValueError:
        logger.exception("no")

    first, second, *others = stream.getvalue().splitlines()
    assert (first, second) == ("WARNING refused app; 2026-12-01 INFO all is well\\u001b[2J", "ERROR no")
    assert others
    assert all(line.startswith("  ") for line in others)


def test_a_streams_own_encoding_is_kept(tmp_path: Path) -> None:
    """Only that which it cannot write is escaped."""
    with (tmp_path / "out").open("w", encoding="iso-8859-1", errors="otamirror.escape") as stream:
        stream.write("ü☃")

    assert (tmp_path / "out").read_bytes() == b"\xfc\\u2603"
    assert sys.stdout.encoding

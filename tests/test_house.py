"""Facts about the tree as a whole: what the documents promise exists, and what has to stay out is out."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import click
import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("mirror", "builder", "devclient")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
NETWORK = {"asyncio", "http.client", "httpx", "requests", "socket", "starlette", "urllib.request", "uvicorn"}


def modules(*packages: str) -> list[Path]:
    """Find the Python files of these packages."""
    return [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]


def imported(path: Path) -> set[str]:
    """Name all that a file imports, `from urllib import request` as urllib.request too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def commands(program: str) -> dict[str, click.Command]:
    """Find the commands of a program that people type, a command of a group as "group command"."""
    module = {"otamirror": "builder.cli", "otadevice": "devclient.cli"}[program]
    found: dict[str, click.Command] = {}

    def collect(group: click.Group, prefix: str) -> None:
        for name, command in group.commands.items():
            if isinstance(command, click.Group):
                collect(command, f"{prefix}{name} ")
            elif not command.hidden:
                found[f"{prefix}{name}"] = command

    collect(importlib.import_module(module).main, "")
    return found


def read_me_commands(program: str) -> list[str]:
    """Find the commands of a program that README's table has."""
    readme = (ROOT / "README.md").read_text()
    (table,) = re.findall(rf"^\| `{program}` \| \|\n\|---\|---\|\n((?:\|.*\n)+)", readme, re.MULTILINE)
    return [name for row in table.splitlines() for name in re.findall(r"`([^`]+)`", row.split("|")[1])]


def shell_lines(document: Path) -> list[str]:
    """Find the lines of the code blocks of a document."""
    blocks = re.findall(r"^```(.*?)\n(.*?)^```", document.read_text(), re.MULTILINE | re.DOTALL)
    return [line for language, block in blocks if not language for line in block.splitlines()]


@pytest.mark.parametrize("path", modules(*PACKAGES), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_can_be_read_in_one_sitting(path: Path) -> None:
    """No module has more than 300 lines; one that would is two things."""
    assert len(path.read_text().splitlines()) <= 300


def test_the_contract_does_no_network_io() -> None:
    """Nothing in mirror/ can open a connection: it is the same for a device and a builder that are offline."""
    found = {path.name: imported(path) & NETWORK for path in modules("mirror")}

    assert {name: libraries for name, libraries in found.items() if libraries} == {}


def test_what_is_silenced_has_its_reason() -> None:
    """Every rule that a line is excused from says why on that line."""
    silenced = re.compile(r"# (?:noqa|type: ignore|pragma: no cover)(?P<rest>.*)")
    bare = re.compile(r"(?::? ?[A-Z]+[0-9]+(?:, ?[A-Z]+[0-9]+)*|\[[a-z-]+(?:, ?[a-z-]+)*\])?\s*")
    lines = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in modules(*PACKAGES, "tests")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if (match := silenced.search(line)) and bare.fullmatch(match["rest"])
    ]

    assert lines == []


def test_the_wheel_ships_everything(tmp_path: Path) -> None:
    """Templates, host configurations and the sample of site.toml are there after an installation."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=60)

    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        shipped = set(wheel.namelist())
        sample = wheel.read("builder/site.toml")

    wanted = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert wanted - shipped == set()
    assert sample == (ROOT / "site.toml").read_bytes()


@pytest.mark.parametrize("program", ["otamirror", "otadevice"])
def test_readme_lists_the_commands_that_there_are(program: str) -> None:
    """README's table has every command of a program, and no other."""
    assert sorted(read_me_commands(program)) == sorted(commands(program))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_command_lines_in_documents_can_be_typed(document: Path) -> None:
    """A command shown in a code block exists with the options that it is shown with."""
    for line in shell_lines(document):
        program, *words = line.split("#")[0].split() or [""]
        if program not in {"otamirror", "otadevice"}:
            continue
        known = commands(program)
        name = next((name for name in known if words[: len(name.split())] == name.split()), None)
        assert name is not None, line
        options = {option for parameter in known[name].params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} - options == set(), line


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    """A link to a file of the project is a link to a file that exists."""
    links = re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text())

    assert [link for link in links if not (document.parent / link).exists()] == []


def test_every_decision_is_listed() -> None:
    """The list of decisions has each of them, in their order."""
    folder = ROOT / "docs" / "adr"
    listed = re.findall(r"\]\((\d{4}-[a-z0-9-]+\.md)\)", (folder / "README.md").read_text())

    assert listed == sorted(path.name for path in folder.glob("[0-9]*.md"))


def test_make_help_names_every_target() -> None:
    """What `make` can do is what `make` says, and README speaks of no other target."""
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE)) - {"help"}
    spoken_of = set(re.findall(r"\bmake ([a-z][a-z-]*)(?=`|\s+#)", (ROOT / "README.md").read_text()))

    assert set(re.findall(r'@echo "make ([a-z-]+) ', makefile)) == targets
    assert spoken_of
    assert spoken_of <= targets


def test_tools_that_tests_ask_for_are_installed() -> None:
    """`make test` on a fresh Debian brings every program that a test requires."""
    asked = {
        tool
        for path in modules("tests")
        for tool in re.findall(r'\brequire\("([^"]+)"\)', path.read_text())
        if path != Path(__file__)
    }
    installed = set(re.findall(r"^need (\S+) \S+$", (ROOT / "tests" / "install-tools").read_text(), re.MULTILINE))

    assert installed
    assert asked <= installed

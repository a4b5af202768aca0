"""Pages for people in a real Chromium: they fit a phone, and can be read in the light and in the dark.

All pages stand in frames of one wrapper, each at several widths; a script of the wrapper measures them. Chromium
starts once for each colour scheme.
"""

from __future__ import annotations

import html
import json
import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from builder.catalogue import Row
from builder.people import Branch, Package, People
from tests.support import sites, tools

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from builder.pages import Page

WIDTHS = (320, 375, 768, 1280)
SCHEMES = {"dark": 0, "light": 1}  # as Chromium counts them
PUBLISHED = "2026-11-23T07:00:00Z"
FLAGS = [
    "--headless",
    "--no-sandbox",  # tests may run as root
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--allow-file-access-from-files",  # the wrapper looks into its frames
]
MEASURE = """
function luminance(colour) {
  const [r, g, b] = colour.match(/[0-9.]+/g).map(Number).map(c => c / 255)
    .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
function ground(view, element) {
  for (; element; element = element.parentElement) {
    const colour = view.getComputedStyle(element).backgroundColor;
    if (colour != "rgba(0, 0, 0, 0)") return luminance(colour);
  }
}
function contrast(view, element) {
  const [high, low] = [luminance(view.getComputedStyle(element).color), ground(view, element)].sort((a, b) => b - a);
  return (high + 0.05) / (low + 0.05);
}
function measure(frame) {
  const view = frame.contentWindow, page = frame.contentDocument;
  page.querySelectorAll("details").forEach(details => details.open = true);
  frame.height = page.documentElement.scrollHeight;
  const shown = [...page.body.querySelectorAll("*")].filter(element => !element.closest("thead"));
  const written = shown.filter(element => [...element.childNodes].some(node => node.data?.trim()));
  const hash = page.querySelector(".hash code"), row = page.querySelector("tbody tr");
  return {
    page: frame.name, width: frame.clientWidth,
    scrolls: page.documentElement.scrollWidth,
    right: Math.max(...shown.map(element => element.getBoundingClientRect().right)),
    sticks_out: Math.max(...shown.map(element => element.clientWidth ? element.scrollWidth - element.clientWidth : 0)),
    contrast: Math.min(...written.map(element => contrast(view, element))),
    letters: Math.min(...written.map(element => parseFloat(view.getComputedStyle(element).fontSize))),
    ground: ground(view, page.body),
    ran: view.hostile ?? "nothing",
    hash: hash && {select: view.getComputedStyle(hash).userSelect, font: view.getComputedStyle(hash).fontFamily,
      lines: Math.round(hash.getBoundingClientRect().height / parseFloat(view.getComputedStyle(hash).lineHeight))},
    tops: row && [...row.children].map(cell => Math.round(cell.getBoundingClientRect().top)),
  };
}
onload = () => {
  const frames = [...document.querySelectorAll("iframe")];
  document.querySelector("output").textContent = JSON.stringify(frames.map(measure));
};
"""


@dataclass(frozen=True)
class Measured:
    """What Chromium laid out in one colour scheme: the facts of each page at each width."""

    scheme: str
    facts: dict[tuple[str, int], dict[str, Any]]

    def every(self, key: str) -> dict[tuple[str, int], Any]:
        """Return one fact of every page."""
        return {where: facts[key] for where, facts in self.facts.items()}


def branch(package: str, name: str, versions: list[str], description: str = "") -> Branch:
    """Make a branch as a page shows it, with older releases and some larger ones."""
    rows = []
    for number, version in enumerate(versions):
        said = sites.package(version, package, name, None, description=description).content
        text, size = said.canonical().decode(), 999 * 40**number
        rows.append(Row(package, name, version, text, said.sha256, size, PUBLISHED))
    return Branch(name, len(rows) + 1000, rows)


def pages() -> Iterator[tuple[str, Page]]:
    """Render what there can be: nothing, the usual, names of full length, and what nobody should write."""
    people = People("Harbour lights", f"https://updates.example.org/{'mirror/' * 10}")
    long, version = "W" * 128, f"1.{'0' * 116}+build~rc1"
    branches = tuple(f"{number}{'b' * 127}" for number in range(9))
    usual = ["2.0", "1.0+build5", "1.0", "1.0-rc1"]
    hostile = f"<script>window.hostile = 1</script><img src=x onerror='window.hostile = 2'>{'x' * 3000}"

    packages = [Package("app", ("main", "next"), 35, PUBLISHED), Package(long, branches, 100_000, PUBLISHED)]
    yield "index", people.index(packages)
    yield "empty", people.index([])
    yield "usual", people.package("app", [branch("app", "main", usual, "Two\nlines."), branch("app", "next", ["3"])])
    yield "longest", people.package(long, [branch(long, branches[0], [version], "W" * 9000)])
    yield "hostile", people.package("app", [branch("app", "main", usual, hostile)])


def lay_out(folder: Path, scheme: int) -> list[dict[str, Any]]:
    """Have Chromium lay out all pages at all widths, and measure them."""
    chromium = tools.require("chromium")
    frames = []
    for name, page in pages():
        (folder / f"{name}.html").write_bytes(page.data)
        frames += [f'<iframe name="{name}" src="{name}.html" width="{width}"></iframe>' for width in WIDTHS]
    wrapper = folder / "wrapper.html"
    wrapper.write_text(
        "<!DOCTYPE html><meta charset=utf-8><style>iframe { border: 0 }</style>"
        f"{''.join(frames)}<output></output><script>{MEASURE}</script>"
    )
    own = [f"--user-data-dir={folder / 'profile'}", f"--blink-settings=preferredColorScheme={scheme}"]
    command = [chromium, *FLAGS, *own, "--dump-dom", wrapper.as_uri()]
    dom = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout
    (output,) = re.findall(r"<output>(.+?)</output>", dom)
    facts: list[dict[str, Any]] = json.loads(html.unescape(output))
    return facts


@pytest.fixture(scope="module", params=SCHEMES)
def measured(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Measured:
    """Measure all pages, in the dark and in the light."""
    facts = lay_out(tmp_path_factory.mktemp(request.param), SCHEMES[request.param])
    assert len(facts) == len(list(pages())) * len(WIDTHS)
    return Measured(request.param, {(each["page"], each["width"]): each for each in facts})


def test_no_page_is_wider_than_the_screen(measured: Measured) -> None:
    """Nobody scrolls sideways, from 320 pixels on, and nothing sticks out of the box that it is in."""
    wider = {where: facts for where, facts in measured.facts.items() if facts["right"] > where[1]}

    assert {where for where, width in measured.every("scrolls").items() if width > where[1]} == set()
    assert wider == {}
    assert max(measured.every("sticks_out").values()) <= 0


def test_all_text_can_be_read(measured: Measured) -> None:
    """Every text has the contrast that WCAG 2.2 asks for (AA, 1.4.3), and no letter is tiny."""
    assert min(measured.every("contrast").values()) >= 4.5
    assert min(measured.every("letters").values()) >= 12


def test_pages_follow_the_colour_scheme(measured: Measured) -> None:
    """Who asks for dark pages gets dark ones."""
    grounds = set(measured.every("ground").values())

    assert {"dark": max(grounds) < 0.05, "light": min(grounds) > 0.9}[measured.scheme]


def test_a_hash_is_whole_and_can_be_taken(measured: Measured) -> None:
    """A SHA-256 breaks into two halves at any width, in letters of one width; a tap selects all of it."""
    hashes = {where: facts["hash"] for where, facts in measured.facts.items() if facts["hash"]}

    assert {page for page, _ in hashes} == {"usual", "longest", "hostile"}
    assert {(each["lines"], each["select"]) for each in hashes.values()} == {(2, "all")}
    assert all(each["font"].endswith("monospace") for each in hashes.values())


def test_a_row_is_stacked_on_a_phone(measured: Measured) -> None:
    """On a wide screen a release is one row; on a phone the hash has a line of its own, and so have the links."""
    assert len(set(measured.facts["usual", 1280]["tops"])) == 1
    assert len(set(measured.facts["usual", 375]["tops"])) == 3


def test_nothing_that_a_publisher_wrote_runs(measured: Measured) -> None:
    """A script in a description is text to a browser too."""
    assert set(measured.every("ran").values()) == {"nothing"}

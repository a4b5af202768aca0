"""builder/people.py: what people read about a mirror is right, stays text, and is written only when it changes."""

from __future__ import annotations

import itertools
import re
import shlex
import subprocess
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urljoin, urlsplit

import click
import pytest

from builder import build, people
from builder.catalogue import Catalogue, Row
from builder.cli import main as otamirror
from builder.pages import Page, Pages
from builder.people import Branch, Package, People
from builder.shelf import Shelves
from builder.stores import Written
from devclient.cli import main as otadevice
from mirror import layout
from mirror.releases import Entry
from tests.support import nginx, sites, tools

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from builder.site import Site
    from mirror.blobs import Blob

URL = "https://updates.example.org/mirror"
PEOPLE = People("Harbour lights", URL)
HOSTILE = "</p><script>alert(1)</script> <img src=x onerror=alert(1)> &lt;b&gt; \"'` {{ 7 * 7 }}"
VOID = {"meta", "link"}


@dataclass
class Element:
    """One element of a page, with all text in it."""

    tag: str
    attributes: dict[str, str]
    text: str = ""
    within: list[Element] = field(default_factory=list)

    def find(self, selector: str) -> list[Element]:
        """Find what is within, by "tag" or "tag.class"."""
        tag, _, name = selector.partition(".")
        return [
            element
            for element in self.within
            if element.tag == tag and (not name or name in element.attributes.get("class", "").split())
        ]

    def texts(self, selector: str) -> list[str]:
        """Return the text of each that is found."""
        return [element.text for element in self.find(selector)]


class Reader(HTMLParser):
    """Reads a page strictly: every element is closed, by its own name and in its own place."""

    def __init__(self, page: Page) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("", {})
        self._open = [self.root]
        self.feed(page.data.decode())
        self.close()
        assert self._open == [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open an element."""
        element = Element(tag, {name: value or "" for name, value in attrs})
        for outer in self._open:
            outer.within.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        """Close the innermost element."""
        assert self._open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        """Add text to all that is open."""
        for element in self._open:
            element.text += data


class Memory:
    """A store that remembers what it was given; like every store, it writes only what is new."""

    def __init__(self, *, fails_at: int = 0) -> None:
        self.files: dict[str, bytes] = {}
        self.published: list[list[str]] = []
        self._fails_at = fails_at

    def add_blobs(self, blobs: Sequence[Blob]) -> Written:
        """Take no blobs: pages are all that comes here."""
        raise AssertionError(f"{len(blobs)} blobs came along with pages")

    def sync(self) -> None:
        """Have nothing to make durable."""

    def publish(self, pages: Pages, *, repair: bool = False, rewrite: bool = False) -> Written:
        """Keep the pages."""
        assert (repair, rewrite) == (False, False)
        assert not pages.immutable
        if self._fails_at == len(self.published) + 1:
            self._fails_at = 0
            raise OSError("no space left")
        self.published.append([page.path for page in pages.pointers])
        new = {page.path: page.data for page in pages.pointers if self.files.get(page.path) != page.data}
        self.files |= new
        return Written(len(new), sum(map(len, new.values())))


def row(version: str = "1.0", size: int = 4300, package: str = "app", branch: str = "main", **others: str) -> Row:
    """Make a release as the catalogue has it."""
    content = sites.package(version, package, branch, None, **others).content
    text = content.canonical().decode()
    return Row(package, branch, version, text, content.sha256, size, "2026-11-23T07:00:00Z")


def read(*branches: Branch, name: str = "app", site: People = PEOPLE) -> Element:
    """Render the page of a package, and read it."""
    return Reader(site.package(name, branches)).root


def read_rows(*rows: Row) -> Element:
    """Render the page of a package with one branch, and read it."""
    return read(Branch("main", len(rows), rows))


def add(catalogue: Catalogue, *packages: sites.Package, published: str = "2026-11-23T07:00:00Z") -> None:
    """Accept releases as a publish does, without writing anything."""
    with catalogue.transaction():
        shelves = Shelves(catalogue.connection)
        for package in packages:
            content = package.content
            entry = Entry(content.version, content.digest, content.sha256, len(package.data), published)
            assert shelves.add(content, entry)
        catalogue.set_outbox(Pages())


def commands(page: Element) -> list[str]:
    """Return the command lines on a page."""
    return [line for block in page.texts("pre") for line in block.splitlines()]


def accepts(program: click.Command, line: str) -> bool:
    """Tell whether our program takes this command line; what it does not take raises."""
    _, name, *words = shlex.split(line)
    assert isinstance(program, click.Group)
    return bool(program.commands[name].make_context(name, words))


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    """Make an empty catalogue."""
    with Catalogue.open(tmp_path / "catalogue.sqlite") as catalogue:
        yield catalogue


@pytest.fixture
def mirror(site: Site) -> Path:
    """A mirror with packages on two branches, versions that URLs must encode, and its pages."""
    versions = ("1.0", "1.0+build5", "1.1~rc1", "v2.1.3_20240227")
    packages = [sites.package(version, name) for version in versions for name in ("app", "Lamp.x")]
    packages += [sites.package(f"0.{number}", "app", "nightly") for number in range(people.MOST + 2)]
    with build.opened(site) as builder:
        builder.publish([sites.release(package, site.paths.spool / "mine") for package in packages])
        builder.refresh_pages()
    return site.paths.mirror


def test_the_index_tells_of_each_package() -> None:
    """A row has the name with a link to its page, the branches, how many releases, and when the newest came."""
    packages = [
        Package("app", ("main", "next"), 1234, "2026-11-23T07:00:00Z"),
        Package("lib", ("main",), 1, "2025-01-02T03:04:05Z"),
    ]

    page = Reader(PEOPLE.index(packages)).root

    rows = [row for row in page.find("tr") if row.find("td")]
    assert [row.find("a")[0].attributes["href"] for row in rows] == [
        "packages/app/index.html",
        "packages/lib/index.html",
    ]
    assert [[*row.texts("th"), *row.texts("td")] for row in rows] == [
        ["app", "main, next", "1234", "2026-11-23"],
        ["lib", "main", "1", "2025-01-02"],
    ]
    assert [time.attributes["datetime"] for time in page.find("time")] == [package.newest for package in packages]
    assert "2 packages, 1,235 releases" in page.texts("p")
    assert page.texts("h1") == ["Harbour lights"]


def test_the_index_names_few_of_many_branches() -> None:
    """A package with a thousand branches does not fill the index."""
    branches = tuple(f"b{number}" for number in range(1000))

    page = Reader(PEOPLE.index([Package("app", branches, 1000, "2026-11-23T07:00:00Z")])).root

    assert "b0, b1, b2, b3, b4, b5, b6, b7 and 992 more" in page.texts("td")


def test_an_empty_index_says_how_to_publish_the_first_package() -> None:
    """Its commands are those of our program, with the inbox where a site has it."""
    page = Reader(PEOPLE.index([])).root

    make, pack, drop = commands(page)
    assert make == "echo 'echo hello' > hello"
    assert accepts(otamirror, pack)
    assert drop == "mv hello hello.json var/inbox/"
    assert not page.find("table")


def test_a_release_is_shown_with_all_that_identifies_it() -> None:
    """Version, size for people and exact, day and time, SHA-256, both files; the highest version comes first."""
    new, old = row("1.10", size=1), row("1.9", size=4300)

    page = read_rows(new, old)

    first, second = page.find("tr")[1:]
    assert first.texts("th") == ["1.10"]
    assert second.texts("td")[:3] == ["4.2 KiB", "2026-11-23", old.blob]
    assert [data.attributes["title"] for data in page.find("data")] == ["1 byte", "4,300 bytes"]
    assert [data.attributes["value"] for data in page.find("data")] == ["1", "4300"]
    assert second.find("time")[0].attributes["datetime"] == old.published
    assert [link.attributes["href"] for link in second.find("a")] == [
        f"../../otafiles/{old.blob}",
        "../../getVersion/app/main/1.9.json",
    ]
    assert second.find("a")[0].attributes["download"] == "app-main-1.9"


def test_a_release_that_was_taken_back_is_no_offer() -> None:
    """A yanked release says why and what to take, a withdrawn one is no download, and commands are of the offered."""
    yanked = replace(row("1.6"), is_offered=False, yanked={"reason": "bricks <the> modem", "replacement": "1.5"})
    rolled, withdrawn = replace(row("1.7"), is_offered=False), replace(row("1.0"), is_offered=False, is_withdrawn=True)
    rows = [rolled, yanked, row("1.5"), withdrawn]

    page = read(Branch("main", 3, rows))

    text = " ".join(page.texts("p"))
    assert "3 releases, the highest version is 1.5" in text
    assert "older release" not in text
    assert not any("1.6" in line or yanked.blob in line or rolled.blob in line for line in commands(page))
    assert [tr.texts("th")[0] for tr in page.find("tr")[1:]] == [
        "1.7 not offered to all",
        "1.6 yanked: bricks <the> modem; take 1.5 instead",
        "1.5",
        "1.0 withdrawn",
    ]
    assert [len(tr.find("a")) for tr in page.find("tr")[1:]] == [2, 2, 2, 1]


def test_where_nothing_is_offered_nothing_is_fetched() -> None:
    """All that there is was yanked: the page says so, and a device can follow the branch all the same."""
    page = read_rows(replace(row("1.0"), is_offered=False, yanked={}))

    assert "1 release, none is offered to all at present" in page.texts("p")
    assert commands(page) == ["otadevice add app --branch main --local /opt/app", "otadevice update"]


def test_each_branch_has_its_own_table() -> None:
    """A page has a section for each branch, and links to them when there are several."""
    branches = [Branch("main", 1, [row("1.0")]), Branch("next", 1, [row("2.0", branch="next")])]

    one, two = read(branches[0]), read(*branches)

    assert two.texts("h2") == ["main", "next"]
    assert [section.find("tr")[1].texts("th") for section in two.find("section")] == [["1.0"], ["2.0"]]
    assert [link.attributes["href"] for link in two.find("nav")[1].find("a")] == ["#main", "#next"]
    assert len(one.find("nav")) == 1


def test_the_description_is_that_of_the_highest_version() -> None:
    """Older descriptions are history; lines stay lines."""
    page = read_rows(row("2", description="New.\nTwo lines."), row("1", description="Old."))

    assert page.texts("p.description") == ["New.\nTwo lines."]


def test_a_page_shows_a_bounded_number_of_releases(mirror: Path) -> None:
    """The highest 128 of a branch are shown, the others are counted, and the release list is named."""
    page = Reader(Page("", (mirror / layout.package_page("app")).read_bytes())).root

    section = page.find("section")[1]
    assert section.texts("h2") == ["nightly"]
    assert len(section.find("data")) == people.MOST
    assert section.find("tr")[1].texts("th") == ["0.129"]
    assert section.texts("p")[-1] == "And 2 older releases; the release list leads to all of them."
    assert section.find("a")[-1].attributes["href"] == "../../releases/app/nightly.json"
    assert "older" not in page.find("section")[0].text


def test_a_package_without_releases_has_a_page() -> None:
    """When all was pruned, the link in a bookmark still leads to a page that says so."""
    page = read()

    assert "No release of this package is here at present." in page.texts("p")


def test_what_a_publisher_writes_stays_text() -> None:
    """A description that looks like HTML or like a template is shown as it was written."""
    page = read_rows(row(description=HOSTILE))

    assert page.texts("p.description") == [HOSTILE]
    assert not page.find("script")
    assert not page.find("img")


def test_what_the_operator_writes_stays_text() -> None:
    """The site's name and URL are text too, and the URL is one word to a shell."""
    site = People(HOSTILE, "https://example.org/$(id);'\"<b>")

    pages = [read(Branch("main", 1, [row()]), site=site), Reader(site.index([])).root]

    assert [page.texts("title") for page in pages] == [[f"app - {HOSTILE}"], [HOSTILE]]
    assert not any(page.find("script") + page.find("img") + page.find("b") for page in pages)
    assert (
        shlex.split(commands(pages[0])[0])[2] == "https://example.org/$(id);'\"<b>/maxVersion?package=app&branch=main"
    )


@pytest.mark.parametrize(
    ("version", "encoded"),
    [("1.0+build5", "1.0%2Bbuild5"), ("1.0~rc1_2-3", "1.0~rc1_2-3")],
)
def test_versions_are_encoded_in_links(version: str, encoded: str) -> None:
    """A plus would be a space to some stores; a tilde is plain in every URL (RFC 3986, section 2.3)."""
    page = read_rows(row(version))

    assert page.find("a")[2].attributes["href"] == f"../../getVersion/app/main/{encoded}.json"


@pytest.mark.parametrize(("url", "links"), [(URL, [f"{URL}/index.html"]), ("", [])])
def test_the_page_of_what_is_not_there_may_stand_for_any_address(url: str, links: list[str]) -> None:
    """It has no relative link, which would lead elsewhere from each address, and loads nothing as all pages."""
    page = Reader(People("Harbour <lights>", url).not_found()).root

    assert [link.attributes["href"] for link in page.find("a")] == links
    assert [link.attributes["href"] for link in page.find("link")] == ["data:,"]
    assert "Harbour <lights>" in page.texts("title")[0]
    assert [meta.attributes["content"] for meta in page.find("meta") if "http-equiv" in meta.attributes] == [
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    ]


def test_every_link_leads_to_a_file_of_the_mirror(mirror: Path) -> None:
    """Links are relative, name files and not folders, and hold below any path, even on a stick."""
    pages = [layout.INDEX_PAGE, layout.package_page("app"), layout.package_page("Lamp.x")]
    found = [path for path in sites.paths(mirror) if path.endswith(".html")]
    assert sorted(found) == sorted([*pages, layout.NOT_FOUND_PAGE])
    followed = set()

    for path in pages:
        page = Reader(Page(path, (mirror / path).read_bytes())).root
        names = {element.attributes.get("id") for element in page.within}
        for link in page.find("a"):
            parts = urlsplit(link.attributes["href"])
            assert (parts.scheme, parts.netloc, parts.path[:1] == "/") == ("", "", False)
            assert not parts.fragment or parts.fragment in names
            target = unquote(urljoin(f"/{path}", parts.path)).lstrip("/")
            assert (mirror / target).is_file(), target
            followed.add(PurePosixPath(target).parts[0])

    assert followed == {"index.html", "packages", "otafiles", "getVersion", "releases"}


def test_pages_stand_by_themselves() -> None:
    """A page runs no script, loads nothing, and forbids both."""
    for page in (PEOPLE.index([]), PEOPLE.package("app", [Branch("main", 1, [row()])])):
        root = Reader(page).root

        assert not any(root.find(tag) for tag in ("script", "img", "iframe", "object", "form"))
        assert [link.attributes["href"] for link in root.find("link")] == ["data:,"]
        assert not [name for element in root.within for name in element.attributes if name.startswith("on")]
        assert not re.search(r"@import|url\(", root.find("style")[0].text)
        policy = [meta.attributes["content"] for meta in root.find("meta") if "http-equiv" in meta.attributes]
        assert policy == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]


def test_pages_are_good_html() -> None:
    """Language, title, character set and viewport are told; headings nest, tables have headings, ids are unique."""
    branches = [Branch("main", 1, [row()]), Branch("next", 1, [row(branch="next")])]
    for page in (PEOPLE.index([Package("app", ("main",), 1, "")]), PEOPLE.package("app", branches)):
        root = Reader(page).root

        assert page.data.startswith(b"<!DOCTYPE html>\n")
        assert root.find("html")[0].attributes == {"lang": "en"}
        assert all(root.texts("title"))
        assert root.find("meta")[0].attributes == {"charset": "utf-8"}
        assert root.find("meta")[1].attributes["content"] == "width=device-width, initial-scale=1"
        levels = [int(element.tag[1]) for element in root.within if re.fullmatch("h[1-6]", element.tag)]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(lower - higher <= 1 for higher, lower in itertools.pairwise(levels))
        assert {cell.attributes["scope"] for cell in root.find("th")} == {"col", "row"}
        ids = [element.attributes["id"] for element in root.within if "id" in element.attributes]
        assert len(ids) == len(set(ids))


def test_the_commands_on_a_page_do_what_they_say(site: Site, tmp_path: Path) -> None:
    """Typed into a shell they ask, fetch, resume what was cut, and tell a file that is not the right one."""
    tools.require("curl")
    package = sites.package("1.0~rc1+b5", data=b"0123456789" * 50_000)
    here, host = tmp_path / "here", tmp_path / "nginx"
    here.mkdir()
    host.mkdir()

    def shell(line: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(["sh", "-c", line], cwd=here, check=False, capture_output=True, timeout=30)

    with build.opened(site) as builder, nginx.running(site.paths.mirror, host) as server:
        builder.publish([sites.release(package, site.paths.spool / "mine")])
        rows = list(builder.catalogue.releases())
        ask, fetch, check, *_ = commands(read(Branch("main", 1, rows), site=People("x", server.url)))
        answer = shell(ask).stdout
        file = here / "app-main-1.0~rc1+b5"
        file.write_bytes(package.data[:300_000])
        fetched = [shell(fetch).returncode, file.read_bytes() == package.data]
        resumed = server.requests()[-1]

    assert answer == package.content.canonical()
    assert fetched == [0, True]
    assert (resumed.status, resumed.sent) == (206, 200_000)
    assert shell(check).returncode == 0
    file.write_bytes(b"other bytes")
    assert shell(check).returncode == 1


@pytest.mark.parametrize(("local", "asked"), [("/srv/app/", ""), ("", "/opt/app")])
def test_a_device_takes_the_commands_that_are_shown(local: str, asked: str) -> None:
    """What follows a branch is a command of otadevice; where to install is asked only if the publisher left it open."""
    follow, update = commands(read_rows(row(local=local)))[-2:]
    setup = commands(Reader(PEOPLE.index([Package("app", ("main",), 1, "")])).root)

    assert all(accepts(otadevice, line) for line in (follow, update, *setup))
    assert follow == "otadevice add app --branch main" + (f" --local {asked}" if asked else "")
    assert setup == [f"otadevice init --remote {URL} --root root.json"]


def test_a_file_that_is_fetched_has_a_name_that_every_file_system_takes() -> None:
    """Names and versions of full length would together be too long."""
    package, branch, version = "p" * 128, "b" * 128, "1" * 128

    page = read(Branch(branch, 1, [row(version, package=package, branch=branch)]), name=package)

    assert len(page.find("a")[1].attributes["download"]) == 255
    assert len(shlex.split(commands(page)[1])[5]) == 255


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1024**2 - 1, "1.0 MiB"),
        (5 * 1024**2 + 300_000, "5.3 MiB"),
        (16 * 1024**3, "16.0 GiB"),
        (3 * 1024**4, "3.0 TiB"),
        (2048 * 1024**4, "2048.0 TiB"),
    ],
)
def test_sizes_have_the_units_of_the_settings(size: int, shown: str) -> None:
    """KiB is 1024 bytes, one digit after the point."""
    assert read_rows(row(size=size)).texts("data") == [shown]


def test_the_same_catalogue_gives_the_same_bytes(catalogue: Catalogue) -> None:
    """Rendering everything again, at another time, writes nothing."""
    add(catalogue, sites.package("1.0"), sites.package("1.0", "lib"))
    store = Memory()
    first = people.refresh(catalogue, store, PEOPLE)

    again = people.refresh(catalogue, store, People("Harbour lights", URL), everything=True)

    assert first.files == 4
    assert again == Written()
    assert len(store.published) == 4


def test_a_change_writes_its_page_and_the_index(catalogue: Catalogue) -> None:
    """Only the page of the package that changed is rendered again, and the index after it."""
    add(catalogue, sites.package("1.0"), sites.package("1.0", "lib"))
    store = Memory()
    people.refresh(catalogue, store, PEOPLE)
    store.published.clear()

    add(catalogue, sites.package("1.1", "lib"), published="2027-01-01T00:00:00Z")
    written = people.refresh(catalogue, store, PEOPLE)

    assert store.published == [["packages/lib/index.html"], ["404.html", "index.html"]]
    assert written.files == 2
    assert b"2027-01-01" in store.files["index.html"]
    assert b"1.1" in store.files["packages/lib/index.html"]


def test_nothing_new_publishes_nothing(catalogue: Catalogue) -> None:
    """A pass that changed no package does not even ask the store."""
    add(catalogue, sites.package("1.0"))
    store = Memory()
    people.refresh(catalogue, store, PEOPLE)
    store.published.clear()

    assert people.refresh(catalogue, store, PEOPLE) == Written()
    assert store.published == []


def test_an_empty_mirror_has_an_index(catalogue: Catalogue) -> None:
    """A site shows a page before its first package, and writes it once."""
    store = Memory()

    written = [people.refresh(catalogue, store, PEOPLE).files for _ in range(2)]

    assert written == [2, 0]
    assert b"Nothing is published here yet" in store.files["index.html"]


@pytest.mark.parametrize("fails_at", [1, 2, 3])
def test_a_refresh_that_was_cut_is_done_again(catalogue: Catalogue, fails_at: int) -> None:
    """Wherever it ends, the next refresh brings all pages and the index."""
    packages = [sites.package("1.0", f"app{number}") for number in range(200)]
    add(catalogue, *packages)
    store = Memory(fails_at=fails_at)

    with pytest.raises(OSError, match="no space left"):
        people.refresh(catalogue, store, PEOPLE)
    people.refresh(catalogue, store, PEOPLE)

    assert store.files.keys() == {"404.html", "index.html", *(layout.package_page(p.content.package) for p in packages)}
    assert catalogue.stale_packages() == []


def test_pages_are_published_in_groups(catalogue: Catalogue) -> None:
    """However many packages there are, few pages are in memory at once."""
    add(catalogue, *(sites.package("1.0", f"app{number}") for number in range(300)))
    store = Memory()

    people.refresh(catalogue, store, PEOPLE, everything=True)

    assert [len(paths) for paths in store.published] == [128, 128, 44, 2]


def test_the_index_has_all_that_the_catalogue_has(catalogue: Catalogue) -> None:
    """Packages stand in the order of their names whatever their case, each with the newest time of all branches."""
    add(catalogue, sites.package("2.0", "Beta"), sites.package("1.0", "alpha"), sites.package("1.0", "gamma", "next"))
    add(catalogue, sites.package("1.0", "Beta", "next"), published="2027-01-01T00:00:00Z")
    store = Memory()

    people.refresh(catalogue, store, PEOPLE)

    page = Reader(Page("", store.files["index.html"])).root
    assert [[*tr.texts("th"), *tr.texts("td")] for tr in page.find("tr")[1:]] == [
        ["alpha", "main 1.0", "1", "2026-11-23"],
        ["Beta", "main 2.0, next 1.0", "2", "2027-01-01"],
        ["gamma", "next 1.0", "1", "2026-11-23"],
    ]

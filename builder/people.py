"""Pages for people: an index of the packages, a page for each of them, and one for what is not there.

They are plain HTML that runs no script and loads nothing. Links are relative, so that they hold wherever a mirror
is hosted or copied to; the commands on them have the site's public URL. Bytes follow from the catalogue alone.
"""

from __future__ import annotations

import itertools
import shlex
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import jinja2

from builder.pages import Page, Pages
from builder.stores import Written
from mirror import content, layout

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from builder.catalogue import Catalogue, Row
    from builder.stores import Store

MOST = 128
"""Releases of one branch that a page shows; the release list has the others."""

_MOST_NAMED = 8  # branches of one package in the index
_MOST_CHARACTERS = 255  # of a file's name, on every common file system
_GROUP = 128  # pages that are in memory together, and share their syncs
_UP = "../../"  # from a package's page to the mirror's root


class Package(NamedTuple):
    """A package as the index shows it.

    Attributes:
        branches: the name of each, and after a space the version that everybody is offered, if any is.
        newest: the time of its last release.
    """

    name: str
    branches: tuple[str, ...]
    releases: int
    newest: str

    @property
    def path(self) -> str:
        """Where its page is."""
        return layout.package_page(self.name)


@dataclass(frozen=True, slots=True)
class Branch:
    """A branch as the page of its package shows it.

    Attributes:
        count: how many releases its list has.
        rows: the highest of all, at least one, the highest first; withdrawn ones are among them.
        lower: the release that everybody is offered, if it is none of these.
    """

    name: str
    count: int
    rows: Sequence[Row]
    lower: Row | None = None

    @property
    def offered(self) -> Row | None:
        """The release that everybody is offered."""
        return next((row for row in self.rows if row.is_offered), self.lower)


class People:
    """Renders the pages of one site."""

    def __init__(self, name: str, url: str) -> None:
        self._site = {"site": name, "url": url}
        self._url = url

    def index(self, packages: Sequence[Package]) -> Page:
        """Render the index; without packages it tells how to publish the first."""
        return self._render("index.html.j2", layout.INDEX_PAGE, packages=packages, named=_MOST_NAMED)

    def not_found(self) -> Page:
        """Render the page that servers answer with where there is none; it may stand for any address."""
        return self._render("404.html.j2", layout.NOT_FOUND_PAGE, index=layout.INDEX_PAGE)

    def package(self, name: str, branches: Sequence[Branch]) -> Page:
        """Render the page of one package."""
        shown = [self._branch(name, branch) for branch in branches]
        index = _UP + layout.INDEX_PAGE
        return self._render("package.html.j2", layout.package_page(name), package=name, branches=shown, index=index)

    def _branch(self, package: str, branch: Branch) -> dict[str, Any]:
        offered = branch.offered
        said = content.parse((offered or branch.rows[0]).content.encode()).content
        return {
            "name": branch.name,
            "count": branch.count,
            "description": said.description,
            "local": said.local,
            "offered": _release(offered) if offered else None,
            "releases": [_release(row) for row in branch.rows],
            "more": branch.count - sum(not row.is_withdrawn for row in branch.rows),
            "list": _UP + layout.release_list(package, branch.name),
            "ask": f"{self._url}/maxVersion?package={package}&branch={branch.name}",
            "fetch": f"{self._url}/{layout.url_path(layout.blob(offered.blob))}" if offered else "",
        }

    def _render(self, template: str, path: str, **values: object) -> Page:
        parts = _TEMPLATES.get_template(template).generate(values, **self._site)
        data = bytearray()  # grows in place: an index of 100,000 packages is some 20 MB in a million parts
        for part in parts:
            data += part.encode()
        return Page(path, bytes(data))


def refresh(catalogue: Catalogue, store: Store, people: People, *, everything: bool = False) -> Written:
    """Bring the pages of changed packages up to date, or all; one caller at a time, beside whoever publishes.

    Pages count as current once all are durable, and only for what was published before: after a crash on the way, or
    a publish meanwhile, they are rendered again.
    """
    number = catalogue.publish_number()
    stale = [name for name, *_ in catalogue.packages()] if everything else catalogue.stale_packages()
    if not stale and not catalogue.is_empty():
        return Written()
    written = Written()
    for start in range(0, len(stale), _GROUP):
        group = stale[start : start + _GROUP]
        written += store.publish(Pages.of(people.package(name, _branches(catalogue, name)) for name in group))
    # the index is last, so that all it leads to is there
    written += store.publish(Pages.of([people.not_found(), people.index(list(_packages(catalogue)))]))
    catalogue.mark_fresh(stale, number)
    return written


def _branches(catalogue: Catalogue, package: str) -> list[Branch]:
    return [_branch(catalogue, package, name, count) for name, count in catalogue.branches(package)]


def _branch(catalogue: Catalogue, package: str, name: str, count: int) -> Branch:
    rows = catalogue.newest(package, name, MOST)
    lower = None if any(row.is_offered for row in rows) else catalogue.offered(package, name)
    return Branch(name, count, rows, lower)


def _packages(catalogue: Catalogue) -> Iterator[Package]:
    for name, rows in itertools.groupby(catalogue.all_branches(), itemgetter(0)):
        _, branches, counts, newest, offered = zip(*rows, strict=True)
        shown = tuple(" ".join(filter(None, pair)) for pair in zip(branches, offered, strict=True))
        yield Package(name, shown, sum(counts), max(newest))


def _release(row: Row) -> dict[str, Any]:
    return {
        "version": row.version,
        "state": row.state,
        "is_gone": row.is_withdrawn,
        "is_back": row.is_withdrawn or row.yanked is not None,
        "size": row.size,
        "published": row.published,
        "sha256": row.blob,
        "blob": _UP + layout.blob(row.blob),
        "content": _UP + layout.get_version(row.package, row.branch, row.version),
        "file": f"{row.package}-{row.branch}-{row.version}"[:_MOST_CHARACTERS],
    }


def _amount(size: int) -> str:
    """Return a number of bytes in the units that site.toml uses."""
    if size < 1024:
        return f"{size} B"
    amount, units = size / 1024, ["KiB", "MiB", "GiB"]
    while units and amount >= 1023.95:  # what would be rounded to 1024.0
        amount /= 1024
        units.pop(0)
    return f"{amount:.1f} {(units or ['TiB'])[0]}"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("mirror", "templates"),
    undefined=jinja2.StrictUndefined,
    autoescape=True,
    auto_reload=False,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
_TEMPLATES.filters |= {"amount": _amount, "counted": _counted, "link": layout.url_path, "shell": shlex.quote}

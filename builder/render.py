"""Rendering: from what is filed to the bytes that are served. The same input gives the same bytes, at any time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.pages import Page
from mirror import layout, releases
from mirror.canonical import digest
from mirror.releases import Segment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from builder.shelf import Head, Shelf, Shelves
    from mirror.content import Content


def changed(shelves: Shelves, contents: Iterable[Content]) -> Iterator[Page]:
    """Render what new releases change, and keep in `shelves` what lists say of their older segments."""
    for new in contents:
        yield content(new.package, new.branch, new.version, new.canonical().decode())
    for branch in shelves.changed():
        rendered = [(shelf.number, *segment(shelf)) for shelf in shelves.changed_older(branch)]
        shelves.refer(branch, {number: reference for number, _, reference in rendered})
        yield from (page for _, page, _ in rendered)
        yield from pointers(shelves.head(branch))


def everything(shelves: Shelves, advance: Callable[[int], None]) -> Iterator[Page]:
    """Render the whole mirror, branch by branch; `advance` is told of every release."""
    for branch in shelves.branches():
        head = shelves.head(branch)
        for version, text in shelves.contents(branch):
            yield content(head.shelf.package, head.shelf.branch, version, text)
            advance(1)
        yield from (segment(shelf)[0] for shelf in shelves.older(branch))
        yield from pointers(head)


def content(package: str, branch: str, version: str, text: str) -> Page:
    """Render the content.json of one release."""
    return Page(layout.get_version(package, branch, version), text.encode())


def segment(shelf: Shelf) -> tuple[Page, Segment]:
    """Render one older segment, and what the list says of it."""
    data = releases.assemble(shelf.package, shelf.branch, shelf.frame, shelf.entries, ())
    sha256 = digest(data)
    page = Page(layout.hashed_release_list(shelf.package, shelf.branch, sha256), data)
    return page, Segment(*shelf.ends, len(shelf.entries), sha256, len(data))


def pointers(head: Head) -> list[Page]:
    """Render the release list under both of its names, and the highest offered content.json if there is one."""
    shelf = head.shelf
    older = (head.older,) if head.older else ()
    data = releases.assemble(shelf.package, shelf.branch, shelf.frame, shelf.entries, older)
    return [
        Page(layout.hashed_release_list(shelf.package, shelf.branch, digest(data)), data),
        Page(layout.release_list(shelf.package, shelf.branch), data),
        Page(layout.max_version(shelf.package, shelf.branch), (head.offered or "").encode()),
    ]

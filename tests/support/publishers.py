"""Publishers who sign, and a catalogue in which one of them claimed a package; nothing goes over HTTP.

    with publishers.desk() as desk:            # app is claimed, with 1.0 and 1.1 on main and 1.0 on beta
        draft = desk.draft(sites.package("1.2"))
        desk.judge(draft.parts(), draft.package)

A draft can be made wrong in every way before it is signed.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import DelegatedRole, Delegations, Metadata, TargetFile, Targets

from builder import claims, render
from builder.catalogue import Catalogue
from builder.client import edit
from builder.pages import Pages
from builder.shelf import Shelves
from builder.signing.roles import Roles
from builder.submission import Parts, Submission
from builder.verify import verify
from mirror import layout, releases, trust
from mirror.blobs import Blob
from mirror.canonical import digest
from mirror.errors import PublisherError
from mirror.releases import Entry, ReleaseList
from tests.support import sites

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from builder.pages import Page
    from mirror.releases import Segment
    from tests.support.sites import Package

NOW = datetime(2026, 11, 23, 8, tzinfo=UTC)
TIME = "2026-11-23T07:00:00Z"
HALF_A_YEAR = timedelta(days=180)


def entry(package: Package, **fields: Any) -> Entry:
    """Make the entry of a package."""
    stated = package.content
    made = Entry(
        stated.version, stated.digest, stated.sha256, len(package.data), TIME, dependencies=dict(stated.dependencies)
    )
    return replace(made, **fields)


@dataclass
class Draft:
    """What a publisher is about to sign; whatever is set in it is what is signed.

    Attributes:
        package: what comes with it.
        after: lines that go with the list.
        raw: the bytes of the list, if they are not its own.
        filed: the lists as they are there.
    """

    newest: ReleaseList
    signers: Sequence[CryptoSigner]
    version: int
    targets: dict[str, TargetFile]
    package: Package | None = None
    after: list[bytes] = field(default_factory=list)
    raw: bytes | None = None
    expires: datetime = NOW + HALF_A_YEAR
    delegations: Delegations | None = None
    fields: dict[str, Any] = field(default_factory=lambda: {trust.ROLE: "pkg-app"})
    filed: dict[str, TargetFile] = field(default_factory=dict)

    @property
    def listed(self) -> bytes:
        """The bytes of the list."""
        return self.newest.encode() if self.raw is None else self.raw

    def name_list(self) -> Draft:
        """Have the role name the list as it is."""
        path = layout.release_list(self.newest.package, self.newest.branch)
        self.targets[path] = TargetFile(len(self.listed), {"sha256": digest(self.listed)}, path)
        return self

    def role(self) -> Metadata[Targets]:
        """Sign the role."""
        signed = Targets(self.version, None, self.expires, self.targets, self.delegations, self.fields)
        role = Metadata(signed)
        for signer in self.signers:
            role.sign(signer, append=True)
        return role

    def parts(self) -> Parts:
        """Return what is uploaded."""
        return Parts(b"".join([self.listed, *self.after]), self.role().to_bytes())


class Desk:
    """A catalogue, its transaction, and the publisher's keys."""

    def __init__(self, catalogue: Catalogue, threshold: int = 1) -> None:
        self.catalogue = catalogue
        self.keys = [CryptoSigner.generate_ed25519() for _ in range(threshold)]
        self.roles = Roles(catalogue.connection)
        self.pages: dict[str, bytes] = {}
        expires = trust.time(NOW + HALF_A_YEAR)
        delegating = Metadata(Targets(1, None, NOW + HALF_A_YEAR, {}, self._delegations(threshold)))
        with catalogue.transaction():
            self.roles.set(trust.TARGETS, 1, expires, delegating.to_bytes())
            self.roles.set("pkg-app", 1, expires, b"")

    def _delegations(self, threshold: int) -> Delegations:
        keys = {signer.public_key.keyid: signer.public_key for signer in self.keys}
        role = DelegatedRole("pkg-app", list(keys), threshold, terminating=True, paths=["releases/app/*"])
        return Delegations(dict(keys), {"pkg-app": role})

    def file(self, *packages: Package) -> None:
        """File packages as if they had been there before the claim."""
        with self.catalogue.transaction():
            shelves = Shelves(self.catalogue.connection)
            for package in packages:
                shelves.add(package.content, entry(package))
            self._render(shelves, [package.content for package in packages])
            for name, branch, _ in self.roles.lists():
                data = self.pages[layout.release_list(name, branch)]
                role = trust.package_role(name) if name == "app" else "bin1-0"
                self.roles.set_list(name, branch, role, digest(data), len(data))

    def newest(self, branch: str = "main") -> ReleaseList:
        """Read the list of a branch, an empty one if there is none."""
        data = self.pages.get(layout.release_list("app", branch))
        return releases.parse(data) if data else ReleaseList("app", branch, ())

    def segment(self, newest: ReleaseList, reference: Segment) -> ReleaseList:
        """Read an older segment."""
        path = layout.hashed_release_list(newest.package, newest.branch, reference.sha256)
        return releases.parse_segment(self.pages[path], newest, reference)

    def draft(self, package: Package | None = None, branch: str = "main") -> Draft:
        """Draft what is good: a release more, or the same list signed for longer."""
        branch = package.content.branch if package else branch
        newest = self.newest(branch)
        if package is None:
            return self.drafted(edit.Edited(newest))
        edited = edit.with_release(newest, lambda part: self.segment(newest, part), entry(package))
        return replace(self.drafted(edited or edit.Edited(newest)), package=package)

    def drafted(self, edited: edit.Edited) -> Draft:
        """Draft a list that was edited."""
        current = self.roles.get("pkg-app")
        assert current
        targets = {
            each.path: TargetFile(each.size, {"sha256": each.sha256}, each.path)
            for each in self.roles.targets("pkg-app")
        }
        draft = Draft(edited.newest, self.keys, current.version + 1, targets, filed=dict(targets))
        draft.after = [segment.encode() for segment in edited.segments]
        return draft.name_list()

    def judge(self, parts: Parts, package: Package | None = None) -> list[Page]:
        """Have an upload judged as one of several that are published together; returns the pages of the role.

        Raises:
            PublisherError: why it is refused; whatever it left is committed and rendered all the same.
        """
        release = None
        if package:
            blob = Blob(digest(package.data), len(package.data), Path("nowhere"))
            release = verify(Submission(package.content.canonical(), blob, "a test", parts))
        statement = (release and release.statement) or verify(parts)
        pages: list[Page] | PublisherError
        with self.catalogue.transaction():
            shelves = Shelves(self.catalogue.connection)
            try:
                pages = claims.accept(shelves, self.roles, statement, release, NOW)
            except PublisherError as error:
                pages = error
            self._render(shelves, [package.content] if package and isinstance(pages, list) else [])
        if isinstance(pages, PublisherError):
            raise pages
        return pages

    def accept(self, draft: Draft) -> list[Page]:
        """Have a draft judged as it is."""
        return self.judge(draft.parts(), draft.package)

    def everything(self) -> dict[str, bytes]:
        """Render all pages again."""
        rendered = render.everything(Shelves(self.catalogue.connection), lambda _: None)
        return {page.path: page.data for page in rendered}

    def state(self) -> list[str]:
        """Tell all that the catalogue holds."""
        return list(self.catalogue.connection.iterdump())

    def _render(self, shelves: Shelves, contents: Sequence[Any]) -> None:
        pages = Pages.of(render.changed(shelves, contents))
        self.pages |= {page.path: page.data for page in (*pages.immutable, *pages.pointers)}


@contextmanager
def desk(threshold: int = 1) -> Iterator[Desk]:
    """Open a desk with two releases on main and one on beta, and a package that nobody claimed."""
    with Catalogue.open(Path(":memory:")) as catalogue:
        opened = Desk(catalogue, threshold)
        opened.file(
            sites.package("1.0"), sites.package("1.1"), sites.package("1.0", branch="beta"), sites.package("1.0", "lib")
        )
        yield opened

"""Stolen builder, for real: the thief runs our own builder, with its catalogue and every key that was on its disk.

What is played with a simulator in `test_stolen_builder` is done here to a site that has a claimed package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tuf.api.exceptions import RepositoryError

from mirror import layout, releases, trust
from tests.signing.ground import Ground, claim
from tests.support import clients

if TYPE_CHECKING:
    from pathlib import Path

EVIL = "6.6"
LIST = layout.release_list("app", "main")


@pytest.fixture
def stolen(tmp_path: Path) -> Ground:
    """A site on which app was published, and then claimed; the offline keys are not on it. A client has seen it."""
    ground = Ground(tmp_path)
    ground.publish("1.0")
    publisher = ground.new_key()
    ground.change(claim("app", publisher), uris=[str(publisher)])
    ground.settle()
    for file in [*ground.site.paths.keys.glob("root*.pem"), *ground.site.paths.keys.glob("targets*.pem")]:
        file.unlink()
    ground.look()
    return ground


def edit(ground: Ground, *statements: str, **values: object) -> None:
    """Change the catalogue behind the builder's back."""
    with ground.opened() as builder, builder.catalogue.transaction():
        for statement in statements:
            builder.catalogue.connection.execute(statement, values)


def root_of_the_claim(ground: Ground) -> bytes:
    """Return the root to which new devices are pinned."""
    return (ground.mirror / layout.metadata(trust.ROOT, ground.versions()[trust.ROOT])).read_bytes()


def test_a_thief_who_forgets_the_claim_brings_nothing_in(stolen: Ground) -> None:
    """Whatever the builder signs with all keys of its own, clients hear the publisher alone."""
    edit(
        stolen,
        "UPDATE role SET active = 0 WHERE name = 'pkg-app'",
        "UPDATE branch SET role = 'bin1-0' WHERE package = 'app'",
    )
    stolen.publish(EVIL)
    assert EVIL in (stolen.mirror / LIST).read_text(), "the thief's list is there"

    for client, root in (("returning", None), ("fresh", root_of_the_claim(stolen))):
        found = clients.verify(stolen.mirror, stolen.folder / client, root, at=stolen.clock())
        assert [entry.version for entry in releases.parse(found[LIST]).releases] == ["1.0"]


def test_a_thief_cannot_bring_the_time_before_the_claim_back(stolen: Ground) -> None:
    """The targets of then are refused by clients that have seen newer ones, and by those pinned to the claim's root."""
    root = root_of_the_claim(stolen)
    edit(
        stolen,
        "UPDATE role SET active = 0 WHERE name = 'pkg-app'",
        "UPDATE role SET version = 1, data = :data WHERE name = 'targets'",
        "UPDATE branch SET role = 'bin1-0' WHERE package = 'app'",
        data=(stolen.mirror / layout.metadata(trust.TARGETS, 1)).read_bytes(),
    )
    stolen.publish(EVIL)

    for client, pinned in (("returning", None), ("fresh", root)):
        with pytest.raises(RepositoryError):
            clients.verify(stolen.mirror, stolen.folder / client, pinned, at=stolen.clock())

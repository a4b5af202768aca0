"""Many publishers at once: nothing that was acknowledged is lost, and of each version there is one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import pytest

from builder import check
from builder.catalogue import Catalogue
from tests.receiver import raw
from tests.receiver.forms import good, request
from tests.support import readers

if TYPE_CHECKING:
    from tests.receiver.rig import Rig

PUBLISHERS = 32
SHARED = "shared"


class Told(NamedTuple):
    """What a publisher was told of one upload."""

    package: str
    version: str
    status: int


def publish(rig: Rig, uploads: int, publisher: int) -> list[Told]:
    """Upload, on one connection, versions of a package of its own, and as many of one that all others upload too."""
    told = []
    with raw.connected(rig.port) as client:
        for number in range(uploads):
            package = f"own-{publisher}" if number % 2 else SHARED
            client.send(request(good(package=package, version=f"1.{number}", description=f"by {publisher}")))
            told.append(Told(package, f"1.{number}", client.answer().status))
            client.next()
    return told


@pytest.mark.parametrize("uploads", [4, pytest.param(20, marks=pytest.mark.long)])
def test_nothing_that_was_acknowledged_is_lost(rig: Rig, uploads: int) -> None:
    """Each version has one winner, and each winner is on the mirror."""
    with ThreadPoolExecutor(PUBLISHERS) as publishers:
        told = [each for one in publishers.map(partial(publish, rig, uploads), range(PUBLISHERS)) for each in one]

    won = {(each.package, "main", each.version) for each in told if each.status == 200}
    assert len(told) == PUBLISHERS * uploads
    assert {each.status for each in told} == {200, 409}
    assert sum(each.status == 200 for each in told) == len(won)
    assert won == {(each.package, "main", each.version) for each in told}
    assert won <= set(readers.look(rig.site.paths.mirror).versions())
    with Catalogue.open(rig.site.paths.catalogue) as catalogue:
        assert list(check.check(rig.site.paths.mirror, catalogue)) == []
    assert rig.spooled() == []

"""Twenty kinds of faulty servers, each at every request of an update, once and for ever.

However an update ends, the device has one of the two sets, whole; the exit code says what helps; and once the server is
well, the next update reaches the new set.
"""

from __future__ import annotations

import functools
import itertools
import random
from typing import TYPE_CHECKING

import pytest

from mirror import layout, trust
from tests.faulty.kinds import DONE, KINDS, LATER, RESETS, Kind
from tests.faulty.scene import HASTY, NEW, OLD, Asked, Scene, laid
from tests.support.faults import spread
from tests.support.httpd import Fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from _pytest.mark.structures import ParameterSet

    from tests.support.httpd import Server


HEALED = ((DONE, NEW),)
"""What may come of a fault that befalls one package once: the next package asks again, and brings them all along."""


@functools.cache
def recorded() -> tuple[Asked, ...]:
    """List the requests of an update that nothing disturbs."""
    with laid() as scene:
        scene.begin()
        assert scene.updates() == DONE
        return tuple(scene.asked())


@pytest.fixture(scope="module")
def laid_out() -> Iterator[Scene]:
    """A scene, for all cases: to lay one out takes longer than to play it."""
    with laid() as scene:
        yield scene


@pytest.fixture
def scene(laid_out: Scene) -> Scene:
    """A scene in which nothing has happened yet, and whose requests are those that were recorded."""
    laid_out.begin()
    return laid_out


def sample(cases: Iterable[tuple[object, ...]], wanted: int) -> list[ParameterSet]:
    """Mark all cases but so many as long."""
    listed = list(cases)
    chosen = spread(len(listed), wanted)
    return [
        pytest.param(*case, id="-".join(map(str, case)), marks=[] if number in chosen else [pytest.mark.long])
        for number, case in enumerate(listed, 1)
    ]


def cases(kind: Kind) -> Iterator[tuple[str, str, str]]:
    """List what a kind can befall, and how often."""
    for asked in recorded():
        for ever in (False, True):
            if kind.code(asked, ever=ever) is not None:
                yield kind.name, asked.label, "ever" if ever else "once"


def ends(scene: Scene, *outcomes: tuple[int, str], asking: tuple[Server, ...] = ()) -> None:
    """See that an update ends with one of these exit codes and sets, and that with healthy servers the next is done.

    Nothing may be asked for that an undisturbed update does not ask for, but the first root, by which another mirror is
    known; and nobody but these servers, or the first.
    """
    code = scene.updates()
    assert (code, scene.check()) in outcomes
    scene.behave()
    assert scene.updates() == DONE
    assert scene.check() == NEW
    for server in scene.servers:
        paths = {asked.path for asked in scene.asked(server)} - {f"/{layout.metadata(trust.ROOT, 1)}"}
        assert paths <= ({asked.path for asked in recorded()} if server in (asking or (scene.server,)) else set())


def set_after(code: int) -> str:
    """Tell which set the device has after an exit code."""
    return NEW if code == DONE else OLD


def befall(server: Server, asked: Asked, faults: list[Fault], *, ever: bool) -> None:
    """Have these faults befall a request, one after the other, the last one for ever or once."""
    *first, last = faults
    for fault in first:
        server.misbehave(asked.path, fault, times=1)
    server.misbehave(asked.path, last, times=1_000_000 if ever else 1)


def request(label: str) -> Asked:
    """Return a request by its label."""
    (asked,) = [asked for asked in recorded() if asked.label == label]
    return asked


LABELS = [asked.label for asked in recorded()]
OFTEN = ("once", "ever")
each_case = pytest.mark.parametrize(
    ("name", "label", "often"),
    [
        *(case for kind in KINDS for case in sample(cases(kind), 2)),
        *sample((case for kind in RESETS for case in cases(kind)), 5),
    ],
)


@each_case
def test_a_fault_at_a_request(scene: Scene, name: str, label: str, often: str) -> None:
    """Whichever request it befalls."""
    (kind,) = [kind for kind in (*KINDS, *RESETS) if kind.name == name]
    asked, ever = request(label), often == "ever"
    code = kind.code(asked, ever=ever)
    assert code is not None
    scene.begin(network=HASTY if kind.hasty else None)
    befall(scene.server, asked, kind.faults(asked), ever=ever)

    ends(scene, (code, set_after(code)), *(() if ever else HEALED))


@pytest.mark.parametrize("label", sample(itertools.product(LABELS), 3))
def test_nothing_listens(scene: Scene, label: str) -> None:
    """From some request on every connection is refused: try again later."""
    before = recorded()[: recorded().index(request(label))]
    if before:
        scene.server.misbehave(before[-1].path, Fault(leave=True), times=1)
    else:
        scene.server.refuse()

    ends(scene, (LATER, OLD))


@pytest.mark.parametrize(("label", "often"), sample(itertools.product(LABELS, OFTEN), 4))
def test_a_redirect_to_plain_http_is_not_followed(scene: Scene, label: str, often: str) -> None:
    """Not even to a server that would do well: who asks by https asks nobody else."""
    asked = request(label)
    scene.begin(scene.secure)
    there = Fault(status=302, headers={"Location": f"{scene.server.url}{asked.path}"})
    befall(scene.secure, asked, [there], ever=often == "ever")

    ends(scene, (LATER, OLD), *(() if often == "ever" else HEALED), asking=(scene.secure,))


@pytest.mark.parametrize(("label", "often", "where"), sample(itertools.product(LABELS, OFTEN, ("before", "behind")), 6))
def test_a_stale_edge(scene: Scene, label: str, often: str, where: str) -> None:
    """One of two URLs has an older snapshot: what it lacks the other has, which is asked for the newest of all, too."""
    stale, fresh = scene.server, scene.second
    scene.begin(*((stale, fresh) if where == "before" else (fresh, stale)))
    befall(stale, request(label), [Fault(folder=scene.older)], ever=often == "ever")

    ends(scene, (DONE, NEW), asking=(stale, fresh))


@pytest.mark.parametrize("label", sample(itertools.product(LABELS), 3))
def test_an_edge_that_is_stale_from_some_request_on(scene: Scene, label: str) -> None:
    """The device gets there: it has asked no URL today, so all are asked for the newest timestamp."""
    asked = [asked.path for asked in recorded()]
    scene.begin(scene.server, scene.second)
    for path in asked[asked.index(request(label).path) :]:
        scene.server.misbehave(path, Fault(folder=scene.older))

    ends(scene, (DONE, NEW), asking=(scene.server, scene.second))


@pytest.mark.parametrize(("seed", "often"), sample(itertools.product(range(40), OFTEN), 4))
def test_two_edges_that_differ(scene: Scene, seed: int, often: str) -> None:
    """Behind one URL, chance decides which of two snapshots answers a request: what does not fit is left for later."""
    chance = random.Random(seed)
    for _ in range(len(recorded()) if often == "once" else 200):
        scene.server.misbehave("/", chance.choice([Fault(), Fault(folder=scene.older)]), times=1)

    ends(scene, (LATER, OLD), (DONE, OLD), (DONE, NEW))


@pytest.mark.parametrize("seed", sample(itertools.product(range(20)), 2))
def test_two_edges_that_differ_at_two_urls(scene: Scene, seed: int) -> None:
    """With another URL it gets there, or does not learn of the new set; nothing is in its way."""
    chance = random.Random(seed)
    scene.begin(scene.server, scene.second)
    for server in (scene.server, scene.second):
        for _ in range(200):
            server.misbehave("/", chance.choice([Fault(), Fault(folder=scene.older)]), times=1)

    ends(scene, (LATER, OLD), (DONE, OLD), (DONE, NEW), asking=(scene.server, scene.second))


def test_every_sort_of_request_is_among_them() -> None:
    """An update that asks for something else asks for something that is not tried here."""
    labels = [asked.label for asked in recorded()]

    assert len(set(labels)) == len(labels)
    assert labels[:2] == ["timestamp", "root"]
    assert {asked.sort for asked in recorded()} == {"timestamp", "root", "role", "list", "content", "blob"}

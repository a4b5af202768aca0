"""Changes of keys that are killed, or fail, at any call: clients never notice, and the next start goes on.

No version of a role ever has two files: whatever stood on the mirror once is the same for ever.
"""

from __future__ import annotations

import functools
import shutil
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from builder.client import edit
from builder.client.signed import Order, prepare
from builder.signing import keys
from mirror import trust
from mirror.releases import Entry
from tests.signing.ground import AGE, Ground, claim, rotate, unclaim
from tests.support import clients, readers, sites
from tests.support.faults import BROKEN_ONCE, FULL_ONCE, KILLS, FaultyCalls, Killed, sweep

if TYPE_CHECKING:
    from collections.abc import Callable

    from mirror.files import Calls
    from tests.support.faults import Fault


def rotation(ground: Ground, calls: Calls | None) -> None:
    """Rotate the timestamp's key, to its end."""
    ground.change(rotate(trust.TIMESTAMP), calls=calls)
    for _ in range(2):
        ground.clock.now += 2 * AGE
        with ground.opened(calls) as builder:
            builder.resign()


def claiming(ground: Ground, calls: Calls | None) -> None:
    """Claim a package that has releases, and give it back."""
    publisher = ground.folder / "publisher.pem"
    if not publisher.exists():
        ground.new_key()
    ground.change(claim("app", publisher), uris=[str(publisher)], calls=calls)


def dropping(ground: Ground, calls: Calls | None) -> None:
    """Drop a claim."""
    ground.change(unclaim("app"), calls=calls)


def pushing(ground: Ground, calls: Calls | None) -> None:
    """Publish a release that its publisher signed, with the list and the role; one that is there already is known."""
    made = sites.package("2.0")
    signer = keys.open_signer(str(ground.folder / "publisher.pem"), lambda name: name)
    content = made.content
    entry = Entry(content.version, content.digest, content.sha256, len(made.data), "2027-01-15T08:00:00Z")
    order = Order(
        "app", "main", lambda newest, fetch: edit.with_release(newest, fetch, entry), [signer], [signer.public_key], 90
    )
    statement = prepare(
        order, lambda path, _: (ground.mirror / path).read_bytes(), datetime.fromtimestamp(ground.clock(), UTC)
    )
    if statement is None:
        return
    with ground.opened(calls) as builder:
        release = sites.release(made, ground.site.paths.spool / "made")
        (verdict,) = builder.publish([replace(release, statement=statement)]).verdicts
    assert verdict.error is None


def rebinning(ground: Ground, calls: Calls | None) -> None:
    """Have another number of bins."""
    ground.settings(bins=4)
    with ground.opened(calls) as builder:
        builder.rebin()


def resigning(ground: Ground, calls: Calls | None) -> None:
    """Sign everything anew."""
    ground.clock.now += 10 * 86_400
    with ground.opened(calls) as builder:
        builder.resign(everything=True)


def unclaimed_keys(ground: Ground, calls: Calls | None) -> None:
    """Rotate the key of the bins."""
    ground.change(rotate(trust.UNCLAIMED), calls=calls)


def claimed(ground: Ground) -> None:
    """Have app claimed before."""
    claiming(ground, None)
    ground.settle()


def nothing(_: Ground) -> None:
    """Need nothing more before."""


WORK: dict[str, tuple[Callable[[Ground, Calls | None], None], Callable[[Ground], None]]] = {
    "rotation": (rotation, nothing),
    "claim": (claiming, nothing),
    "dropped claim": (dropping, claimed),
    "signed release": (pushing, claimed),
    "other bins": (rebinning, nothing),
    "everything anew": (resigning, nothing),
    "key of the bins": (unclaimed_keys, nothing),
}


@functools.cache
def _laid(name: str) -> Path:
    """Lay out a site before its work once; tests copy it."""
    folder = Path(tempfile.mkdtemp(prefix="ground-"))
    ground = Ground(folder)
    ground.publish("1.0")
    ground.publish("1.0", package="lib")
    WORK[name][1](ground)
    ground.look()
    return folder


def lay(name: str, folder: Path) -> Ground:
    """Lay out a site, and a client that knows it."""
    shutil.copytree(_laid(name), folder)
    ground = Ground(folder, is_new=False)
    ground.look()
    return ground


def clean(name: str, calls: Calls) -> None:
    """Do the work with nothing going wrong."""
    with tempfile.TemporaryDirectory() as folder:
        WORK[name][0](lay(name, Path(folder, "ground")), calls)


def look(ground: Ground, before: readers.View) -> readers.View:
    """See the mirror as it was left: whole for readers and for clients, with nothing changed that must not."""
    view = readers.look(ground.mirror)
    view.keeps(before)
    clients.verify(ground.mirror, ground.folder / "returning", at=ground.clock())
    clients.verify(ground.mirror, Path(tempfile.mkdtemp(dir=ground.folder)), at=ground.clock())
    return view


def cut_and_settle(name: str, fault: Fault, folder: Path) -> None:
    """Have the work cut off, look, let the next start go on, and do the work again."""
    ground = lay(name, folder)
    view = readers.look(ground.mirror)
    calls = FaultyCalls(fault)
    if fault.mode.error is None:
        with pytest.raises(Killed):
            WORK[name][0](ground, calls)
    else:
        with pytest.raises(OSError, match=r"No space left|Input/output"):
            WORK[name][0](ground, calls)
    if name != "everything anew":  # which begins with nearly everything expired
        view = look(ground, view)
    ground.publish("1.1", package="lib")
    view = look(ground, view)
    ground.settle()
    look(ground, view)
    if name == "signed release":  # a blob without its commit is there until somebody pushes again
        pushing(ground, None)
    with ground.opened() as builder:
        assert [path for path in sites.paths(ground.site.paths.spool) if "made" not in path] == []
        builder.finish()
    ground.look()


for _name in WORK:
    _sweep = sweep(functools.partial(clean, _name), (*KILLS, FULL_ONCE, BROKEN_ONCE), wanted=4)

    @_sweep
    def _test(fault: Fault, tmp_path: Path, name: str = _name) -> None:
        cut_and_settle(name, fault, tmp_path / "ground")

    _test.__doc__ = f"Cut off anywhere in {_name}: no client notices, and what comes next is published."
    globals()[f"test_{_name.replace(' ', '_')}_can_be_cut_off"] = _test

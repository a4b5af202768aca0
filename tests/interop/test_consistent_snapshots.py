"""The rules of TUF's specification for consistent snapshots (section 6.2), held against the mirror's files alone."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import pytest

from mirror import canonical, layout, trust
from tests.support import sites

if TYPE_CHECKING:
    from tests.interop.conftest import Shown


@pytest.fixture(scope="module")
def metadata(shown: Shown) -> dict[tuple[str, int], Any]:
    """Everything that is signed, by role and version; the timestamp under its own."""
    found: dict[tuple[str, int], Any] = {}
    for path in sites.paths(shown.tree):
        if path.startswith(layout.METADATA):
            signed = json.loads((shown.tree / path).read_bytes())["signed"]
            parsed = layout.parse_metadata(path)
            found[parsed or (trust.TIMESTAMP, signed["version"])] = signed
    return found


def newest(metadata: dict[tuple[str, int], Any], role: str) -> Any:
    """Return what a role says at its highest version."""
    return metadata[role, max(version for name, version in metadata if name == role)]


def test_every_root_announces_them(metadata: dict[tuple[str, int], Any]) -> None:
    """A client learns from any root that names carry versions and hashes."""
    assert all(signed["consistent_snapshot"] is True for (role, _), signed in metadata.items() if role == trust.ROOT)


def test_a_name_has_the_version_of_its_file(metadata: dict[tuple[str, int], Any]) -> None:
    """What is served as version N says so itself, and only the timestamp has no version in its name."""
    assert {name: signed["version"] for name, signed in metadata.items()} == {name: name[1] for name in metadata}


def test_all_that_a_timestamp_leads_to_is_there(metadata: dict[tuple[str, int], Any], shown: Shown) -> None:
    """The snapshot of the timestamp, every role of the snapshot, and every target under its hash can be fetched."""
    snapshot = metadata[trust.SNAPSHOT, newest(metadata, trust.TIMESTAMP)["meta"]["snapshot.json"]["version"]]
    named = {name.removesuffix(".json"): meta["version"] for name, meta in snapshot["meta"].items()}
    paths = {}
    for role, version in named.items():
        for path, target in metadata[role, version]["targets"].items():
            folder, _, name = path.rpartition("/")
            sha256 = target["hashes"]["sha256"]
            assert canonical.digest((shown.tree / folder / f"{sha256}.{name}").read_bytes()) == sha256
            paths[path] = sha256

    assert paths == shown.lists


def test_whoever_is_delegated_to_is_in_the_snapshot(metadata: dict[tuple[str, int], Any]) -> None:
    """No client finds a delegation that leads nowhere."""
    succinct = newest(metadata, trust.UNCLAIMED)["delegations"]["succinct_roles"]
    bins = trust.bins(succinct["bit_length"], succinct["keyids"]).get_roles()
    delegated = {role["name"] for role in newest(metadata, trust.TARGETS)["delegations"]["roles"]} | set(bins)

    assert {f"{role}.json" for role in delegated} <= set(newest(metadata, trust.SNAPSHOT)["meta"])


def test_no_version_ever_fell(metadata: dict[tuple[str, int], Any]) -> None:
    """From snapshot to snapshot, no role is dropped and no version falls."""
    snapshots = [metadata[name]["meta"] for name in sorted(metadata) if name[0] == trust.SNAPSHOT]

    for before, after in itertools.pairwise(snapshots):
        for role, meta in before.items():
            assert after[role]["version"] >= meta["version"]

"""The benchmarks run, and write what they promise. How long anything takes is not looked at here."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

RELEASES_A_PACKAGE = 20
METADATA = 256 + 5 + 3
"""Files: bins, root, targets, `unclaimed`, snapshot, timestamp; and three of the last publish, which comes first."""
CATALOGUE = 1
"""It is opened so that it is made with its own mode, which counts as a file too."""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a quick run of all benchmarks writes; one for all processes that test side by side."""
    shared: Path = (
        tmp_path_factory.getbasetemp().parent
        if "PYTEST_XDIST_WORKER" in os.environ
        else tmp_path_factory.mktemp("bench")
    )
    output = shared / "bench.json"
    with (shared / "bench.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not output.exists():
            command = [sys.executable, "-m", "tests.bench", "--quick", "--output", str(output)]
            done = subprocess.run(command, check=False, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(output.read_text())
    return result


def test_a_full_render_writes_each_page_once_and_syncs_a_few_times(found: dict[str, Any]) -> None:
    """A render into an empty mirror writes a file a release, three a branch, all metadata; with few syncs a group."""
    rows = {row["releases"]: row for row in found["render"] if row["program"] == "otamirror, mirror"}

    assert [*rows] == [1_000, 5_000]
    for releases, row in rows.items():
        assert row["files"] == releases + 3 * releases // RELEASES_A_PACKAGE + METADATA + CATALOGUE
        assert row["bytes"] > 100 * row["files"]
        assert 3 <= row["syncs"] < row["files"] / 100
        assert row["cpu_seconds"] > 0
        assert row["wall_seconds"] > 0
        assert row["peak_mb"] > 0


def test_pages_for_people_are_counted_by_themselves(found: dict[str, Any]) -> None:
    """There is a page a package, the index, and the page of what is not there."""
    rows = {row["releases"]: row["files"] for row in found["render"] if row["program"] == "otamirror, pages"}

    assert rows == {releases: releases // RELEASES_A_PACKAGE + 2 + CATALOGUE for releases in (1_000, 5_000)}


def test_one_more_release_costs_the_same_counts_in_every_site(found: dict[str, Any]) -> None:
    """A publish writes seven small files beside the blob, with one commit, and lists no folder."""
    rows = found["publish"]

    assert [row["releases"] for row in rows] == [1_000, 5_000]
    for row in rows:
        assert (row["files"], row["commits"], row["listings"]) == (7, 1, 0)
        assert 0 < row["bytes"] <= 60_000
        assert 0 < row["syncs"] <= 5
        assert 0 < row["reads"] <= 7 + 3  # the three pointers once more, to set their times by descriptor
        assert row["unsigned_ms"] > 0
        assert row["cpu_ms"] > 0
        assert row["wall_ms"] > 0


def test_a_device_asks_for_little(found: dict[str, Any]) -> None:
    """A quiet poll is one request, and what comes after a publish elsewhere does not grow with the site."""
    rows = found["poll"]

    assert [row["releases"] for row in rows] == [1_000, 5_000]
    for row in rows:
        assert row["quiet_requests"] == 1
        assert 0 < row["quiet_bytes"] <= 400
        assert 1 < row["news_requests"] <= 4
        assert 0 < row["news_bytes"] <= 12_000


def test_an_upload_is_measured_beside_hashing_and_storing(found: dict[str, Any]) -> None:
    """The same package is hashed, received and stored, and each is told as a share of the first."""
    rows = found["upload"]

    assert [row["program"] for row in rows] == ["hashlib", "otamirror", "nginx, DAV"]
    assert rows[0]["cpu_share"] == 1
    for row in rows:
        assert row["mib"] == 16
        assert row["wall_seconds"] > 0


def test_an_update_is_measured_beside_a_plain_loop(found: dict[str, Any]) -> None:
    """The same bytes are taken by both; what only looks is measured too, with the import that costs most."""
    rows = {row["program"]: row for row in found["update"]}

    assert [*rows] == ["plain loop", "otadevice update", "otadevice update, idle", "otadevice status"]
    assert rows["plain loop"]["cpu_share"] == 1
    assert rows["otadevice update"]["mib"] == 16
    assert rows["otadevice update"]["cpu_share"] > 0
    assert "ms" in rows["otadevice status"]["dearest_import"]
    for row in rows.values():
        assert row["cpu_seconds"] > 0
        assert row["peak_mb"] > 0


def test_the_idle_daemon_is_measured(found: dict[str, Any]) -> None:
    """What it holds does not grow with its polls, and one of them is one request."""
    first, last = found["idle"]

    assert first["polls"] >= 100
    assert last["polls"] >= 200
    assert last["threads"] == first["threads"] == 1
    assert 10 < last["resident_mb"] < first["resident_mb"] + 2
    assert 1 <= last["requests_a_poll"] < 1.1
    assert 0 < last["bytes_a_poll"] <= 400


def test_the_result_tells_where_it_was_measured(found: dict[str, Any]) -> None:
    """Figures are of use only with the machine that they are of, and quick ones must not pass for real ones."""
    assert found["quick"] is True
    assert found["machine"].keys() == {"python", "system", "cpus"}

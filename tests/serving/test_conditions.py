"""Conditional requests: validators of any time that a file can have."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from builder.web import conditions

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("modified", [0, 4e9, 253_402_300_799, 2**40, 2**62])
def test_every_time_of_a_file_makes_a_date(modified: float, tmp_path: Path) -> None:
    """A file from the future is served, and known again, as every other."""
    path = tmp_path / "page"
    path.write_bytes(b"bytes")
    os.utime(path, (modified, modified))

    found = conditions.validators(path.stat())

    assert conditions.is_known({"If-Modified-Since": found["Last-Modified"]}, found)
    assert conditions.is_known({"If-None-Match": found["ETag"]}, found)

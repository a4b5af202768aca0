"""What the tests need from the machine: a missing tool skips a test locally and fails it in CI."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest


def require(tool: str) -> str:
    """Find the path of a program, or skip the test (fail it in CI)."""
    # the administrator's tools are there even when they are not on a user's PATH
    search = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    path = shutil.which(tool, path=search)
    if path is None:
        missing(f"{tool} is not installed")
    return path


def require_root() -> None:
    """Skip the test (fail it in CI) unless it runs as root."""
    if os.geteuid() != 0:
        missing("needs root")


def missing(reason: str) -> NoReturn:
    """Skip the test, or fail it in CI, where nothing may be missing."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)

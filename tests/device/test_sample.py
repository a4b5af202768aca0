"""The otadevice.toml that a new device gets: every key, with the value that holds without it."""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields
from datetime import time
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from devclient.settings import config, sample
from devclient.settings.config import Daemon, Folders, Hooks, Network, Settings
from devclient.settings.windows import DAYS, Window

TABLES = {"remotes", "network", "hooks", "folders", "packages", "daemon"}
URLS, ALLOW = ("https://updates.example.org",), config.ALLOWED


def _written(folder: Path, text: str) -> Settings:
    file = folder / "otadevice.toml"
    file.write_text(text, encoding="utf-8")
    return config.load(file)


def test_the_sample_says_what_holds_without_it(tmp_path: Path) -> None:
    """All of it is the default but for the mirror, which has none."""
    shown = _written(tmp_path, sample.write(URLS, ALLOW))

    silent = _written(tmp_path, f'[remotes.main]\nurls = {list(URLS)}\nroot = "{config.ROOT}"\n'.replace("'", '"'))
    assert shown == silent
    assert (shown.network, shown.hooks, shown.folders) == (Network(), Hooks(), Folders())
    assert (shown.timeouts, shown.daemon, shown.itself) == ({}, Daemon(), "")


def _uncommented() -> str:
    keys = "hook_timeout|self|metrics|proxy|ca_file|days|from|to|zone"
    return re.sub(rf"^# (\[|(?:{keys}) = )", r"\1", sample.write(URLS, ALLOW), flags=re.MULTILINE)


@pytest.mark.parametrize(
    ("table", "of"), [("network", Network), ("hooks", Hooks), ("folders", Folders), ("daemon", Daemon)]
)
def test_the_sample_names_every_key(table: str, of: type) -> None:
    """Whoever wants to set something finds it there."""
    assert list(tomllib.loads(_uncommented())[table]) == [field.name for field in fields(of)]


def test_the_sample_names_every_table(tmp_path: Path) -> None:
    """Also what is only shown, since nobody has a package of that name: without the `#` it is right."""
    text = sample.write(URLS, ALLOW)
    assert {*tomllib.loads(text), "packages"} == TABLES | {"state", "work", "allow", "root_interval"}

    shown = _written(tmp_path, _uncommented())

    assert (shown.timeouts, shown.itself) == ({"NAME": 900}, "otadevice")
    weekend = frozenset({DAYS["sat"], DAYS["sun"]})
    assert shown.daemon.windows == (Window(time(22), time(4), weekend, ZoneInfo("Europe/Berlin")),)


@settings(deadline=None, max_examples=50)
@example(["\x7f"])
@given(
    st.lists(
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1),
        min_size=1,
        max_size=3,
    )
)
def test_any_folder_can_be_named(names: list[str]) -> None:
    """Whatever letters its name has, braces and quotes among them."""
    allow = tuple(Path("/opt", name.lstrip("/")) for name in names)

    assert tomllib.loads(sample.write(URLS, allow))["allow"] == [str(folder) for folder in allow]

"""What otadevice.toml may say."""

from __future__ import annotations

import tomllib
from datetime import time
from pathlib import Path

import pytest

from devclient.errors import SettingsError
from devclient.settings import config, sample
from devclient.settings.config import Folders, Hooks, Network, Remote
from devclient.settings.windows import Window

MIRROR = '[remotes.main]\nurls = ["https://updates.example.org/"]\nroot = "root.json"\n'
WINDOW = MIRROR + '[[daemon.windows]]\nfrom = "22:00"\nto = "04:00"\n'


def load(folder: Path, text: str) -> config.Settings:
    """Load settings with this text."""
    file = folder / "otadevice.toml"
    file.write_text(text)
    return config.load(file)


def test_a_mirror_is_all_that_must_be_said(tmp_path: Path) -> None:
    """All other settings have defaults, beside the file."""
    settings = load(tmp_path, MIRROR)

    assert settings.state == tmp_path / "otadevice.json"
    assert settings.work == tmp_path / "otadevice-work"
    assert settings.allow == (Path("/opt"), Path("/srv"), Path("/usr/local"), Path("/var/lib"))
    assert settings.remotes == (Remote("main", ("https://updates.example.org",), tmp_path / "root.json"),)
    assert settings.trust(settings.remotes[0]) == tmp_path / "otadevice-work" / "trust" / "main"
    assert settings.network == Network()


def test_relative_paths_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever otadevice is started, its files are beside its settings; absolute paths stay."""
    monkeypatch.chdir("/")

    settings = load(tmp_path, 'state = "s.json"\nwork = "/w"\nallow = ["here", "/there"]\n' + MIRROR)

    assert (settings.state, settings.work) == (tmp_path / "s.json", Path("/w"))
    assert settings.remotes[0].root == tmp_path / "root.json"
    assert settings.allow == (tmp_path / "here", Path("/there"))


def test_the_sample_says_what_holds_without_it(tmp_path: Path) -> None:
    """The file that `init` writes shows every key, with its default."""
    urls, allow = ("https://updates.example.org",), (Path("/opt"), Path('/odd "name" \\ ü'))

    shown = load(tmp_path, sample.write(urls, allow))

    assert shown.allow == allow
    assert shown.remotes == (Remote("main", urls, tmp_path / "otadevice-root.json"),)
    silent = load(tmp_path, MIRROR)
    assert (shown.state, shown.work, shown.network) == (silent.state, silent.work, silent.network)
    assert tomllib.loads(sample.write(urls, allow))["network"].keys() == vars(Network()).keys() - {"proxy", "ca_file"}


def test_a_window_may_end_at_midnight(tmp_path: Path) -> None:
    """At 24:00, as people call it; unless more is said, every day, by the device's own clock."""
    settings = load(tmp_path, WINDOW.replace("04:00", "24:00"))

    assert settings.daemon.windows == (Window(time(22), time(0), frozenset(range(7))),)


def test_paths_of_the_daemon_are_relative_to_the_file(tmp_path: Path) -> None:
    """As all others."""
    daemon = load(tmp_path, MIRROR + '[daemon]\ninhibit = "busy"\nmetrics = "/m/ota.prom"\n').daemon

    assert (daemon.inhibit, daemon.metrics) == (tmp_path / "busy", Path("/m/ota.prom"))


def test_times_can_be_set(tmp_path: Path) -> None:
    """Each time limit has its key."""
    settings = load(tmp_path, MIRROR + "[network]\nread_timeout = 5\npatience = 2.5\n")

    assert (settings.network.read_timeout, settings.network.patience) == (5, 2.5)
    assert settings.network.connect_timeout == Network().connect_timeout


@pytest.mark.parametrize(("said", "meant"), [("", 0), ("bandwidth = 0", 0), ("bandwidth = 524288", 512 * 1024)])
def test_downloads_can_be_held_back(tmp_path: Path, said: str, meant: int) -> None:
    """By bytes a second; unless that is said, they are not."""
    assert load(tmp_path, f"{MIRROR}[network]\n{said}\n").network.bandwidth == meant


@pytest.mark.parametrize("value", ["-1", "1.5", "true", '"512 KiB"', "1_000_000_000_000_000"])
def test_a_bandwidth_is_a_number_of_bytes(tmp_path: Path, value: str) -> None:
    """Whole, not negative, and no more than there can be."""
    with pytest.raises(SettingsError, match=r"network\.bandwidth: must be a whole number of bytes, 0 for no limit"):
        load(tmp_path, f"{MIRROR}[network]\nbandwidth = {value}\n")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('stat = "x"\n' + MIRROR, "stat: there is no such key; the nearest is state"),
        (MIRROR + "[network]\nread_timout = 1", "network.read_timout: .* the nearest is network.read_timeout"),
        (MIRROR + "url = 1", "remotes.main.url: .* the nearest is remotes.main.urls"),
        (MIRROR + "[network]\npatience = 0", "network.patience: must be a number above 0, not 0"),
        (MIRROR + "[network]\npatience = true", "network.patience: must be a number"),
        (MIRROR + "[network]\npatience = nan", "network.patience: must be a number"),
        ("network = 1\n" + MIRROR, r"network: must be a table, \[network\]"),
        ("state = 1\n" + MIRROR, "state: must be a path"),
        ('allow = "/opt"\n' + MIRROR, "allow: must be a list of folders"),
        ("allow = []\n" + MIRROR, "allow: must be a list of folders"),
        ("", r"remotes: is missing; add \[remotes.main\]"),
        ("remotes = {}", "remotes: must name at least one mirror"),
        ("[remotes.main]", "remotes.main.urls: is missing"),
        (
            '[remotes.main]\nurls = ["https://a.example"]',
            "remotes.main.root: is missing; .*`otamirror keys export-root`",
        ),
        (MIRROR.replace('"root.json"', "1"), "remotes.main.root: must be a path"),
        (MIRROR.replace("main", '".."'), r"remotes.\.\.: '\.\.' is not a name"),
        (MIRROR.replace("main", '"a/b"'), "remotes.a/b: 'a/b' is not a name"),
        ('[remotes.main]\nurls = "https://a.example"', "remotes.main.urls: must be a list"),
        ('[remotes.main]\nurls = ["ftp://a.example"]', "'ftp://a.example' is not the URL of a mirror"),
        ('[remotes.main]\nurls = ["https://u:p@a.example"]', "is not the URL of a mirror"),
        ('[remotes.main]\nurls = ["https://a.example/?x"]', "is not the URL of a mirror"),
        ("state = x\n", "is not TOML: .* line 1"),
        (MIRROR + "[hooks]\ntimeout = 0", "hooks.timeout: must be a number above 0, not 0"),
        (MIRROR + "[hooks]\ngrace = -1", "hooks.grace: must be a number above 0 and at most 120, not -1"),
        (MIRROR + "[hooks]\ngrace = 121", "hooks.grace: must be a number above 0 and at most 120, not 121"),
        (MIRROR + "[hooks]\ntime = 1", "hooks.time: there is no such key; the nearest is hooks.timeout"),
        (MIRROR + '[hooks]\nreboot = ""', "hooks.reboot: must be a shell command such as \"reboot\", not ''"),
        (MIRROR + '[hooks]\nreboot = "  "', "hooks.reboot: must be a shell command"),
        (MIRROR + '[hooks]\nreboot = ["reboot"]', "hooks.reboot: must be a shell command"),
        (MIRROR + '[hooks]\nreboot = "a\\u0000b"', "hooks.reboot: must be a shell command"),
        ("hooks = 1\n" + MIRROR, r"hooks: must be a table, \[hooks\]"),
        (MIRROR + "[folders]\nbytes = 0", "folders.bytes: must be a whole number above 0, not 0"),
        (MIRROR + "[folders]\nentries = 1.5", "folders.entries: must be a whole number above 0, not 1.5"),
        (MIRROR + "[folders]\nentries = true", "folders.entries: must be a whole number above 0, not True"),
        (MIRROR + "[folders]\nbites = 1", "folders.bites: .* the nearest is folders.bytes"),
        ("folders = []\n" + MIRROR, r"folders: must be a table, \[folders\]"),
        ("packages = 1\n" + MIRROR, r"packages: must be a table, with one such as \[packages.app\] for each package"),
        (MIRROR + "[packages]\napp = 900", r"packages.app: must be a table, \[packages.app\]"),
        (MIRROR + "[packages.app]\nhook_timeout = 0", "packages.app.hook_timeout: must be a number above 0, not 0"),
        (MIRROR + "[packages.app]\ntimeout = 9", "packages.app.timeout: .* nearest is packages.app.hook_timeout"),
        ('self = "a/b"\n' + MIRROR, "self: must be the name of a package"),
        (MIRROR + "[daemon]\ninterval = 0", "daemon.interval: must be a number above 0, not 0"),
        (MIRROR + "[daemon]\njitter = 1.1", "daemon.jitter: must be a number from 0 to 1, not 1.1"),
        (MIRROR + "[daemon]\njitter = nan", "daemon.jitter: must be a number from 0 to 1"),
        (MIRROR + '[daemon]\nmetrics = ""', "daemon.metrics: must be a path"),
        (MIRROR + "[daemon]\nwindows = 1", r"daemon.windows: must be tables, each under \[\[daemon.windows\]\]"),
        (WINDOW.replace("to", "til"), r"daemon.windows\[0\].til: .* the nearest is daemon.windows\[0\].to"),
        (WINDOW.replace('to = "04:00"', ""), r"daemon.windows\[0\].to: is missing"),
        (WINDOW.replace("04:00", "4"), r'daemon.windows\[0\].to: must be a time of day such as "22:00", not'),
        (WINDOW.replace("04:00", "9" * 20 + ":00"), r"daemon.windows\[0\].to: must be a time of day"),
        (WINDOW.replace("04:00", "25:00"), r"daemon.windows\[0\].to: must be a time of day"),
        (WINDOW.replace("22:00", "24:00"), r"daemon.windows\[0\].from: must be a time of day"),
        (WINDOW + "days = []", r"daemon.windows\[0\].days: must be a list of days"),
        (WINDOW + 'days = ["saturday"]', r"daemon.windows\[0\].days: must be a list of days"),
        (WINDOW + 'zone = "Europe/Atlantis"', r"daemon.windows\[0\].zone: must be a time zone such as"),
        (WINDOW + 'zone = "../../etc/passwd"', r"daemon.windows\[0\].zone: must be a time zone"),
    ],
)
def test_what_is_wrong_is_named_with_its_key(tmp_path: Path, text: str, problem: str) -> None:
    """An error in the settings names the file, the key, and what to write."""
    with pytest.raises(SettingsError, match=problem) as caught:
        load(tmp_path, text)

    assert str(caught.value).startswith(f"{tmp_path}/otadevice.toml: ")


def test_bytes_that_are_no_text_are_told(tmp_path: Path) -> None:
    """A file that is not UTF-8 is an error of the settings like any other."""
    (tmp_path / "otadevice.toml").write_bytes(b"\xff")

    with pytest.raises(SettingsError, match="is not UTF-8 at byte 0"):
        config.load(tmp_path / "otadevice.toml")


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """With what the system says about it."""
    with pytest.raises(SettingsError, match="cannot be read: Is a directory"):
        config.load(tmp_path)


def test_a_missing_file_names_the_way_to_one(tmp_path: Path) -> None:
    """Who has no settings is told how to get them."""
    with pytest.raises(SettingsError, match="`otadevice init` makes one"):
        config.load(tmp_path / "otadevice.toml")


def test_remotes_are_found_by_any_of_their_urls(tmp_path: Path) -> None:
    """A package that names no mirror gets the first; one that names a URL gets the mirror that has it, or none."""
    settings = load(
        tmp_path,
        MIRROR + '[remotes.other]\nurls = ["https://b.example", "https://c.example"]\nroot = "/other.json"\n',
    )
    main, other = settings.remotes

    assert settings.remote("") == main
    assert settings.remote("https://c.example/") == other
    assert settings.remote("https://d.example") is None
    assert settings.trust(main) != settings.trust(other)
    assert other.root == Path("/other.json")


def test_hooks_and_folders_can_be_set(tmp_path: Path) -> None:
    """Key by key; the others keep their defaults."""
    settings = load(tmp_path, MIRROR + '[hooks]\ngrace = 2.5\nreboot = "kexec -e"\n[folders]\nentries = 7\n')

    assert settings.hooks == Hooks(timeout=300, grace=2.5, reboot="kexec -e")
    assert settings.folders == Folders(bytes=16 * 1024**3, entries=7)


def test_one_package_may_have_a_limit_of_its_own(tmp_path: Path) -> None:
    """Where it has none, that of all hooks holds."""
    settings = load(tmp_path, MIRROR + '[hooks]\ntimeout = 60\n[packages.app]\nhook_timeout = 900\n[packages."a.b"]\n')

    assert [settings.hook_timeout(package) for package in ("app", "a.b", "lib")] == [900, 60, 60]


def test_limits_are_those_of_the_contract(tmp_path: Path) -> None:
    """Five minutes for a hook, ten seconds between TERM and KILL."""
    settings = load(tmp_path, MIRROR)

    assert (settings.hooks.timeout, settings.hooks.grace) == (300, 10)
    assert settings.hook_timeout("app") == 300

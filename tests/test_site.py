"""The settings of a site."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

from builder import site
from builder.errors import SiteError
from builder.values import Address

REFERENCE = Path(__file__).parent.parent / "site.toml"
DERIVED = re.compile(r"^# (?=[a-z_]+ = )", re.MULTILINE)


def load(folder: Path, text: str = "") -> site.Site:
    """Load a site.toml with this text."""
    file = folder / "site.toml"
    file.write_text(text)
    return site.load(file)


def problems(folder: Path, text: str) -> tuple[str, ...]:
    """Tell what is wrong with this text."""
    with pytest.raises(SiteError) as caught:
        load(folder, text)
    return caught.value.problems


def keys_of(table: object, prefix: str = "") -> set[str]:
    """Name every key of a site, as the file spells it."""
    assert is_dataclass(table)
    keys: set[str] = set()
    for field in fields(table):
        value = getattr(table, field.name)
        keys |= keys_of(value, f"{field.name}.") if is_dataclass(value) else {f"{prefix}{field.name}"}
    return keys - {"file"}


def keys_in(text: str) -> list[str]:
    """Name every key of a file, in its order."""
    table, keys = "", []
    for line in text.splitlines():
        if match := re.fullmatch(r"\[(\w+)\]", line):
            table = f"{match[1]}."
        elif match := re.match(r"(\w+) = ", line):
            keys.append(f"{table}{match[1]}")
    return keys


def test_an_empty_file_is_a_site(tmp_path: Path) -> None:
    """Everything has a default, and all files lie in var beside site.toml."""
    found = load(tmp_path)

    assert found.file == tmp_path / "site.toml"
    assert found.paths.mirror == tmp_path / "var" / "mirror"
    assert found.paths.catalogue == tmp_path / "var" / "catalogue.sqlite"
    assert found.server.listen == Address("127.0.0.1", 8080)
    assert found.url == "http://127.0.0.1:8080"


def test_the_reference_lists_every_key(tmp_path: Path) -> None:
    """A key that exists can be read about in site.toml, once."""
    listed = keys_in(DERIVED.sub("", REFERENCE.read_text()))

    assert sorted(listed) == sorted(keys_of(load(tmp_path)))


def test_the_reference_shows_the_defaults(tmp_path: Path) -> None:
    """What site.toml shows as a default is the default, also of the keys that follow from others."""
    text = REFERENCE.read_text()

    assert DERIVED.search(text), "the keys that follow from others are not recognised any more"
    for shown in (text, DERIVED.sub("", text)):
        assert load(tmp_path, shown) == load(tmp_path, "")


def test_a_new_site_starts_from_the_reference() -> None:
    """What `init` writes is the reference, not a second copy that ages."""
    assert site.sample() == REFERENCE.read_text()


def test_every_key_can_be_set(tmp_path: Path) -> None:
    """Each value arrives under its own name."""
    text = """
        name = "Räder"
        url = "https://updates.example.org/fleet/"
        [paths]
        var = "/srv/ota"
        inbox = "drop"
        rejected = "/srv/refused"
        claimed = "/srv/taken"
        mirror = "public"
        spool = "/srv/spool"
        catalogue = "../ota.sqlite"
        tokens = "/etc/ota/tokens.json"
        keys = "/etc/ota/keys"
        [inbox]
        events = "poll"
        scan_seconds = 3600
        settle_seconds = 0
        [publish]
        group = 1
        group_bytes = "2 KiB"
        [cache]
        pointer_max_age = 0
        longest_age = 2678400
        [server]
        listen = "[::1]:0"
        [receiver]
        listen = "10.0.0.1:8081"
        min_bytes_per_second = 0
        silence_seconds = 0.5
        header_seconds = 3600
        connections = 7
        [metrics]
        listen = "127.0.0.1:9100"
        [limits]
        package_bytes = 0
        [trust]
        bins = 16384
        root_threshold = 2
        targets_threshold = 3
        root_days = 1
        targets_days = 2
        publisher_days = 3
        online_days = 4
        timestamp_days = 5
        poll_seconds = 86400
        [keys]
        timestamp = "env:OTA_TIMESTAMP"
        snapshot = "key:/etc/ota/snapshot.pem"
        unclaimed = "hsm:2?label=ota"
        passphrase_file = "../passphrase"
    """

    found = load(tmp_path, text)

    assert sorted(keys_in(re.sub("^ +", "", text, flags=re.MULTILINE))) == sorted(keys_of(found))
    assert found == site.Site(
        file=tmp_path / "site.toml",
        name="Räder",
        url="https://updates.example.org/fleet",
        paths=site.Paths(
            var=Path("/srv/ota"),
            inbox=tmp_path / "drop",
            rejected=Path("/srv/refused"),
            claimed=Path("/srv/taken"),
            mirror=tmp_path / "public",
            spool=Path("/srv/spool"),
            catalogue=tmp_path / "../ota.sqlite",
            tokens=Path("/etc/ota/tokens.json"),
            keys=Path("/etc/ota/keys"),
        ),
        inbox=site.Inbox(events="poll", scan_seconds=3600, settle_seconds=0),
        publish=site.Publish(group=1, group_bytes=2048),
        cache=site.Cache(pointer_max_age=0, longest_age=31 * 86_400),
        server=site.Server(listen=Address("::1", 0)),
        receiver=site.Receiver(
            listen=Address("10.0.0.1", 8081),
            min_bytes_per_second=0,
            silence_seconds=0.5,
            header_seconds=3600,
            connections=7,
        ),
        metrics=site.Metrics(listen=Address("127.0.0.1", 9100)),
        limits=site.Limits(package_bytes=0),
        trust=site.Trust(16384, 2, 3, 1, 2, 3, 4, 5, 86400),
        keys=site.Keys("env:OTA_TIMESTAMP", "key:/etc/ota/snapshot.pem", "hsm:2?label=ota", tmp_path / "../passphrase"),
    )


def test_paths_follow_var(tmp_path: Path) -> None:
    """Moving var moves everything that is not placed on its own."""
    paths = load(tmp_path, '[paths]\nvar = "/srv/ota"\ninbox = "drop"').paths

    assert paths == site.Paths(
        var=Path("/srv/ota"),
        inbox=tmp_path / "drop",
        rejected=Path("/srv/ota/rejected"),
        claimed=Path("/srv/ota/claimed"),
        mirror=Path("/srv/ota/mirror"),
        spool=Path("/srv/ota/spool"),
        catalogue=Path("/srv/ota/catalogue.sqlite"),
        tokens=Path("/srv/ota/tokens.json"),
        keys=Path("/srv/ota/keys"),
    )


def test_claims_go_where_inbox_and_rejected_are(tmp_path: Path) -> None:
    """A site whose inbox was moved to another file system, and what is refused with it, needs no third setting."""
    moved = '[paths]\ninbox = "/mnt/in"\nrejected = "/mnt/out/refused"\n'

    assert load(tmp_path, moved).paths.claimed == Path("/mnt/out/claimed")
    assert load(tmp_path, f'{moved}claimed = "taken"').paths.claimed == tmp_path / "taken"


def test_paths_do_not_depend_on_where_a_command_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative --site gives absolute paths, so a change of folder changes nothing."""
    load(tmp_path)
    monkeypatch.chdir(tmp_path)

    assert site.load(Path("site.toml")) == site.load(tmp_path / "site.toml")


def test_the_url_follows_the_address(tmp_path: Path) -> None:
    """Without a URL, the printed commands reach the embedded server from this machine."""
    urls = {
        listen: load(tmp_path, f'[server]\nlisten = "{listen}"').url
        for listen in ("127.0.0.1:81", "0.0.0.0:82", "[::]:83", "[::1]:84", "builder.example.org:85")
    }

    assert urls == {
        "127.0.0.1:81": "http://127.0.0.1:81",
        "0.0.0.0:82": "http://127.0.0.1:82",
        "[::]:83": "http://[::1]:83",
        "[::1]:84": "http://[::1]:84",
        "builder.example.org:85": "http://builder.example.org:85",
    }


def test_the_receiver_shares_the_address_of_the_web_server(tmp_path: Path) -> None:
    """Unless it has one of its own, moving the web server moves the receiver."""
    moved = '[server]\nlisten = "[::1]:81"\n'

    assert load(tmp_path, moved).receiver.listen == Address("::1", 81)
    assert load(tmp_path, moved + '[receiver]\nlisten = "[::1]:82"').receiver.listen == Address("::1", 82)


def test_a_url_that_is_not_known_yet_stays_empty(tmp_path: Path) -> None:
    """Port 0 is in no URL: the server says which port it got."""
    assert load(tmp_path, '[server]\nlisten = "127.0.0.1:0"').url == ""


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("0", 0),
        ("1048576", 1048576),
        ('"1048576"', 1048576),
        ('"10 B"', 10),
        ('"3KiB"', 3072),
        ('"512 MiB"', 512 * 1024**2),
        ('"2 GiB"', 2 * 1024**3),
        ('"1 TiB"', 1024**4),
    ],
)
def test_sizes_are_written_for_people(tmp_path: Path, written: str, size: int) -> None:
    """A size is a number of bytes or a number with a unit."""
    assert load(tmp_path, f"[limits]\npackage_bytes = {written}").limits.package_bytes == size


@pytest.mark.parametrize(("pointer", "longest"), [(60, 3600), (7200, 7200)])
def test_the_longest_age_is_never_below_the_usual_one(pointer: int, longest: int, tmp_path: Path) -> None:
    """Where only `pointer_max_age` is given, the other follows it."""
    found = load(tmp_path, f"[cache]\npointer_max_age = {pointer}\n")

    assert found.cache.longest_age == longest


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ('nme = "x"', "nme: there is no such key; the nearest is name"),
        (
            "[inbox]\nscan_secnds = 2",
            "inbox.scan_secnds: there is no such key; the nearest is inbox.scan_seconds",
        ),
        ('listen = "x"', "listen: there is no such key; the nearest is server.listen"),
        ("[inbx]\nscan_seconds = 2", "inbx: there is no such key; the nearest is inbox"),
        (
            "[server]\npointer_max_age = 2",
            "server.pointer_max_age: there is no such key; the nearest is cache.pointer_max_age",
        ),
        ("zzzz = 1", "zzzz: there is no such key"),
        ('file = "x"', "file: there is no such key"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_known(tmp_path: Path, text: str, nearest: str) -> None:
    """A typing error is found, not ignored: the error says where it is and what was probably meant."""
    assert [problem for problem in problems(tmp_path, text) if problem.startswith(nearest)]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("name = 1", "name: must be a line of text, not empty and without control characters, not 1"),
        ('name = " "', "name: must be a line of text"),
        ('name = "a\\nb"', "name: must be a line of text"),
        ("inbox = 1", "inbox: must be a table, [inbox], not 1"),
        ("[name]", "name: must be a line of text"),
        ("[inbox]\nscan_seconds = 0", "inbox.scan_seconds: must be a whole number from 1 to 3600, not 0"),
        ("[inbox]\nscan_seconds = 3601", "inbox.scan_seconds: must be a whole number"),
        ("[inbox]\nscan_seconds = 1.5", "inbox.scan_seconds: must be a whole number"),
        (
            "[inbox]\nscan_seconds = true",
            "inbox.scan_seconds: must be a whole number from 1 to 3600, not true",
        ),
        ('[inbox]\nscan_seconds = "2"', 'inbox.scan_seconds: must be a whole number from 1 to 3600, not "2"'),
        ("[publish]\ngroup = 0", "publish.group: must be a whole number"),
        (
            "[receiver]\nsilence_seconds = 0",
            "receiver.silence_seconds: must be a number of seconds from 0.1 to 3600, not 0",
        ),
        ("[receiver]\nheader_seconds = true", "receiver.header_seconds: must be a number of seconds"),
        ('[receiver]\nheader_seconds = "1"', "receiver.header_seconds: must be a number of seconds"),
        ("[receiver]\nheader_seconds = nan", "receiver.header_seconds: must be a number of seconds"),
        ('[metrics]\nlisten = "9100"', "metrics.listen: must be an address and a port"),
        ("[cache]\npointer_max_age = -1", "cache.pointer_max_age: must be a whole number"),
        ("[cache]\nlongest_age = 2678401", "cache.longest_age: must be a whole number"),
        (
            "[cache]\nlongest_age = 59",
            "cache.longest_age: must be at least cache.pointer_max_age, 60, because caches may keep",
        ),
        ('[paths]\nvar = ""', "paths.var: must be a path as text"),
        ('[paths]\nvar = "a\\u0000b"', "paths.var: must be a path as text"),
        ("[paths]\nvar = 1", "paths.var: must be a path as text"),
        ('[server]\nlisten = "127.0.0.1"', "server.listen: must be an address and a port"),
        ('[server]\nlisten = "127.0.0.1:65536"', "server.listen: must be an address and a port"),
        ('[server]\nlisten = "::1:80"', "server.listen: must be an address and a port"),
        ('[server]\nlisten = "[1::2::3]:80"', "server.listen: must be an address and a port"),
        ("[server]\nlisten = 8080", "server.listen: must be an address and a port"),
        ('[limits]\npackage_bytes = "16 GB"', "limits.package_bytes: must be a number of bytes"),
        ('[limits]\npackage_bytes = "-1"', "limits.package_bytes: must be a number of bytes"),
        ("[limits]\npackage_bytes = -1", "limits.package_bytes: must be a number of bytes"),
        ("[limits]\npackage_bytes = true", "limits.package_bytes: must be a number of bytes"),
        ("[limits]\npackage_bytes = 1e9", "limits.package_bytes: must be a number of bytes"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_wanted(tmp_path: Path, text: str, problem: str) -> None:
    """The error names the key, what it wants and what it got."""
    (found,) = problems(tmp_path, text)

    assert found.startswith(problem)


@pytest.mark.parametrize(
    "url",
    [
        "updates.example.org",
        "ftp://updates.example.org",
        "http://",
        "http://updates.example.org:port",
        "http://updates.example.org:0",
        "http://updates.example.org/?a=b",
        "http://updates.example.org/#a",
        "http://user@updates.example.org",
        "http://updates.example.org/a b",
        "http://[1::2::3]/",
    ],
)
def test_a_url_that_paths_cannot_follow_is_refused(tmp_path: Path, url: str) -> None:
    """What is printed and shown as the mirror's URL works as the beginning of a URL."""
    assert problems(tmp_path, f'url = "{url}"')[0].startswith('url: must be "", or an http or https URL')


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('inbox = "var/mirror/inbox"', "paths.inbox: must not be in paths.mirror"),
        ('mirror = "var/inbox"', "paths.inbox: must not be in paths.mirror"),
        ('mirror = "var/x/../inbox/public"', "paths.mirror: must not be in paths.inbox"),
        ('catalogue = "var/mirror/catalogue.sqlite"', "paths.catalogue: must not be in paths.mirror"),
        ('tokens = "var/mirror/tokens.json"', "paths.tokens: must not be in paths.mirror"),
        ('spool = "var/rejected/spool"', "paths.spool: must not be in paths.rejected"),
    ],
)
def test_paths_inside_one_another_are_refused(tmp_path: Path, text: str, problem: str) -> None:
    """A mirror never serves an inbox or the catalogue, and an inbox never takes in a mirror."""
    (found,) = problems(tmp_path, f"[paths]\n{text}")

    assert found.startswith(problem)


def test_a_mirror_as_var_is_refused(tmp_path: Path) -> None:
    """Serving the folder of everything is found before it happens."""
    assert len(problems(tmp_path, '[paths]\nmirror = "var"')) == 7


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    """One run shows all that there is to repair, each with the file's name."""
    file = tmp_path / "site.toml"
    file.write_text('nme = "x"\nurl = 1\n[paths]\nspool = "var/inbox"\n[server]\nlisten = 1\nhost = ""\n')

    with pytest.raises(SiteError) as caught:
        site.load(file)

    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "nme",
        "url",
        "server.listen",
        "server.host",
        "paths.inbox",
    ]
    assert [line.startswith(f"{file}: ") for line in str(caught.value).splitlines()] == [True] * 5


def test_a_missing_file_is_told_with_the_way_out(tmp_path: Path) -> None:
    """Who has no site yet is told how to make one."""
    with pytest.raises(SiteError, match="`otamirror init` makes one"):
        site.load(tmp_path / "site.toml")


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (b"name = ", "is not TOML: "),
        (b"name = 'a'\nname = 'b'\n", "is not TOML: "),
        (b"# caf\xe9\n", "is not UTF-8 at byte 5"),
    ],
)
def test_a_file_that_is_not_toml_is_refused(tmp_path: Path, raw: bytes, problem: str) -> None:
    """A file that cannot be parsed says where."""
    file = tmp_path / "site.toml"
    file.write_bytes(raw)

    with pytest.raises(SiteError) as caught:
        site.load(file)

    assert caught.value.problems[0].startswith(problem)


def test_a_folder_is_no_site(tmp_path: Path) -> None:
    """What the system says against reading the file is passed on."""
    with pytest.raises(SiteError, match="cannot be read: Is a directory"):
        site.load(tmp_path)

"""The commands for those who hold keys, as they type them."""

from __future__ import annotations

import json
import re
import shutil
import time
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from builder import build, cli
from mirror import layout
from tests.support import clients, sites

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

    from builder.site import Site

# no cache keeps anything, so that a new root follows when `resign` runs; the slack is what is left to wait
TOML = "[cache]\npointer_max_age = 0\nlongest_age = 0\n"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A site with a release."""
    site = sites.make(tmp_path / "site", TOML, signed=False)
    sites.drop(site.paths.inbox, sites.package("1.0"))
    assert run(site, "build").exit_code == 0
    return site


def run(site: Site, *words: str, typed: str = "") -> Result:
    """Run otamirror in this process."""
    return CliRunner().invoke(cli.main, ["--site", str(site.file), *words], input=typed, catch_exceptions=False)


def done(site: Site, *words: str) -> str:
    """Run otamirror, which has to end well; returns what it printed."""
    result = run(site, *words)
    assert result.exit_code == 0, result.stderr
    return result.stdout


def rows(site: Site) -> dict[str, dict[str, object]]:
    """Return what `keys list` says of each role's first key."""
    return {row["role"]: row for row in reversed(json.loads(done(site, "keys", "list", "--json")))}


def verified(site: Site, folder: Path) -> dict[str, bytes]:
    """Verify the mirror as a new client."""
    return clients.verify(site.paths.mirror, folder)


def test_the_first_keys_are_made_once(site: Site) -> None:
    """`keys init` after the first build changes no key, and says which keys belong offline."""
    before = sites.stamps(site.paths.keys)

    said = done(site, "keys", "init")

    assert sites.stamps(site.paths.keys) == before
    assert f"{site.paths.keys / 'root.pem'}, {site.paths.keys / 'targets.pem'}: whoever has these" in said
    refused = run(site, "keys", "init", "--encrypt")
    assert (refused.exit_code, "has keys already" in refused.stderr) == (1, True)
    for name in ("root.pem", "targets.pem"):
        (site.paths.keys / name).unlink()
    assert done(site, "keys", "init").strip() == ""


def test_keys_can_be_encrypted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service then needs the passphrase, from the environment or a file, and says so where there is none."""
    site = sites.make(tmp_path / "site", signed=False)
    made = run(site, "keys", "init", "--encrypt", typed="a secret\na secret\n")
    assert made.exit_code == 0
    sites.drop(site.paths.inbox, sites.package("1.0"))

    refused = run(site, "build")
    monkeypatch.setenv("OTAMIRROR_PASSPHRASE", "a secret")
    taken = run(site, "build")

    assert all(b"ENCRYPTED" in file.read_bytes() for file in site.paths.keys.glob("*.pem"))
    assert (refused.exit_code, taken.exit_code) == (1, 0)
    assert "set OTAMIRROR_PASSPHRASE, or `keys.passphrase_file` in site.toml" in refused.stderr
    assert verified(site, tmp_path / "client")


def test_a_passphrase_can_come_from_a_file_that_the_settings_name(tmp_path: Path) -> None:
    """Beside site.toml, or wherever."""
    site = sites.make(tmp_path / "site", '[keys]\npassphrase_file = "passphrase"\n', signed=False)
    site.file.with_name("passphrase").write_text("a secret\n")
    sites.drop(site.paths.inbox, sites.package("1.0"))

    assert run(site, "build").exit_code == 0
    done(site, "keys", "rotate", "timestamp")
    assert all(b"ENCRYPTED" in file.read_bytes() for file in site.paths.keys.glob("*.pem")), "new ones too"


def test_online_keys_can_be_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the environment, or in another file: settings say where, and nothing private is in the site's folder."""
    where = tmp_path / "where"
    where.mkdir()
    base = sites.make(tmp_path / "base", signed=False)
    for name in ("timestamp", "snapshot", "unclaimed"):
        done(base, "keys", "new", str(where / f"{name}.pem"))
    monkeypatch.setenv("OTA_TIMESTAMP", (where / "timestamp.pem").read_text())
    toml = f'[keys]\ntimestamp = "env:OTA_TIMESTAMP"\nsnapshot = "key:{where}/snapshot.pem"\n'
    site = sites.make(tmp_path / "site", f'{toml}unclaimed = "file2:{where}/unclaimed.pem"\n', signed=False)
    site.paths.keys.mkdir(parents=True)
    shutil.copy(where / "unclaimed.pub", site.paths.keys)  # other schemes need the public key
    sites.drop(site.paths.inbox, sites.package("1.0"))

    assert run(site, "build").exit_code == 0

    assert sorted(file.name for file in site.paths.keys.glob("*.pem")) == ["root.pem", "targets.pem"]
    assert verified(site, tmp_path / "client")


@pytest.mark.parametrize("role", ["root", "targets", "snapshot", "timestamp", "unclaimed"])
def test_a_role_gets_a_new_key(role: str, site: Site, tmp_path: Path) -> None:
    """`keys rotate` alone does it where the keys are here; the list shows the new one."""
    before = rows(site)[role]["key"]

    said = done(site, "keys", "rotate", role, "--at-once")

    after = rows(site)[role]
    assert re.search(rf"done: {role} is signed by {after['key']} instead of {before}", said)
    assert after["here"] == "yes"
    assert verified(site, tmp_path / "client")


def test_a_new_root_waits_for_caches_unless_told_otherwise(site: Site) -> None:
    """It says for how long, and which command goes on then."""
    said = done(site, "keys", "rotate", "timestamp")

    assert "root 2 follows in 10 seconds, when no cache has older metadata" in said
    assert "`otamirror resign`" in said
    assert not (site.paths.mirror / layout.metadata("root", 2)).exists()
    refused = run(site, "keys", "rotate", "snapshot")
    assert refused.exit_code == 1
    assert "root 2 is signed and waits" in refused.stderr


def test_two_people_sign_a_change_on_machines_of_their_own(site: Site, tmp_path: Path) -> None:
    """From one root key to two of two: the change travels as a file, and is published once both have signed."""
    alice, bob = tmp_path / "alice", tmp_path / "bob"
    for person in (alice, bob):
        person.mkdir()
        done(site, "keys", "new", str(person / "root.pem"))
    (site.paths.keys / "root.pem").rename(alice / "old.pem")  # the first root key is offline already

    begun = run(site, "keys", "rotate", "root", "--new", str(alice / "root.pub"), "--new", str(bob / "root.pub"))
    said = begun.output
    assert begun.exit_code == 75, "nothing is in force yet"
    change = site.paths.var / "change-1.json"
    assert f"otamirror keys sign {change} --key KEY" in said
    early = run(site, "keys", "publish", str(change))
    shutil.copy(change, bob / "copy.json")
    first = run(site, "keys", "sign", str(change), "--key", str(alice / "old.pem"), "--key", str(alice / "root.pem"))
    second = run(site, "keys", "sign", str(bob / "copy.json"), "--key", str(bob / "root.pem"))
    published = done(site, "keys", "publish", str(change), str(bob / "copy.json"))

    assert (early.exit_code, first.exit_code, second.exit_code) == (1, 0, 0)
    assert "signatures are missing: root needs 1 more" in early.stderr
    assert "- root is signed by" in first.stdout
    assert "done: root is signed by" in published
    assert verified(site, tmp_path / "client")
    assert {row["here"] for row in [rows(site)["root"]]} == {"no"}


def test_thresholds_are_changed_with_keys(site: Site, tmp_path: Path) -> None:
    """A second key and a threshold of two; then back to one of one, which both of the two sign."""
    done(site, "keys", "new", str(tmp_path / "second.pem"))
    second = ["--key", str(tmp_path / "second.pem")]

    done(site, "keys", "add", "targets", str(tmp_path / "second.pub"), "--threshold", "2", "--at-once", *second)
    assert rows(site)["targets"]["threshold"] == 2
    keyid = json.loads(done(site, "keys", "list", "--json"))
    gone = [row["key"] for row in keyid if row["role"] == "targets" and row["here"] == "no"]
    alone = run(site, "keys", "renew", "targets")
    done(site, "keys", "remove", "targets", gone[0], "--threshold", "1", "--at-once")

    assert "targets needs 1 more of" in alone.stdout
    assert rows(site)["targets"]["threshold"] == 1
    assert verified(site, tmp_path / "client")


def test_a_package_is_claimed_and_given_back(site: Site, tmp_path: Path) -> None:
    """The publisher's key and nobody else's signs it; an unsigned drop is refused, until the claim is dropped."""
    done(site, "keys", "new", str(tmp_path / "publisher.pem"))
    public, private = str(tmp_path / "publisher.pub"), str(tmp_path / "publisher.pem")

    claimed = done(site, "keys", "claim", "app", "--publisher-key", public, "--key", private, "--at-once")
    sites.drop(site.paths.inbox, sites.package("1.1"))
    refused = run(site, "build")
    unclaimed = done(site, "keys", "unclaim", "app")
    sites.drop(site.paths.inbox, sites.package("1.1"))
    taken = run(site, "build")

    assert "done: app is signed by" in claimed
    assert "targets is signed by" in claimed, "who could show the time before is replaced"
    assert (refused.exit_code, taken.exit_code) == (1, 0)
    assert "app is claimed by its publisher" in refused.stderr
    assert "done: app is signed by the mirror's online keys again" in unclaimed
    assert verified(site, tmp_path / "client")


def test_a_publisher_signs_a_claim_elsewhere(site: Site, tmp_path: Path) -> None:
    """Without the publisher's private key at hand, the claim goes to the publisher as a file."""
    done(site, "keys", "new", str(tmp_path / "publisher.pem"))

    begun = run(site, "keys", "claim", "app", "--publisher-key", str(tmp_path / "publisher.pub"))
    assert begun.exit_code == 75
    assert "pkg-app needs 1 more of" in begun.stdout
    change = str(site.paths.var / "change-1.json")
    again = run(site, "keys", "claim", "app", "--publisher-key", str(tmp_path / "publisher.pub"))
    assert again.exit_code == 75
    assert f"{change} is a change from before: only one of them can take effect" in again.stdout
    nobody = run(site, "keys", "sign", change, "--key", str(site.paths.keys / "timestamp.pem"))
    assert nobody.exit_code != 0
    missing = next(line for line in begun.stdout.splitlines() if "Signatures are missing: " in line)
    named = missing.partition("missing: ")[2].split("; ")
    assert len(named) == len(set(named))
    done(site, "keys", "sign", change, "--key", str(tmp_path / "publisher.pem"))
    done(site, "keys", "publish", change)

    assert "pkg-app" in rows(site)


def test_the_root_can_be_exported(site: Site, tmp_path: Path) -> None:
    """Printed or written, the newest or an older one; it is what the mirror serves."""
    done(site, "keys", "renew", "root")
    served = {number: (site.paths.mirror / layout.metadata("root", number)).read_bytes() for number in (1, 2)}

    done(site, "keys", "export-root", "--output", str(tmp_path / "root.json"))

    assert (tmp_path / "root.json").read_bytes() == served[2]
    assert run(site, "keys", "export-root", "--version", "1").stdout_bytes == served[1]
    assert "the newest is 2" in run(site, "keys", "export-root", "--version", "3").stderr


def test_resign_tells_who_has_to_act(tmp_path: Path) -> None:
    """Where a role that only people can renew has less than a third left, the exit code is for cron and alarms."""
    site = sites.make(tmp_path / "site", "[trust]\nbins = 2\nroot_days = 1\n", signed=False)
    assert run(site, "build").exit_code == 0
    site.file.write_text("[trust]\nbins = 2\nroot_days = 300\n")

    result = run(site, "resign")

    assert result.exit_code == 1
    assert "holders of root keys: `otamirror keys renew root`" in result.stderr
    assert json.loads(run(site, "resign", "--json").stdout)["due"][0]["role"] == "root"
    done(site, "keys", "renew", "root")
    assert run(site, "resign", "--all").exit_code == 0


def test_check_tells_when_roles_expire(site: Site) -> None:
    """With the faults, for people and for programs; a signature that is not good is a fault."""
    sound = run(site, "check")
    told = json.loads(run(site, "check", "--json").stdout)
    timestamp = site.paths.mirror / layout.TIMESTAMP
    timestamp.write_bytes(timestamp.read_bytes().replace(b'"version":', b'"version":1'))

    broken = run(site, "check")

    assert (sound.exit_code, broken.exit_code) == (0, 1)
    assert "0 faults; " in sound.stderr
    assert {role["role"] for role in told["roles"]} >= {"root", "targets", "snapshot", "timestamp", "unclaimed"}
    assert len(told["roles"]) == 6, "of the bins there is one"
    assert "unsigned\tmetadata/timestamp.json" in broken.stdout


def test_another_number_of_bins(site: Site, tmp_path: Path) -> None:
    """site.toml says how many, the command puts it into force, once."""
    site.file.write_text(f"{TOML}[trust]\nbins = 8\n")

    assert "are in 8 bins\n" in done(site, "rebin")
    assert "are in 8 bins already" in done(site, "rebin")
    assert verified(site, tmp_path / "client")
    site.file.write_text("[trust]\nbins = 7\n")
    assert "trust.bins: must be a power of two from 2 to 16384, not 7" in run(site, "rebin").stderr


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["keys", "add", "root", "nothing.pub"], "nothing.pub cannot be read"),
        (["keys", "remove", "root", "0000"], "root has 0 keys that begin with '0000'"),
        (["keys", "claim", "a/b", "--publisher-key", "x.pub"], "is not a name"),
        (["keys", "unclaim", "nothing"], "nothing is not claimed; `otamirror keys list`"),
        (["keys", "new", "key.txt"], "ends in .pem"),
        (["keys", "sign", "nothing.json"], "nothing.json cannot be read"),
        (["keys", "publish", "nothing.json"], "nothing.json cannot be read"),
        (["keys", "rotate", "bins"], "is not one of"),
    ],
)
def test_mistakes_are_told(words: list[str], reason: str, site: Site) -> None:
    """Each with what is wrong; nothing is changed."""
    before = sites.stamps(site.paths.mirror)

    result = run(site, *words)

    assert result.exit_code in {1, 2}
    assert reason in result.stderr
    assert sites.stamps(site.paths.mirror) == before


def signed_at(folder: Path, days: float) -> Site:
    """Make a site that was signed so many days from now."""
    site = sites.make(folder, TOML, signed=False)
    with build.opened(site, clock=lambda: time.time() + days * 86_400) as builder:
        builder.publish([sites.release(sites.package("1.0"), site.paths.var / "made")])
    return site


def test_a_mirror_that_was_signed_in_the_future_is_a_fault(tmp_path: Path) -> None:
    """`check` and `resign` end with 1 and say what to do, which mends it, and count what they name."""
    site = signed_at(tmp_path / "site", days=5)

    checked, signed = run(site, "check"), run(site, "resign")
    told = json.loads(run(site, "check", "--json").stdout)

    assert (checked.exit_code, checked.stdout) == (1, f"future\t{layout.TIMESTAMP}\n")
    assert ", 1 faults" in checked.stderr
    assert told["faults"] == [{"path": layout.TIMESTAMP, "problem": "future"}]
    for said in (checked.stderr, signed.stderr):
        assert "`otamirror resign --clock-is-right`" in said
        assert "`otamirror keys rotate timestamp`" in said
    assert signed.exit_code == 1
    done(site, "resign", "--clock-is-right")
    assert done(site, "check") == ""
    assert done(site, "resign")
    verified(site, tmp_path / "client")


def test_what_has_expired_is_counted_as_a_fault(tmp_path: Path) -> None:
    """There are no "0 faults" where devices refuse the mirror."""
    site = signed_at(tmp_path / "site", days=-20)

    checked = run(site, "check")

    assert checked.exit_code == 1
    assert checked.stdout.splitlines() == [
        f"expired\t{layout.metadata('snapshot', 2)}",
        f"expired\t{layout.TIMESTAMP}",
    ]
    assert ", 2 faults" in checked.stderr
    assert run(site, "resign").exit_code == 1
    done(site, "resign", "--clock-is-right")
    assert done(site, "check") == ""


def test_a_lost_catalogue_of_a_site_that_was_off_comes_back(tmp_path: Path) -> None:
    """`recover` signs, so it asks whether the clock is right too, and can be told."""
    site = signed_at(tmp_path / "site", days=-20)
    for file in site.paths.var.glob("catalogue.sqlite*"):
        file.unlink()

    refused = run(site, "recover")

    assert (refused.exit_code, "--clock-is-right" in refused.stderr) == (1, True)
    assert "1 releases recovered" in done(site, "recover", "--clock-is-right")
    assert done(site, "check") == ""

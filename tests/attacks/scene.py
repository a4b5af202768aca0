"""The scene of every attack: a device, its mirror, and whoever stands between the two.

    with scene.refusing(SignatureError):
        scene.replace("snapshot", forged)

The device is `otadevice` itself, run by its commands, and asks a real server. When an attack begins, release 2.0 waits
on an honest mirror. A device that has met the mirror has 1.0, another nothing but a root.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from securesystemslib.formats import encode_canonical

from devclient import hooks, poll
from devclient.device import Device
from devclient.install import room
from devclient.progress import nothing
from devclient.records import results
from devclient.settings import config
from devclient.trust import remote_status
from devclient.trust.signed import Mirrors
from devclient.web.fetcher import Fetcher
from mirror import layout, trust
from mirror.files import Files
from tests.support import trees
from tests.support.simulator import seal
from tests.support.trees import Release

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mirror.errors import DeviceError
    from tests.support.devices import Rig
    from tests.support.simulator import Simulator

PACKAGE, BRANCH = "app", "stable"
BIN, CLAIMED = "bin", trust.package_role(PACKAGE)
EVIL = b"#!/bin/sh\necho evil\n"
LIST = layout.release_list(PACKAGE, BRANCH)

ROLES = [(role, False) for role in (*trust.TOP, trust.UNCLAIMED, BIN)] + [(CLAIMED, True)]
"""Every role that stands between a device and a release list of app, and whether its package is claimed for that."""
BELOW_THE_ROOT = [each for each in ROLES if each[0] != trust.ROOT]
"""Those that are missed if they are not there; what is no root counts as none."""


class Scene:
    """One device and one mirror.

    Attributes:
        simulator: the mirror's repository, and what it says.
        releases: what the mirror offers, the newest last.
        clock: what the device's system clock shows; None for the right time.
    """

    def __init__(self, rig: Rig, *, claimed: bool = False, returning: bool = False) -> None:
        self.rig = rig
        self.clock: datetime | None = None
        self.tree = rig.tree
        self.server = rig.server
        self.simulator: Simulator = trees.simulator(rig.tree)
        self.releases: list[Release] = []
        self.returning = returning
        if claimed:
            self.simulator.claim(PACKAGE)
        self.publish("1.0")
        self.app = rig.add(PACKAGE)
        if returning:
            self.meets()
        # whoever comes back has to fetch every role anew, too
        self.simulator.new_root(publish=False)
        self.simulator.publish(everything=True)
        self.publish("2.0")

    # the mirror

    def publish(self, version: str) -> None:
        """Publish a release of app."""
        self.releases.append(Release(version, f"app {version}\n".encode()))
        trees.write(self.tree, *self.releases)

    def evil_list(self, version: str = "6.6", data: bytes = EVIL, **entry: Any) -> bytes:
        """Put a release of the attacker's onto the mirror; returns a list that offers it, which nobody has signed."""
        return trees.prepare(self.tree, *self.releases, Release(version, data, entry=entry))

    def name(self, role: str) -> str:
        """Give the name of a role, which for `BIN` is that of the bin that app is in."""
        return self.simulator.succinct.get_role_for_target(LIST) if role == BIN else role

    def says(self, role: str) -> Any:
        """Return what a role says."""
        return self.simulator.of(self.name(role))

    def file(self, role: str) -> bytes:
        """Read the newest file of a role."""
        name = self.name(role)
        return self.simulator.read(name, self.simulator.of(name).version)

    def replace(self, role: str, data: bytes) -> None:
        """Put other bytes in the place of the newest file of a role."""
        name = self.name(role)
        self.simulator.write(name, self.simulator.of(name).version, data)

    def replace_file(self, path: str, data: bytes) -> None:
        """Put other bytes in the place of a file that is there."""
        assert (self.tree / path).is_file()
        self.simulator.put(path, data)

    @property
    def hashed_list(self) -> str:
        """Where devices find the newest list of app."""
        target = self.simulator.speaker(LIST).targets[LIST]
        return layout.hashed_release_list(PACKAGE, BRANCH, target.hashes["sha256"])

    def path(self, role: str) -> str:
        """Give the path of the newest file of a role."""
        name = self.name(role)
        version = self.simulator.of(name).version
        return layout.TIMESTAMP if role == trust.TIMESTAMP else layout.metadata(name, version)

    # the device

    def updates(self, package: str = PACKAGE) -> dict[str, Any]:
        """Have the device update, however that ends; returns what it says of a package."""
        if self.clock:
            self._updates_at(self.clock)
        else:
            self.rig.run("update")
        return results.load(self.rig.folder / config.WORK)[package].fields()

    def _updates_at(self, clock: datetime) -> None:
        settings, files = config.load(self.rig.config), Files()
        with (
            Fetcher(settings.network, "otadevice/test", time.monotonic) as fetcher,
            Mirrors(settings, fetcher, files, lambda: clock, lasting=True) as mirrors,
        ):
            boot = hooks.boot_id()
            runner = hooks.Runner(boot)
            poll.run(Device(settings, files, mirrors, room.free, nothing, lambda: clock, runner, boot, lambda: None))

    def meets(self) -> None:
        """Have the device update from an honest mirror, and see that it has the newest release then."""
        result = self.updates()
        assert result["code"] == "", result["message"]
        assert self.app.read_bytes() == self.releases[-1].data

    def told(self) -> Any:
        """Return what the device tells of the mirror, at the time of its clock."""
        settings = config.load(self.rig.config)
        found = remote_status.statuses(settings, lambda: self.clock or datetime.now(UTC))
        return found["main"].fields()

    def held(self) -> list[str]:
        """List the codes of what is held against each URL, "" for nothing."""
        return [url["held"]["code"] if url["held"] else "" for url in self.told()["urls"]]

    def sets(self, key: str, value: object) -> None:
        """Have the owner of the device change one of its settings."""
        text = self.rig.config.read_text()
        self.rig.config.write_text(re.sub(rf"(?m)^{key} = .*$", f"{key} = {json.dumps(value)}", text))

    def follows(self, *branches: tuple[str, str]) -> None:
        """Have the owner of the device edit its state file: it wants these packages and branches, in this order."""
        state = self.rig.state()
        known = {(each["package"], each["branch"]): each for each in state["package"]}
        for package, branch in branches:
            known.setdefault(
                (package, branch), {"package": package, "branch": branch, "local": str(self.rig.opt / package)}
            )
        self.rig.state_file.write_text(json.dumps(state | {"package": [known[branch] for branch in branches]}))

    def installed(self) -> dict[str, bytes]:
        """Read all that an update installs, and what the device says is installed."""
        files = {str(file): file.read_bytes() for file in sorted(self.rig.opt.rglob("*")) if file.is_file()}
        return {**files, "state": self.rig.state_file.read_bytes()}

    @contextlib.contextmanager
    def refusing(self, error: type[DeviceError], recovery: Callable[[], None] | None = None) -> Iterator[None]:
        """See that what is done to the mirror makes the device refuse it with this error and nothing else happens.

        Then the mirror is honest again, and the device has to take it at once, as it is and with its next release:
        no refusal leaves anything behind.

        Args:
            error: of the device's.
            recovery: what the mirror's operator does where an honest mirror is not enough.
        """
        before = self.installed()
        with self.simulator.lying():
            yield
            self.refuses(error)
            self.refuses(error)  # a refusal is not forgotten, nor believed the second time
        self.server.behave()
        assert self.installed() == before
        if recovery:
            recovery()
        self.meets()
        self.publish(f"{len(self.releases) + 1}.0")
        self.meets()

    def refuses(self, error: type[DeviceError]) -> None:
        """See that an update ends with this error."""
        result = self.updates()
        assert (result["outcome"], result["code"]) == ("failed", error.code), result["message"]


def forged(signed: Any, *signers: Any) -> bytes:
    """Return the file of a role, with these signatures alone."""
    return seal(signed, signers)


def forged_raw(signed: Mapping[str, Any], *signers: Any) -> bytes:
    """Return the file of a role that says what python-tuf would not let it say."""
    payload = str(encode_canonical(dict(signed))).encode()
    return json.dumps({"signatures": [each.sign(payload).to_dict() for each in signers], "signed": signed}).encode()


def edited(data: bytes, **fields: Any) -> bytes:
    """Change what a file of metadata says, and keep its signatures."""
    value = json.loads(data)
    value["signed"] |= fields
    return json.dumps(value).encode()

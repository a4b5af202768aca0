"""The otadevice.toml of a new device: every key with its default, so the file is its own reference."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from devclient.settings.config import ROOT, STATE, WORK, Daemon, Folders, Hooks, Network, Settings

if TYPE_CHECKING:
    from pathlib import Path


def write(urls: tuple[str, ...], allow: tuple[Path, ...]) -> str:
    """Write the otadevice.toml of a new device, with every key."""
    # strings of JSON are strings of TOML, but for the one control character that JSON leaves as it is
    shown = {"urls": list(urls), "allow": [str(folder) for folder in allow]}
    text = {key: json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f") for key, value in shown.items()}
    tables = {"network": Network(), "hooks": Hooks(), "folders": Folders(), "daemon": Daemon()}
    return _SAMPLE.format(**text, **tables, state=STATE, work=WORK, root=ROOT, root_interval=Settings.root_interval)


_SAMPLE = """\
# Settings of otadevice. Relative paths are relative to this file.

# what is installed and what is wanted: yours to edit
state = "{state}"
# downloads, the lock, the last results, and what is known of the mirrors
work = "{work}"
# packages may be installed in these folders and nowhere else
allow = {allow}
# the package that otadevice itself is, if it comes from the mirror, too
# self = "otadevice"
# seconds after which every URL of a mirror is asked for a newer root, though nothing else is new: a day at most, 0 for
# at every poll
root_interval = {root_interval}

# The mirrors. Several URLs of one mirror are tried in their order.
[remotes.main]
urls = {urls}
# the root in which all trust begins: nothing is believed that does not lead back to it
root = "{root}"

# How long servers are waited for, in seconds.
[network]
connect_timeout = {network.connect_timeout}
read_timeout = {network.read_timeout}
# what waiting may cost beyond what minimum_rate, in bytes a second, explains
patience = {network.patience}
minimum_rate = {network.minimum_rate}
# for a small file as a whole
deadline = {network.deadline}
# bytes of packages a second that are downloaded at most, 0 for no limit
bandwidth = {network.bandwidth}
# a proxy such as "http://proxy.example.org:3128", or "none"; without it, what http_proxy, https_proxy and no_proxy say
# proxy = "none"
# the certificates of the authorities that are believed, and no others; without it, those that the system trusts
# ca_file = "/etc/ssl/company-ca.pem"

# How hooks, the commands of packages, are run: seconds until one is ended, seconds that it then has for it, and the
# shell command that reboots this device if one asks for that.
[hooks]
timeout = {hooks.timeout}
grace = {hooks.grace}
reboot = "{hooks.reboot}"

# One package may have another limit than the others:
# [packages.NAME]
# hook_timeout = 900

# What may be unpacked from the package of a folder: bytes in all, and files, folders and links.
[folders]
bytes = {folders.bytes}
entries = {folders.entries}

# What `otadevice run` does by itself: seconds between two polls, the share of them by which a wait is longer or shorter
# by chance, so that a fleet spreads out, and the longest wait after polls that failed.
[daemon]
interval = {daemon.interval}
jitter = {daemon.jitter}
backoff = {daemon.backoff}
# while this file is there, nothing is installed, by nobody
inhibit = "{daemon.inhibit}"
# where Prometheus' node exporter collects text files
# metrics = "/var/lib/prometheus/node-exporter/otadevice.prom"

# When packages may be installed by themselves; without any window, at any time. `to` may be on the next day; without
# `days` it is every day, without `zone` the device's own time zone.
# [[daemon.windows]]
# days = ["sat", "sun"]
# from = "22:00"
# to = "04:00"
# zone = "Europe/Berlin"
"""

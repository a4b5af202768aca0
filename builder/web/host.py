"""Renders the configuration of web servers that host a mirror.

What they must answer is section 3 of the contract; the rules for names are those of `mirror.names`.
Only values that cannot change the meaning of the configuration get into it.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import jinja2

from builder.web import classes
from mirror import layout, names
from mirror.errors import OperatorError

if TYPE_CHECKING:
    from pathlib import Path

    from builder.values import Address

# What names and versions hold besides letters and digits, and so all that may arrive percent-encoded.
_PUNCTUATION = "+-._~"
# Package, branch and version of 128 characters each, of which the first is a letter or a digit.
_MOST_ENCODED = 3 * 127
# How many characters one map decodes: 24 long lines; more would be longer lines, fewer more maps.
_STEP = 16

_LISTEN = re.compile(r"[0-9A-Za-z.:*\[\]][0-9A-Za-z.:*\[\]/_= -]*")
_SERVER_NAME = re.compile(r"[0-9A-Za-z.*_-]+(?: [0-9A-Za-z.*_-]+)*")
_UNQUOTABLE = re.compile(r"[\x00-\x1f\x7f$\ud800-\udfff]")

_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("mirror", "servers"),
    undefined=jinja2.StrictUndefined,
    autoescape=False,  # noqa: S701 - a configuration is no page; `_quoted` is its escaping
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


class HostError(OperatorError):
    """A value cannot stand in the configuration of a web server."""

    code = "host"


def nginx(
    *,
    root: Path,
    listen: str = "80",
    server_name: str = "_",
    pointer_max_age: int = 60,
    receiver: Address | None = None,
) -> str:
    """Render an nginx configuration for the mirror in `root`, a file for /etc/nginx/conf.d/.

    `listen` is what stands after nginx's own `listen`; `pointer_max_age` is in seconds. Uploads are passed to
    `receiver`; without one, there are none.

    Raises:
        HostError: a value would be misunderstood by nginx.
    """
    if pointer_max_age < 0:
        raise HostError(f"caches cannot keep an answer for {pointer_max_age} seconds")
    if receiver and not receiver.port:
        raise HostError(
            "uploads cannot be passed to port 0: set `receiver.listen` in site.toml to an address with a port"
        )
    codes = [f"{ord(character):02X}" for character in _PUNCTUATION]
    return _TEMPLATES.get_template("nginx.conf.j2").render(
        root=_quoted(root),
        listen=_plain(listen, _LISTEN, "listen address"),
        server_name=_plain(server_name, _SERVER_NAME, "server name"),
        pointer_max_age=pointer_max_age,
        punctuation=list(_PUNCTUATION),
        encoded="%(?:2[BbDdEe]|5[Ff]|7[Ee])",
        table="".join(f" {code}{character}" for code, character in zip(codes, _PUNCTUATION, strict=True)),
        step=_STEP,
        stages=math.ceil(_MOST_ENCODED / _STEP),
        most=_MOST_ENCODED,
        name=names.NAME,
        branch=rf"(?![0-9A-Fa-f]{{64}}\.){names.NAME}",
        version=names.VERSION,
        classes=classes,
        immutable=layout.IMMUTABLE,
        receiver=receiver.url if receiver else "",
    )


def _plain(text: str, allowed: re.Pattern[str], what: str) -> str:
    if not allowed.fullmatch(text):
        raise HostError(f"{text!r} cannot stand in the configuration as {what}")
    return text


def _quoted(root: Path) -> str:
    text = str(root)
    if not root.is_absolute():
        raise HostError(f"the mirror's folder must be an absolute path, not {text}")
    if _UNQUOTABLE.search(text):
        raise HostError(f"nginx cannot serve {text!r}: name the folder without dollar sign and control characters")
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'

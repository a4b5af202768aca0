"""What releases may ask for and this version of otadevice does not do yet.

Careful, not careless: such a release is refused whole, before anything is downloaded for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from devclient.errors import UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devclient.check import Offer


def refuse(offer: Offer, local: str) -> None:
    """Refuse what cannot be done completely at `local`.

    Raises:
        UnsupportedError: with everything that is not done yet.
    """
    if features := tuple(_features(offer, local)):
        raise UnsupportedError(str(offer), features)


def _features(offer: Offer, local: str) -> Iterator[str]:
    content = offer.content
    if content.before_update or content.after_update:
        yield "hooks"
    if content.restore:
        yield "a restore script"
    if content.dependencies:
        yield "dependencies"
    if local.endswith("/"):
        yield f"a folder to be unpacked into ({local})"

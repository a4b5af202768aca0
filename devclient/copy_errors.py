"""Why a copy of a mirror in a folder is of no use, where that is not a matter of trust.

They have the codes of the same faults on the web, and say what to do about a copy.
"""

from __future__ import annotations

from devclient.errors import MirrorRefusesError, NotOnMirrorError
from devclient.trust_errors import IncompleteMirrorError, UnsignedMirrorError


class NotACopyError(UnsignedMirrorError):
    """There is no signed metadata in a folder that should be the copy of a mirror."""

    problem = (
        "this is no copy of a mirror, because there is no metadata/timestamp.json in it; give the folder in which "
        "`metadata`, `releases`, `getVersion` and `otafiles` are. Nothing was changed"
    )


class NotInCopyError(NotOnMirrorError):
    """The copy of a mirror has no such package, or branch of it."""

    problem = (
        "the copy of the mirror has nothing there; check the names of package and branch, and whether the copy is from "
        "before they were published"
    )


class IncompleteCopyError(IncompleteMirrorError):
    """The copy of a mirror does not have a file that it names itself."""

    problem = (
        "the copy of the mirror names this file and does not have it, as if it was not copied to its end or something "
        "was published meanwhile; copy the mirror again"
    )


class UnreadableCopyError(MirrorRefusesError):
    """The user that otadevice runs as may not read a file of the copy of a mirror."""

    problem = (
        "the user that otadevice runs as may not read this file; mount the copy readable for it, or change its mode"
    )

"""Publishing for a claimed package: read what is there, change the list, sign it, send it.

Two who publish at the same time sign the same next version, and one of them comes too late: it reads what the other
one published, and signs again on top of that.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from builder.client import claimed, statements
from builder.client.answers import NotNowError, RefusedError
from builder.client.push import Receipt, push
from builder.progress import silent
from mirror import trust

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from securesystemslib.signer import Key, Signer

    from builder.client.claimed import Get
    from builder.client.edit import Edit
    from builder.client.parcel import Parcel
    from builder.client.push import Patience
    from builder.client.target import Target
    from builder.progress import Progress
    from builder.submission import Statement

logger = logging.getLogger(__name__)

ROUNDS = 10
"""How often a list is signed again because somebody else was faster."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a publisher wants the list of a branch to say, and who signs it.

    Attributes:
        trusted: keys of which one must have signed what the mirror shows; those of the signers are among them.
        days: for how long it holds.
    """

    package: str
    branch: str
    edit: Edit
    signers: Sequence[Signer]
    trusted: Collection[Key]
    days: int


def prepare(order: Order, get: Get, now: datetime, version: int | None = None) -> Statement | None:
    """Sign what an order wants; None if the list is so already.

    Args:
        order: what is wanted.
        get: reads the mirror.
        now: the time.
        version: the role to start from; None is the newest that the mirror shows.

    Raises:
        MirrorFilesError: the mirror shows nothing that can be built on.
        PublisherError: the order does not fit the list.
        KeysError: a key cannot sign.
    """
    found = claimed.read(get, order.package, order.trusted, version)
    expired = found.role.signed.expires
    if expired <= now:
        logger.warning("devices take nothing of %s since %s, when its role expired", order.package, trust.time(expired))
    newest = found.newest(order.branch)
    edited = order.edit(newest, lambda reference: found.segment(newest, reference))
    if edited is None:
        return None
    return statements.sign(found, edited, order.signers, now + timedelta(days=order.days))


def publish(
    order: Order,
    parcel: Parcel | None,
    get: Get,
    target: Target,
    patience: Patience,
    progress: Progress = silent,
) -> tuple[Statement, Receipt] | None:
    """Publish what an order wants, with the release that it is about, if any; None if the mirror has it already.

    Raises:
        RefusedError: the receiver does not take it.
        NotNowError: it may be taken later.
        PublisherError: as `prepare` does.
    """
    version, attempts = None, 0
    for _ in range(ROUNDS):
        now = datetime.fromtimestamp(patience.now(), UTC)
        statement = prepare(order, get, now, version)
        if statement is None:
            return None
        try:
            receipt = push(replace(parcel, statement=statement) if parcel else statement, target, patience, progress)
        except RefusedError as error:
            version, last = (error.answer.current_role if error.answer else None), error
            if version is None:
                raise
            attempts += 1
            logger.warning("somebody else published %s meanwhile; signing again on version %d", order.package, version)
        else:
            return statement, replace(receipt, attempts=attempts + receipt.attempts)
    raise NotNowError(f"somebody else signs for {order.package} again and again; push again later", last.answer)

"""The body of a request, for as long as it comes fast enough."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from builder.uploads.refusals import GoneError, SlowError
from builder.web.allowance import Allowance

if TYPE_CHECKING:
    from starlette.types import Receive

    from builder.site import Receiver


class Body:
    """The bytes of one request's body.

    Attributes:
        ended: whether all of it came.
        size: how many bytes came so far.
    """

    def __init__(self, receive: Receive, limits: Receiver) -> None:
        self.ended = False
        self.size = 0
        self._receive = receive
        self._rate = limits.min_bytes_per_second
        self._most = limits.silence_seconds
        self._allowance = Allowance(limits.silence_seconds, limits.min_bytes_per_second)

    async def read(self) -> bytes:
        """Return what comes next; nothing at the end.

        Raises:
            SlowError: the allowance is used up.
            GoneError: nobody will send the rest.
        """
        clock = asyncio.get_running_loop().time
        chunk = b""
        while not chunk and not self.ended:
            begun = clock()
            chunk = await self._next()
            # only the time in here counts: a slow disk is not the client's fault
            self._allowance.use(clock() - begun, len(chunk))
        return chunk

    async def _next(self) -> bytes:
        try:
            async with asyncio.timeout(self._allowance.seconds):
                message = await self._receive()
        except TimeoutError:
            raise SlowError(
                f"less than {self._rate} bytes a second came for {self._most:g} seconds, "
                "and nothing of the upload was kept; send it again on a better line"
            ) from None
        if message["type"] == "http.disconnect":
            raise GoneError("the client went away")
        self.ended = not message.get("more_body", False)
        chunk: bytes = message.get("body", b"")
        self.size += len(chunk)
        return chunk

"""The receiver: `PUT /update`, from a request to a release on the mirror (contract, section 5).

    admit -> Upload -> Submission -> verify -> Release -> commit -> 200

For claimed packages a statement comes with the release, or alone. 200 is said when all is durable and visible.
Whatever is refused leaves nothing behind, and gets an answer that says why; a body that is not wanted is not waited
for.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Match

from builder import folder_package
from builder.submission import Release
from builder.uploads import refusals
from builder.uploads.admission import admit
from builder.uploads.body import Body
from builder.uploads.refusals import FaultError, UnavailableError
from builder.uploads.upload import CONTENT, LIST, MemoryBudget, Upload
from builder.verify import LIST_HEAD_BYTES, list_subject, verify
from builder.web import addresses
from mirror import content
from mirror.errors import OTAError, PublisherError
from mirror.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from concurrent.futures import Executor

    from starlette.applications import Starlette
    from starlette.types import Receive, Scope, Send

    from builder.site import Site
    from builder.submission import Statement
    from builder.uploads.admission import Admission
    from builder.uploads.commit import Committer, Outcome
    from builder.uploads.metrics import Metrics
    from builder.uploads.tokens import Tokens
    from mirror.files import Files

logger = logging.getLogger(__name__)
_Result = TypeVar("_Result")

PATH = "/update"
_JUDGED_AT_ONCE = 2
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class Receiver:
    """An ASGI application that takes uploads, whatever their path."""

    def __init__(
        self, site: Site, committer: Committer, tokens: Tokens, files: Files, disk: Executor, metrics: Metrics
    ) -> None:
        self._site = site
        self._committer = committer
        self._tokens = tokens
        self._files = files
        self._disk = disk
        self._metrics = metrics
        # what publishers sign is costly to judge: nobody gets all threads and memory for it
        self._memory = MemoryBudget()
        self._judging = asyncio.Semaphore(_JUDGED_AT_ONCE)
        self._unpacking = asyncio.Semaphore(_JUDGED_AT_ONCE)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._is_stopped = False

    def add_to(self, application: Starlette) -> None:
        """Have an application answer `/update` by this receiver."""
        application.router.routes.append(_Route(self))

    def stop(self, grace: float) -> None:
        """Refuse what comes from now on, and what is not done in `grace` seconds; from any thread."""
        self._is_stopped = True
        for task in tuple(self._tasks):
            loop = task.get_loop()
            loop.call_soon_threadsafe(partial(loop.call_later, grace, task.cancel))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        body = Body(receive, self._site.receiver)
        request = Request(scope)
        with self._metrics.active.track_inprogress(), self._stoppable():
            try:
                response = await self._accept(request, body)
            except asyncio.CancelledError:  # the server stops
                response = self._refuse(request, UnavailableError())
            except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
                response = self._refuse(request, error)
        self._metrics.bytes.inc(body.size)
        if not body.ended:
            response.headers["Connection"] = "close"
        await response(scope, receive, send)

    async def _accept(self, request: Request, body: Body) -> Response:
        if self._is_stopped:
            raise UnavailableError
        admission = admit(request, self._tokens, self._site.limits.package_bytes, self._committer.free_bytes)
        item = await self._receive(admission, body)
        outcome = await asyncio.wrap_future(self._committer.submit(item))
        if outcome.verdict.error:
            raise outcome.verdict.error
        self._metrics.uploads.labels("new" if outcome.verdict.is_new else "known").inc()
        return JSONResponse(_accepted(item, outcome), headers=_HEADERS)

    async def _receive(self, admission: Admission, body: Body) -> Release | Statement:
        """Take the whole body in; if that fails, nothing of it stays."""
        most_bytes = self._site.limits.package_bytes
        upload = Upload(admission.boundary, self._committer.spool, self._files, most_bytes, self._memory)
        try:
            await self._read(upload, admission, body)
            async with self._judging if upload.text(LIST) is not None else contextlib.nullcontext():
                item = await self._in_thread(lambda: verify(upload.finish(PATH)))
            return await self._judged(item) if isinstance(item, Release) else item
        except BaseException:
            await self._in_thread(upload.discard)
            raise
        finally:
            upload.forget()

    async def _judged(self, release: Release) -> Release:
        """Have an archive judged, a few at a time; who does not wait for it any more ends that."""
        is_wanted = threading.Event()
        is_wanted.set()

        def go_on() -> None:
            if not is_wanted.is_set():
                raise UnavailableError

        try:
            async with self._unpacking:
                return await self._in_thread(lambda: folder_package.judged(release, go_on))
        finally:
            is_wanted.clear()

    async def _read(self, upload: Upload, admission: Admission, body: Body) -> None:
        unjudged = {part: judged for part, judged in _SUBJECTS.items() if part == CONTENT or admission.grant}
        while chunk := await body.read():
            upload.feed(chunk)
            for part, (subject, enough) in tuple(unjudged.items()):
                if (raw := upload.beginning(part, enough)) is not None:
                    del unjudged[part]
                    admission.check(*await self._in_thread(partial(subject, raw)))
            if upload.is_worth_writing:
                await self._in_thread(upload.write)

    async def _in_thread(self, function: Callable[[], _Result]) -> _Result:
        """Run what waits for the disk, or takes long, where the other connections do not wait for it."""
        return await asyncio.get_running_loop().run_in_executor(self._disk, function)

    @contextlib.contextmanager
    def _stoppable(self) -> Iterator[None]:
        """Let `stop` end this request."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("requests are answered in tasks")
        self._tasks.add(task)
        try:
            yield
        finally:
            self._tasks.discard(task)

    def _refuse(self, request: Request, error: BaseException) -> Response:
        told = refusals.of(error)
        self._metrics.uploads.labels(told.code).inc()
        client = request.client.host if request.client else "somebody"
        if isinstance(told, PublisherError | UnavailableError):
            logger.info("refused an upload from %s: %s: %s", client, told.code, one_line(str(error)))
        else:  # somebody has to act here; what is known needs no traceback
            unknown = None if isinstance(error, OTAError) or told.code != FaultError.code else error
            logger.error("an upload from %s failed: %s: %s", client, told.code, one_line(str(error)), exc_info=unknown)
        return _refusal(told)


class _Route(BaseRoute):
    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match the address as it is spelled; no other spelling leads here."""
        if scope["type"] != "http":
            return Match.NONE, {}
        try:
            return (Match.FULL if addresses.path(scope["raw_path"].decode()) == PATH else Match.NONE), {}
        except HTTPException:
            return Match.NONE, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        await self._receiver(scope, receive, send)


def _content_subject(raw: bytes) -> tuple[str, str]:
    """Tell which package and branch a content.json is about."""
    stated = content.parse(raw).content
    return stated.package, stated.branch


_SUBJECTS: Mapping[str, tuple[Callable[[bytes], tuple[str, str]], int]] = {
    CONTENT: (_content_subject, content.MAX_BYTES + 1),
    LIST: (list_subject, LIST_HEAD_BYTES),
}
"""The parts that say what an upload is about, which its token has to allow, and with how many bytes it is known."""


def _accepted(item: Release | Statement, outcome: Outcome) -> dict[str, object]:
    about: dict[str, object] = {}
    if isinstance(item, Release):
        stated = item.content
        about = {key: getattr(stated, key) for key in ("package", "branch", "version", "sha256")}
    statement = item.statement if isinstance(item, Release) else item
    if statement:
        about |= {"package": statement.package, "branch": statement.branch, "signed": statement.role.signed.version}
    return {
        **about,
        "new": outcome.verdict.is_new,
        "warnings": [warning._asdict() for warning in outcome.warnings],
    }


def _refusal(error: OTAError) -> Response:
    headers = {**_HEADERS, **refusals.HEADERS.get(error.status_hint, {})}
    if challenge := getattr(error, "challenge", ""):
        headers["WWW-Authenticate"] = challenge
    if error.status_hint == 304:  # has no body, and clients are not used to look for reasons there
        text = " ".join(str(error).split())
        return Response(status_code=304, headers={**headers, "X-OTA-Error": text.encode("ascii", "replace").decode()})
    return JSONResponse(error.as_json(), error.status_hint, headers)

"""What an operator can watch: `/metrics` for Prometheus, and `/healthz`."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.process_collector import ProcessCollector
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.requests import Request

_SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30)
_UPLOADS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """The figures of one receiver."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.uploads = Counter(
            "otamirror_uploads", "Uploads that ended, by what became of them.", ["result"], registry=self.registry
        )
        self.bytes = Counter("otamirror_upload_bytes", "Bytes of bodies that came.", registry=self.registry)
        self.active = Gauge("otamirror_uploads_active", "Uploads under way.", registry=self.registry)
        self._seconds = Histogram(
            "otamirror_publish_seconds", "How long a publish took.", buckets=_SECONDS, registry=self.registry
        )
        self._group = Histogram(
            "otamirror_publish_uploads", "How many uploads shared a publish.", buckets=_UPLOADS, registry=self.registry
        )

    @contextlib.contextmanager
    def publish(self, uploads: int) -> Iterator[None]:
        """Time one publish that so many uploads share."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self._seconds.observe(time.perf_counter() - begun)
            self._group.observe(uploads)


def app(metrics: Metrics, trouble: Callable[[], str]) -> Starlette:
    """Make the application with the two addresses; `trouble` tells why uploads cannot be taken now, or nothing."""

    def show(_request: Request) -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    def judge(_request: Request) -> Response:
        problem = trouble()
        return JSONResponse({"status": "failing" if problem else "ok", "detail": problem}, 503 if problem else 200)

    return Starlette(routes=[Route("/metrics", show), Route("/healthz", judge)])

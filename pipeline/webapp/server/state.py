"""For whoever runs the server: is it alive, and what is it doing."""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from pipeline.webapp import metrics
from pipeline.webapp.services import Services


def state_routes(services: Services) -> list[Route]:
    """``/healthz`` and ``/metrics`` below the base path."""
    base = services.settings.base_path

    def health(_: Request) -> Response:
        return PlainTextResponse("ok")

    def measures(_: Request) -> Response:
        return Response(metrics.exposition(services.jobs.counts()), media_type=CONTENT_TYPE_LATEST)

    return [Route(f"{base}/healthz", health), Route(f"{base}/metrics", measures)]

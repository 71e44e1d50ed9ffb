"""Pages at addresses of their own, when the browser asks for one directly.

Streamlit's client looks for its server below the path of the page that it is loaded from, and leaves errors on the
console until it has found it. So it is loaded from the root, which then shows the page that was asked for.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from pipeline.webapp.pages.names import NAMED, OPEN


def page_routes(base: str) -> list[Route]:
    """A way to the root for each page with a path of its own."""

    def to_root(request: Request) -> Response:
        name = request.url.path.removeprefix(f"{base}/")
        return RedirectResponse(f"{base}/?{request.url.include_query_params(**{OPEN: name}).query}", 307)

    return [Route(f"{base}/{name}", to_root) for name in NAMED]

"""A job's result for its owner: slices for the viewer, the scene in 3D, and files to take home."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from pipeline.webapp.results import Result
from pipeline.webapp.server.answers import owner_of
from pipeline.webapp.services import Services

SETTLED = {"Cache-Control": "private, max-age=86400, immutable"}
"""A result never changes."""


def result_routes(services: Services, path: str) -> list[Route]:
    """The routes below ``path``; each runs in a thread of the server's pool."""
    endpoints = _Endpoints(services)
    job = f"{path}/{{job}}"
    return [
        Route(f"{job}/slices/{{axis:int}}/{{index:int}}.png", endpoints.slice),
        Route(f"{job}/scene.html", endpoints.scene),
        Route(f"{job}/downloads/{{kind}}", endpoints.download),
    ]


class _Endpoints:
    def __init__(self, services: Services) -> None:
        self.jobs = services.jobs

    def slice(self, request: Request) -> Response:
        grey, ids = self._result(request).slice(request.path_params["axis"], request.path_params["index"])
        return Response(slice_png(grey, ids), media_type="image/png", headers=SETTLED)

    def scene(self, request: Request) -> Response:
        return FileResponse(self._result(request).scene(), media_type="text/html", headers=SETTLED)

    def download(self, request: Request) -> Response:
        path = self._result(request).download(request.path_params["kind"])
        return FileResponse(path, filename=path.name, headers=SETTLED)

    def _result(self, request: Request) -> Result:
        return Result.open(self.jobs.get(owner_of(request), request.path_params["job"]))


def slice_png(grey: np.ndarray, ids: np.ndarray) -> bytes:
    """One picture of both, as the viewer expects it: red is the grey value, green and blue the id's low and high byte.

    Args:
        grey: uint8, rows by columns.
        ids: Ids below 65536, of the same shape.
    """
    wide = ids.astype(np.uint16)
    file = io.BytesIO()
    Image.fromarray(np.dstack([grey, wide & 255, wide >> 8]).astype(np.uint8)).save(file, "PNG", compress_level=1)
    return file.getvalue()

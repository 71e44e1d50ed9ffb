"""A job's result for its owner: slices for the viewer, the scene in 3D, and files to take home."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
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
        grey, classes = self._result(request).slice(request.path_params["axis"], request.path_params["index"])
        return Response(slice_png(grey, classes), media_type="image/png", headers=SETTLED)

    def scene(self, request: Request) -> Response:
        return FileResponse(self._result(request).scene(), media_type="text/html", headers=SETTLED)

    def download(self, request: Request) -> Response:
        path = self._result(request).download(request.path_params["kind"])
        return FileResponse(path, filename=path.name, headers=SETTLED)

    def _result(self, request: Request) -> Result:
        return Result.open(self.jobs.get(owner_of(request), request.path_params["job"]))


def slice_png(grey: NDArray[np.uint8], classes: NDArray[np.uint8]) -> bytes:
    """Grey values and class numbers (rows, columns) in one picture, as the viewer expects it: as red and as green."""
    file = io.BytesIO()
    Image.fromarray(np.dstack([grey, classes, np.zeros_like(grey)])).save(file, "PNG", compress_level=1)
    return file.getvalue()

"""A job's result over HTTP: for its owner the slices, the scene in 3D and files; by a signed link its volumes.

A link is for other viewers: it gives OME-Zarr's files as they lie on the disk, to any origin.
"""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from starlette.convertors import IntegerConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route

from pipeline.errors import InputError
from pipeline.webapp.results import Result
from pipeline.webapp.server.identity import owner_of
from pipeline.webapp.services import Services

SETTLED = {"Cache-Control": "private, max-age=86400, immutable"}
"""A result never changes."""
SCENE_HEADERS = SETTLED | {
    "Content-Security-Policy": "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:; worker-src blob:; frame-ancestors 'self'; "
    "sandbox allow-scripts allow-downloads",
    "X-Frame-Options": "SAMEORIGIN",
}
"""The scene is one file that needs nothing else, and is shown in a frame of our page; it may not act for its user."""
ANY_ORIGIN = Middleware(
    CORSMiddleware,
    allow_origins=["*"],
    allow_methods=["GET", "HEAD"],
    allow_headers=["Range"],
    expose_headers=["Content-Range", "Content-Length", "ETag"],
    allow_private_network=True,  # a viewer on a public site may read from a server in the lab
)


class _Number(IntegerConvertor):
    """As Starlette's ``int``, of up to 64 bits: of thousands of digits Python makes no number, and the server fails."""

    regex = "[0-9]{1,20}"


register_url_convertor("number", _Number())


def result_routes(services: Services, path: str) -> list[Route]:
    """The routes below ``path``; each runs in a thread of the server's pool."""
    endpoints = _Endpoints(services)
    job = f"{path}/{{job}}"
    return [
        Route(f"{job}/slices/{{axis:number}}/{{index:number}}.png", endpoints.slice),
        Route(f"{job}/scene.html", endpoints.scene),
        Route(f"{job}/downloads/{{kind}}", endpoints.download),
        Route(f"{job}/objects/{{class_name}}/{{id:number}}.{{ending}}", endpoints.object_mesh),
    ]


class _Endpoints:
    def __init__(self, services: Services) -> None:
        self.jobs = services.jobs

    def slice(self, request: Request) -> Response:
        grey, classes = self._result(request).slice(request.path_params["axis"], request.path_params["index"])
        return Response(slice_png(grey, classes), media_type="image/png", headers=SETTLED)

    def scene(self, request: Request) -> Response:
        return FileResponse(self._result(request).scene(), media_type="text/html", headers=SCENE_HEADERS)

    def download(self, request: Request) -> Response:
        path = self._result(request).download(request.path_params["kind"])
        return FileResponse(path, filename=path.name, headers=SETTLED)

    def object_mesh(self, request: Request) -> Response:
        asked = request.path_params
        path = self._result(request).object_mesh(asked["class_name"], asked["id"], asked["ending"])
        return FileResponse(path, filename=path.name, headers=SETTLED)

    def _result(self, request: Request) -> Result:
        return Result.open(self.jobs.get(owner_of(request), request.path_params["job"]))


def slice_png(grey: NDArray[np.uint8], classes: NDArray[np.uint8]) -> bytes:
    """Grey values and class numbers (rows, columns) in one picture, as the viewer expects it: as red and as green."""
    file = io.BytesIO()
    Image.fromarray(np.dstack([grey, classes, np.zeros_like(grey)])).save(file, "PNG", compress_level=1)
    return file.getvalue()


def viewer_routes(services: Services, path: str) -> list[Mount]:
    """``<path>/<token>/<volume>/<file>``; the token is a link's, the volume one of ``Result.volumes``."""

    def file(request: Request) -> Response:
        result = _linked(services, request.path_params["token"])
        try:
            path = result.file(request.path_params["volume"], request.path_params["file"])
        except (KeyError, OSError, ValueError) as error:  # no such volume, or a name that no file has
            if isinstance(error, InputError):
                raise
            path = None
        if path is None:
            raise HTTPException(404)
        return FileResponse(path)

    return [Mount(path, routes=[Route("/{token}/{volume}/{file:path}", file)], middleware=[ANY_ORIGIN])]


def _linked(services: Services, token: str) -> Result:
    found = services.links.read(token)
    if found is None:
        raise HTTPException(404)
    try:
        return Result.open(services.jobs.get(*found))
    except InputError:  # the job is gone
        raise HTTPException(404) from None

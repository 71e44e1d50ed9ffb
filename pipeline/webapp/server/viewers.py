"""A job's volumes for viewers elsewhere, by a signed link: OME-Zarr's files as they lie on the disk, for any origin."""

from __future__ import annotations

from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route

from pipeline.errors import InputError
from pipeline.webapp.results import Result
from pipeline.webapp.services import Services

ANY_ORIGIN = Middleware(
    CORSMiddleware,
    allow_origins=["*"],
    allow_methods=["GET", "HEAD"],
    allow_headers=["Range"],
    expose_headers=["Content-Range", "Content-Length", "ETag"],
    allow_private_network=True,  # a viewer on a public site may read from a server in the lab
)


def viewer_routes(services: Services, path: str) -> list[Mount]:
    """``<path>/<token>/<volume>/<file>``; the token is a link's, the volume one of ``Result.volumes``."""

    def file(request: Request) -> Response:
        volume = _volume(services, request.path_params["token"], request.path_params["volume"])
        return FileResponse(_inside(volume, request.path_params["file"]))

    return [Mount(path, routes=[Route("/{token}/{volume}/{file:path}", file)], middleware=[ANY_ORIGIN])]


def _volume(services: Services, token: str, name: str) -> Path:
    found = services.links.read(token)
    if found is None:
        raise HTTPException(404)
    try:
        return Result.open(services.jobs.get(*found)).volumes()[name]
    except (InputError, KeyError):  # the job is gone, or there is no such volume in it
        raise HTTPException(404) from None


def _inside(folder: Path, name: str) -> Path:
    """A file below the folder; anything else is not found, as a chunk that holds nothing but zeros."""
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        raise HTTPException(404)
    return path

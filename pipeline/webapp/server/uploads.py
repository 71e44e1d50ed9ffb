"""Resumable uploads: the core of tus 1.0.0 (https://tus.io/protocols/resumable-upload) with creation and termination.

A file comes in requests of a few megabytes, so that no proxy's limit or time-out is met and a broken one costs little;
each is written to the disk as it arrives. ``HEAD`` says how much has arrived, from where the next piece goes on.
"""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as Base64Error

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pipeline.webapp.intake import refuse_other_kinds
from pipeline.webapp.server.answers import owner_of
from pipeline.webapp.uploads import Upload, Uploads

PROTOCOL = {"Tus-Resumable": "1.0.0"}
MEDIA_TYPE = "application/offset+octet-stream"
PIECE_BYTES = 1 << 20
"""What is gathered before it is written; all that an upload holds in memory."""


def upload_routes(uploads: Uploads, path: str) -> list[Route]:
    """The routes below ``path``."""
    endpoints = _Endpoints(uploads, path)
    return [
        Route(path, endpoints.create, methods=["POST"]),
        Route(f"{path}/{{identifier}}", endpoints.state, methods=["HEAD"]),
        Route(f"{path}/{{identifier}}", endpoints.append, methods=["PATCH"]),
        Route(f"{path}/{{identifier}}", endpoints.remove, methods=["DELETE"]),
    ]


class _Endpoints:
    def __init__(self, uploads: Uploads, path: str) -> None:
        self.uploads = uploads
        self.path = path

    async def create(self, request: Request) -> Response:
        owner, size_bytes = owner_of(request), _number(request, "upload-length")
        name = _file_name(request)
        refuse_other_kinds(name)
        upload = await run_in_threadpool(self.uploads.begin, owner, name, size_bytes)
        location = {"Location": f"{self.path}/{upload.id}"}
        return JSONResponse({"id": upload.id}, 201, PROTOCOL | location)

    async def state(self, request: Request) -> Response:
        upload = self._upload(request)
        length = {"Upload-Offset": str(upload.received_bytes), "Upload-Length": str(upload.size_bytes)}
        return Response(None, 200, PROTOCOL | length | {"Cache-Control": "no-store"})

    async def append(self, request: Request) -> Response:
        if request.headers.get("content-type") != MEDIA_TYPE:
            raise HTTPException(415, f"send {MEDIA_TYPE}")
        offset_bytes = _number(request, "upload-offset")
        upload = self._upload(request)
        try:
            offset_bytes = await self._write(request, upload, offset_bytes)
        except ClientDisconnect:
            return Response(None, 400)  # read by nobody; what has arrived is on the disk
        return Response(None, 204, PROTOCOL | {"Upload-Offset": str(offset_bytes)})

    async def remove(self, request: Request) -> Response:
        await run_in_threadpool(self.uploads.discard, owner_of(request), self._upload(request).id)
        return Response(None, 204, PROTOCOL)

    async def _write(self, request: Request, upload: Upload, offset_bytes: int) -> int:
        """Write the body at the offset; returns where it ends. What came before the connection broke is kept."""
        waiting = bytearray()

        async def write() -> int:
            piece = bytes(waiting)
            waiting.clear()
            await run_in_threadpool(self.uploads.append, upload.owner, upload.id, offset_bytes, piece)
            return offset_bytes + len(piece)

        try:
            async for received in request.stream():
                waiting += received
                if len(waiting) >= PIECE_BYTES:
                    offset_bytes = await write()
        finally:
            if waiting:
                offset_bytes = await write()
        return offset_bytes

    def _upload(self, request: Request) -> Upload:
        return self.uploads.get(owner_of(request), request.path_params["identifier"])


def _number(request: Request, header: str) -> int:
    text = request.headers.get(header, "")
    if not text.isdecimal():
        raise HTTPException(400, f"the header {header} is to say how many bytes, not {text!r}")
    return int(text)


def _file_name(request: Request) -> str:
    """The file's name from ``Upload-Metadata``: pairs of a key and a value in base64, with commas between them."""
    pairs = (pair.split() for pair in request.headers.get("upload-metadata", "").split(","))
    values = {pair[0]: pair[1] for pair in pairs if len(pair) == 2}
    try:
        return b64decode(values["filename"], validate=True).decode()
    except (KeyError, Base64Error, UnicodeDecodeError):
        raise HTTPException(400, "the header upload-metadata is to give the file's name: filename <base64>") from None

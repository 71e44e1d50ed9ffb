"""Resumable uploads: the core of tus 1.0.0 (https://tus.io/protocols/resumable-upload) with creation and termination.

A file comes in requests of a few megabytes, so that no proxy's limit or time-out is met and a broken one costs little;
each is written to the disk as it arrives. ``HEAD`` says how much has arrived, from where the next piece goes on.
"""

from __future__ import annotations

from base64 import b64decode

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pipeline.webapp.intake import refuse_other_kinds
from pipeline.webapp.server.identity import owner_of
from pipeline.webapp.uploads import TooLargeError, Upload, Uploads

PROTOCOL = {"Tus-Resumable": "1.0.0"}
MEDIA_TYPE = "application/offset+octet-stream"
MOST_DIGITS = 18
PIECE_BYTES = 1 << 20
"""What is gathered before it is written; all that an upload holds in memory."""


def upload_routes(uploads: Uploads, path: str, most_bytes: int) -> list[Route]:
    """The routes below ``path``; most_bytes: of a file."""
    endpoints = _Endpoints(uploads, path)
    offer = {"Tus-Version": "1.0.0", "Tus-Extension": "creation,termination", "Tus-Max-Size": str(most_bytes)}

    async def options(_: Request) -> Response:
        return Response(None, 204, PROTOCOL | offer)

    return [
        Route(path, options, methods=["OPTIONS"]),
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
        _refuse_other_versions(request)
        owner, size_bytes = owner_of(request), _number(request, "upload-length")
        name = _file_name(request)
        refuse_other_kinds(name)
        upload = await run_in_threadpool(self.uploads.begin, owner, name, size_bytes, request.state.address)
        location = {"Location": f"{self.path}/{upload.id}"}
        return JSONResponse({"id": upload.id}, 201, PROTOCOL | location)

    async def state(self, request: Request) -> Response:
        upload = self._upload(request)
        length = {"Upload-Offset": str(upload.received_bytes), "Upload-Length": str(upload.size_bytes)}
        return Response(None, 200, PROTOCOL | length | {"Cache-Control": "no-store"})

    async def append(self, request: Request) -> Response:
        _refuse_other_versions(request)
        if request.headers.get("content-type") != MEDIA_TYPE:
            raise HTTPException(415, f"send {MEDIA_TYPE}", PROTOCOL)
        offset_bytes = _number(request, "upload-offset")
        upload = self._upload(request)
        if "content-length" in request.headers and offset_bytes == upload.received_bytes:
            left = upload.size_bytes - offset_bytes
            if _number(request, "content-length") > left:  # before any of it comes
                raise TooLargeError(f"{upload.name}: more bytes than the {left} that are left; upload it again")
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

        has_written = False

        async def write() -> int:
            nonlocal has_written
            piece, has_written = bytes(waiting), True
            waiting.clear()
            await run_in_threadpool(self.uploads.append, upload.owner, upload.id, offset_bytes, piece)
            return offset_bytes + len(piece)

        try:
            async for received in request.stream():
                waiting += received
                if len(waiting) >= PIECE_BYTES:
                    offset_bytes = await write()
        finally:
            if waiting or not has_written:  # an empty piece at a wrong place is out of step, too
                offset_bytes = await write()
        return offset_bytes

    def _upload(self, request: Request) -> Upload:
        return self.uploads.get(owner_of(request), request.path_params["identifier"])


def _refuse_other_versions(request: Request) -> None:
    version = request.headers.get("tus-resumable", "1.0.0")
    if version != "1.0.0":
        raise HTTPException(412, "this server speaks version 1.0.0 of the protocol", {"Tus-Version": "1.0.0"})


def _number(request: Request, header: str) -> int:
    """A number of bytes; what has more digits than any size is as large as a number can be."""
    text = request.headers.get(header, "")
    if not (text.isascii() and text.isdecimal()):
        raise HTTPException(400, f"the header {header} is to say how many bytes, not {text[:40]!r}", PROTOCOL)
    return int(text) if len(text) < MOST_DIGITS else 10**MOST_DIGITS


def _file_name(request: Request) -> str:
    """The file's name from ``Upload-Metadata``: pairs of a key and a value in base64, with commas between them."""
    pairs = (pair.split() for pair in request.headers.get("upload-metadata", "").split(","))
    values = {pair[0]: pair[1] for pair in pairs if len(pair) == 2}
    try:
        return b64decode(values["filename"], validate=True).decode()
    except (KeyError, ValueError):
        text = "the header upload-metadata is to give the file's name: filename <base64>"
        raise HTTPException(400, text, PROTOCOL) from None

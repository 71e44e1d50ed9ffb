"""What the routes have in common: who asks, and errors as answers in plain words."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pipeline.errors import InputError, StorageError, VemsegError
from pipeline.webapp.uploads import OutOfStepError, TooLargeError, UnknownUploadError

STATUS = {
    UnknownUploadError: 404,
    OutOfStepError: 409,
    TooLargeError: 413,
    InputError: 422,
    StorageError: 507,
    VemsegError: 500,
}
"""HTTP status of each error; the first class that fits."""


def owner_of(request: Request) -> str:
    """Who asks; nobody gets 401."""
    owner: str | None = request.state.owner
    if owner is None:
        raise HTTPException(401, "open the application's page first: this request has nobody's name on it")
    return owner


def failed(_: Request, error: Exception) -> Response:
    """The answer to a request that ran into one of our errors."""
    status = next(code for kind, code in STATUS.items() if isinstance(error, kind))
    return JSONResponse({"message": str(error)}, status)

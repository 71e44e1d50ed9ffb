"""The server: Streamlit's application with our routes, in the process that also works the queue off."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from pipeline.errors import ConfigError, InputError, StorageError, VemsegError
from pipeline.webapp import pages, services
from pipeline.webapp.executors.base import without_paths
from pipeline.webapp.monitoring import serve_metrics
from pipeline.webapp.server.connection import PatientConnection
from pipeline.webapp.server.guard import Guard
from pipeline.webapp.server.identity import Identity, Proxies
from pipeline.webapp.server.results import result_routes, viewer_routes
from pipeline.webapp.server.uploads import PROTOCOL, upload_routes
from pipeline.webapp.services import Services
from pipeline.webapp.settings import Settings
from pipeline.webapp.uploads import OutOfStepError, TooLargeError, UnknownUploadError
from pipeline.webapp.worker import Worker

if TYPE_CHECKING:
    from streamlit import App

HEAD_BYTES = 65536
"""Of a request's head."""
MESSAGE_BYTES = 16 * 2**20
"""Of what a browser sends through a web socket: clicks and numbers."""
BACKLOG = 2048
SCRIPT = Path(pages.__file__).with_name("main.py")
LIGHT = {"primaryColor": "#0f6b72", "linkColor": "#0f6b72", "borderColor": "#c9d1d3", "textColor": "#0e1417"}
"""Captions are the text's colour at three fifths: a lighter text would leave them with too little contrast."""
DARK = {
    "primaryColor": "#4fc3c8",
    "linkColor": "#7fd6da",
    "borderColor": "#44525a",
    "textColor": "#eef2f4",
    "backgroundColor": "#10151a",
    "secondaryBackgroundColor": "#1b222a",
}
STATUS = {
    UnknownUploadError: 404,
    OutOfStepError: 409,
    TooLargeError: 413,
    InputError: 422,
    StorageError: 507,
    VemsegError: 500,
}
"""HTTP status of each error; the first class that fits."""


def serve(settings: Settings, announce: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; ``announce`` is told the addresses once it answers there.

    Raises ConfigError when a port is taken.
    """
    from streamlit.web import bootstrap

    shared = Services.of(settings)
    services.use(shared)
    with _listening(settings) as listener:
        port = listener.getsockname()[1]
        addresses = [f"vemseg is at http://{_written(settings.host)}:{port}{settings.base_path}"]
        if settings.metrics_port is not None:
            found = serve_metrics(settings.host, settings.metrics_port, shared.jobs.counts)
            addresses.insert(0, f"metrics are at http://{_written(settings.host)}:{found}/metrics")
        bootstrap.load_config_options({**_streamlit_options(settings), "server.port": port})
        config = uvicorn.Config(
            application(shared, lambda: announce("\n".join(addresses))),
            http=PatientConnection,
            ws="websockets-sansio",
            ws_max_size=MESSAGE_BYTES,
            h11_max_incomplete_event_size=HEAD_BYTES,
            proxy_headers=False,  # `Proxies` knows which ones are trusted
            server_header=False,
            access_log=False,
            use_colors=False,
        )
        server = uvicorn.Server(config)
        server.run(sockets=[listener])
        if not server.started:
            raise VemsegError("the application did not start; what it has logged says why")


def application(shared: Services, started: Callable[[], None]) -> ASGIApp:
    """The pages, the routes beside them, and the worker that runs as long as they are served."""
    import streamlit
    from streamlit import App

    settings, base = shared.settings, shared.settings.base_path
    inside = App(
        SCRIPT,
        routes=[
            *upload_routes(shared.uploads, f"{base}/api/uploads", settings.upload_bytes),
            *result_routes(shared, f"{base}/api/jobs"),
            *viewer_routes(shared, f"{base}/volumes"),
            Route(f"{base}/healthz", _health),
            *_page_routes(base),
        ],
        lifespan=_working(shared, started),
        exception_handlers={VemsegError: _failed},
    )
    page = Path(streamlit.__file__).with_name("static") / "index.html"
    guarded = Guard(Identity(inside, shared.owners, base), settings, page.read_text(encoding="utf-8"))
    return Proxies(guarded, settings)


def _listening(settings: Settings) -> socket.socket:
    """A socket at the address and port of the settings."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise ConfigError(f"--host {settings.host} --port {settings.port}: {error.strerror or error}") from error


def _written(host: str) -> str:
    """An address as it stands in a URL."""
    return f"[{host}]" if ":" in host else host


def _working(shared: Services, started: Callable[[], None]) -> Callable[[App], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_: App) -> AsyncIterator[None]:
        worker = Worker(shared.settings, database=shared.database)
        worker.start()
        started()
        try:
            yield
        finally:
            worker.stop()

    return lifespan


def _health(_: Request) -> Response:
    return PlainTextResponse("ok")


def _streamlit_options(settings: Settings) -> dict[str, Any]:
    """What is fixed for every site, and what follows from its settings."""
    return {
        "browser.gatherUsageStats": False,
        "browser.serverAddress": settings.host,  # else it asks a service outside for this machine's address
        "client.showErrorDetails": "none",  # a traceback helps no user; the log has it
        "client.toolbarMode": "minimal",
        "logger.hideWelcomeMessage": True,
        "runner.magicEnabled": False,
        "server.address": settings.host,
        "server.baseUrlPath": settings.base_path.strip("/"),
        "server.fileWatcherType": "none",
        "server.headless": True,
        "server.maxUploadSize": 1,  # MB; files come by our own route
        "theme.headingFontSizes": ["2.25rem", "1.6rem", "1.3rem"],
        "theme.paddingTop": "2rem",
        **{f"theme.light.{name}": value for name, value in LIGHT.items()},
        **{f"theme.dark.{name}": value for name, value in DARK.items()},
    }


def _page_routes(base: str) -> list[Route]:
    """A way to the root for each page with a path of its own, when the browser asks for one directly.

    Streamlit's client looks for its server below the path of the page that it is loaded from, and leaves errors on the
    console until it has found it. So it is loaded from the root, which then shows the page that was asked for.
    """

    def to_root(request: Request) -> Response:
        name = request.url.path.removeprefix(f"{base}/")
        return RedirectResponse(f"{base}/?{request.url.include_query_params(**{pages.OPEN: name}).query}", 307)

    return [Route(f"{base}/{name}", to_root) for name in pages.NAMED]


def _failed(_: Request, error: Exception) -> Response:
    """The answer to a request that ran into one of our errors."""
    status = next(code for kind, code in STATUS.items() if isinstance(error, kind))
    return JSONResponse({"message": without_paths(str(error))}, status, PROTOCOL)

"""The server: Streamlit's application with our routes, in the process that also works the queue off."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.middleware import Middleware

from pipeline.errors import VemsegError
from pipeline.webapp import pages, services
from pipeline.webapp.server.addresses import page_routes
from pipeline.webapp.server.answers import failed
from pipeline.webapp.server.identity import Identity
from pipeline.webapp.server.options import streamlit_options
from pipeline.webapp.server.results import result_routes
from pipeline.webapp.server.state import state_routes
from pipeline.webapp.server.uploads import upload_routes
from pipeline.webapp.server.viewers import viewer_routes
from pipeline.webapp.services import Services
from pipeline.webapp.settings import Settings
from pipeline.webapp.worker import Worker

if TYPE_CHECKING:
    from streamlit import App

SCRIPT = Path(pages.__file__).with_name("main.py")


def serve(settings: Settings, announce: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; ``announce`` is told the address once it answers there."""
    shared = Services.of(settings)
    services.use(shared)
    application(shared, announce).run(config=streamlit_options(settings))


def application(shared: Services, announce: Callable[[str], None]) -> App:
    """The pages, the routes beside them, and the worker that runs as long as they are served."""
    from streamlit import App

    base = shared.settings.base_path
    return App(
        SCRIPT,
        routes=[
            *upload_routes(shared.uploads, f"{base}/api/uploads"),
            *result_routes(shared, f"{base}/api/jobs"),
            *viewer_routes(shared, f"{base}/volumes"),
            *state_routes(shared),
            *page_routes(base),
        ],
        middleware=[Middleware(Identity, owners=shared.owners, path=base)],
        lifespan=_working(shared.settings, announce),
        exception_handlers={VemsegError: failed},
    )


def _working(settings: Settings, announce: Callable[[str], None]) -> Callable[[App], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_: App) -> AsyncIterator[None]:
        from streamlit.config import get_option

        worker = Worker(settings)
        worker.start()
        announce(f"http://{settings.host}:{get_option('server.port')}{settings.base_path}")
        try:
            yield
        finally:
            worker.stop()

    return lifespan

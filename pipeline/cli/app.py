"""vemseg app: the application in the browser."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

PANEL = "In the browser"
app = typer.Typer()


@app.command(
    "app",
    rich_help_panel=PANEL,
    epilog="vemseg app --model runs/demo/run --data runs/app",
)
def serve(
    model: Annotated[
        list[str] | None,
        typer.Option(help="A trained model, or a run with several; may be given more than once", show_default=False),
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Folder for uploads, jobs and results", show_default=False)] = None,
    folder: Annotated[
        list[str] | None,
        typer.Option(help="A folder or s3:// prefix whose volumes users may name instead of uploading them"),
    ] = None,
    example: Annotated[
        Path | None, typer.Option(help="A volume that the first page offers to whoever has none at hand")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen at; default: 127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(help="Port; default: 8501")] = None,
    base_path: Annotated[str | None, typer.Option(help="Path at which a proxy serves it, such as /segment")] = None,
    user_header: Annotated[
        str | None, typer.Option(help="Header in which a sign-on proxy names the user; default: a cookie a browser")
    ] = None,
    trusted_proxy: Annotated[
        list[str] | None,
        typer.Option(help="Address or network of a proxy in front, which says who asks; may be given more than once"),
    ] = None,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(help="Name by which browsers may reach it; default: this machine's own and that of --host"),
    ] = None,
    metrics_port: Annotated[int | None, typer.Option(help="Port for Prometheus; default: none")] = None,
    executor: Annotated[
        str | None, typer.Option(help="Where jobs run: local (processes here; the default) or cluster")
    ] = None,
    jobs: Annotated[int | None, typer.Option(help="Jobs at once; the others wait", min=1)] = None,
) -> None:
    """Serve the web application: upload a volume, segment it, look at it in 3D, download it; it says at which address.

    Each option, and each further setting, can be given as an environment variable too: VEMSEG_APP_DATA,
    VEMSEG_APP_MODELS, VEMSEG_APP_UPLOAD_BYTES, VEMSEG_APP_RETENTION_DAYS ...
    """
    from pipeline.errors import InputError

    if find_spec("streamlit") is None:
        raise InputError("the application needs Streamlit; install it with: pip install 'vemseg[app]'")
    from pipeline.webapp.locking import refuse_without_locks
    from pipeline.webapp.settings import Settings

    refuse_without_locks()
    settings = Settings.of(
        os.environ,
        models=tuple(model) if model else None,
        data=data,
        folders=tuple(folder) if folder else None,
        example=example,
        host=host,
        port=port,
        base_path=base_path,
        user_header=user_header,
        trusted_proxies=tuple(trusted_proxy) if trusted_proxy else None,
        allowed_hosts=tuple(allowed_host) if allowed_host else None,
        metrics_port=metrics_port,
        executor=executor,
        jobs_at_once=jobs,
    )
    from pipeline.webapp.server import serve as run

    run(settings, lambda text: print(text, flush=True))

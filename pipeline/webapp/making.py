"""Making a file of a result once, in a process of its own, however many ask for it at a time."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

from pipeline.errors import InputError, StorageError
from pipeline.webapp.downloads import Download
from pipeline.webapp.jobs import Job
from pipeline.webapp.uploads import safe_name

NICENESS = 5
_PLACES = threading.BoundedSemaphore(2)  # of a server, for all that its users ask for at once


def made(job: Job, download: Download) -> Path:
    """The file, made now if nobody has asked for it before.

    Raises InputError when there is nothing to make it of, StorageError when making it fails.
    """
    path = job.downloads / f"{safe_name(Path(job.name).stem)}{download.ending}"
    if path.exists():
        return path
    job.downloads.mkdir(exist_ok=True)
    with (job.downloads / f".{download.kind}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            _make(job, download, path)
    return path


def _make(job: Job, download: Download, path: Path) -> None:
    with _PLACES, NamedTemporaryFile("w+", dir=job.downloads) as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline.webapp.makers", str(job.folder), download.kind, str(path)],
            cwd=job.folder,
            env={**os.environ, "TMPDIR": str(job.downloads)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
        )
        with suppress(ProcessLookupError):  # it has ended already
            os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)
        code = process.wait()
        said.seek(0)
        *_, last = ["no reason was given", *said.read().strip().splitlines()]
    if code == InputError.exit_code:
        raise InputError(last)
    if code:
        raise StorageError(f"{download.label} could not be made: {last}")

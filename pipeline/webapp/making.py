"""Making a file of a result once, in a process of its own, however many ask for it at a time."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

from pipeline.errors import InputError, StorageError
from pipeline.webapp.downloads import Download
from pipeline.webapp.jobs import Job
from pipeline.webapp.uploads import safe_name

NICENESS = 5


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
    command = [sys.executable, "-m", "pipeline.webapp.makers", str(job.folder), download.kind, str(path)]
    ended = subprocess.run(
        ["nice", "-n", str(NICENESS), *command],
        cwd=job.folder,
        env={**os.environ, "TMPDIR": str(job.downloads)},
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode == InputError.exit_code:
        raise InputError(ended.stderr.strip().splitlines()[-1])
    if ended.returncode:
        last = (ended.stderr.strip().splitlines() or ["no reason was given"])[-1]
        raise StorageError(f"{download.label} could not be made: {last}")

"""What goes: jobs and uploads by age, then the oldest jobs while the folder is above its quota; never one at work."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

from pipeline.webapp.jobs import Job, JobStore
from pipeline.webapp.settings import Settings

DAY_SECONDS = 86400.0
UPLOAD_DAYS = 1.0
"""An upload that no job was made of, and to which nothing was added since, is forgotten."""


class Upkeep:
    """Tidies a data folder."""

    def __init__(self, settings: Settings, store: JobStore) -> None:
        self._settings, self._store = settings, store

    def tidy(self, now: float) -> list[str]:
        """Remove what is due at a time (seconds since 1970); returns the ids of the jobs that are gone."""
        self._remove_leftovers(now)
        self._remove_uploads(now)
        ended = [job for job in self._store.all() if job.record.ended_at is not None]
        due = [job for job in ended if now - _ended_at(job) > self._settings.retention_days * DAY_SECONDS]
        for job in due:
            self._store.remove(job)
        gone = {job.id for job in due}
        return [*gone, *self._keep_to_quota([job for job in ended if job.id not in gone])]

    def _keep_to_quota(self, ended: list[Job]) -> list[str]:
        surplus = size_bytes(self._settings.data) - self._settings.quota_bytes
        gone = []
        for job in sorted(ended, key=_ended_at):
            if surplus <= 0:
                break
            surplus -= size_bytes(job.folder)
            self._store.remove(job)
            gone.append(job.id)
        return gone

    def _remove_uploads(self, now: float) -> None:
        if not self._settings.uploads_folder.is_dir():
            return
        days = min(UPLOAD_DAYS, self._settings.retention_days)
        for folder in self._settings.uploads_folder.iterdir():
            if now - _last_change(folder) > days * DAY_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)

    def _remove_leftovers(self, now: float) -> None:
        """What a server that was killed has left of a removal, or of an order."""
        for folder in self._settings.jobs_folder.glob(".*"):
            if folder.name.startswith(".gone-") or now - _last_change(folder) > UPLOAD_DAYS * DAY_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)


def size_bytes(folder: Path) -> int:
    """Bytes of all files below a folder, as far as they are still there."""
    return sum(_size(path) for path in folder.rglob("*"))


def _size(path: Path) -> int:
    try:
        state = path.lstat()
    except OSError:
        return 0
    return state.st_size if path.is_file() else 0


def _ended_at(job: Job) -> float:
    return job.record.ended_at or job.record.created_at


def _last_change(folder: Path) -> float:
    """Seconds since 1970 of the last byte that came; never for a folder that a job has just taken away."""
    try:
        return max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
    except OSError:
        return math.inf

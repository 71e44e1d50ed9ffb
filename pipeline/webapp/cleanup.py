"""What goes: jobs and uploads by age, then what one user has too much of, oldest first; never a job at work.

Nothing of one user makes anything of another go: when all of them together hold too much, uploads are refused.
"""

from __future__ import annotations

import math
import shutil
from collections import defaultdict
from pathlib import Path

from pipeline.webapp.database import Database
from pipeline.webapp.jobs import GONE, Job, JobStore
from pipeline.webapp.settings import Settings
from pipeline.webapp.uploads import Uploads, is_id, size_bytes

DAY_SECONDS = 86400.0
UPLOAD_DAYS = 1.0
"""An upload that no job was made of, and to which nothing was added since, is forgotten."""


class Cleanup:
    """Tidies a data folder."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings, self._database = settings, database
        self._jobs, self._uploads = JobStore(settings, database), Uploads(settings, database)

    def tidy(self, now: float) -> list[str]:
        """Remove what is due at a time (seconds since 1970); returns the ids of the jobs that are gone."""
        keep_seconds = self._settings.retention_days * DAY_SECONDS
        self._remove_uploads(now, min(UPLOAD_DAYS * DAY_SECONDS, keep_seconds))
        jobs = {job.id: job for job in self._jobs.all()}
        ended = [job for job in jobs.values() if job.record.ended_at is not None]
        gone = [job.id for job in ended if now - _ended_at(job) > keep_seconds]
        unreadable = [row["id"] for row in self._database.read("SELECT id FROM jobs") if row["id"] not in jobs]
        for job_id in filter(is_id, unreadable):  # they go when their files have become old
            if now - _last_change(self._settings.jobs_folder / job_id) > keep_seconds:
                gone.append(job_id)
        for job_id in gone:
            self._jobs.remove(job_id)
        self._remove_leftovers(now)
        sizes = self._measured([job for job in jobs.values() if job.id not in gone])
        return gone + self._keep_to_quotas([job for job in ended if job.id in sizes], sizes)

    def _measured(self, jobs: list[Job]) -> dict[str, int]:
        """The bytes of each job, written down for who is to say whether more may come."""
        sizes = {job.id: size_bytes(job.folder) for job in jobs}
        with self._database.writing() as execute:
            for job_id, size in sizes.items():
                execute("UPDATE jobs SET size_bytes = ? WHERE id = ?", (size, job_id))
        return sizes

    def _keep_to_quotas(self, ended: list[Job], sizes: dict[str, int]) -> list[str]:
        """Of each user, what ended first goes; the job that ended last stays, however large."""
        of_owner: dict[str, list[Job]] = defaultdict(list)
        for job in sorted(ended, key=_ended_at):
            of_owner[job.owner].append(job)
        gone = []
        for theirs in of_owner.values():
            surplus = sum(sizes[job.id] for job in theirs) - self._settings.owner_quota_bytes
            for job in theirs[:-1]:
                if surplus > 0:
                    surplus -= sizes[job.id]
                    self._jobs.remove(job.id)
                    gone.append(job.id)
        return gone

    def _remove_uploads(self, now: float, keep_seconds: float) -> None:
        known = {row["id"]: row["created_at"] for row in self._database.read("SELECT id, created_at FROM uploads")}
        for folder in self._settings.uploads_folder.iterdir():
            known.pop(folder.name, None)
            if now - _last_change(folder) > keep_seconds:
                shutil.rmtree(folder, ignore_errors=True)
                self._uploads.remove(folder.name)
        for upload_id, created_at in known.items():
            if now - created_at > keep_seconds:  # its folder is gone
                self._uploads.remove(upload_id)

    def _remove_leftovers(self, now: float) -> None:
        """What a server that was killed has left of a removal, or of an order."""
        known = {row["id"] for row in self._database.read("SELECT id FROM jobs")}
        for folder in self._settings.jobs_folder.iterdir():
            if folder.name.startswith(GONE) or (
                folder.name not in known and now - _last_change(folder) > UPLOAD_DAYS * DAY_SECONDS
            ):
                shutil.rmtree(folder, ignore_errors=True)


def _ended_at(job: Job) -> float:
    return job.record.ended_at or job.record.created_at


def _last_change(folder: Path) -> float:
    """Seconds since 1970 of the last byte that came; never for a folder that a job has just taken away."""
    try:
        return max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
    except OSError:
        return math.inf

"""Jobs as folders: order, owners, cancelling what waits, tidying by age and quota; nothing is computed here."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tinystudy import VOXEL_SIZE_NM
from webapp_support import MakeJob, MakeSettings, look, uploaded

from pipeline.errors import InputError
from pipeline.webapp import monitoring
from pipeline.webapp.catalogue import ModelCard
from pipeline.webapp.cleanup import DAY_SECONDS, Cleanup
from pipeline.webapp.database import Database
from pipeline.webapp.jobs import Job, JobStore
from pipeline.webapp.settings import Settings
from pipeline.webapp.uploads import size_bytes


def ended(store: JobStore, job: Job, days_ago: float = 0.0) -> Job:
    """The job as if it had been done so long ago."""
    return store.write(job, state="done", started_at=time.time(), ended_at=time.time() - days_ago * DAY_SECONDS)


def tidy(settings: Settings) -> list[str]:
    return Cleanup(settings, Database(settings.data)).tidy(time.time())


def test_a_job_takes_its_upload_with_it(make_settings: MakeSettings, make_job: MakeJob) -> None:
    settings = make_settings()
    job = make_job(settings)
    assert Path(job.input).is_relative_to(job.folder / "upload")
    assert len(list(Path(job.input).glob("*.png"))) == 4
    assert not list(settings.uploads_folder.iterdir())
    assert (job.state, job.queue_position, job.record.voxel_size_is_stated) == ("queued", 0, False)
    assert JobStore(settings).get("anna", job.id) == job


def test_an_upload_becomes_one_job(make_settings: MakeSettings, model: ModelCard, stack: bytes) -> None:
    settings = make_settings()
    upload = uploaded(settings, stack)
    found, store = look(settings, upload), JobStore(settings)
    store.create("anna", found, model, voxel_size_nm=VOXEL_SIZE_NM, upload=upload)
    with pytest.raises(InputError, match="already"):
        store.create("anna", found, model, voxel_size_nm=VOXEL_SIZE_NM, upload=upload)
    assert len(list(settings.jobs_folder.iterdir())) == 1


def test_users_take_turns(make_settings: MakeSettings, make_job: MakeJob) -> None:
    settings = make_settings()
    made = [make_job(settings, owner) for owner in ("anna", "bert", "anna", "cleo")]
    store = JobStore(settings)
    assert [job.id for job in store.queue()] == [made[number].id for number in (0, 1, 3, 2)]
    assert [store.get(job.owner, job.id).queue_position for job in made] == [0, 1, 3, 2]
    assert [(job.id, job.queue_position) for job in store.history("anna")] == [(made[2].id, 3), (made[0].id, 0)]
    store.cancel("anna", made[0].id)
    assert store.get("anna", made[0].id).state == "cancelled"
    assert store.get("bert", made[1].id).queue_position == 0


def test_a_job_of_somebody_else_is_as_good_as_none(make_settings: MakeSettings, make_job: MakeJob) -> None:
    settings = make_settings()
    job, store = make_job(settings, "anna"), JobStore(settings)
    with pytest.raises(InputError) as other:
        store.get("bert", job.id)
    with pytest.raises(InputError) as none:
        store.get("bert", "20260101-0000000000000000")
    assert str(other.value) == str(none.value)
    for act in (store.cancel, store.delete):
        with pytest.raises(InputError, match="no such job"):
            act("bert", job.id)
    assert store.history("bert") == []
    assert store.get("anna", job.id).state == "queued"


@pytest.mark.parametrize("job_id", ["", ".", "..", "../jobs", "/etc", "a" * 100, "x\0", ".gone-20260101-00"])
def test_no_id_leads_out_of_the_folder(job_id: str, make_settings: MakeSettings, make_job: MakeJob) -> None:
    settings = make_settings()
    make_job(settings)
    with pytest.raises(InputError, match="no such job"):
        JobStore(settings).get("anna", job_id)


def test_a_voxel_size_is_needed(make_settings: MakeSettings, make_job: MakeJob) -> None:
    settings = make_settings()
    for size in (None, (40.0, 8.0, 0.0), (40.0, -8.0, 8.0), (float("nan"), 8.0, 8.0)):
        with pytest.raises(InputError, match="voxel size"):
            make_job(settings, voxel_size_nm=size)
    assert JobStore(settings).history("anna") == []


def test_one_user_cannot_fill_the_queue(make_settings: MakeSettings, make_job: MakeJob) -> None:
    settings = make_settings(waiting_per_owner=2)
    make_job(settings), make_job(settings)
    with pytest.raises(InputError, match="2 of your jobs"):
        make_job(settings)
    assert make_job(settings, "bert").state == "queued"


def test_what_has_ended_can_be_deleted_and_what_waits_not(make_settings: MakeSettings, make_job: MakeJob) -> None:
    settings = make_settings()
    job, store = make_job(settings), JobStore(settings)
    with pytest.raises(InputError, match="cancel"):
        store.delete("anna", job.id)
    ended(store, job)
    store.delete("anna", job.id)
    assert store.history("anna") == []
    assert not list(settings.jobs_folder.iterdir())


def test_age_removes_what_has_ended_and_forgotten_uploads(make_settings: MakeSettings, make_job: MakeJob) -> None:
    settings = make_settings(retention_days=7)
    store = JobStore(settings)
    old, young, waiting = (make_job(settings) for _ in range(3))
    running = store.write(make_job(settings), state="running", started_at=time.time() - 100 * DAY_SECONDS)
    ended(store, old, days_ago=8), ended(store, young, days_ago=6)
    fresh, forgotten = (uploaded(settings, b"12345") for _ in range(2))
    long_ago = time.time() - 2 * DAY_SECONDS
    for path in (*forgotten.folder.iterdir(), forgotten.folder):
        os.utime(path, (long_ago, long_ago))
    assert tidy(settings) == [old.id]
    assert {job.id for job in JobStore(settings).all()} == {young.id, waiting.id, running.id}
    assert (fresh.folder.exists(), forgotten.folder.exists()) == (True, False)


def test_a_quota_removes_what_its_owner_ended_first(make_settings: MakeSettings, make_job: MakeJob) -> None:
    settings = make_settings()
    store = JobStore(settings)
    running, oldest, older, young = (make_job(settings) for _ in range(4))
    store.write(running, state="running", started_at=time.time())
    others = make_job(settings, "bert")
    for days_ago, job in enumerate((young, older, oldest, others)):
        ended(store, job, days_ago)
        (job.folder / "run").mkdir()
        (job.folder / "run" / "voxels").write_bytes(bytes(100_000))
    assert tidy(make_settings(owner_quota_bytes=10**9)) == []
    size = size_bytes(young.folder)
    assert tidy(make_settings(owner_quota_bytes=2 * size)) == [oldest.id]
    assert tidy(make_settings(owner_quota_bytes=1, quota_bytes=1)) == [older.id]  # the last one stays, and bert's
    assert {job.id for job in JobStore(settings).all()} == {running.id, young.id, others.id}


def test_a_removal_that_was_interrupted_is_finished(make_settings: MakeSettings, make_job: MakeJob) -> None:
    settings = make_settings()
    job, kept = make_job(settings), make_job(settings)
    with Database(settings.data).writing() as execute:
        execute("DELETE FROM jobs WHERE id = ?", (job.id,))
    job.folder.rename(settings.jobs_folder / f".gone-{job.id}")
    assert [each.id for each in JobStore(settings).all()] == [kept.id]
    tidy(settings)
    assert [folder.name for folder in settings.jobs_folder.iterdir()] == [kept.id]


def test_prometheus_is_told_how_many_jobs_there_are(make_settings: MakeSettings, make_job: MakeJob) -> None:
    settings = make_settings()
    store = JobStore(settings)
    ended(store, make_job(settings)), make_job(settings)
    text = monitoring.exposition(store.counts).decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    states = {sample.labels["state"]: sample.value for sample in families["vemseg_app_jobs"].samples}
    assert states == {"queued": 1, "running": 0, "done": 1, "failed": 0, "cancelled": 0}
    assert families["vemseg_app_upload_bytes"].samples[0].value > 0

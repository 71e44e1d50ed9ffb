"""Jobs as folders: order, owners, cancelling what waits, tidying by age and quota; nothing is computed here."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tinystudy import VOXEL_SIZE_NM
from webapp_support import MakeJob, MakeSettings, look, uploaded

from pipeline.errors import InputError
from pipeline.webapp import metrics
from pipeline.webapp.catalogue import ModelCard
from pipeline.webapp.jobs import Job, JobStore
from pipeline.webapp.settings import Settings
from pipeline.webapp.upkeep import DAY_SECONDS, Upkeep, size_bytes


def ended(store: JobStore, job: Job, days_ago: float = 0.0) -> Job:
    """The job as if it had been done so long ago."""
    return store.write(job, state="done", started_at=time.time(), ended_at=time.time() - days_ago * DAY_SECONDS)


def tidy(settings: Settings) -> list[str]:
    return Upkeep(settings, JobStore(settings)).tidy(time.time())


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


def test_jobs_wait_in_the_order_in_which_they_came(make_settings: MakeSettings, make_job: MakeJob) -> None:
    settings = make_settings()
    made = [make_job(settings, owner) for owner in ("anna", "bert", "anna", "cleo")]
    store = JobStore(settings)
    assert [job.id for job in store.queue()] == [job.id for job in made]
    assert [store.get(job.owner, job.id).queue_position for job in made] == [0, 1, 2, 3]
    assert [(job.id, job.queue_position) for job in store.history("anna")] == [(made[2].id, 2), (made[0].id, 0)]
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


def test_the_quota_removes_the_oldest_that_have_ended(make_settings: MakeSettings, make_job: MakeJob) -> None:
    settings = make_settings()
    store = JobStore(settings)
    running, oldest, older, young = (make_job(settings) for _ in range(4))
    store.write(running, state="running", started_at=time.time())
    for days_ago, job in enumerate((young, older, oldest)):
        ended(store, job, days_ago)
        (job.folder / "run").mkdir()
        (job.folder / "run" / "voxels").write_bytes(bytes(100_000))
    assert tidy(make_settings(quota_bytes=10**9)) == []
    assert tidy(make_settings(quota_bytes=size_bytes(settings.data) - 150_000)) == [oldest.id, older.id]
    assert tidy(make_settings(quota_bytes=1)) == [young.id]
    assert [job.id for job in JobStore(settings).all()] == [running.id]


def test_a_removal_that_was_interrupted_is_finished(make_settings: MakeSettings, make_job: MakeJob) -> None:
    settings = make_settings()
    job = make_job(settings)
    job.folder.rename(settings.jobs_folder / f".gone-{job.id}")
    assert JobStore(settings).all() == []
    tidy(settings)
    assert not list(settings.jobs_folder.iterdir())


def test_a_damaged_record_hides_its_job_only(make_settings: MakeSettings, make_job: MakeJob) -> None:
    settings = make_settings()
    damaged, whole = make_job(settings), make_job(settings)
    (damaged.folder / "job.json").write_text('{"owner": "an')
    assert [job.id for job in JobStore(settings).all()] == [whole.id]


def test_records_are_json_for_people(make_settings: MakeSettings, make_job: MakeJob) -> None:
    record = json.loads((make_job(make_settings()).folder / "job.json").read_text())
    assert record["voxel_size_nm"] == list(VOXEL_SIZE_NM)
    assert (record["state"], record["target"], record["name"]) == ("queued", "multilabel", "stack.zip")


def test_prometheus_is_told_how_many_jobs_there_are(make_settings: MakeSettings, make_job: MakeJob) -> None:
    settings = make_settings()
    store = JobStore(settings)
    ended(store, make_job(settings)), make_job(settings)
    text = metrics.exposition(store.counts()).decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    states = {sample.labels["state"]: sample.value for sample in families["vemseg_app_jobs"].samples}
    assert states == {"queued": 1, "running": 0, "done": 1, "failed": 0, "cancelled": 0}
    assert families["vemseg_app_upload_bytes"].samples[0].value > 0

"""The database of a data folder: a broken record hides its own job or upload, no others; old folders are taken in.

Every column, and every field of the JSON that columns hold, is broken in turn with what STRICT tables let through.
"""

from __future__ import annotations

import json
import math
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tinystudy import VOXEL_SIZE_NM
from webapp_support import MakeJob, MakeSettings, look, uploaded

from pipeline.errors import ConfigError, InputError, StorageError
from pipeline.webapp import monitoring
from pipeline.webapp.catalogue import ModelCard
from pipeline.webapp.cleanup import Cleanup
from pipeline.webapp.database import COLUMNS, NAME, Database
from pipeline.webapp.executors.base import without_paths
from pipeline.webapp.jobs import Job, JobStore, Record, Step, is_voxel_size
from pipeline.webapp.owners import COOKIE, Owners
from pipeline.webapp.settings import Settings
from pipeline.webapp.uploads import Uploads
from pipeline.webapp.worker import Worker

TEXTS = ["", "\0", "../../x", "nonsense", "9" * 50, b"\xff\xfe"]
NUMBERS = [-1.0, 1e308, math.inf, -math.inf]
COUNTS = [-1, 2**62, -(2**62)]
JSONS = ["", "{", "[]", "null", "3", '{"owner": 1}', "[" * 5000, '{"a": ' * 5000]
BROKEN: dict[str, list[Any]] = {
    **dict.fromkeys(("id", "owner", "address", "state", "name"), TEXTS),
    **dict.fromkeys(("created_at", "started_at", "ended_at"), NUMBERS),
    **dict.fromkeys(("cancel_requested", "size_bytes"), COUNTS),
    **dict.fromkeys(("record", "steps"), JSONS),
}
VALUES = [None, -1, 1e308, "nonsense", [], {}, [None], {"a": []}, True, "\0"]
FIELDS = [field.name for field in fields(Record) if field.name not in COLUMNS]
JOB_COLUMNS = (*COLUMNS, "cancel_requested", "size_bytes", "record", "steps")
UPLOAD_COLUMNS = ("id", "owner", "address", "name", "size_bytes", "created_at")


def broken_copies(settings: Settings, table: str, row: str, column: str, values: list[Any]) -> None:
    """A copy of a row for each value, which is written past everything that would refuse it."""
    with Database(settings.data).writing() as execute:
        (original,) = execute(f"SELECT * FROM {table} WHERE id = ?", (row,))
        for number, value in enumerate(values):
            name = f"{number:032}"
            execute(f"INSERT INTO {table} VALUES ({','.join('?' * len(original))})", [name, *original[1:]])
            written = "CAST(? AS TEXT)" if isinstance(value, bytes) else "?"
            execute(f"UPDATE {table} SET {column} = {written} WHERE id = ?", (value, name))


def with_field(job: Job, field: str, value: object) -> str:
    """The record of a job with a value in a field."""
    content = asdict(job.record)
    return json.dumps({name: content[name] for name in FIELDS} | {field: value})


def assert_others_go_on(settings: Settings, job: Job) -> None:
    """All that others and whoever runs the site see, with nothing remembered from before."""
    database = Database(settings.data)
    store, uploads = JobStore(settings, database), Uploads(settings, database)
    assert [each.id for each in store.history("bert")] == [job.id]
    assert store.get("bert", job.id).record == job.record
    assert job.id in [each.id for each in store.queue()]
    text = monitoring.exposition(store.counts).decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    states = {sample.labels["state"]: sample.value for sample in families["vemseg_app_jobs"].samples}
    assert states["queued"] >= 1
    assert set(states) == {"queued", "running", "done", "failed", "cancelled"}
    begun = uploads.begin("bert", "stack.tif", 5)
    assert uploads.append("bert", begun.id, 0, b"12345").complete
    uploads.discard("bert", begun.id)
    Cleanup(settings, database).tidy(time.time())
    assert store.get("bert", job.id).record == job.record


@pytest.fixture
def pair(make_settings: MakeSettings, make_job: MakeJob) -> tuple[Settings, Job, Job]:
    """A job that is to be damaged, and one of somebody else."""
    settings = make_settings()
    return settings, make_job(settings, "anna"), make_job(settings, "bert")


@pytest.mark.parametrize("column", JOB_COLUMNS)
def test_a_broken_column_hides_its_job_only(pair: tuple[Settings, Job, Job], column: str) -> None:
    settings, job, whole = pair
    broken_copies(settings, "jobs", job.id, column, BROKEN[column])
    assert_others_go_on(settings, whole)
    assert JobStore(settings).get("anna", job.id).record == job.record


@pytest.mark.parametrize("field", FIELDS)
def test_a_broken_field_hides_its_job_only(pair: tuple[Settings, Job, Job], field: str) -> None:
    settings, job, whole = pair
    broken_copies(settings, "jobs", job.id, "record", [with_field(job, field, value) for value in VALUES])
    assert_others_go_on(settings, whole)
    assert JobStore(settings).get("anna", job.id).record == job.record


def test_broken_steps_hide_no_job(pair: tuple[Settings, Job, Job]) -> None:
    settings, job, whole = pair
    step = asdict(Step("segment.infer", "Segmenting", "running", 1, 2, 3.0))
    contents = [json.dumps([step | {field.name: value}]) for field in fields(Step) for value in VALUES]
    broken_copies(settings, "jobs", job.id, "steps", contents)
    assert_others_go_on(settings, whole)
    history = JobStore(settings).history("anna")
    assert len(history) == len(contents) + 1
    assert {each.record for each in map(_without_handle, history)} == {_without_handle(job).record}


def _without_handle(job: Job) -> Job:
    return replace(job, record=replace(job.record, handle=None))


@pytest.mark.parametrize("column", UPLOAD_COLUMNS)
def test_a_broken_upload_hides_nothing_else(pair: tuple[Settings, Job, Job], column: str) -> None:
    settings, _, whole = pair
    upload = Uploads(settings).begin("anna", "stack.tif", 10)
    broken_copies(settings, "uploads", upload.id, column, BROKEN[column])
    assert_others_go_on(settings, whole)
    assert Uploads(settings).append("anna", upload.id, 0, b"1234567890").complete


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_worker_does_a_whole_job_beside_broken_ones(make_settings: MakeSettings, make_job: MakeJob) -> None:
    """Each is queued or running, with a field broken each; their worker never stops over one."""
    settings = make_settings(waiting_per_owner=100)
    job, store = make_job(settings), JobStore(settings)
    records = [with_field(job, field, VALUES[number % len(VALUES)]) for number, field in enumerate(FIELDS)]
    broken_copies(settings, "jobs", job.id, "record", records)
    store.cancel("anna", job.id)
    for handle in ({}, {"pid": "x"}, {"pid": -1, "started": None}, {"workflow": "x"}):
        store.write(make_job(settings), state="running", started_at=time.time(), handle=handle)
    store.write(make_job(settings), state="running", started_at=time.time(), stage=1, handle={"pid": 1})
    whole = make_job(settings, "bert")
    worker, end = Worker(settings), time.monotonic() + 500
    while not (current := store.get("bert", whole.id)).has_ended:
        assert time.monotonic() < end
        worker.tick()
        time.sleep(0.1)
    assert current.state == "done", current.message


@pytest.mark.slow
def test_a_job_does_not_hold_the_queue_for_ever(make_settings: MakeSettings, make_job: MakeJob) -> None:
    settings = make_settings(job_hours=1 / 3600)
    job, worker, store = make_job(settings), Worker(settings), JobStore(settings)
    end = time.monotonic() + 120
    while not (current := store.get("anna", job.id)).has_ended:
        assert time.monotonic() < end
        worker.tick()
        time.sleep(0.1)
    assert current.state == "failed"
    assert "longer than" in current.message
    assert current.record.handle is None


def test_turns_go_by_address_then_by_user(make_settings: MakeSettings, make_job: MakeJob) -> None:
    settings = make_settings()
    greedy = [make_job(settings, f"cookie-{number}", address="192.0.2.1") for number in range(3)]
    ada = [make_job(settings, "ada", address="198.51.100.2") for _ in range(2)]
    store = JobStore(settings)
    order = [greedy[0], ada[0], greedy[1], ada[1], greedy[2]]
    assert [job.id for job in store.queue()] == [job.id for job in order]
    store.write(greedy[0], state="running", started_at=time.time())
    assert store.queue()[0].id == ada[0].id
    store.write(greedy[0], state="done", started_at=time.time(), ended_at=time.time())
    assert store.queue()[0].id == ada[0].id  # whoever was served waits for the others


def test_free_cookies_do_not_multiply_the_jobs(make_settings: MakeSettings, make_job: MakeJob) -> None:
    settings = make_settings(waiting_per_owner=2, owners_per_address=2, waiting_in_all=5)
    for number in range(4):
        make_job(settings, f"cookie-{number}", address="192.0.2.1")
    with pytest.raises(InputError, match="network address"):
        make_job(settings, "cookie-4", address="192.0.2.1")
    make_job(settings, "ada", address="198.51.100.2")
    with pytest.raises(InputError, match="all that are taken"):
        make_job(settings, "bert", address="198.51.100.3")


def test_an_absurd_size_takes_nobodys_room(make_settings: MakeSettings) -> None:
    settings = make_settings()
    uploads = Uploads(settings)
    broken = uploads.begin("anna", "a.tif", 10)
    with Database(settings.data).writing() as execute:
        execute("UPDATE uploads SET size_bytes = ? WHERE id = ?", (2**62, broken.id))
    assert uploads.begin("berta", "b.tif", 10).size_bytes == 10


def test_announced_bytes_are_kept_free(make_settings: MakeSettings) -> None:
    uploads, size = Uploads(make_settings()), 2**31
    before = uploads.room_bytes()
    if before < 2 * size:
        pytest.skip("the disk is too full to tell")
    uploads.begin("anna", "stack.tif", size)
    assert before - uploads.room_bytes() == pytest.approx(size, rel=0.5)
    all_of_it = make_settings(upload_bytes=2**60, owner_quota_bytes=2**60, quota_bytes=2**60)
    with pytest.raises(StorageError, match="left here"):
        Uploads(all_of_it).begin("bert", "stack.tif", uploads.room_bytes() + size // 2)


@pytest.fixture
def old_folder(tmp_path: Path) -> Iterator[Path]:
    """A data folder as version 0.1.0 left it: a job that waits, one that is done, damaged ones, and an upload."""
    data = tmp_path / "data"
    record = {
        "owner": "anna",
        "name": "stack.zip",
        "input": "upload/unpacked",
        "shape_zyx": [4, 64, 96],
        "voxel_size_nm": [40.0, 8.0, 8.0],
        "voxel_size_is_stated": False,
        "model_url": "runs/demo",
        "model_name": "demo",
        "target": "multilabel",
        "treatment": {"key": "zssr", "label": "a", "explanation": "b", "voxel_size_nm": [40.0, 4.0, 4.0]},
        "created_at": 1.0,
        "state": "queued",
        "started_at": None,
        "ended_at": None,
        "stage": 0,
        "tries": 0,
        "handle": None,
        "message": "",
        "log_tail": [],
    }
    done = record | {"state": "done", "created_at": 2.0, "started_at": 3.0, "ended_at": 4.0, "treatment": None}
    step = {"name": "a", "label": "b", "state": "done", "done": 1, "total": 2, "seconds": 3.0}
    written = {
        "20260101-0000000000000001/job.json": record,
        "20260101-0000000000000001/cancel": "",
        "20260101-0000000000000002/job.json": done,
        "20260101-0000000000000002/progress.json": {"steps": [step]},
        "20260101-0000000000000003/job.json": [],
        "20260101-0000000000000004/job.json": record | {"created_at": "yesterday"},
        "20260101-0000000000000005/job.json": {name: record[name] for name in ("owner", "state")},
    }
    for name, content in written.items():
        (data / "jobs" / name).parent.mkdir(parents=True, exist_ok=True)
        (data / "jobs" / name).write_text(json.dumps(content))
    upload = data / "uploads" / ("a" * 32)
    upload.mkdir(parents=True)
    (upload / "upload.json").write_text(json.dumps({"owner": "anna", "name": "a.tif", "size_bytes": 10}))
    (upload / "part").write_bytes(b"12345")
    return data


def test_an_old_folder_is_taken_in(old_folder: Path) -> None:
    settings = Settings(data=old_folder, models=())
    for _ in range(2):  # once, however often it is opened
        store = JobStore(settings)
        first, last = store.all()
        assert (first.state, first.record.voxel_size_nm, first.record.log_tail) == ("cancelled", (40.0, 8.0, 8.0), ())
        assert first.record.treatment is not None
        assert first.record.treatment.voxel_size_nm == (40.0, 4.0, 4.0)
        assert (last.state, last.record.ended_at, last.steps[0].seconds) == ("done", 4.0, 3.0)
        assert store.counts() == {"queued": 0, "running": 0, "done": 1, "failed": 0, "cancelled": 1}
    uploads = Uploads(settings)
    assert uploads.append("anna", "a" * 32, 5, b"67890").path.read_bytes() == b"1234567890"


def test_a_database_of_a_newer_version_is_left_alone(make_settings: MakeSettings) -> None:
    settings = make_settings()
    with Database(settings.data).writing() as execute:
        execute("PRAGMA user_version = 99")
    with pytest.raises(ConfigError, match="newer"):
        JobStore(settings)


def test_what_is_no_database_is_named(make_settings: MakeSettings) -> None:
    settings = make_settings()
    settings.data.mkdir()
    (settings.data / NAME).write_bytes(b"dear diary" * 1000)
    with pytest.raises(StorageError, match="database"):
        JobStore(settings)


def test_a_killed_writer_leaves_what_it_has_finished(make_settings: MakeSettings, make_job: MakeJob) -> None:
    """A transaction that was begun and not ended, as by a crash, has changed nothing."""
    settings = make_settings()
    job = make_job(settings)
    crashed = sqlite3.connect(settings.data / NAME, isolation_level=None)
    crashed.execute("BEGIN IMMEDIATE")
    crashed.execute("UPDATE jobs SET state = 'done'")
    assert JobStore(settings).get("anna", job.id).record.state == "queued"
    crashed.close()
    assert JobStore(settings).cancel("anna", job.id).state == "cancelled"


def test_numbers_of_numpy_come_back_as_numbers(make_settings: MakeSettings, model: ModelCard, stack: bytes) -> None:
    settings = make_settings()
    upload = uploaded(settings, stack)
    found = look(settings, upload)
    shape = tuple(np.int64(edge) for edge in found.shape_zyx)
    size = tuple(np.float32(edge) for edge in VOXEL_SIZE_NM)
    job = JobStore(settings).create("anna", replace(found, shape_zyx=shape), model, voxel_size_nm=size, upload=upload)
    assert (job.record.shape_zyx, job.record.voxel_size_nm) == (found.shape_zyx, VOXEL_SIZE_NM)
    assert {type(edge) for edge in job.record.shape_zyx} == {int}


@pytest.mark.parametrize("edge", [0.0, -8.0, math.nan, math.inf, -math.inf])
def test_a_voxel_size_that_says_nothing_is_not_stated(
    edge: float, make_settings: MakeSettings, model: ModelCard, stack: bytes
) -> None:
    settings = make_settings()
    upload = uploaded(settings, stack)
    found = replace(look(settings, upload), voxel_size_nm=(40.0, edge, 8.0))
    assert not is_voxel_size(found.voxel_size_nm)
    with pytest.raises(InputError, match="does not state its voxel size"):
        JobStore(settings).create("anna", found, model, upload=upload)
    job = JobStore(settings).create("anna", found, model, voxel_size_nm=VOXEL_SIZE_NM, upload=upload)
    assert (job.record.voxel_size_nm, job.record.voxel_size_is_stated) == (VOXEL_SIZE_NM, False)


def test_what_users_write_reaches_no_workflow(make_settings: MakeSettings, model: ModelCard) -> None:
    settings, store = make_settings(), JobStore(make_settings())
    grey = np.zeros((3, 40, 56), np.uint8)
    path = Path(settings.data / "x.npy")
    np.save(path, grey)
    upload = uploaded(settings, path.read_bytes(), "$(HOSTNAME) 'a' {{b}} (1).NPY")
    job = store.create("anna", look(settings, upload), model, voxel_size_nm=VOXEL_SIZE_NM, upload=upload)
    assert job.record.input == "upload/volume.npy"
    assert np.array_equal(np.load(job.input), grey)
    for place in ("s3://lab/$(HOME)", "/lab/{{workflow.name}}.tif", "/lab/a'b", '/lab/a"b', "/lab/a\nb", "/lab/a`b`"):
        found = replace(look(settings, uploaded(settings, path.read_bytes(), "a.npy")), location=place)
        with pytest.raises(InputError, match="characters that are not taken"):
            store.create("anna", found, model, voxel_size_nm=VOXEL_SIZE_NM)
    assert [each.id for each in store.history("anna")] == [job.id]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("/data/app/jobs/1/upload/stack.tif: is broken", "stack.tif: is broken"),
        ("reading file:///data/runs/demo/models/a.json failed", "reading a.json failed"),
        ('File "/usr/lib/python3.11/site.py", line 3', 'File "site.py", line 3'),
        ("s3://lab/runs/demo: no such run", "s3://lab/runs/demo: no such run"),
        ("see https://example.org/a/b/c", "see https://example.org/a/b/c"),
        ("3 of 4 slices, 10 nm/voxel, a/b", "3 of 4 slices, 10 nm/voxel, a/b"),
    ],
)
def test_no_folder_of_the_server_is_told(text: str, told: str) -> None:
    assert without_paths(text) == told


def test_a_session_is_given_time_and_ends() -> None:
    owners = Owners(None, b"key", 3600.0)
    cookies = {COOKIE: str(owners.cookie({}))}
    assert owners.of({}, cookies) is not None
    assert owners.cookie(cookies) is None
    assert Owners(None, b"other key", 3600.0).of({}, cookies) is None
    time.sleep(2.1)
    short = Owners(None, b"key", 1.0)
    assert short.of({}, cookies) is None
    longer = Owners(None, b"key", 30.0)
    again = {COOKIE: str(longer.cookie(cookies))}
    assert again != cookies
    assert longer.of({}, again) == owners.of({}, cookies)

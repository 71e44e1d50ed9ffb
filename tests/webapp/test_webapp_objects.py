"""A job whose model tells objects apart lists them: the tables are the run's own, and places are where they lie."""

from __future__ import annotations

import csv
import io
import time

import numpy as np
import pytest
from tinystudy import VOXEL_SIZE_NM, place
from webapp_support import look, uploaded

from pipeline.errors import InputError
from pipeline.run.layout import Run
from pipeline.volume.geometry import Block
from pipeline.webapp import catalogue
from pipeline.webapp.downloads import DOWNLOADS, OBJECT_DOWNLOADS
from pipeline.webapp.jobs import Job, JobStore
from pipeline.webapp.results import Result
from pipeline.webapp.settings import Settings
from pipeline.webapp.worker import Worker

PATIENCE_SECONDS = 300.0
pytestmark = pytest.mark.slow


def segmented(
    stack: bytes, model: Run, folder: pytest.TempPathFactory, voxel_size_nm: tuple[float, float, float] = VOXEL_SIZE_NM
) -> Job:
    settings = Settings(data=folder.mktemp("data"), models=(str(place(model)),), cores=1)
    upload, card = uploaded(settings, stack), catalogue.models([str(place(model))])[0]
    store = JobStore(settings)
    job = store.create("anna", look(settings, upload), card, voxel_size_nm=voxel_size_nm, upload=upload)
    worker, end = Worker(settings), time.monotonic() + PATIENCE_SECONDS
    while not (current := store.get(job.owner, job.id)).has_ended:
        assert time.monotonic() < end, current
        worker.tick()
        time.sleep(0.1)
    assert current.state == "done", (current.message, current.record.log_tail)
    return current


@pytest.fixture(scope="module")
def done(stack: bytes, with_objects: Run, tmp_path_factory: pytest.TempPathFactory) -> Job:
    return segmented(stack, with_objects, tmp_path_factory)


def test_every_object_is_listed_and_lies_where_it_is_said_to(done: Job) -> None:
    result, run = Result.open(done), Run.open(done.run)
    assert result.object_classes == ("grey", "bright")
    for name in result.object_classes:
        rows = result.objects(name).to_pylist()
        ids = run.objects(name, "volume").read(result.geometry.block)
        assert [row["voxels"] for row in rows] == sorted((row["voxels"] for row in rows), reverse=True)
        assert {row["id"] for row in rows} == set(np.unique(ids)) - {0}
        for row in rows:
            there = result.whereabouts(row)
            inside = np.argwhere(ids == row["id"])
            assert there.start_zyx == tuple(inside.min(axis=0))
            assert there.stop_zyx == tuple(inside.max(axis=0) + 1)
            assert Block(there.start_zyx, there.stop_zyx).contains(
                Block(there.centre_zyx, tuple(np.add(there.centre_zyx, 1)))
            )


def test_tables_to_download_are_those_of_the_run(done: Job) -> None:
    result = Result.open(done)
    assert set(result.downloads) == {*DOWNLOADS, *OBJECT_DOWNLOADS}
    for kind, name in (
        ("objects", "objects.csv"),
        ("objects-parquet", "objects.parquet"),
        ("contacts", "contacts.csv"),
    ):
        assert result.download(kind).read_bytes() == (done.run / "evaluation" / name).read_bytes()
    rows = list(csv.DictReader(io.StringIO(result.download("objects").read_text())))
    assert len(rows) == sum(result.objects(name).num_rows for name in result.object_classes)


def test_a_damaged_table_is_not_shown(done: Job) -> None:
    path = done.run / "evaluation/objects.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    try:
        with pytest.raises(InputError, match=r"objects\.parquet"):
            Result(done).objects("bright")
    finally:
        path.write_bytes(whole)


def test_on_another_grid_an_object_lies_where_it_lies_in_space(
    stack: bytes, with_objects: Run, tmp_path_factory: pytest.TempPathFactory
) -> None:
    z, y, x = VOXEL_SIZE_NM
    result = Result.open(segmented(stack, with_objects, tmp_path_factory, (z, y / 2, x / 2)))
    assert result.shape_zyx == (4, 64, 96)
    for row in result.objects("bright").to_pylist():
        there = result.whereabouts(row)
        assert there.start_zyx[2] == min(2 * row["box_start_x_voxel"], 96)
        assert there.stop_zyx[2] == min(2 * row["box_stop_x_voxel"], 96)

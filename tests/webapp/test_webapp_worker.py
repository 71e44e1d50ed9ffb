"""The queue at work, with real processes of this machine: labels, order, cancelling, restarts, failures.

A server's restart is a worker that is killed with SIGKILL in a process of its own, and another one after it.
"""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy.ndimage import label
from tinystudy import VOXEL_SIZE_NM, files, place
from webapp_support import MakeJob, MakeSettings, look, uploaded

from pipeline.errors import InputError
from pipeline.run.layout import Run
from pipeline.volume.omezarr import open_image
from pipeline.volume.stores import Store
from pipeline.webapp import catalogue
from pipeline.webapp.catalogue import ModelCard, mismatch
from pipeline.webapp.downloads import DOWNLOADS
from pipeline.webapp.jobs import Job, JobStore
from pipeline.webapp.results import Result
from pipeline.webapp.settings import Settings
from pipeline.webapp.worker import Worker

WORKFLOWS = Path(__file__).parents[2] / "workflows"
PATIENCE_SECONDS = 400.0
SERVER = """
import sys, time
from pipeline.webapp.settings import Settings
from pipeline.webapp.worker import Worker
Worker(Settings.model_validate_json(sys.argv[1])).start()
time.sleep(1000)
"""
Server = Callable[[Settings], "subprocess.Popen[bytes]"]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def wait_for(settings: Settings, job: Job, is_so: Callable[[Job], bool], tick: Callable[[], None]) -> Job:
    """The job once something is so; `tick` in the meantime."""
    store, end = JobStore(settings), time.monotonic() + PATIENCE_SECONDS
    while not is_so(current := store.get(job.owner, job.id)):
        assert time.monotonic() < end, current
        assert current.state != "failed", current
        tick()
        time.sleep(0.1)
    return current


def work_off(settings: Settings, job: Job, state: str = "done") -> Job:
    """The job at its end, by a worker of this process."""
    worker, store, end = Worker(settings), JobStore(settings), time.monotonic() + PATIENCE_SECONDS
    while not (current := store.get(job.owner, job.id)).has_ended:
        assert time.monotonic() < end, current
        worker.tick()
        time.sleep(0.1)
    assert current.state == state, (current.message, current.record.log_tail)
    return current


def at(step: str) -> Callable[[Job], bool]:
    """Whether a job is at a step."""
    return lambda job: any(each.name == step and each.state == "running" for each in job.steps)


def processes_of(job: Job) -> list[int]:
    """The processes that have to do with a job."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if job.id in (entry / "cmdline").read_text() and "Z" not in (entry / "stat").read_text().split()[2]:
                found.append(int(entry.name))
    return found


def labels(run: Path) -> dict[str, bytes]:
    """Every file of the predictions."""
    return files(run / "volume.zarr/volume/labels")


@pytest.fixture
def server() -> Iterator[Server]:
    """Start workers in processes of their own, which end with the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start(settings: Settings) -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen([sys.executable, "-c", SERVER, settings.model_dump_json()]))
        return started[-1]

    yield start
    for process in started:
        kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a process as a crash does."""
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def reference(stack: bytes, model: ModelCard, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of `vemseg run workflows/segment.yaml` on the stack."""
    folder = tmp_path_factory.mktemp("reference")
    (folder / "stack.zip").write_bytes(stack)
    given = {"model": model.url, "input": folder / "stack.zip", "run": folder / "run"}
    given |= {"voxel-size-nm": ",".join(map(str, VOXEL_SIZE_NM))}
    words = [word for name, value in given.items() for word in ("-p", f"{name}={value}")]
    command = [sys.executable, "-m", "pipeline", "run", WORKFLOWS / "segment.yaml", *words]
    subprocess.run(command, check=True, capture_output=True)
    return folder / "run"


@pytest.fixture(scope="module")
def done(stack: bytes, model: ModelCard, finished: Run, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A job that is done; only to be read."""
    settings = Settings(data=tmp_path_factory.mktemp("done"), models=(str(place(finished)),), cores=1)
    upload = uploaded(settings, stack)
    job = JobStore(settings).create("anna", look(settings, upload), model, voxel_size_nm=VOXEL_SIZE_NM, upload=upload)
    return work_off(settings, job)


def test_labels_are_those_of_the_command_line(done: Job, reference: Path) -> None:
    assert labels(done.run) == labels(reference)


def test_progress_is_told_by_step(done: Job) -> None:
    assert [(step.name, step.state) for step in done.steps] == [
        ("segment.prepare", "done"),
        ("segment.infer", "done"),
        ("segment.finish", "done"),
    ]
    infer = done.steps[1]
    assert infer.done == infer.total > 0
    assert all(step.seconds is not None for step in done.steps)
    assert not (done.folder / "tmp").exists()


def test_slices_show_what_is_stored(done: Job) -> None:
    result = Result.open(done)
    volume = result.labels.read(result.geometry.block)
    for axis in range(3):
        view = result.view(axis)
        for index in (0, view.slices - 1):
            grey, numbers = result.slice(axis, index)
            assert grey.shape == numbers.shape == (view.rows, view.columns)
            np.testing.assert_array_equal(numbers, volume.take(index, axis))
            assert grey.std() > 10
        for index in (-1, view.slices):
            with pytest.raises(InputError, match="no slice"):
                result.slice(axis, index)
    with pytest.raises(InputError, match="no axis"):
        result.view(3)


def test_counts_are_exact(done: Job) -> None:
    result = Result.open(done)
    volume = result.labels.read(result.geometry.block)
    for count in result.class_counts():
        assert count.voxels == np.count_nonzero(volume == count.number)
        assert count.pieces + count.specks == label(volume == count.number)[1]
        assert count.volume_um3 == pytest.approx(count.voxels * np.prod(VOXEL_SIZE_NM) * 1e-9)
        assert count.pieces_level == 0
    assert sum(count.share for count in result.class_counts()) == pytest.approx(1)


def test_nothing_that_was_damaged_is_handed_out(done: Job) -> None:
    """A shard that is missing would be read as zeros."""
    result, folder = Result(done), Result(done).volumes()["labels"]
    first = min(path for path in (folder / "0/c").rglob("*") if path.is_file())
    name, whole = first.relative_to(folder).as_posix(), first.read_bytes()
    place = [int(each) * side for each, side in zip(name.split("/")[2:], result.labels.shard_zyx, strict=True)]
    grey, numbers = result.slice(0, place[0])
    for damaged in (None, b"", whole[:-1] + bytes([whole[-1] ^ 1])):
        first.unlink(missing_ok=True)
        if damaged is not None:
            first.write_bytes(damaged)
        with pytest.raises(InputError, match=f"{name} ") as refused:
            result.slice(0, place[0])
        assert str(done.folder) not in str(refused.value)
        with pytest.raises(InputError, match=f"{name} "):
            result.file("labels", name)
    (done.downloads / "stack-classes.tif").unlink(missing_ok=True)
    with pytest.raises(InputError, match=f"{name} "):
        result.download("tiff")
    first.write_bytes(whole)
    unasked = first.with_name("99")
    unasked.write_bytes(whole)
    with pytest.raises(InputError, match="vouched for by no marker"):
        result.file("labels", unasked.relative_to(folder).as_posix())
    unasked.unlink()
    for mine, before in zip(result.slice(0, place[0]), (grey, numbers), strict=True):
        np.testing.assert_array_equal(mine, before)
    assert result.file("labels", name) == first.resolve()


def test_downloads_hold_the_result_and_are_made_once(done: Job, tmp_path: Path) -> None:
    result = Result.open(done)
    volume = result.labels.read(result.geometry.block)
    paths = {kind: result.download(kind) for kind in DOWNLOADS}
    times = {path: path.stat().st_mtime_ns for path in paths.values()}
    assert {path: path.stat().st_mtime_ns for path in map(result.download, DOWNLOADS)} == times
    np.testing.assert_array_equal(tifffile.imread(paths["tiff"]), volume)
    with zipfile.ZipFile(paths["ome-zarr"]) as archive:
        archive.extractall(tmp_path)
    image = open_image(Store.open(tmp_path / "stack.ome.zarr"))
    np.testing.assert_array_equal(image.read(image.geometry.block), result.image.read(result.geometry.block))
    inside = open_image(Store.open(tmp_path / "stack.ome.zarr/labels/segmentation"))
    np.testing.assert_array_equal(inside.read(inside.geometry.block), volume)
    assert inside.classes == result.labels.classes
    with paths["csv"].open() as file:
        assert {row["class"]: int(row["voxels"]) for row in csv.DictReader(file)} == {
            count.name: count.voxels for count in result.class_counts()
        }
    present = {count.name for count in result.class_counts() if count.voxels}
    for ending in ("ply", "stl"):
        with zipfile.ZipFile(paths[f"meshes-{ending}"]) as archive:
            assert {Path(name).stem for name in archive.namelist()} <= present
            assert all(len(archive.read(name)) > 100 for name in archive.namelist())
    assert b"<html" in result.scene().read_bytes()
    with pytest.raises(InputError, match="no download"):
        result.download("../../job.json")


def test_a_result_without_objects_offers_none(done: Job) -> None:
    result = Result.open(done)
    assert result.object_classes == ()
    assert set(result.downloads) == set(DOWNLOADS)
    with pytest.raises(InputError, match="there is no download 'objects'"):
        result.download("objects")
    with pytest.raises(InputError, match="its model has not learnt to"):
        result.table("objects.csv")


def test_five_users_at_once_are_served_in_order(make_settings: MakeSettings, make_job: MakeJob) -> None:
    settings = make_settings()
    jobs = [make_job(settings, f"user-{number}") for number in range(5)]
    assert [job.queue_position for job in jobs] == [0, 1, 2, 3, 4]
    last = work_off(settings, jobs[-1])
    records = [JobStore(settings).get(job.owner, job.id).record for job in jobs]
    assert {record.state for record in records} == {"done"}
    assert last.record == records[-1]
    for before, after in pairwise(records):
        assert before.ended_at is not None
        assert after.started_at is not None
        assert before.ended_at <= after.started_at


def test_a_job_that_runs_is_cancelled_with_all_its_processes(make_settings: MakeSettings, make_job: MakeJob) -> None:
    settings = make_settings()
    job, following, store, worker = make_job(settings), make_job(settings), JobStore(settings), Worker(settings)
    wait_for(settings, job, at("segment.infer"), worker.tick)
    assert store.cancel("anna", following.id).state == "cancelled"
    assert store.cancel("anna", job.id).state == "running"
    wait_for(settings, job, lambda current: current.state == "cancelled", worker.tick)
    assert processes_of(job) == []
    assert store.get("anna", following.id).record.state == "cancelled"
    assert not (following.folder / "run").exists()
    with pytest.raises(InputError, match="no result"):
        Result.open(store.get("anna", job.id))


def test_a_job_outlives_its_server(
    make_settings: MakeSettings, make_job: MakeJob, server: Server, reference: Path
) -> None:
    settings = make_settings()
    job, first = make_job(settings), server(settings)
    running = wait_for(settings, job, at("segment.prepare"), lambda: None)
    kill(first)
    assert running.record.handle is not None
    assert running.record.handle["pid"] in processes_of(job)
    server(settings)
    last = wait_for(settings, job, lambda current: current.has_ended, lambda: None)
    assert (last.state, last.record.tries) == ("done", 1)
    assert labels(job.run) == labels(reference)


def test_a_job_that_died_with_its_server_goes_on(
    make_settings: MakeSettings, make_job: MakeJob, server: Server, reference: Path
) -> None:
    settings = make_settings()
    job, first = make_job(settings), server(settings)
    running = wait_for(settings, job, at("segment.infer"), lambda: None)
    kill(first)
    assert running.record.handle is not None
    os.killpg(running.record.handle["pid"], signal.SIGKILL)
    prepared = (job.run / "plan.json").stat().st_mtime_ns
    server(settings)
    last = wait_for(settings, job, lambda current: current.has_ended, lambda: None)
    assert (last.state, last.record.tries) == ("done", 2)
    assert (job.run / "plan.json").stat().st_mtime_ns == prepared  # what was done is not done again
    assert labels(job.run) == labels(reference)


def test_of_two_servers_one_works(make_settings: MakeSettings, make_job: MakeJob, server: Server) -> None:
    settings = make_settings()
    jobs = [make_job(settings, owner) for owner in ("anna", "bert")]
    first, _ = server(settings), server(settings)
    wait_for(settings, jobs[0], lambda current: current.state == "running", lambda: None)
    time.sleep(2)
    assert JobStore(settings).get("bert", jobs[1].id).state == "queued"
    for job in jobs:
        JobStore(settings).cancel(job.owner, job.id)
    first.kill()  # whichever it was, one of them ends what was begun
    for job in jobs:
        wait_for(settings, job, lambda current: current.record.state == "cancelled", lambda: None)
    assert processes_of(jobs[0]) == []


def test_a_failure_is_told_in_plain_words(
    make_settings: MakeSettings, make_job: MakeJob, copied: Run, tmp_path: Path
) -> None:
    weights = tmp_path / "run/models/multilabel/model.safetensors"
    card = catalogue.models([str(weights.parent)])[0]
    weights.write_bytes(weights.read_bytes()[:-4] + b"abcd")
    settings = make_settings()
    job = make_job(settings)
    JobStore(settings).write(job, model_url=card.url)
    last = work_off(settings, job, "failed")
    assert "model.safetensors is not the file" in last.message
    assert str(settings.data) not in last.message
    assert last.record.log_tail
    assert [step.state for step in last.steps] == ["failed", "waiting", "waiting"]


def test_a_coarse_volume_is_made_finer_first(make_settings: MakeSettings, make_job: MakeJob, model: ModelCard) -> None:
    settings = make_settings()
    z_nm, y_nm, x_nm = VOXEL_SIZE_NM
    coarse_nm = (float(z_nm), 2.0 * y_nm, 2.0 * x_nm)
    found = mismatch(coarse_nm, model)
    assert found is not None
    interpolate = next(each for each in found.treatments if each.key == "bicubic")
    job = make_job(settings, voxel_size_nm=coarse_nm, treatment=interpolate)
    last = work_off(settings, job)
    assert [step.name for step in last.steps] == [
        *("boost.prepare", "boost.apply"),
        *("segment.prepare", "segment.infer", "segment.finish"),
    ]
    assert {step.state for step in last.steps} == {"done"}
    result = Result.open(last)
    depth, height, width = job.record.shape_zyx
    assert result.shape_zyx == (depth, 2 * height, 2 * width)
    assert result.voxel_size_nm == pytest.approx(VOXEL_SIZE_NM)


def test_a_volume_is_resampled_and_its_result_brought_back(
    make_settings: MakeSettings, make_job: MakeJob, model: ModelCard
) -> None:
    settings = make_settings()
    fine_nm = (20.0, 4.0, 4.0)
    found = mismatch(fine_nm, model)
    assert found is not None
    (treatment,) = found.treatments
    job = make_job(settings, voxel_size_nm=fine_nm, treatment=treatment)
    last = work_off(settings, job)
    assert last.state == "done"
    assert Result.open(last).shape_zyx == job.record.shape_zyx
    assert Result.open(last).voxel_size_nm == fine_nm
    assert Run.open(job.run).image("volume").geometry.voxel_size_nm == VOXEL_SIZE_NM
    Result.open(last).refuse_damaged()


def test_without_a_treatment_the_pipelines_own_words_reach_the_user(
    make_settings: MakeSettings, make_job: MakeJob
) -> None:
    settings = make_settings()
    job = make_job(settings, voxel_size_nm=(40.0, 80.0, 80.0))
    assert "no axis may change by more than 8" in work_off(settings, job, "failed").message

"""Objects of a class through the whole chain: the same bytes however the work is shared, cut, killed or begun anew."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.measure import regionprops
from tinystudy import run_chain, whole, write_study

from pipeline.errors import RunConflictError
from pipeline.objects.growing import Reach
from pipeline.objects.partition import separate as separate_in_memory
from pipeline.run import provenance
from pipeline.run.layout import Run
from pipeline.run.objecttables import read_table
from pipeline.run.phases import SEPARATION
from pipeline.scoring.object_scores import object_counts
from pipeline.scoring.overlaps import overlaps
from pipeline.steps.evaluate import evaluate
from pipeline.steps.separate import separate

OBJECTS: dict[str, Any] = {
    "classes": {
        "members": [
            {"name": "dark", "ids": [1]},
            {"name": "grey", "ids": [2]},
            {"name": "bright", "ids": [3], "instances": True, "rim_nm": 12},
        ]
    },
    "inference": {"region": "all", "reach_nm": 60},
    "training": {"steps": 120},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("objects")
    return run_chain(write_study(folder, OBJECTS), folder / "run", score=False)


def expected(run: Run) -> NDArray[np.uint64]:
    classes, cores = whole(run.segmentation("multilabel", "tiny")), whole(run.cores("tiny"))
    reach = Reach.of(run.reach_nm, run.plan.capture("tiny").voxel_size_nm)
    return separate_in_memory(np.where(classes == 3, 3, 0).astype(np.uint8), cores, reach, {})


def test_objects_are_those_of_one_pass(run: Run) -> None:
    separate(run.store.url)
    found, wanted = whole(run.objects("bright", "tiny")), expected(run)
    assert whole(run.cores("tiny")).max() == 3
    assert wanted.max() > 3
    np.testing.assert_array_equal(found, wanted)
    assert found.dtype == np.uint32


@pytest.fixture(scope="module")
def evaluated(run: Run) -> Run:
    separate(run.store.url)
    evaluate(run.store.url)
    return run


def test_the_table_holds_every_object_as_it_lies_in_the_volume(evaluated: Run) -> None:
    table = read_table(evaluated, "objects")
    found = whole(evaluated.objects("bright", "tiny"))
    regions = regionprops(found.astype(np.int64), spacing=evaluated.plan.capture("tiny").voxel_size_nm)
    assert table["id"].to_pylist() == [region.label for region in regions]
    assert table["volume_nm3"].to_pylist() == pytest.approx([region.area for region in regions])
    assert set(table["class"].to_pylist()) == {"bright"}
    assert table["membrane_distance_nm"].null_count == len(regions)  # no class is called so
    csv_rows = list(csv.DictReader(io.StringIO(evaluated.evaluation_store.read("objects.csv").decode())))
    assert [int(row["id"]) for row in csv_rows] == table["id"].to_pylist()
    assert read_table(evaluated, "contacts").num_rows == sum(table["contacts"].to_pylist()) / 2


def test_scores_of_objects_are_those_of_the_test_part_at_once(evaluated: Run) -> None:
    truth, predicted = (
        whole(ids) for ids in (evaluated.true_objects("bright", "tiny"), evaluated.objects("bright", "tiny"))
    )
    scored = np.zeros(truth.shape, bool)
    for block in evaluated.plan.capture("tiny").split().test:
        scored[block.slices] = True
    expected = object_counts(overlaps(truth, predicted, np.pad(scored, 1))).scores()
    table = evaluated.scores
    assert table is not None
    assert table.objects == {"bright": expected}
    assert expected.counts.true > 3
    matches = read_table(evaluated, "object_matches").to_pylist()
    assert sum(row["state"] != "invented" for row in matches) == expected.counts.true
    assert sum(row["state"] != "missed" for row in matches) == expected.counts.predicted
    assert "**Objects**" in evaluated.evaluation_store.read("scores.md").decode()


def test_shards_and_workers_leave_the_tables_as_they_are(evaluated: Run, tmp_path: Path) -> None:
    changes = {**OBJECTS, "inference": {**OBJECTS["inference"], "shard_zyx": [4, 64, 64]}}
    other = run_chain(write_study(tmp_path, changes), tmp_path / "run", score=False)
    for phase in SEPARATION:
        for worker in range(2):
            separate(other.store.url, phase=phase, worker=worker, workers=2)
    evaluate(other.store.url)
    for name in ("objects", "contacts", "object_matches"):
        key = f"{name}.csv"
        assert other.evaluation_store.read(key) == evaluated.evaluation_store.read(key), name


def test_measuring_waits_for_all_numbers(run: Run) -> None:
    run = Run.open(run.store.url)
    shards = provenance.separation(run, "number")
    separate(run.store.url)
    key = shards[-1].marker.key
    kept = run.store.read(key)
    run.store.delete(key)
    try:
        for each in provenance.separation(run, "measure"):
            run.store.delete(each.marker.key)
        with pytest.raises(RunConflictError, match="--phase number"):
            separate(run.store.url, phase="measure")
    finally:
        run.store.write(key, kept)

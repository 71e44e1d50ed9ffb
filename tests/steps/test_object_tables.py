"""The tables of a run hold what lies in its volumes, and its scores are those of the whole test part at once."""

from __future__ import annotations

import csv
import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from skimage.measure import regionprops
from tinystudy import INSTANCES, place, run_chain, whole, write_study

from pipeline.errors import RunConflictError
from pipeline.objects.table import of_class
from pipeline.run import provenance
from pipeline.run.layout import Run
from pipeline.run.objecttables import read_table
from pipeline.run.phases import SEPARATION
from pipeline.run.verify import verify
from pipeline.scoring.object_scores import object_counts
from pipeline.scoring.overlaps import overlaps
from pipeline.steps.evaluate import evaluate
from pipeline.steps.separate import separate

CLASSES = ("grey", "bright")


@pytest.mark.parametrize("name", CLASSES)
def test_the_table_holds_every_object_as_it_lies_in_the_volume(name: str, with_objects: Run) -> None:
    table = of_class(read_table(with_objects, "objects"), name)
    found = whole(with_objects.objects(name, "tiny"))
    regions = regionprops(found.astype(np.int64), spacing=with_objects.plan.capture("tiny").voxel_size_nm)
    assert table["id"].to_pylist() == [region.label for region in regions]
    assert table["volume_nm3"].to_pylist() == pytest.approx([region.area for region in regions])
    membrane = whole(with_objects.segmentation("multilabel", "tiny")) == 1
    beside = np.pad(membrane, 1)
    touching = np.unique(found[beside[1:-1, 1:-1, :-2] | beside[1:-1, 1:-1, 2:]])
    for row in table.to_pylist():
        assert (row["membrane_distance_nm"] == 8) >= (row["id"] in touching)


def test_the_files_hold_the_same(with_objects: Run) -> None:
    for name in ("objects", "contacts", "object_matches"):
        table = read_table(with_objects, name)
        rows = list(csv.DictReader(io.StringIO(with_objects.evaluation_store.read(f"{name}.csv").decode())))
        assert [row["class"] for row in rows] == table["class"].to_pylist()
        assert {row["capture"] for row in rows} == {"tiny"}
    contacts = read_table(with_objects, "contacts")
    assert contacts.num_rows == sum(read_table(with_objects, "objects")["contacts"].to_pylist()) / 2
    assert {tuple(row.values()) for row in contacts.select(["class", "other_class"]).to_pylist()} >= {
        ("grey", "bright")
    }


@pytest.mark.parametrize("name", CLASSES)
def test_scores_of_objects_are_those_of_the_test_part_at_once(name: str, with_objects: Run) -> None:
    truth, predicted = whole(with_objects.true_objects(name, "tiny")), whole(with_objects.objects(name, "tiny"))
    scored = np.zeros(truth.shape, bool)
    for block in with_objects.plan.capture("tiny").split().test:
        scored[block.slices] = True
    expected = object_counts(overlaps(truth, predicted, np.pad(scored, 1))).scores()
    table = with_objects.scores
    assert table is not None
    assert list(table.objects) == list(CLASSES)
    assert table.objects[name] == expected
    assert expected.counts.true >= 1
    matches = of_class(read_table(with_objects, "object_matches"), name).to_pylist()
    assert sum(row["state"] != "invented" for row in matches) == expected.counts.true
    assert sum(row["state"] != "missed" for row in matches) == expected.counts.predicted
    assert "**Objects**" in with_objects.evaluation_store.read("scores.md").decode()


def test_shards_and_workers_leave_the_tables_as_they_are(with_objects: Run, tmp_path: Path) -> None:
    changes = {**INSTANCES, "inference": {**INSTANCES["inference"], "shard_zyx": [4, 64, 64]}}
    other = run_chain(write_study(tmp_path, changes), tmp_path / "run", score=False)
    for phase in SEPARATION:
        for worker in range(2):
            separate(other.store.url, phase=phase, worker=worker, workers=2)
    evaluate(other.store.url)
    for name in ("objects", "contacts", "object_matches"):
        key = f"{name}.csv"
        assert other.evaluation_store.read(key) == with_objects.evaluation_store.read(key), name


def test_measuring_waits_for_all_numbers(with_objects: Run, tmp_path: Path) -> None:
    shutil.copytree(place(with_objects), tmp_path / "run")
    run = Run.open(tmp_path / "run")
    run.store.delete(provenance.separation(run, "number")[-1].marker.key)
    for each in provenance.separation(run, "measure"):
        run.store.delete(each.marker.key)
    with pytest.raises(RunConflictError, match="--phase number"):
        separate(run.store.url, phase="measure")


def test_a_run_with_tables_is_whole(with_objects: Run) -> None:
    assert list(verify(with_objects.store.url)) == []

"""Whatever of a run is flipped, emptied, removed or exchanged: `verify` names it, and the same steps mend it."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tinystudy import BOOSTING, TELLING_TIMES, Finished, files, markers, place, run_chain, write_study

from pipeline.errors import CheckpointError, DataError, RunConflictError
from pipeline.run.layout import Run
from pipeline.run.verify import refuse_damaged_volume, verify
from pipeline.steps.evaluate import evaluate
from pipeline.steps.infer import infer
from pipeline.steps.plan import plan
from pipeline.steps.prepare import prepare
from pipeline.steps.report import report
from pipeline.steps.train import train
from pipeline.volume.stores import Store
from pipeline.volume.written import digest_of

KINDS = ("flipped", "emptied", "removed")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study(tmp_path_factory.mktemp("verified"), BOOSTING)


@pytest.fixture(scope="module")
def whole_run(config: Path) -> Run:
    """A run in which everything is done; only to be read."""
    return run_chain(config, config.parent / "run")


@pytest.fixture
def damaged(whole_run: Run, tmp_path: Path) -> Run:
    """A copy of it, to be damaged."""
    shutil.copytree(place(whole_run), tmp_path / "run")
    return Run.open(tmp_path / "run")


def results(run: Run) -> list[str]:
    """All files but those that tell times."""
    return sorted(files(place(run)))


def damage(path: Path, kind: str, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    if kind == "removed":
        path.unlink()
    elif kind == "emptied" or not content:
        path.write_bytes(b"")
    else:
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(content)


def test_a_whole_run_is_whole(whole_run: Run, vemseg: Callable[..., Finished]) -> None:
    assert verify(whole_run.store.url) == []
    assert vemseg("verify", place(whole_run)).code == 0


@pytest.mark.parametrize("seed", range(12))
def test_one_damaged_file_is_named_and_mended(seed: int, damaged: Run, config: Path) -> None:
    rng = random.Random(seed)
    key, kind = rng.choice(results(damaged)), KINDS[seed % len(KINDS)]
    before = files(place(damaged))
    damage(place(damaged) / key, kind, rng)
    named = {found.key for found in verify(damaged.store.url)}
    assert key in named, (kind, key, named)
    run_chain(config, place(damaged))
    assert files(place(damaged)) == before, (kind, key)
    assert verify(damaged.store.url) == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_many_damaged_files_are_named_and_mended(kind: str, damaged: Run, config: Path) -> None:
    rng = random.Random(kind)
    before = files(place(damaged))
    # Markers vouch for the others: what nobody vouches for any more is made again, and not named.
    keys = rng.sample([key for key in results(damaged) if not key.startswith("done/")], 40)
    for key in keys:
        damage(place(damaged) / key, kind, rng)
    assert {found.key for found in verify(damaged.store.url)} >= set(keys)
    run_chain(config, place(damaged))
    assert files(place(damaged)) == before
    assert verify(damaged.store.url) == []


def test_exactly_what_is_damaged_is_made_again(damaged: Run, config: Path) -> None:
    shards = sorted(key for key in results(damaged) if "volume.zarr/tiny/labels/segmentation/0/c/" in key)
    before = markers(place(damaged), ".")
    damage(place(damaged) / shards[0], "flipped", random.Random(0))
    run_chain(config, place(damaged))
    after = markers(place(damaged), ".")
    changed = {name for name in after if before[name] != after[name]}
    assert len(changed) == 1
    assert changed.pop().startswith("infer/multilabel/tiny/")


def test_two_shards_that_were_exchanged_are_noticed(damaged: Run, config: Path) -> None:
    """Each is a sound shard in itself: no checksum within it can tell."""
    root = place(damaged) / "volume.zarr/tiny/labels/segmentation/0/c"
    one, other, *_ = sorted(path for path in root.rglob("*") if path.is_file())
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)
    named = {found.key for found in verify(damaged.store.url)}
    assert {str(path.relative_to(place(damaged))) for path in (one, other)} == named
    assert infer(damaged.store.url, target="multilabel") == 2
    assert (one.read_bytes(), other.read_bytes()) == (first, second)


@pytest.mark.parametrize("name", ["config.yaml", "plan.json", "done/plan/plan.json"])
def test_what_the_plan_wrote_is_missed(damaged: Run, name: str) -> None:
    (place(damaged) / name).unlink()
    assert name in [damage.key for damage in verify(damaged.store.url)]


def test_a_marker_that_was_copied_vouches_for_nothing(damaged: Run, config: Path) -> None:
    whole = files(place(damaged))
    first, other = sorted((place(damaged) / "done" / "infer" / "multilabel" / "tiny").iterdir())[:2]
    other.write_bytes(first.read_bytes())
    assert [damage.key for damage in verify(damaged.store.url)] == [str(other.relative_to(place(damaged)))]
    run_chain(config, place(damaged))
    assert files(place(damaged)) == whole


def test_results_of_another_run_are_noticed(damaged: Run, config: Path) -> None:
    """Model and marker are a pair, but not this run's."""
    other = run_chain(write_study(config.parent, {"training": {"steps": 9}}, name="o.yaml"), config.parent / "other")
    whole = files(place(damaged))
    for part in ("models", "done/train"):
        shutil.copytree(place(other) / part, place(damaged) / part, dirs_exist_ok=True)
    assert "done/train/multilabel.json" in [damage.key for damage in verify(damaged.store.url)]
    run_chain(config, place(damaged))
    assert files(place(damaged)) == whole


def test_scoring_refuses_a_damaged_shard(damaged: Run) -> None:
    shutil.rmtree(place(damaged) / "done/evaluate")
    root = place(damaged) / "volume.zarr/tiny/labels/segmentation/0/c"
    shard = next(path for path in sorted(root.rglob("*")) if path.is_file())
    content = shard.read_bytes()
    shard.unlink()
    with pytest.raises(RunConflictError, match="not predicted yet"):
        evaluate(damaged.store.url)
    shard.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(RunConflictError, match="damaged"):
        evaluate(damaged.store.url)


def test_a_flipped_bit_is_noticed_by_whoever_reads_it(damaged: Run) -> None:
    volume = damaged.segmentation("multilabel", "tiny")
    root = place(damaged) / "volume.zarr/tiny/labels/segmentation/0/c"
    for shard in sorted(path for path in root.rglob("*") if path.is_file()):
        content = bytearray(shard.read_bytes())
        content[len(content) // 3] ^= 4
        shard.write_bytes(content)
    with pytest.raises(DataError, match="damaged"):
        volume.read(volume.geometry.block)


def test_export_refuses_a_volume_that_lost_a_shard(damaged: Run, vemseg: Callable[..., Finished]) -> None:
    """It would be read as zeros."""
    labels = place(damaged) / "volume.zarr/tiny/labels/segmentation"
    assert vemseg("export", labels, place(damaged).with_name("ids.npy")).code == 0
    next(path for path in sorted((labels / "0/c").rglob("*")) if path.is_file()).unlink()
    refused = vemseg("export", labels, place(damaged).with_name("ids.npy"))
    assert refused.code == 2
    assert "is missing; the step infer makes it anew" in refused.text


def test_export_refuses_a_volume_that_is_not_complete(damaged: Run, vemseg: Callable[..., Finished]) -> None:
    """Nobody vouches for what is not there, nor for what somebody put there."""
    labels = place(damaged) / "volume.zarr/tiny/labels/segmentation"
    shard = next(path for path in sorted((labels / "0/c").rglob("*")) if path.is_file())
    key = shard.relative_to(place(damaged)).as_posix()
    marks = (place(damaged) / "done/infer/multilabel").rglob("*.json")
    mark = next(path for path in marks if key in path.read_text())
    mark.unlink()
    for whole in (shard.read_bytes(), None):
        if whole is None:
            shard.unlink()
        refused = vemseg("export", labels, place(damaged).with_name("ids.npy"))
        assert refused.code == 2
        assert "is missing (removed, or not made yet)" in refused.text
    refuse_damaged_volume(damaged.capture_store("tiny"))  # the image is whole


def test_what_no_marker_vouches_for_is_not_whole(damaged: Run, vemseg: Callable[..., Finished]) -> None:
    labels = place(damaged) / "volume.zarr/tiny/labels/segmentation"
    shard = next(path for path in sorted((labels / "0/c").rglob("*")) if path.is_file())
    extra = shard.with_name("99")
    extra.write_bytes(shard.read_bytes())
    key = extra.relative_to(place(damaged)).as_posix()
    assert [str(each) for each in verify(damaged.store.url)] == [
        f"{key} is vouched for by no marker; remove it, or run the study to its end"
    ]
    assert vemseg("export", labels, place(damaged).with_name("ids.npy")).code == 2
    assert verify(damaged.store.url, unfinished=True) == []


def test_pull_keeps_nothing_that_is_not_whole(
    whole_run: Run, bucket: str, tmp_path: Path, vemseg: Callable[..., Finished]
) -> None:
    store, model = Store.open(f"{bucket}/run"), "models/multilabel/model.safetensors"
    small = {name: data for name, data in files(place(whole_run)).items() if not name.startswith("done/infer")}
    for name, data in small.items():
        store.write(name, data)
    assert vemseg("pull", store.url, tmp_path / "whole").code == 0
    assert (tmp_path / "whole" / model).read_bytes() == small[model]
    exchanged, gone = "evaluation/scores.csv", "evaluation/scores.json"
    store.write(exchanged, b"0" * len(small[exchanged]))
    store.delete(gone)
    for options in ([], ["--all"]):
        refused = vemseg("pull", store.url, tmp_path / "damaged", *options)
        assert refused.code == 2
        assert f"{exchanged} has another content" in refused.text
        assert f"{gone} is missing" in refused.text
        assert not (tmp_path / "damaged" / exchanged).exists()
        assert (tmp_path / "damaged" / model).read_bytes() == small[model]
    store.write(exchanged, small[exchanged])
    store.write(gone, small[gone])
    assert vemseg("pull", store.url, tmp_path / "damaged").code == 0


def test_a_changed_normalisation_is_refused_by_name(damaged: Run, tmp_path: Path) -> None:
    store = damaged.model_store("multilabel")
    model = store.read_json("model.json")
    model["normalisation"]["mean"] += 1
    store.write_json("model.json", model)
    with pytest.raises(CheckpointError, match=r"model\.json was changed"):
        infer(damaged.store.url, target="multilabel")
    with pytest.raises(CheckpointError, match=r"model\.json was changed"):
        prepare(store.url, str(config_raw(damaged)), str(tmp_path / "segmented"), voxel_size_nm=(40, 8, 8))


def test_weights_of_another_model_are_refused_by_name(damaged: Run, tmp_path: Path) -> None:
    store = damaged.model_store("multilabel")
    other = damaged.model_store("super-resolution").child("tiny")
    store.write("model.safetensors", other.read("model.safetensors"))
    with pytest.raises(CheckpointError, match=r"model\.safetensors is not the file"):
        prepare(store.url, str(config_raw(damaged)), str(tmp_path / "segmented"), voxel_size_nm=(40, 8, 8))
    train(damaged.store.url, target="multilabel")
    assert verify(damaged.store.url) == []


def config_raw(run: Run) -> str:
    """The raw image as an input of its own."""
    return str(place(run) / "volume.zarr" / "tiny")


def test_a_run_of_an_earlier_version_is_read_and_not_verified(
    damaged: Run, config: Path, vemseg: Callable[..., Finished]
) -> None:
    """As version 0.1.0 left it: markers without outputs, other digests, no notes of inputs, models without seal."""
    for path in (place(damaged) / "done").rglob("*.json"):
        path.write_text('{\n  "digest": "cf456cd422f44cb6c9149a14471b80cb",\n  "facts": {\n    "voxels": 1\n  }\n}\n')
    (place(damaged) / "done/plan/plan.json").unlink()
    for path in (place(damaged) / "models").rglob("model.json"):
        store = damaged.store.child(*path.parent.relative_to(place(damaged)).parts)
        model = store.read_json("model.json")
        del model["sha256"]
        store.write_json("model.json", model)
    shown = vemseg("inspect", place(damaged))
    assert shown.code == 0
    assert "of an earlier plan" in shown.text
    report(damaged.store.url)
    refused = vemseg("verify", place(damaged))
    assert refused.code == 2
    assert "made by an earlier version" in refused.text
    undrawn = vemseg("render", place(damaged))
    assert undrawn.code == 2
    assert "vemseg evaluate" in undrawn.text
    exported = vemseg("export", config_raw(damaged), place(damaged).with_name("raw.tif"))
    assert exported.code == 0, exported.text
    plan(str(config), damaged.store.url)
    assert {each.problem for each in verify(damaged.store.url) if each.step == "train"} == {"is of an earlier version"}
    run_chain(config, place(damaged))
    assert verify(damaged.store.url) == []


def test_markers_that_name_no_place_of_their_own_are_of_an_earlier_version(damaged: Run, config: Path) -> None:
    """As they were written between 0.1.0 and the version after it: one could be a copy of another."""
    whole = files(place(damaged))
    of_model = "done/train/multilabel.json"
    content = damaged.store.read_json(of_model)
    said = {name: content[name] for name in ("digest", "facts", "outputs")}
    damaged.store.write_json(of_model, {**said, "seal": digest_of(json.dumps(said, sort_keys=True).encode())})
    assert [str(damage) for damage in verify(damaged.store.url)] == [
        f"{of_model} is of an earlier version; the step train makes it anew"
    ]
    run_chain(config, place(damaged))
    assert files(place(damaged)) == whole


def test_times_are_no_results() -> None:
    """What `files` leaves out is what nobody vouches for."""
    assert {"events", "metrics", "inputs.json"} <= set(TELLING_TIMES)

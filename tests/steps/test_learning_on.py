"""A study whose networks begin with the weights of a trained model: by name, refused by name, and noted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tinystudy import CONFIG, VOXEL_SIZE_NM, run_chain, tissue, write_study, write_tiff

from pipeline.config.model import MULTILABEL
from pipeline.errors import ConfigError
from pipeline.nn.inheritance import inherit
from pipeline.nn.model import Model, load_model
from pipeline.nn.plan import plan_network
from pipeline.nn.unet import UNet
from pipeline.nn.unet_training import untrained
from pipeline.run.check import check
from pipeline.run.layout import Run
from pipeline.run.provenance import model
from pipeline.run.verify import verify
from pipeline.steps.augment import augment
from pipeline.steps.plan import plan
from pipeline.steps.train import train

ALL = {"training": {"targets": "all"}}


def network(outputs: int, seed: int, *, deep_supervision: bool = False) -> UNet:
    levels = plan_network(
        voxel_size_nm=VOXEL_SIZE_NM,
        extent_zyx=(2, 32, 32),
        outputs=outputs,
        head="softmax",
        features=(4, 6),
        deep_supervision=deep_supervision,
    )
    return untrained(levels, seed)


def model_of(run: Run, target: str = MULTILABEL) -> Model:
    store = run.model_store(target)
    return load_model(store.read("model.safetensors"), store.read_json("model.json"), store.url)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("trained")
    return run_chain(write_study(folder, ALL), folder / "run", score=False)


def planned(folder: Path, trained: Run, **changes: Any) -> Run:
    """A study that begins with the trained run, planned alone."""
    config = write_study(
        folder, {**changes, "training": {"start_from": trained.store.url, **changes.get("training", {})}}
    )
    plan(str(config), str(folder / "run"))
    return Run.open(folder / "run")


# --- the weights


def test_layers_are_taken_over_and_outputs_are_matched_by_name() -> None:
    old, new = network(3, 1), network(3, 2)
    fresh = {name: tensor.clone() for name, tensor in new.state_dict().items()}
    assert inherit(new, ["b", "new", "a"], old, ["a", "b", "gone"]) == ("b", "a")
    for name, tensor in new.state_dict().items():
        given = old.state_dict()[name]
        if name.startswith("heads."):
            torch.testing.assert_close(tensor[0], given[1], rtol=0, atol=0)
            torch.testing.assert_close(tensor[1], fresh[name][1], rtol=0, atol=0)
            torch.testing.assert_close(tensor[2], given[0], rtol=0, atol=0)
        else:
            torch.testing.assert_close(tensor, given, rtol=0, atol=0)


def test_a_network_that_inherits_all_gives_the_same_logits() -> None:
    old, new = network(2, 1), network(2, 2)
    inherit(new, ["b", "a"], old, ["a", "b"])
    image = torch.randn((1, 1, 4, 32, 32), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(new.eval()(image), old.eval()(image)[:, [1, 0]])


def test_heads_that_only_one_of_the_two_has_begin_anew() -> None:
    old, new = network(2, 1), network(2, 2, deep_supervision=True)
    assert inherit(new, ["a", "b"], old, ["a", "b"]) == ("a", "b")
    torch.testing.assert_close(new.heads[0].weight, old.heads[0].weight, rtol=0, atol=0)


# --- the study


def test_a_study_learns_on_from_a_run_and_says_so(tmp_path: Path, trained: Run) -> None:
    config = write_study(tmp_path, {"training": {"start_from": trained.store.url, "steps": 1, "learning_rate": 1e-9}})
    run = run_chain(config, tmp_path / "run", score=False)
    told = run.model_store(MULTILABEL).read_json("model.json")["learnt_on_from"]
    assert told["weights_sha256"] == trained.model_store(MULTILABEL).read_json("model.json")["weights_sha256"]
    assert (told["known"], told["anew"]) == (["dark", "grey", "bright"], [])
    # One step of next to no length leaves the weights what they were, calibration aside.
    given, kept = (model_of(each).network.state_dict() for each in (trained, run))
    for name in given:
        if name.endswith("weight"):
            torch.testing.assert_close(kept[name], given[name], rtol=0, atol=1e-5)
    assert verify(run.store.url, unfinished=True) == []


def test_a_relative_path_starts_beside_the_configuration(tmp_path: Path, trained: Run) -> None:
    place = trained.store.local_path()
    assert place is not None
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "before").symlink_to(place)
    run = planned(tmp_path / "study", trained, training={"start_from": "before"})
    assert set(run.plan.starts) == {MULTILABEL}


def test_what_begun_with_is_kept_in_the_run(tmp_path: Path, trained: Run) -> None:
    run = planned(tmp_path, trained)
    assert run.start_store(MULTILABEL).read("model.safetensors") == trained.model_store(MULTILABEL).read(
        "model.safetensors"
    )


def test_a_new_class_begins_anew_in_the_joint_network_and_from_it_in_its_own(tmp_path: Path, trained: Run) -> None:
    raw, labels = tissue()
    labels[:, :8] = 4
    tmp_path.mkdir(exist_ok=True)
    write_tiff(tmp_path / "raw.tif", raw)
    write_tiff(tmp_path / "labels.tif", labels)
    members = [*CONFIG["classes"]["members"], {"name": "border", "ids": [4], "color": "#ffffff"}]
    changes = {"targets": "all", "steps": 1, "binary_steps": 1}
    run = planned(tmp_path, trained, classes={"members": members}, training=changes)
    assert set(run.plan.starts) == {MULTILABEL, "dark", "grey", "bright", "border"}
    assert run.plan.starts["border"] == run.plan.starts[MULTILABEL]
    for worker in range(run.plan.augment_workers):
        augment(run.store.url, worker=worker, workers=run.plan.augment_workers)
    for target, known in ((MULTILABEL, ["dark", "grey", "bright"]), ("border", []), ("grey", ["grey"])):
        train(run.store.url, target=target)
        told = run.model_store(target).read_json("model.json")["learnt_on_from"]
        assert told["known"] == known
        assert told["anew"] == ([] if target == "grey" else ["border"])


def test_cores_of_objects_go_to_cores_of_the_same_class(tmp_path: Path) -> None:
    *others, bright = CONFIG["classes"]["members"]
    apart = {"classes": {"members": [*others, {**bright, "instances": True, "rim_nm": 8}]}}
    first = run_chain(write_study(tmp_path / "first", apart), tmp_path / "first/run", score=False)
    second = planned(tmp_path / "second", first, **apart, training={"steps": 1})
    for worker in range(second.plan.augment_workers):
        augment(second.store.url, worker=worker, workers=second.plan.augment_workers)
    train(second.store.url, target=MULTILABEL)
    told = second.model_store(MULTILABEL).read_json("model.json")["learnt_on_from"]
    assert (told["known"], told["anew"]) == (["dark", "grey", "bright", "cores of bright"], [])


def test_other_weights_to_begin_with_train_again_and_the_same_ones_elsewhere_do_not(
    tmp_path: Path, trained: Run
) -> None:
    first = planned(tmp_path / "one", trained)
    again = planned(tmp_path / "two", trained, training={"start_from": trained.model_store(MULTILABEL).url})
    anew = planned(tmp_path / "three", trained, training={"start_from": None})
    assert model(first, MULTILABEL).digest == model(again, MULTILABEL).digest
    assert model(first, MULTILABEL).digest != model(anew, MULTILABEL).digest


# --- what cannot be


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"network": {"features": [4, 8], "z_context_slices": 0}}, "network.features: [4, 6]"),
        ({"network": {"features": [4, 6], "convolutions_per_level": 1, "z_context_slices": 0}}, "level 1"),
        ({"classes": {"exclusive": False}}, "classes.exclusive"),
        ({"training": {"start_from": "nowhere"}}, "nowhere"),
        ({"training": {"start_from": "."}}, "holds no trained model"),
    ],
)
def test_a_model_that_does_not_fit_is_refused_before_anything_is_made(
    tmp_path: Path, trained: Run, changes: dict[str, Any], names: str
) -> None:
    with pytest.raises(ConfigError, match=r"training\.start_from") as told:
        planned(tmp_path, trained, **changes)
    assert names in str(told.value)
    assert not (tmp_path / "run").exists()


def test_a_model_of_other_voxels_is_refused_and_config_check_says_where(tmp_path: Path, trained: Run) -> None:
    write_study(tmp_path)
    capture = {**CONFIG["data"]["captures"][0], "voxel_size_nm": [40, 16, 16]}
    changes = {"data": {"captures": [capture]}, "training": {"start_from": trained.store.url}}
    with pytest.raises(ConfigError, match="40 x 8 x 8") as told:
        check(str(write_study(tmp_path, changes)))
    line = next(
        number
        for number, text in enumerate((tmp_path / "study.yaml").read_text().splitlines(), 1)
        if "start_from" in text
    )
    assert f"study.yaml:{line}" in str(told.value)


def test_a_binary_model_alone_is_refused_for_a_study_without_it(tmp_path: Path, trained: Run) -> None:
    with pytest.raises(ConfigError, match="multilabel"):
        planned(tmp_path, trained, training={"start_from": trained.model_store("dark").url})

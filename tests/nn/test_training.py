"""A training that was stopped and resumed is bit for bit the one that was not, and training learns.

Bit for bit means the weights, their running average, the best model, the optimiser and the history, through the bytes
of a checkpoint, on the CPU. The task is tiny: tell bright voxels from dark ones.
"""

from __future__ import annotations

import functools
import json
import math

import pytest
import torch

from pipeline.errors import CheckpointError
from pipeline.nn.blockwise import Normalisation
from pipeline.nn.calibration import Confidence
from pipeline.nn.checkpoint import pack, unpack
from pipeline.nn.model import Model, load_model
from pipeline.nn.plan import NetworkPlan, plan_network
from pipeline.nn.targets import Target
from pipeline.nn.training import Trainer, autocast_dtype
from pipeline.nn.unet import UNet
from pipeline.nn.unet_training import TrainingSettings, unet_trainer, untrained

CPU = torch.device("cpu")
STEPS = 12
TARGET = Target("multilabel", (1, 2), exclusive=True)
SCORE = "accuracy"


def plan_of(features=(4, 6), **options) -> NetworkPlan:
    return plan_network(
        voxel_size_nm=(8, 8, 8), extent_zyx=(8, 16, 16), outputs=2, head="softmax", features=features, **options
    )


def batch(step: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(step)
    image = torch.randn((2, 1, 8, 16, 16), generator=generator)
    return image, (image[:, 0] > 0).to(torch.uint8) + 1


def accuracy(network: UNet) -> dict[str, float]:
    image, labels = batch(10**6)
    with torch.inference_mode():
        decided = network.eval()(image).argmax(1) + 1
    return {SCORE: float((decided == labels).float().mean())}


def trainer_of(
    plan: NetworkPlan | None = None, *, steps: int = STEPS, seed: int = 0, score=accuracy, **settings
) -> Trainer[UNet]:
    options = {"precision": "float32", "validations": 3, "learning_rate": 1e-2} | settings
    return unet_trainer(
        untrained(plan or plan_of(), seed),
        TARGET,
        TrainingSettings(**options),
        shares=[0.5, 0.5],
        score=score,
        by=SCORE,
        steps=steps,
        device=CPU,
    )


def advance(trainer: Trainer, stop: int) -> list[float]:
    losses = []
    while trainer.progress.step < stop:
        losses.append(trainer.step(*batch(trainer.progress.step)))
        if trainer.judgement_due:
            trainer.judge()
    return losses


def state_bytes(trainer: Trainer) -> bytes:
    return pack(*trainer.state())


precisions = pytest.mark.parametrize("precision", ["float32", "bfloat16"])


@functools.cache
def uninterrupted(precision: str, deep: bool) -> bytes:
    trainer = trainer_of(plan_of(deep_supervision=deep), precision=precision)
    advance(trainer, STEPS)
    return state_bytes(trainer)


@precisions
@pytest.mark.parametrize("deep", [False, True])
def test_an_interrupted_training_is_bit_for_bit_the_uninterrupted_one(precision, deep):
    plan = plan_of(deep_supervision=deep)
    saved = None
    for stop in (1, 4, 7, STEPS):  # before, at and between validations
        # Each life of the process has its own random state, and leaves its own behind.
        trainer = trainer_of(plan, precision=precision, seed=0)
        torch.manual_seed(stop)
        if saved:
            trainer.restore(*unpack(saved, "state"), "state")
        advance(trainer, stop)
        saved = state_bytes(trainer)
    assert saved == uninterrupted(precision, deep)


@precisions
def test_saving_a_state_does_not_disturb_the_training(precision):
    trainer = trainer_of(precision=precision)
    for stop in range(1, STEPS + 1):
        advance(trainer, stop)
        state_bytes(trainer)
    assert state_bytes(trainer) == uninterrupted(precision, False)


def test_the_best_model_is_restored_with_the_rest():
    trainer, resumed = trainer_of(), trainer_of(seed=3)
    advance(trainer, 5)
    resumed.restore(*unpack(state_bytes(trainer), "state"), "state")
    for name, tensor in trainer.best_network().state_dict().items():
        assert torch.equal(resumed.best_network().state_dict()[name], tensor)
    assert resumed.progress == trainer.progress
    assert len(resumed.progress.history) == 1


def test_the_first_weights_follow_from_the_seed():
    assert state_bytes(trainer_of(seed=1)) == state_bytes(trainer_of(seed=1))
    assert state_bytes(trainer_of(seed=1)) != state_bytes(trainer_of(seed=2))


@precisions
def test_the_loss_falls_and_the_averaged_network_solves_the_task(precision):
    trainer = trainer_of(steps=60, precision=precision, average_decay=0.9, learning_rate=4e-2)
    losses = advance(trainer, 60)
    assert sum(losses[-5:]) < 0.2 * sum(losses[:5])
    assert accuracy(trainer.best_network())[SCORE] > 0.95


@pytest.mark.parametrize(("steps", "at"), [(12, [4, 8, 12]), (10, [4, 8, 10]), (2, [1, 2])])
def test_validations_are_spread_evenly_and_the_last_step_is_one(steps, at):
    trainer, due = trainer_of(steps=steps), []
    for step in range(1, steps + 1):
        trainer.progress.step = step
        due += [step] if trainer.judgement_due else []
    assert due == at


def test_losses_are_those_on_record():
    # float32 on the CPU; another machine's kernels may round otherwise, a change of the method shows far above that.
    assert advance(trainer_of(steps=20), 20) == pytest.approx(GOLDEN_LOSSES, rel=2e-3)


GOLDEN_LOSSES = [
    *(1.08897, 0.99621, 0.93346, 0.88533, 0.84872, 0.83785, 0.79906, 0.78835, 0.75184, 0.73508),
    *(0.72272, 0.71162, 0.69486, 0.68292, 0.67865, 0.66533, 0.66752, 0.67655, 0.67498, 0.66991),
]


def test_the_learning_rate_warms_up_and_falls_to_zero_as_a_cosine():
    trainer = trainer_of(
        steps=100, warmup_fraction=0.1, validations=100, learning_rate=0.01, score=lambda _: {SCORE: 0.0}
    )
    rates = []
    for step in range(100):
        trainer.progress.step = step + 1
        rates.append(trainer.judge()["learning_rate"])
    assert rates[:10] == pytest.approx([0.001 * (step + 1) for step in range(10)])
    for step in range(10, 100):
        assert rates[step] == pytest.approx(0.005 * (1 + math.cos(math.pi * (step - 10) / 90)))


def test_the_model_kept_is_the_one_that_validated_best():
    scores = (0.2, 0.7, 0.5)
    given = iter(scores)
    trainer = trainer_of(score=lambda _: {SCORE: next(given)})
    kept = []
    for _ in scores:
        trainer.step(*batch(trainer.progress.step))
        trainer.judge()
        kept.append(trainer.averaged_network().state_dict())
    best = trainer.best_network().state_dict()
    assert all(torch.equal(best[name], tensor) for name, tensor in kept[1].items())
    assert not all(torch.equal(best[name], tensor) for name, tensor in kept[2].items())
    assert trainer.progress.best_score == 0.7


def test_the_history_of_a_training_that_diverged_is_json():
    trainer = trainer_of(score=lambda _: {SCORE: 0.5})
    trainer.step(*batch(0))
    trainer.progress.loss_sum = math.nan
    row = trainer.judge()
    assert math.isnan(row["loss"])
    (kept,) = json.loads(json.dumps(trainer.progress.history, allow_nan=False))
    assert (kept["step"], kept["loss"], kept[SCORE]) == (1, None, 0.5)


def test_without_averaging_the_raw_weights_are_kept():
    trainer = trainer_of(average_decay=0.0)
    advance(trainer, 3)
    raw = unpack(state_bytes(trainer), "state")[0]
    averaged = trainer.averaged_network().state_dict()
    assert all(torch.equal(raw[f"network.{name}"], tensor) for name, tensor in averaged.items())


def test_the_average_lies_between_the_weights_it_averages():
    trainer = trainer_of()
    weights = []
    for step in range(4):
        trainer.step(*batch(step))
        weights.append(unpack(state_bytes(trainer), "state")[0]["network.heads.0.weight"])
    average = trainer.averaged_network().state_dict()["heads.0.weight"]
    stacked = torch.stack(weights)
    assert (average <= stacked.amax(0)).all()
    assert (average >= stacked.amin(0)).all()


def test_a_state_of_another_network_is_refused():
    trainer, other = trainer_of(), trainer_of(plan_of(features=(4, 8)))
    advance(trainer, 1)
    with pytest.raises(CheckpointError, match="last/state"):
        other.restore(*unpack(state_bytes(trainer), "state"), "last/state")


def test_automatic_precision_never_emulates():
    assert autocast_dtype("float32", CPU) == torch.float32
    assert autocast_dtype("bfloat16", CPU) == torch.bfloat16
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    assert autocast_dtype("auto", CPU) == (torch.bfloat16 if native else torch.float32)


def model_of() -> Model:
    network = trainer_of().averaged_network()
    sure = Confidence(0.8, tuple(-0.1 * output for output in range(network.plan.outputs)))
    return Model(network, TARGET, Normalisation(100.0, 30.0), sure, {"voxel_size_nm": [8, 8, 8]})


def test_a_model_comes_back_from_its_two_files():
    model = model_of()
    weights = model.weights_file()
    loaded = load_model(weights, model.json_file(weights), "models/multilabel")
    assert (loaded.target, loaded.normalisation) == (model.target, model.normalisation)
    assert (loaded.confidence, loaded.facts) == (model.confidence, model.facts)
    image = batch(0)[0]
    with torch.inference_mode():
        assert torch.equal(loaded.network.eval()(image), model.network.eval()(image))


def test_a_model_of_0_1_0_has_probabilities_as_its_network_gives_them():
    model = model_of()
    weights = model.weights_file()
    described = {key: value for key, value in model.json_file(weights).items() if key != "confidence"}
    loaded = load_model(weights, described, "models/multilabel")
    assert loaded.confidence == Confidence.as_it_is(model.network.plan.outputs)
    assert loaded.facts == model.facts


def test_files_that_do_not_belong_together_are_refused():
    model = model_of()
    weights = model.weights_file()
    description = model.json_file(weights)
    other_plan = plan_of(features=(4, 8)).to_json()
    for wrong in (
        {**description, "weights_sha256": "0" * 64},
        {**description, "plan": other_plan},
        {key: value for key, value in description.items() if key != "normalisation"},
        {**description, "target": {"name": "multilabel"}},
    ):
        with pytest.raises(CheckpointError, match="models/multilabel"):
            load_model(weights, wrong, "models/multilabel")

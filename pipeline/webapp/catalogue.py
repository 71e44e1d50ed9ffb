"""The trained models that a site offers, whether one fits the voxel size of a volume, and what helps where not."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import sqrt

from pydantic import ValidationError

from pipeline.config.model import MULTILABEL, Classes
from pipeline.errors import ConfigError, InputError, VemsegError
from pipeline.formats import sides
from pipeline.nn.description import VOXEL_SIZE_TOLERANCE, refuse_changed
from pipeline.nn.zssr.methods import METHODS
from pipeline.run.layout import Run, classes_of_target
from pipeline.scoring import tables
from pipeline.volume.geometry import ZyxNm
from pipeline.volume.greyvalues import GreyValues
from pipeline.volume.resampling import LARGEST_RATIO
from pipeline.volume.stores import Store

MODELS = "models"
SCORES = "evaluation/scores.json"
FACTORS = (1.1, 4.0)
"""By which boosting is offered: below there is nothing to gain, above it has nothing to go by."""
RESAMPLE = "resample"
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelClass:
    """A class that a model tells apart: its value in label volumes, and its F1 on the test part, if it was scored."""

    value: int
    name: str
    color: str
    f1: float | None


@dataclass(frozen=True)
class ModelCard:
    """What one has to know to choose a model.

    F1 are of the test part of its study; None where it was not scored there. voxel_size_nm (z, y, x) is that of its
    training. Where `overlapping`, a voxel may be of several classes, and label volumes hold bit masks.
    """

    name: str
    url: str
    target: str
    classes: tuple[ModelClass, ...]
    overlapping: bool
    voxel_size_nm: ZyxNm
    macro_f1: float | None
    weighted_f1: float | None
    steps: int | None
    grey_values: GreyValues | None = None
    """That it learnt from; None where it was trained by an earlier version."""


@dataclass(frozen=True)
class Treatment:
    """What is done to a volume before it is segmented: key is a method of boosting, or `RESAMPLE`.

    voxel_size_nm: z, y, x after it; the result has these voxels.
    """

    key: str
    label: str
    explanation: str
    voxel_size_nm: ZyxNm


@dataclass(frozen=True)
class Mismatch:
    """That a model was trained at another voxel size, and the treatments that mend it; none where nothing does."""

    text: str
    treatments: tuple[Treatment, ...]


def models(urls: Sequence[str]) -> list[ModelCard]:
    """The cards of all models at run URLs and ``models/<target>`` URLs, those of all classes at once first.

    A place that holds no model (yet) is told in the log, and offers none: its study may still be at work.
    """
    found = [card for url in urls for card in _cards_or_none(url)]
    return sorted(found, key=lambda card: card.target != MULTILABEL)


def _cards_or_none(url: str) -> list[ModelCard]:
    try:
        return list(_cards(url))
    except VemsegError as error:
        logger.warning("no model is offered from %s: %s", url, error)
        return []


def _cards(url: str) -> Iterator[ModelCard]:
    store = _opened(url)
    if store.exists("model.json"):
        yield _card(store, _study_of(url))
        return
    places = (key.split("/") for key in store.list(MODELS))
    targets = sorted(place[1] for place in places if place[2:] == ["model.json"])
    if not targets:
        raise ConfigError(f"{url} holds no trained model; name a run, or a run's models/<target>")
    yield from (_card(store.child(MODELS, target), store) for target in targets)


def _opened(url: str) -> Store:
    try:
        return Store.open(url)
    except InputError as error:
        raise ConfigError(f"model {error}") from error


def _study_of(model_url: str) -> Store | None:
    """The run that a model lies in, where it does."""
    run_url, folder, _ = (f"/{model_url.rstrip('/')}").rsplit("/", 2)
    return _opened(run_url.removeprefix("/") or ".") if folder == MODELS else None


def _card(store: Store, study: Store | None) -> ModelCard:
    try:
        facts = refuse_changed(store.read_json("model.json"), store.url)
        target = str(facts["target"]["name"])
        classes = Classes.model_validate(facts["classes"])
        z_nm, y_nm, x_nm = facts["voxel_size_nm"]
    except (KeyError, TypeError, ValueError, ValidationError) as error:
        raise ConfigError(f"{store.url}/model.json is not the description of a model ({error}); train again") from error
    side = "multilabel" if target == MULTILABEL else "binary"
    scores = _scores(study)
    f1 = {row.name: measures.f1 for row in scores if (measures := row.sides.get(side))}
    is_scored = target == MULTILABEL
    return ModelCard(
        name=f"{_name(study, store)}: {'all classes' if target == MULTILABEL else target.replace('_', ' ')}",
        url=store.url,
        target=target,
        classes=tuple(
            ModelClass(value, name, color, f1.get(name) if target == MULTILABEL or value == 1 else None)
            for value, name, color in classes_of_target(classes, target)
        ),
        overlapping=target == MULTILABEL and not classes.exclusive,
        voxel_size_nm=(float(z_nm), float(y_nm), float(x_nm)),
        macro_f1=f1.get("macro") if is_scored else f1.get(target),
        weighted_f1=f1.get("weighted") if is_scored else None,
        steps=facts.get("steps"),
        grey_values=GreyValues.of_json(facts["grey_values"]) if facts.get("grey_values") else None,
    )


def _scores(study: Store | None) -> tuple[tables.Row, ...]:
    """The rows of the study's table of scores; none where there is no table that can be read."""
    if study is None or not study.exists(SCORES):
        return ()
    try:
        return tuple(tables.from_json(study.read(SCORES).decode()).rows)
    except InputError:
        return ()


def _name(study: Store | None, model: Store) -> str:
    if study is not None and study.exists("config.yaml"):
        return Run(study).config.name
    return model.url.rsplit("/", 1)[-1]


def mismatch(voxel_size_nm: ZyxNm, card: ModelCard) -> Mismatch | None:
    """What to tell a user whose voxels have another size (z, y, x) than the model knows; None where it fits."""
    trained = card.voxel_size_nm
    ratios = _ratios(voxel_size_nm, trained)
    if _fits(ratios):
        return None
    treatments = tuple(_boosting(voxel_size_nm, ratios)) or tuple(_resampling(trained, ratios))
    text = (
        f"Your voxels are {_in_words(voxel_size_nm)}, the model learnt from voxels of {_in_words(trained)}: to it, "
        "everything has another size than it knows. "
    )
    advice = (
        "Let the volume be brought to the model's voxel size first, or choose a model trained near yours."
        if treatments
        else "Choose a model that was trained near your voxel size, or check the voxel size that you entered."
    )
    return Mismatch(text + advice, treatments)


def _ratios(size_nm: ZyxNm, trained_nm: ZyxNm) -> list[float]:
    return [size / known for size, known in zip(size_nm, trained_nm, strict=True)]


def _fits(ratios: list[float]) -> bool:
    return all(1 / VOXEL_SIZE_TOLERANCE <= ratio <= VOXEL_SIZE_TOLERANCE for ratio in ratios)


def _boosting(size_nm: ZyxNm, ratios: list[float]) -> Iterator[Treatment]:
    """Boosting makes y and x finer, alike; it is offered where that is what is wrong."""
    factor = round(sqrt(ratios[1] * ratios[2]), 2)
    if not FACTORS[0] <= factor <= FACTORS[1] or not _fits([ratios[0], ratios[1] / factor, ratios[2] / factor]):
        return
    finer_nm = (size_nm[0], size_nm[1] / factor, size_nm[2] / factor)
    for method in METHODS.values():
        if method.title:
            yield Treatment(
                method.name, method.title, f"x and y become {factor:g} times finer, {method.description}", finer_nm
            )


def _resampling(trained_nm: ZyxNm, ratios: list[float]) -> Iterator[Treatment]:
    if all(1 / LARGEST_RATIO <= ratio <= LARGEST_RATIO for ratio in ratios):
        yield Treatment(
            RESAMPLE,
            "Resample",
            f"The volume is brought to {_in_words(trained_nm)}: averaged where that is coarser, interpolated where it "
            "is finer. The result is brought back to the volume's own voxels.",
            trained_nm,
        )


def _in_words(size_nm: ZyxNm) -> str:
    return f"{sides(size_nm)} nm (z, y, x)"

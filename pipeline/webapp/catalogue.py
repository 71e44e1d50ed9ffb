"""The trained models that a site offers, and whether one fits a volume."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from pipeline.config import MULTILABEL, Classes
from pipeline.errors import ConfigError, InputError, VemsegError
from pipeline.scoring import tables
from pipeline.steps.run import Run, classes_of_target
from pipeline.volume.stores import Store

MODELS = "models"
SCORES = "evaluation/scores.json"
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
    voxel_size_nm: tuple[float, float, float]
    macro_f1: float | None
    weighted_f1: float | None
    steps: int | None


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
        facts = store.read_json("model.json")
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
            ModelClass(value, name, color, f1.get(name) if name != "rest" else None)
            for value, name, color in classes_of_target(classes, target)
        ),
        overlapping=target == MULTILABEL and not classes.exclusive,
        voxel_size_nm=(float(z_nm), float(y_nm), float(x_nm)),
        macro_f1=f1.get("macro") if is_scored else f1.get(target),
        weighted_f1=f1.get("weighted") if is_scored else None,
        steps=facts.get("steps"),
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

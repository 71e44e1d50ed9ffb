"""Checking a configuration against its files, before any work is spent: each mistake with its line and its key."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.config.errors import located
from pipeline.config.model import Capture, Config, parse_config
from pipeline.errors import ConfigError, InputError
from pipeline.formats import sides
from pipeline.nn.sampling import class_counts
from pipeline.run.decide import Decision, decide
from pipeline.run.intake import labels_with_fill, measured_values, read_kernels, read_text, refuse_unlike_greys
from pipeline.run.layout import class_map
from pipeline.run.start import Start, starts
from pipeline.volume.geometry import Geometry, doubts_of_size
from pipeline.volume.ingest import labelled_runs, voxel_size_of
from pipeline.volume.sources import TRUSTED, Source, open_source
from pipeline.volume.split import PART_IDS, Parts
from pipeline.volume.streaming import ImageView, pieces
from pipeline.volume.truth import TruthView, open_truth

_KEY = re.compile(r"([a-z_]+(?:\.[a-z_0-9]+)*): ")
SCARCE = 1000
"""Voxels of a class in a part: with fewer its score is a matter of chance."""


@dataclass(frozen=True)
class Checked:
    """What there is to say of a configuration whose files were looked at."""

    config: Config
    lines: tuple[str, ...]
    """What was found, for people."""
    doubts: tuple[str, ...]
    """What may be right, and seldom is."""
    geometries: dict[str, Geometry]
    decision: Decision


def check(location: str, *, whole: bool = True) -> Checked:
    """Look at the files of a configuration.

    Args:
        location: of the configuration.
        whole: reads all labels; else headers alone, which takes no second.

    Raises:
        ConfigError: a line for each mistake, with file, line and key.
    """
    text, base = read_text(location)
    config = parse_config(text, location)
    problems: list[str] = []
    lines: list[str] = []
    with ExitStack() as opened:
        stacks: dict[str, _Stack] = {}
        for index, capture in enumerate(config.data.captures):
            where = f"data.captures.{index}"
            try:
                for stack in _opened(opened, config, capture, base):
                    stacks[stack.name] = stack
            except InputError as error:
                problems.append(located(str(error), _key_within(where, capture, str(error)), text, location))
        if problems:
            raise ConfigError("\n".join(problems))
        try:
            kernels = read_kernels(config.boosting, base) if config.boost_methods else None
            geometries = {name: stack.geometry for name, stack in stacks.items()}
            decision = decide(config, geometries, kernels)
            lines += _begun_with(starts(config, base, decision, geometries))
            for stack in stacks.values():
                shape, size = (sides(each, by="x") for each in (stack.geometry.shape_zyx, stack.geometry.voxel_size_nm))
                lines.append(f"{stack.name}: {shape} voxels of {size} nm (z, y, x)")
            if not whole:
                return Checked(config, tuple(lines), (), geometries, decision)
            refuse_unlike_greys(config, [measured_values(each.raw, base, TRUSTED) for each in config.data.captures])
            counts = _counts(config, stacks, decision.parts)
            lines += _shares(config, counts)
            _refuse(config, counts)
        except InputError as error:
            match = _KEY.match(str(error))
            raise ConfigError(located(str(error), match[1] if match else "", text, location)) from error
    return Checked(config, tuple(lines), tuple(_doubts(config, stacks, counts)), geometries, decision)


@dataclass(frozen=True)
class _Stack:
    name: str
    geometry: Geometry
    truth: TruthView


def _opened(opened: ExitStack, config: Config, capture: Capture, base: Path) -> Iterator[_Stack]:
    raw = opened.enter_context(open_source(capture.raw, base, TRUSTED))
    labels = labels_with_fill(capture, config)
    if labels is None:
        raise ConfigError("labels: a study needs them to train and to score; name the file or folder")
    size_nm = voxel_size_of(ImageView(raw, 0, raw.shape_zyx[0]), capture.voxel_size_nm)
    labelled = capture.labelled()
    runs = labelled_runs(labelled) if capture.runs_as_captures and labelled else [(0, raw.shape_zyx[0])]
    for start, stop in runs:
        truth = _truth(opened, config, capture, base, raw, range(start, stop))
        name = f"{capture.name}_{start:04d}" if capture.runs_as_captures else capture.name
        yield _Stack(name, Geometry((stop - start, *raw.shape_zyx[1:]), size_nm), truth)


def _truth(opened: ExitStack, config: Config, capture: Capture, base: Path, raw: Source, span: range) -> TruthView:
    labels = labels_with_fill(capture, config)
    assert labels is not None
    return open_truth(
        opened,
        labels,
        base,
        class_map(config, capture),
        raw,
        labelled_slices=capture.labelled(),
        span=span,
        policy=TRUSTED,
    )


def _key_within(where: str, capture: Capture, problem: str) -> str:
    """The key of a capture that a problem is of, by what it names."""
    if "voxel size" in problem or "voxel_size_nm" in problem:
        return f"{where}.voxel_size_nm" if capture.voxel_size_nm else where
    if "labelled slice" in problem and capture.labelled_slices is not None:
        return f"{where}.labelled_slices"
    labels = [capture.labels] if isinstance(capture.labels, str) else list((capture.labels or {}).values())
    if any(problem.startswith((label, f"labels {label}")) for label in labels) or problem.startswith("masks"):
        return f"{where}.labels"
    return f"{where}.raw" if problem.startswith(capture.raw) else where


def _begun_with(begun_with: dict[str, Start]) -> Iterator[str]:
    for target, start in begun_with.items():
        yield f"{target} begins with {start.store.url}, which knows {', '.join(start.outputs)}"


Counts = dict[str, dict[str, list[int]]]
"""Voxels of each class in each part of each stack."""


def _counts(config: Config, stacks: dict[str, _Stack], parts: dict[str, Parts]) -> Counts:
    """All labels are read once, which checks their ids, too."""
    count = len(config.classes.members)
    found: Counts = {}
    for name, stack in stacks.items():
        totals = {part: np.zeros(count, np.int64) for part in PART_IDS}
        for block, data in pieces(stack.truth):
            for part, total in totals.items():
                for region in parts[name].of(part):
                    inside = region.intersect(block)
                    if inside is not None:
                        cut = inside.relative_to(block).slices
                        total += class_counts(data[cut], count, config.classes.exclusive)
        found[name] = {part: [int(each) for each in total] for part, total in totals.items()}
    return found


def _total(counts: Counts, part: str) -> list[int]:
    return [sum(column) for column in zip(*(stack[part] for stack in counts.values()), strict=True)]


def _shares(config: Config, counts: Counts) -> Iterator[str]:
    for part in PART_IDS:
        total = _total(counts, part)
        every = max(1, sum(total))
        shares = ", ".join(
            f"{name} {100 * voxels / every:.2g} %" for name, voxels in zip(config.classes.names, total, strict=True)
        )
        yield f"{part}: {sum(total):,} labelled voxels; {shares}"


def _refuse(config: Config, counts: Counts) -> None:
    for part in PART_IDS:
        if not sum(_total(counts, part)):
            raise ConfigError(f"split: the {part} part has no labelled voxel; choose other split.regions or split.axis")
    for name, voxels in zip(config.classes.names, _total(counts, "train"), strict=True):
        if not voxels:
            elsewhere = sum(_total(counts, part)[config.classes.names.index(name)] for part in ("validation", "test"))
            cure = "choose other split.regions or split.axis" if elsewhere else "correct its ids, or remove the class"
            raise ConfigError(f"classes: {name!r} has no voxel in the training part; {cure}")


def _doubts(config: Config, stacks: dict[str, _Stack], counts: Counts) -> Iterator[str]:
    yield from doubts_of_size(next(iter(stacks.values())).geometry.voxel_size_nm)
    for part in ("test", "validation"):
        few = [
            f"{name} ({voxels})"
            for name, voxels in zip(config.classes.names, _total(counts, part), strict=True)
            if voxels < SCARCE
        ]
        if few:
            yield f"the {part} part has few voxels of {', '.join(few)}; a score of so few is a matter of chance"

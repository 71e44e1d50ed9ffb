"""What blocks that `vemseg suggest` asks for are worth, beside blocks drawn at random: macro F1 round by round.

A labelled stack is taken for unlabelled but for a section's worth of blocks, drawn at random. In each round blocks are
added, a network learns from all that are labelled by then, and what it says of other sections is scored. Who chooses
the blocks differs: the step behind `vemseg suggest`, which reads the prediction of the round before, or chance. Both
have the same first blocks, seeds and steps, and each round learns on from the network of the first blocks, so that
what a round gains is due to its labels and not to longer training.

    python -m tests.bench.bench_suggest --vnc vnc [--work runs/suggest] [--seeds 5] [--plot suggest.png]
    python -m tests.bench.bench_suggest --tiny                   # a generated stack, a minute

With `--vnc`, sections 0 to 12 of the ventral nerve cord of a fly are labelled in blocks, 14 chooses the best model and
calibrates it, 16 to 19 are scored; 13 and 15 are scored apart, to choose between ways of ranking. Pixels are binned 2 x
2, so that a short training sees much tissue. What is done is kept in `--work`, and not done again.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
import yaml
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import entropy, spearmanr

from pipeline.config.examples import example_text
from pipeline.config.model import MULTILABEL
from pipeline.formats import decimals, markdown_table
from pipeline.phantom import PHANTOM_CLASSES, make_phantom
from pipeline.run.layout import Run
from pipeline.scoring.confusion import ConfusionMatrix
from pipeline.steps.infer import infer
from pipeline.steps.plan import plan
from pipeline.steps.suggest import suggest
from pipeline.steps.train import train
from pipeline.volume.geometry import Block, Zyx, ZyxNm, tile
from pipeline.volume.pyramid import mean_of_windows, mode_of_windows

POOL, VALIDATION, DEVELOPMENT, TEST = "pool", "validation", "development", "test"
SCORED = (DEVELOPMENT, TEST)
CHANCE, SUGGESTED = "random", "suggest"
FIRST_RATE, LEARNT_ON_RATE = 5e-3, 3e-3
BAR = 0.6
"""The share of the blocks of random choice with which suggested ones are to reach its macro F1."""


@dataclass(frozen=True)
class Stack:
    """Grey values and class ids from 1 on (z, y, x)."""

    raw: NDArray[np.uint8]
    labels: NDArray[np.uint8]


@dataclass(frozen=True)
class Tissue:
    """Stacks by what they serve for: `POOL`, `VALIDATION`, `DEVELOPMENT`, `TEST`."""

    stacks: dict[str, Stack]
    classes: tuple[str, ...]
    voxel_size_nm: ZyxNm

    @property
    def pool(self) -> Block:
        """All that can be labelled."""
        return Block.of_shape(self.stacks[POOL].labels.shape)


@dataclass(frozen=True)
class Effort:
    """How much is labelled and learnt.

    Args:
        size_zyx: of a block, in voxels.
        start: blocks that are labelled from the beginning.
        added: blocks a round.
        rounds: after the beginning.
        first_steps: of the network of the first blocks.
        steps: of the network of a round, which begins with that one.
        patch: edge of the training samples, in pixels.
        batch_size: samples a step.
        features: of the network's levels.
    """

    size_zyx: Zyx
    start: int
    added: int
    rounds: int
    first_steps: int
    steps: int
    patch: int = 128
    batch_size: int = 4
    features: tuple[int, ...] = (12, 24, 48)


@dataclass(frozen=True)
class Round:
    """What had been labelled, and what was learnt from it.

    Args:
        blocks: labelled by then.
        added: first voxels of those that were added last.
        shares: of the classes in these.
        f1: by stack that is scored, F1 of each class and their mean, ``macro``.
        seconds: of the processor.
    """

    blocks: int
    added: tuple[Zyx, ...]
    shares: tuple[float, ...]
    f1: dict[str, dict[str, float]]
    seconds: float

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> Round:
        """The inverse of `asdict`, through JSON."""
        return cls(**told | {"added": tuple(map(tuple, told["added"])), "shares": tuple(told["shares"])})


Curve = list[Round]
Choose = Callable[[Run | None, list[Block], int], list[Block]]
"""What chooses so many blocks more, by the run of the round before, if it needs one, and what is labelled."""


def nerve_cord(folder: Path) -> Tissue:
    """The ventral nerve cord, from its folders ``raw/`` and ``labels/``."""
    told = yaml.safe_load(example_text("sections"))
    members, capture = told["classes"]["members"], told["data"]["captures"][0]
    table = np.zeros(256, np.uint8)
    for class_id, member in enumerate(members, 1):
        table[member["ids"]] = class_id
    grey, ids = (
        np.stack([np.asarray(Image.open(place)) for place in sorted((folder / name).iterdir())])
        for name in (capture["raw"], capture["labels"])
    )
    grey, ids = mean_of_windows(grey, (1, 2, 2)), mode_of_windows(table[ids], (1, 2, 2))
    sections = {POOL: range(13), VALIDATION: [14], DEVELOPMENT: [13, 15], TEST: range(16, 20)}
    z_nm, y_nm, x_nm = capture["voxel_size_nm"]
    return Tissue(
        {name: Stack(grey[list(which)], ids[list(which)]) for name, which in sections.items()},
        tuple(member["name"] for member in members),
        (z_nm, 2 * y_nm, 2 * x_nm),
    )


def phantom() -> Tissue:
    """A generated stack, for a try."""
    made = make_phantom((8, 256, 256), voxel_size_nm=(40.0, 8.0, 8.0))
    slices = {POOL: slice(0, 5), VALIDATION: slice(5, 6), DEVELOPMENT: slice(6, 7), TEST: slice(7, 8)}
    stacks = {name: Stack(made.raw[which], made.labels[which].astype(np.uint8)) for name, which in slices.items()}
    return Tissue(stacks, tuple(PHANTOM_CLASSES), (40.0, 8.0, 8.0))


def grid(pool: Block, size_zyx: Zyx) -> list[Block]:
    """The blocks that can be labelled: those of `vemseg suggest`."""
    return [block for block in tile(pool, size_zyx) if block.shape_zyx == size_zyx]


def only(labels: NDArray[np.uint8], blocks: Sequence[Block]) -> NDArray[np.uint8]:
    """The labels of these blocks; 0, not labelled, elsewhere."""
    kept = np.zeros_like(labels)
    for block in blocks:
        kept[block.slices] = labels[block.slices]
    return kept


def drawn(tissue: Tissue, effort: Effort, seed: int) -> list[Block]:
    """All blocks in a random order whose beginning holds every class: without one of them nobody would begin."""
    rng, blocks = np.random.default_rng(seed), grid(tissue.pool, effort.size_zyx)
    while True:
        order = [blocks[place] for place in rng.permutation(len(blocks))]
        held = np.unique(only(tissue.stacks[POOL].labels, order[: effort.start]))
        if len(held[held > 0]) == len(tissue.classes):
            return order


def shares(tissue: Tissue, blocks: Sequence[Block]) -> list[float]:
    """Of the classes, in blocks."""
    ids = np.concatenate([tissue.stacks[POOL].labels[block.slices].ravel() for block in blocks])
    counts = np.bincount(ids, minlength=len(tissue.classes) + 1)[1:]
    return [float(share) for share in counts / counts.sum()]


@dataclass(frozen=True)
class Simulation:
    """The rounds of a seed, kept in a folder."""

    tissue: Tissue
    effort: Effort
    seed: int
    folder: Path

    def curve(self, name: str, choose: Choose, *, predicts: bool) -> Curve:
        """The rounds in which the blocks are chosen like this.

        Args:
            name: of the way to choose.
            choose: chooses.
            predicts: whether it needs the prediction of the round before.
        """
        labelled = drawn(self.tissue, self.effort, self.seed)[: self.effort.start]
        self._learnt("first", labelled, labelled, steps=self.effort.first_steps)
        rounds = [self._learnt("begin", labelled, labelled, start_from="first", predicts=True)]
        before = "begin"
        for number in range(1, self.effort.rounds + 1):
            this = f"{name}-{number}"
            kept = self._kept(this)
            if kept:
                added = [Block.of_shape(self.effort.size_zyx).shift(start) for start in kept.added]
            else:
                run = Run.open(self.folder / before) if predicts else None
                added = choose(run, labelled, self.effort.added)
            labelled = labelled + added
            ends = number == self.effort.rounds
            rounds.append(self._learnt(this, labelled, added, start_from="first", predicts=predicts and not ends))
            if before != "begin":
                shutil.rmtree(self.folder / before, ignore_errors=True)
            before = this
        shutil.rmtree(self.folder / before, ignore_errors=True)
        return rounds

    def _kept(self, name: str) -> Round | None:
        place = self.folder / f"{name}.json"
        return Round.from_json(json.loads(place.read_text(encoding="utf-8"))) if place.exists() else None

    def _learnt(
        self,
        name: str,
        labelled: Sequence[Block],
        added: Sequence[Block],
        *,
        start_from: str | None = None,
        steps: int | None = None,
        predicts: bool = False,
    ) -> Round:
        """Plan, train, predict and score, unless that is done."""
        kept = self._kept(name)
        if kept:
            return kept
        started = time.process_time()
        self.folder.mkdir(parents=True, exist_ok=True)
        for stack_name, stack in self.tissue.stacks.items():
            labels = only(stack.labels, labelled) if stack_name == POOL else stack.labels
            tifffile.imwrite(self.folder / f"{stack_name}.tif", stack.raw, photometric="minisblack")
            tifffile.imwrite(self.folder / f"{stack_name}_labels.tif", labels, photometric="minisblack")
        config, url = self.folder / f"{name}.yaml", str(self.folder / name)
        study = self._study(start_from, steps or self.effort.steps, "all" if predicts else "test")
        config.write_text(yaml.safe_dump(study), encoding="utf-8")
        plan(str(config), url, update=True)
        train(url, target=MULTILABEL)
        infer(url, target=MULTILABEL)
        f1 = {stack: scores(Run.open(url), stack) for stack in SCORED}
        starts = tuple(block.start_zyx for block in added)
        took = time.process_time() - started
        found = Round(len(labelled), starts, tuple(shares(self.tissue, added)), f1, took)
        (self.folder / f"{name}.json").write_text(json.dumps(asdict(found)), encoding="utf-8")
        return found

    def _study(self, start_from: str | None, steps: int, region: str) -> dict[str, Any]:
        effort, names = self.effort, tuple(self.tissue.stacks)
        captures = [
            {
                "name": name,
                "raw": f"{name}.tif",
                "labels": f"{name}_labels.tif",
                "voxel_size_nm": list(self.tissue.voxel_size_nm),
            }
            for name in names
        ]
        parts = {POOL: "train", VALIDATION: "validation"}
        members = [{"name": name, "ids": [number]} for number, name in enumerate(self.tissue.classes, 1)]
        return {
            "seed": self.seed,
            "data": {"captures": captures},
            "classes": {"ignore_ids": [0], "members": members},
            "split": {"regions": [{"part": parts.get(name, "test"), "capture": name} for name in names]},
            "augmentation": {"source": "on_the_fly"},
            "network": {"features": list(effort.features), "z_context_slices": 0},
            "training": {
                "patch_zyx": [1, effort.patch, effort.patch],
                "batch_size": effort.batch_size,
                "steps": steps,
                "validations": 2,
                "learning_rate": LEARNT_ON_RATE if start_from else FIRST_RATE,
                **({"start_from": start_from} if start_from else {}),
            },
            "inference": {
                "region": region,
                "probabilities": region == "all",
                "block_zyx": [1, 512, 512],
                "shard_zyx": [4, 512, 512],
            },
        }


def scores(run: Run, stack: str) -> dict[str, float]:
    """F1 of each class in a stack, and their mean."""
    names = run.config.classes.names
    counted, whole = ConfusionMatrix(names), run.plan.capture(stack).volume
    counted.update(run.truth(stack).read(whole), run.segmentation(MULTILABEL, stack).read(whole))
    found = counted.scores()
    return {each.name: each.f1 or 0.0 for each in found.classes} | {"macro": found.macro.f1 or 0.0}


def suggested(size_zyx: Zyx) -> Choose:
    """The blocks that `vemseg suggest` asks for."""

    def choose(run: Run | None, _: list[Block], count: int) -> list[Block]:
        assert run is not None
        return [each.block for each in suggest(run.store.url, capture=POOL, count=count, size_zyx=size_zyx).blocks]

    return choose


def by_chance(order: Sequence[Block]) -> Choose:
    """The blocks that come next in a random order."""
    return lambda _, labelled, count: list(order[len(labelled) : len(labelled) + count])


def blocks_needed(blocks: Sequence[int], f1: Sequence[float], level: float) -> float | None:
    """How many blocks a curve reaches a level with, between two rounds by a straight line; None: it does not."""
    for number, (count, reached) in enumerate(zip(blocks, f1, strict=True)):
        if reached >= level:
            if number == 0:
                return float(count)
            before, low = blocks[number - 1], f1[number - 1]
            return before + (count - before) * (level - low) / (reached - low)
    return None


def macro(curves: Sequence[Curve], stack: str) -> NDArray[np.float64]:
    """Macro F1, (seed, round)."""
    return np.array([[each.f1[stack]["macro"] for each in curve] for curve in curves])


def share_needed(blocks: Sequence[int], ours: NDArray[np.float64], chance: NDArray[np.float64]) -> float:
    """The share of its blocks with which ours (seed, round) reaches the last mean of chance; infinite: it does not."""
    needed = blocks_needed(blocks, ours.mean(axis=0).tolist(), float(chance[:, -1].mean()))
    return np.inf if needed is None else needed / blocks[-1]


def finite(number: float) -> float | None:
    """What JSON can hold."""
    return number if np.isfinite(number) else None


def interval(of: Callable[[NDArray[np.int64]], float], seeds: int, resamples: int = 2000) -> tuple[float, float]:
    """The middle 90 % of what resampled seeds give, drawn with replacement."""
    rng = np.random.default_rng(0)
    found = [of(rng.integers(seeds, size=seeds)) for _ in range(resamples)]
    low, high = np.quantile(found, [0.05, 0.95], method="nearest")
    return float(low), float(high)


def table(curves: dict[str, list[Curve]], stack: str) -> str:
    """Macro F1 by blocks: means of the seeds, and of their differences from chance the interval."""
    chance = macro(curves[CHANCE], stack)
    blocks = [each.blocks for each in curves[CHANCE][0]]
    rows = []
    for number, count in enumerate(blocks):
        row = [str(count), decimals(float(chance[:, number].mean()))]
        for name in (name for name in curves if name != CHANCE):
            gain = macro(curves[name], stack)[:, number] - chance[:, number]
            low, high = interval(lambda which, gain=gain: float(gain[which].mean()), len(gain))  # type: ignore[misc]
            row += [
                decimals(float((chance[:, number] + gain).mean())),
                f"{gain.mean():+.3f} ({low:+.3f} to {high:+.3f})",
            ]
        rows.append(row)
    titles = [[name, f"{name} - {CHANCE}"] for name in curves if name != CHANCE]
    return markdown_table(["blocks", CHANCE, *[title for pair in titles for title in pair]], rows, text_columns=0)


def summary(curves: dict[str, list[Curve]], stack: str) -> dict[str, Any]:
    """By way to choose, the share of blocks needed for the last mean of chance, and its interval."""
    chance = macro(curves[CHANCE], stack)
    blocks = [each.blocks for each in curves[CHANCE][0]]
    told = {}
    for name in (name for name in curves if name != CHANCE):
        ours = macro(curves[name], stack)
        low, high = interval(
            lambda which, ours=ours: share_needed(blocks, ours[which], chance[which]),  # type: ignore[misc]
            len(ours),
        )
        share = share_needed(blocks, ours, chance)
        told[name] = {"share": finite(share), "interval": [finite(low), finite(high)], "reached": share <= BAR}
    return told


def held(curves: dict[str, list[Curve]], tissue: Tissue) -> str:
    """How frequent each class is in the blocks that were added, as a multiple of what it is in all."""
    everywhere = shares(tissue, [tissue.pool])
    rows = []
    for name, of_seeds in curves.items():
        added = np.mean([each.shares for curve in of_seeds for each in curve[1:]], axis=0)
        rows.append([name, *[f"{ratio:.2f}" for ratio in added / everywhere]])
    return markdown_table(["added blocks", *tissue.classes], rows)


def agreement(run: Run, tissue: Tissue, size_zyx: Zyx) -> dict[str, float]:
    """How well blocks are ranked: rank correlation (Spearman) with the macro F1 that each truly loses, over all that
    are not labelled, of the doubt of suggestions and, to compare, of the mean entropy of the probabilities."""
    every = suggest(run.store.url, capture=POOL, count=10**9, size_zyx=size_zyx).blocks
    whole, classes = tissue.pool, np.arange(1, len(tissue.classes) + 1).reshape(-1, 1, 1, 1)
    said = run.segmentation(MULTILABEL, POOL).read(whole) == classes
    true = tissue.stacks[POOL].labels == classes
    probabilities = run.probabilities(MULTILABEL, POOL).read(whole)
    size_C = said.mean(axis=(1, 2, 3)) + true.mean(axis=(1, 2, 3))
    lost, entropies = [], []
    for each in every:
        cut = (slice(None), *each.block.slices)
        lost.append(float(((said[cut] != true[cut]).mean(axis=(1, 2, 3)) / size_C).mean()))
        entropies.append(float(entropy(probabilities[cut].astype(np.float32), axis=0).mean()))
    by = {"doubt": [each.doubt for each in every], "mean entropy": entropies}
    return {name: float(spearmanr(values, lost).statistic) for name, values in by.items()}


def draw(curves: dict[str, list[Curve]], stack: str, place: Path) -> None:
    """The curves with the middle 90 % of the means of resampled seeds."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    from pipeline.figures.palette import LINE_COLORS

    figure, axes = pyplot.subplots(figsize=(6.4, 4), layout="constrained")
    for (name, of_seeds), color in zip(curves.items(), LINE_COLORS, strict=False):
        f1, blocks = macro(of_seeds, stack), [each.blocks for each in of_seeds[0]]
        ends = [interval(lambda which, of=column: float(of[which].mean()), len(f1)) for column in f1.T]  # type: ignore[misc]
        axes.plot(blocks, f1.mean(axis=0), marker="o", color=color, label=name)
        axes.fill_between(blocks, *zip(*ends, strict=True), color=color, alpha=0.15, linewidth=0)
    axes.axhline(macro(curves[CHANCE], stack)[:, -1].mean(), color="#808080", linewidth=0.8, linestyle="--")
    axes.set_xlabel("labelled blocks")
    axes.set_ylabel(f"macro F1 ({len(curves[CHANCE])} seeds)")
    axes.legend(frameon=False)
    place.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(place, dpi=120)
    pyplot.close(figure)


def simulate(tissue: Tissue, effort: Effort, seeds: int, work: Path) -> dict[str, list[Curve]]:
    """The curves of every seed, by who chose."""
    curves: dict[str, list[Curve]] = {CHANCE: [], SUGGESTED: []}
    for seed in range(seeds):
        one = Simulation(tissue, effort, seed, work / f"seed{seed}")
        order = drawn(tissue, effort, seed)
        curves[SUGGESTED].append(one.curve(SUGGESTED, suggested(effort.size_zyx), predicts=True))
        curves[CHANCE].append(one.curve(CHANCE, by_chance(order), predicts=False))
        ranked = agreement(Run.open(one.folder / "begin"), tissue, effort.size_zyx)
        print(f"seed {seed}, ranks: {', '.join(f'{name} {decimals(found)}' for name, found in ranked.items())}")
        for name, of_seeds in curves.items():
            print(f"seed {seed}, {name}: {', '.join(map(decimals, macro(of_seeds, TEST)[-1]))}", flush=True)
    return curves


def main() -> None:
    """Simulate, print tables of what is scored, and write what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = parser.add_mutually_exclusive_group(required=True)
    data.add_argument("--vnc", type=Path, help="the folder that holds raw/ and labels/")
    data.add_argument("--tiny", action="store_true", help="a generated stack, one seed, two rounds")
    parser.add_argument("--work", type=Path, help="folder in which rounds are kept; left out: they are thrown away")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--edge", type=int, default=128, help="of a block, in binned pixels (default 128)")
    parser.add_argument("--start", type=int, help="blocks to begin with; left out: a section's worth")
    parser.add_argument("--added", type=int, help="blocks a round; left out: as many as to begin with")
    parser.add_argument("--patch", type=int, default=128, help="edge of samples, in binned pixels (default 128)")
    parser.add_argument("--batch", type=int, default=4, help="samples a step (default 4)")
    parser.add_argument("--first-steps", type=int, default=300, help="of the network of the first blocks (default 300)")
    parser.add_argument("--steps", type=int, default=200, help="of each round (default 200)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write rounds and summary there")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the curves there (PNG)")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    tissue = phantom() if asked.tiny else nerve_cord(asked.vnc)
    effort, seeds = planned(tissue, asked), asked.seeds
    if asked.tiny:
        effort, seeds = replace(effort, size_zyx=(1, 64, 64), rounds=2, first_steps=30, steps=20, patch=64), 1
    with tempfile.TemporaryDirectory() as place:
        curves = simulate(tissue, effort, seeds, asked.work or Path(place))
    for stack in SCORED:
        print(f"\nmacro F1, {stack}:\n\n{table(curves, stack)}\n\n{json.dumps(summary(curves, stack))}")
    print(f"\nfrequency of classes in the added blocks, 1 being that of the stack:\n\n{held(curves, tissue)}")
    if asked.json:
        rounds = {name: [[asdict(each) for each in curve] for curve in of] for name, of in curves.items()}
        told = {"effort": asdict(effort), "summary": summary(curves, TEST), "rounds": rounds}
        asked.json.write_text(json.dumps(told, indent=1), encoding="utf-8")
    if asked.plot:
        draw(curves, TEST, asked.plot)


def planned(tissue: Tissue, asked: argparse.Namespace) -> Effort:
    """What is asked for."""
    size = (1, asked.edge, asked.edge)
    start = asked.start or len(grid(tissue.pool, size)) // tissue.pool.shape_zyx[0]
    steps = (asked.first_steps, asked.steps)
    return Effort(size, start, asked.added or start, asked.rounds, *steps, asked.patch, asked.batch)


if __name__ == "__main__":
    main()

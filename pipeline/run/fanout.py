"""How the workers of a run are spread over workflows, so that no Workflow object grows too large for its cluster.

Every worker walks each n-th piece of the work, so that their number can be cut. That of the inference is kept, since it
is what a large volume needs: where one workflow does not hold its workers, they go to nested ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from pipeline.run.phases import JOINS, SEPARATION

# The object must stay under a megabyte; a worker takes about 2.7 kB of it (docs/scale.md).
PODS_PER_WORKFLOW = 300


@dataclass(frozen=True)
class FanOut:
    """How many pods of the run's own workflow augment, merge, boost by each method, and tell objects apart in each
    phase; `groups` as of `worker_groups`, `together` as of the function of this name."""

    augment_workers: int
    merge_workers: int
    boost_workers: int
    separate_workers: int
    groups: list[tuple[int, int]]
    together: list[tuple[str, ...]]


def at_most_at_once(targets: Sequence[str], boost_methods: Sequence[str], cores: int) -> int:
    """How many trainings or predictions `vemseg run` starts at once on a machine, whose cores they share."""
    return min(cores, max(1, len(targets) + bool(boost_methods)))


def fan_out(
    *,
    augment_workers: int,
    infer_workers: int,
    targets: Sequence[str],
    boost_workers: int,
    boost_methods: int,
    merges: bool,
    separates: bool,
    pods_per_workflow: int,
    at_once: int = 0,
) -> FanOut:
    """Spread the workers that are wanted: `infer_workers` a target, `boost_workers` a method.

    Augmentation and boosting take a third of the workflow each at most. A worker that boosts is two pods: what one has
    boosted, another segments. Merging, where it is asked for (`merges`), takes a twelfth at most. Where objects are
    told apart (`separates`), that takes a sixth at most, of as many workers as the inference has in each of its phases.
    """
    third = max(1, pods_per_workflow // 3)
    augment = min(augment_workers, third)
    boost = min(boost_workers, max(1, third // (2 * boost_methods))) if boost_methods else 0
    merge = min(infer_workers, max(1, third // 4)) if merges else 0
    filled, joins = len(SEPARATION) - len(JOINS), len(JOINS)
    separate = min(infer_workers, max(1, (third // 2 - joins) // filled)) if separates else 0
    taken = augment + merge + 2 * boost_methods * boost + (filled * separate + joins if separates else 0)
    groups = worker_groups(infer_workers, len(targets), pods_per_workflow, taken)
    # Workers that one workflow does not hold are many already.
    shared = [] if groups else together(targets, infer_workers, at_once)
    return FanOut(augment, merge, boost, separate, groups, shared)


def worker_groups(workers: int, targets: int, pods_per_workflow: int, taken: int = 0) -> list[tuple[int, int]]:
    """The first worker and the number of workers of each nested workflow of a target.

    None where one workflow holds the workers of all targets beside the pods that are `taken`; else as few groups of at
    most `pods_per_workflow` as there can be, which differ in size by one at most.
    """
    if workers * targets + taken <= pods_per_workflow:
        return []
    groups = -(-workers // pods_per_workflow)
    bounds = [workers * index // groups for index in range(groups + 1)]
    return [(first, end - first) for first, end in pairwise(bounds)]


def together(targets: Sequence[str], workers: int, at_once: int) -> list[tuple[str, ...]]:
    """Which targets a worker predicts together, where a place runs so few pods at once that they would queue.

    As many groups as keep `at_once` pods busy, each with `workers`: starting a pod and reading a block cost once a
    group then. None where any number runs at once (0), or where the groups would be hardly more than a target each.
    """
    groups = -(-at_once // workers) if workers else 0
    if not groups or 2 * groups > len(targets):
        return []
    return [tuple(targets[first::groups]) for first in range(groups)]

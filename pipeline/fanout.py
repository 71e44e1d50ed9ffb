"""How the workers of a step are spread over workflows, so that no Workflow object grows too large for its cluster."""

from __future__ import annotations

from itertools import pairwise

# The object must stay under a megabyte; a worker takes about 2.7 kB of it (docs/scale.md).
PODS_PER_WORKFLOW = 300


def worker_groups(workers: int, targets: int, pods_per_workflow: int) -> list[tuple[int, int]]:
    """The first worker and the number of workers of each nested workflow of a target.

    None where one workflow holds the workers of all targets; else as few groups of at most `pods_per_workflow` as
    there can be, which differ in size by one at most.
    """
    if workers * targets <= pods_per_workflow:
        return []
    groups = -(-workers // pods_per_workflow)
    bounds = [workers * index // groups for index in range(groups + 1)]
    return [(first, end - first) for first, end in pairwise(bounds)]

"""What the steps of a study cost beside the networks' own work, in seconds: rules of thumb of two cores.

Taken from three studies of `tests/bench/bench_estimate.py`, whose steps are forks (`pipeline/argo/forks.py`). Where
each is a process of its own, as in pods, one or two seconds a step come on top.
"""

from __future__ import annotations

from pipeline.run.plan import VALIDATION_VOXELS

START_S = 0.3
"""Of a step."""
NETWORK_START_S = 0.5
"""Of one that trains or predicts."""
RUNNER_S = 5.0
"""Of looking at the files before a study, of what its first steps import, and of the summary after it."""
INGESTED_VOXELS_PER_S = 5e6
MERGED_VOXELS_PER_S = 8e5
"""Of each network."""
AUGMENTED_VOXELS_PER_S = 8e6
SEPARATING_S_PER_MVOXEL = 5.0
BOOSTING_STEPS_SHARE = 0.75
"""Of the steps that learning to boost may take: it ends once nothing is gained."""
APPLYING_S_PER_MVOXEL = 1.0
"""Of interpolating."""
FIGURES_S, FIGURES_S_PER_CLASS, RENDER_S_PER_MVOXEL = 1.3, 3.3, 0.5
REPORT_S, REPORT_S_PER_CLASS = 0.4, 0.45
COMPARING_S = 4.0
"""Of what boosting did, with its figures."""


def judged_voxels(validation_voxels: float, validations: int) -> float:
    """Voxels that a training predicts to be judged: at each validation, and once more to calibrate the best network."""
    return (validations + 1) * min(validation_voxels, VALIDATION_VOXELS)


def drawing_s(test_voxels: float, classes: int, *, renders: bool = True) -> float:
    """Of scores, figures and renders."""
    return FIGURES_S + FIGURES_S_PER_CLASS * classes + RENDER_S_PER_MVOXEL * test_voxels / 1e6 * renders


def reporting_s(classes: int) -> float:
    """Of the report."""
    return REPORT_S + REPORT_S_PER_CLASS * classes

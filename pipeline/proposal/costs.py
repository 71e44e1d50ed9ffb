"""What the steps of a study cost beside the training steps themselves, in seconds: rules of thumb of two cores."""

from __future__ import annotations

from pipeline.run.plan import VALIDATION_VOXELS

START_S = 1.5
"""Of a process."""
NETWORK_START_S = 3.0
"""Of one that trains or predicts."""
RUNNER_S = 5.0
"""Of looking at the files before a study, and of the summary after it."""
REPORT_S = 3.0
BOOSTING_S_PER_MVOXEL = 60.0
FIGURES_S, FIGURES_S_PER_CLASS, RENDER_S_PER_MVOXEL = 12.0, 1.5, 8.0
COMPARING_S = 4.0
"""Of what boosting did, with its figures."""


def judged_voxels(validation_voxels: float, validations: int) -> float:
    """Voxels that a training predicts to be judged: at each validation, and once more to calibrate the best network."""
    return (validations + 1) * min(validation_voxels, VALIDATION_VOXELS)


def drawing_s(test_voxels: float, classes: int, *, renders: bool = True) -> float:
    """Of scores, figures and renders."""
    return FIGURES_S + FIGURES_S_PER_CLASS * classes + RENDER_S_PER_MVOXEL * test_voxels / 1e6 * renders


def boosting_s(test_voxels: float) -> float:
    """Of learning to boost the test part, and of boosting it."""
    return BOOSTING_S_PER_MVOXEL * test_voxels / 1e6

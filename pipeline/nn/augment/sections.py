"""Serial sections that were lost."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from pipeline.nn.augment.draws import MissingSection


def lose_sections(image_CZYX: torch.Tensor, missing: Sequence[MissingSection]) -> None:
    """Blanks slices or overwrites them with others, in place. The labels stay: what was there is still asked."""
    if not missing:
        return
    darkest, brightest = image_CZYX.aminmax()
    for section in missing:
        if section.copied_z is None:
            image_CZYX[:, section.z] = torch.lerp(darkest, brightest, section.level)
        else:
            image_CZYX[:, section.z] = image_CZYX[:, section.copied_z]

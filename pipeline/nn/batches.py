"""Batches of training samples, made as they are needed or taken from a pool.

A batch is a function of (seed, step) alone, so the next one can be made in another thread while this one is trained
on, and a resumed training sees the batches that an uninterrupted one would have seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.nn.augment.layer import Augmenter
from pipeline.nn.blockwise import Normalisation, one_ahead
from pipeline.nn.sampling import Candidates, LabelledBox, choose_batch, cut_source_patch

Batch = tuple[Tensor, Tensor]
"""image_BCZYX (float32, normalised) and labels_BZYX (stored ids)."""
BatchSource = Callable[[int], Batch]
"""The batch of a step."""
ReadSamples = Callable[[Sequence[int]], tuple[NDArray[Any], NDArray[Any]]]
"""Reads pool samples: images (n, z, y, x), normalised, and labels (n, z, y, x)."""
ALL = slice(None)


class SampleMaker:
    """Cuts patches around candidate centres and augments them."""

    def __init__(
        self,
        boxes: Sequence[LabelledBox],
        candidates: Candidates,
        augmenter: Augmenter,
        normalisation: Normalisation,
        seed: int,
    ) -> None:
        self.candidates = candidates
        self._boxes = boxes
        self._augmenter = augmenter
        self._normalisation = normalisation
        self._seed = seed

    def make(self, candidates: Sequence[int], sample_indices: Sequence[int]) -> Batch:
        """Patches around these candidates; what augmentation does to each follows from its sample index."""
        patches = [self._cut(candidate) for candidate in candidates]
        image_BCZYX = torch.from_numpy(np.stack([image for image, _ in patches]))
        labels_BZYX = torch.from_numpy(np.stack([labels for _, labels in patches]))
        return self._augmenter(image_BCZYX, labels_BZYX, self._seed, sample_indices)

    def _cut(self, candidate: int) -> tuple[NDArray[np.float32], NDArray[Any]]:
        box = self._boxes[self.candidates.boxes[candidate]]
        size = self._augmenter.source_patch_zyx
        centre = self.candidates.centres_zyx[candidate]
        start = [int(at) - edge // 2 for at, edge in zip(centre, size, strict=True)]
        image, labels = cut_source_patch(box.image[None], box.labels, start, size)
        return self._normalisation(image), labels


def on_the_fly(
    maker: SampleMaker, *, cover: Sequence[int], batch_size: int, seed: int, share: slice = ALL
) -> BatchSource:
    """Batches whose samples are made for them alone; of each batch, the share that is wanted."""

    def batch(step: int) -> Batch:
        chosen = choose_batch(maker.candidates.class_voxels, cover=cover, batch_size=batch_size, seed=seed, step=step)
        return maker.make(chosen[share], range(step * batch_size, (step + 1) * batch_size)[share])

    return batch


def from_pool(
    read: ReadSamples,
    class_voxels: NDArray[np.int64],
    *,
    cover: Sequence[int],
    batch_size: int,
    seed: int,
    share: slice = ALL,
) -> BatchSource:
    """Batches of samples that the augment step has written; ``class_voxels`` (n, classes) says what each holds.

    Of each batch, the share that is wanted.
    """

    def batch(step: int) -> Batch:
        chosen = choose_batch(class_voxels, cover=cover, batch_size=batch_size, seed=seed, step=step)
        images, labels = read(chosen[share])
        return torch.from_numpy(images.astype(np.float32))[:, None], torch.from_numpy(labels)

    return batch


def prefetched(source: BatchSource, start: int, stop: int) -> Iterator[Batch]:
    """The batches of steps ``start`` to ``stop``, each made while its predecessor is trained on."""
    return one_ahead(source, range(start, stop))

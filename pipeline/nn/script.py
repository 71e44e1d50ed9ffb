"""A trained model as a program of TorchScript: grey values in, probabilities out, without vemseg."""

from __future__ import annotations

import io
import warnings
from copy import deepcopy

import torch
from torch import Tensor, nn

from pipeline.nn.model import Model


class Segmenter(nn.Module):
    """Grey values (B, 1, Z, Y, X) of any type, as they were recorded, to probabilities (B, C, Z, Y, X) of the classes.

    The edges of the image must be multiples of the network's stride; all of it is seen at once.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.network = deepcopy(model.network).cpu()
        self.network.fold_norms()
        self._model = model

    def forward(self, grey_BCZYX: Tensor) -> Tensor:
        """Probabilities, as `vemseg infer` stores them before it rounds."""
        normalisation, target = self._model.normalisation, self._model.target
        logits_BCZYX = self.network((grey_BCZYX.float() - normalisation.mean) / normalisation.std)
        classes_CBZYX = target.class_logits(logits_BCZYX.transpose(0, 1))
        return target.probabilities(self._model.confidence(classes_CBZYX)).transpose(0, 1)


def scripted(model: Model, grey_BCZYX: Tensor) -> tuple[bytes, Tensor]:
    """The program, and what it gives for an image.

    Args:
        model: a trained one.
        grey_BCZYX: an image of the least size that is worth predicting; the program takes other sizes as well.
    """
    segmenter = Segmenter(model).eval()
    with torch.inference_mode(), warnings.catch_warnings():
        # TorchScript is deprecated since torch 2.10, and the form that packages of other programs know.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        traced = torch.jit.trace(segmenter, grey_BCZYX)  # type: ignore[no-untyped-call]
        file = io.BytesIO()
        torch.jit.save(traced, file)
        return file.getvalue(), segmenter(grey_BCZYX)

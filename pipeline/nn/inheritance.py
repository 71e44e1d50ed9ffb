"""Weights of a trained network as the first weights of another one, whose classes may be others.

All layers but the last are taken as they are. The last one has a row for each class: rows are matched by the names of
the classes, and a class that the trained network does not know begins anew.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from pipeline.nn.unet import UNet

_HEAD = "heads."


def inherit(
    network: UNet,
    outputs: Sequence[str],
    trained: UNet,
    trained_outputs: Sequence[str],
) -> tuple[str, ...]:
    """Give a network the weights of a trained one of the same levels, and return the outputs that it knew.

    Args:
        network: is changed in place.
        outputs: names of its outputs, in order.
        trained: where the weights come from.
        trained_outputs: names of its outputs.
    """
    weights, own = trained.state_dict(), network.state_dict()
    rows = [(outputs.index(name), index) for index, name in enumerate(trained_outputs) if name in outputs]
    with torch.no_grad():
        for name, tensor in own.items():
            if not name.startswith(_HEAD):
                tensor.copy_(weights[name])
            elif name in weights:
                for new, old in rows:
                    tensor[new] = weights[name][old]
    return tuple(name for name in outputs if name in trained_outputs)

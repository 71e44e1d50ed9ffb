"""How the networks of zero-shot super-resolution learn, and from what, and how they are used once they are trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.config.settings import settings_of
from pipeline.nn.description import refuse_changed, refuse_exchanged
from pipeline.nn.zssr.grids import Scaling
from pipeline.nn.zssr.kernel import as_kernel
from pipeline.run.layout import Run
from pipeline.run.provenance import network_digest
from pipeline.run.works import Task, coarse_variant
from pipeline.volume.geometry import Block

if TYPE_CHECKING:
    from pipeline.nn.zssr.superresolution import SuperResolution
    from pipeline.nn.zssr.upscalers import ZeroShot

TILE_PX = 256
"""Largest edge of what is read of a slice at once to learn from."""


def pool_of(run: Run, task: Task) -> NDArray[np.float32]:
    """Tiles (n, y, x) of the coarse slices of a task, from everywhere in them, as many as the settings allow for.

    No two share a pixel: what is held out of one is in no other.
    """
    image = run.variant(coarse_variant(run), task.capture.name)
    _, *lengths = image.shape_zyx
    edges = [length // -(-length // TILE_PX) for length in lengths]
    rows, columns = (range(0, length - edge + 1, edge) for length, edge in zip(lengths, edges, strict=True))
    corners = [(z, y, x) for z in task.slices for y in rows for x in columns]
    allowed = max(1, int(run.config.boosting.zssr.pool_megapixels * 1e6) // (edges[0] * edges[1]))
    if len(corners) > allowed:
        order = np.random.default_rng(run.config.seed).permutation(len(corners))[:allowed]
        corners = [corners[index] for index in sorted(order.tolist())]
    tiles = [image.read(Block((z, y, x), (z + 1, y + edges[0], x + edges[1])))[0] for z, y, x in corners]
    return np.stack(tiles).astype(np.float32)


def super_resolution(run: Run, task: Task, kernel: Any) -> SuperResolution:
    """How a network is taught and used."""
    from pipeline.nn.zssr.superresolution import SuperResolution, ZssrSettings

    settings = settings_of(ZssrSettings, run.config.boosting.zssr)
    return SuperResolution(settings, Scaling.centred(task.factor), kernel, run.config.seed)


def learnt_upscaler(run: Run, task: Task) -> ZeroShot:
    """A trained network in use, on intensities of the volume. Raises RunConflictError when it is not trained yet."""
    import torch

    from pipeline.nn.checkpoint import unpack
    from pipeline.nn.device import pick_device
    from pipeline.nn.training import autocast_dtype, with_weights
    from pipeline.nn.zssr.network import DetailNetwork
    from pipeline.nn.zssr.upscalers import Usage

    network_digest(task)
    url, weights = task.store.url, task.store.read("model.safetensors")
    facts = refuse_changed(task.store.read_json("model.json"), url)
    refuse_exchanged(weights, facts, url)
    tensors, _ = unpack(weights, f"{url}/model.safetensors")
    how = super_resolution(run, task, as_kernel(facts["kernel"]))
    network = with_weights(DetailNetwork(how.settings.plan), tensors)
    device = pick_device()
    precision: torch.dtype = autocast_dtype(run.config.boosting.zssr.precision, device)
    usage = Usage(**facts["usage"])
    return how.upscaler(network, usage, low=facts["low"], high=facts["high"], device=device, precision=precision)

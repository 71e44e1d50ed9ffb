"""What limits a machine and its storage: reading, decoding, computing or writing, each measured on its own.

Inference reads and decodes the next block, computes this one and writes the last one at the same time, so that the
slowest of the three is what it takes; training makes the samples of the next step during this one. Storage is measured
with shards of a generated volume, in a folder of its own that is removed again; shards on a local disk are brought to
the disk before the clock stops, and forgotten by the system before they are read.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import inf
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from pipeline.config.model import Inference, Network, Training
from pipeline.nn.plan import plan_network
from pipeline.phantom import PHANTOM_CLASSES, make_phantom
from pipeline.proposal.speed import Load, Speed, batch_s, measured_anew
from pipeline.volume.geometry import Block, Geometry, Zyx, chunk_within, tile
from pipeline.volume.omezarr import Volume, create_image, create_labels
from pipeline.volume.stores import Store

READING, DECODING, COMPUTING, WRITING = STAGES = ("reading", "decoding", "computing", "writing")
SAMPLES = "samples"
SHARDS = 8
LEAST_S = 1.0
"""After which no further shard is read or written."""
_TISSUE: Zyx = (16, 128, 128)
_VOXEL_SIZE_NM = (10.0, 5.0, 5.0)
_BLOCK: Zyx = (32, 256, 256)
_VOLUME: Zyx = (128, 1024, 1024)


@dataclass(frozen=True)
class Storage:
    """Seconds that a voxel takes, and bytes in which it is stored."""

    read_s: float
    decode_s: float
    write_s: float
    """With its encoding; of class ids, as inference writes them."""
    image_bytes: float
    classes_bytes: float


@dataclass(frozen=True)
class Limits:
    """What was measured of a machine and a place."""

    storage: Storage
    speed: Speed
    batch_s: float
    """Of the processor, in which the samples of a training step are made."""

    @property
    def seconds(self) -> dict[str, float]:
        """That each stage of inference takes for a voxel."""
        storage = self.storage
        computed_s = 1 / self.speed.predicted_voxels_per_s
        return dict(zip(STAGES, (storage.read_s, storage.decode_s, computed_s, storage.write_s), strict=True))

    @property
    def inference(self) -> str:
        """What limits it: reading and decoding share a thread, the others have their own."""
        seconds = self.seconds
        if seconds[READING] + seconds[DECODING] > max(seconds[COMPUTING], seconds[WRITING]):
            return max(READING, DECODING, key=seconds.__getitem__)
        return max(COMPUTING, WRITING, key=seconds.__getitem__)

    @property
    def training(self) -> str:
        """What limits it: a step that takes no longer than its samples waits for them."""
        return SAMPLES if self.batch_s > 0.9 * self.speed.step_s else COMPUTING

    @property
    def workers(self) -> float:
        """So many processes like this one can read and write there at once before the storage limits them."""
        asked = self.storage.read_s + self.storage.write_s
        return inf if asked == 0 else self.seconds[COMPUTING] / asked


def default_load(threads: int) -> Load:
    """The network of `vemseg config example`, eight classes, on a large volume."""
    training = Training()
    network = plan_network(
        voxel_size_nm=_VOXEL_SIZE_NM,
        extent_zyx=training.patch_zyx,
        outputs=len(PHANTOM_CLASSES),
        head="softmax",
        features=Network().features,
    )
    return Load(network, training.patch_zyx, training.batch_size, _VOXEL_SIZE_NM, _BLOCK, _VOLUME, threads)


def limits(place: str, load: Load, say: Callable[[str], None]) -> Limits:
    """Measure the storage at a place, and this machine; the machine's speed is kept for the estimate.

    Raises:
        InputError: nothing can be written there.
        StorageError: the storage does not answer, or is full.
    """
    say(f"writing and reading shards in {place}")
    storage = measured_storage(place, Inference().shard_zyx)
    return Limits(storage, measured_anew(load, say), batch_s(load))


def measured_storage(place: str, shard_zyx: Zyx) -> Storage:
    """Write some shards to a folder at a place, read them, and remove them."""
    root = Store.open(place, create=True)
    name = f"vemseg-bench-{uuid4().hex[:12]}"
    try:
        with tempfile.TemporaryDirectory() as folder:
            return _measured(root.child(name), Store.open(folder), shard_zyx)
    finally:
        root.delete_all(name)


def _measured(there: Store, near: Store, shard_zyx: Zyx) -> Storage:
    raw, ids = _tissue(shard_zyx)
    geometry = Geometry((SHARDS * shard_zyx[0], *shard_zyx[1:]), _VOXEL_SIZE_NM)
    grid: dict[str, Any] = {
        "geometry": geometry,
        "dtype": np.uint8,
        "chunk_zyx": chunk_within(shard_zyx),
        "shard_zyx": shard_zyx,
    }
    image, copy = (create_image(store, name="image", **grid) for store in (there, near))
    named = [(number, name, "#808080") for number, name in enumerate(PHANTOM_CLASSES, 1)]
    classes = create_labels(there, "classes", classes=named, **grid)
    done: list[Block] = []
    written_s = read_s = decoded_s = 0.0
    for block in tile(geometry.block, shard_zyx):
        written_s += _seconds(partial(_write, classes, block, ids))
        _write(image, block, raw)
        _forget(image, block)
        done.append(block)
        if written_s > LEAST_S:
            break
    for block in done:
        (key,) = image.levels[0].keys(block)
        begun = time.perf_counter()
        content = image.store.read(key)
        read_s += time.perf_counter() - begun
        near.write(key, content)
        decoded_s += _seconds(partial(copy.read, block))
    voxels = sum(block.voxels for block in done)
    sizes = (sum(_size(volume, block) for block in done) for volume in (image, classes))
    return Storage(read_s / voxels, decoded_s / voxels, written_s / voxels, *(size / voxels for size in sizes))


def _tissue(shard_zyx: Zyx) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Grey values and class ids of a shard: a piece of the phantom and its mirror images."""
    phantom = make_phantom(_TISSUE, seed=0)
    beyond = [(0, max(0, edge - own)) for edge, own in zip(shard_zyx, _TISSUE, strict=True)]
    z, y, x = (slice(edge) for edge in shard_zyx)
    raw, ids = (np.pad(each, beyond, mode="symmetric")[z, y, x] for each in (phantom.raw, phantom.labels))
    return raw, ids.astype(np.uint8)


def _write(volume: Volume, block: Block, data: NDArray[np.uint8]) -> None:
    """Write a shard; where the place is local, as far as the disk."""
    volume.write(block, data)
    for path in _files(volume, block):
        with path.open("rb") as file:
            os.fsync(file.fileno())


def _forget(volume: Volume, block: Block) -> None:
    """Let the system forget a shard that is on the disk, so that it is read from there."""
    if hasattr(os, "posix_fadvise"):
        for path in _files(volume, block):
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _files(volume: Volume, block: Block) -> list[Path]:
    """Of a shard; none in a remote place."""
    folder = volume.store.local_path()
    return [folder / key for key in volume.levels[0].keys(block)] if folder else []


def _size(volume: Volume, block: Block) -> int:
    return sum(volume.store.size(key) or 0 for key in volume.levels[0].keys(block))


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun

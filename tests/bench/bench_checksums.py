"""What checksums cost: CRC-32C of chunks and the digests of a marker, beside the inference whose output they guard.

One block of the default network is computed, its image read and its classes and probabilities written, with checksums
and without, in turns. Probabilities of an untrained network hardly compress: more bytes a voxel than a study writes.
Times are processor time, medians of the turns. At most 3 % of inference.

    .venv/bin/python -m tests.bench.bench_checksums
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.nn.blockwise import BlockPredictor, Normalisation
from pipeline.nn.plan import plan_network
from pipeline.nn.unet import UNet
from pipeline.run.markers import Marker
from pipeline.volume.geometry import Block, Geometry
from pipeline.volume.omezarr import Volume, create_image, open_image
from pipeline.volume.stores import Store
from tests.bench.table import Row, options, show

SHAPE_ZYX, CHUNK_ZYX = (25, 256, 256), (25, 64, 64)
VOXEL_SIZE_NM = (10.0, 5.0, 5.0)
CLASSES, MOST = 8, 0.03


def processor_s(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def volumes(folder: Path, *, checked: bool) -> tuple[Volume, Volume, Volume]:
    """Image, classes and probabilities, of one shard each."""
    made = []
    for name, channels in (("image", None), ("classes", None), ("probabilities", [f"c{k}" for k in range(CLASSES)])):
        store = Store.open(folder / name, create=True)
        create_image(
            store,
            geometry=Geometry(SHAPE_ZYX, VOXEL_SIZE_NM),
            dtype="uint8",
            name=name,
            chunk_zyx=CHUNK_ZYX,
            shard_zyx=SHAPE_ZYX,
            channels=channels,
        )
        if not checked:
            store.write_json("0/zarr.json", _without_checksums(store.read_json("0/zarr.json")))
        made.append(open_image(store))
    image, classes, probabilities = made
    return image, classes, probabilities


def _without_checksums(document: Any) -> Any:
    if isinstance(document, dict):
        return {key: _without_checksums(value) for key, value in document.items()}
    if isinstance(document, list):
        return [_without_checksums(each) for each in document if each != {"name": "crc32c"}]
    return document


def rows(turns: int) -> Iterator[Row]:
    """What the checksums of a block cost, turn by turn."""
    torch.manual_seed(0)
    block = Block.of_shape(SHAPE_ZYX)
    grey = np.random.default_rng(0).integers(0, 256, SHAPE_ZYX, dtype=np.uint8)
    plan = plan_network(
        voxel_size_nm=VOXEL_SIZE_NM,
        extent_zyx=(16, 128, 128),
        outputs=CLASSES,
        head="softmax",
        features=(16, 32, 64, 96),
    )
    predictor = BlockPredictor(UNet(plan).eval(), Normalisation(128.0, 50.0), device=torch.device("cpu"))
    given = predictor.read(lambda _: grey, block, SHAPE_ZYX)
    logits_CZYX = predictor.logits(given)
    ids = logits_CZYX.argmax(0).byte().numpy() + 1
    shares = (logits_CZYX.softmax(0) * 255).round().byte().numpy()
    with tempfile.TemporaryDirectory() as folder:
        checked, plain = (volumes(Path(folder, name), checked=name == "checked") for name in ("checked", "plain"))
        for image, _, _ in (checked, plain):
            image.write(block, grey)
        marker = Marker(Store.open(folder), "done/one.json", "made from this")
        with_checksums, without, inference = [], [], []
        for turn in range(turns):

            def work(made: tuple[Volume, Volume, Volume]) -> None:
                made[0].read(block)
                made[1].write(block, ids)
                made[2].write(block, shares)

            def guarded() -> None:
                with marker.making():
                    work(checked)

            with_checksums.append(processor_s(guarded))
            without.append(processor_s(lambda: work(plain)))
            if turn % 3 == 0:
                inference.append(processor_s(lambda: predictor.logits(given)))
    computed = statistics.median(inference)
    # A turn's difference may be below zero on a busy machine; a cost is not.
    cost = tuple(max(0.0, each - plain) for each, plain in zip(with_checksums, without, strict=True))
    note = f"{1e3 * statistics.median(without):.1f} ms without them"
    yield Row("checksums and marker of a block", "its inference", "s", cost, (computed,) * turns, MOST, True, note)


def main() -> None:
    asked = options(__doc__, repetitions=9).parse_args()
    torch.set_num_threads(asked.threads)
    show(rows(asked.repetitions), asked)


if __name__ == "__main__":
    main()

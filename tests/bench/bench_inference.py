"""Cost of blockwise inference: beside the network's own compute, and against MONAI's sliding windows.

- A segmentation run on disk (`pipeline.steps.infer`: OME-Zarr in, shards out) against calling the network on the very
  same blocks, already in memory.
- How far blocks are from one pass over a whole volume: ours not at all.
- `sliding_window_inference` of MONAI and the predictor of nnU-Net (overlap 0.5, Gaussian, no mirror images) with the
  same folded network, a whole stack of 25 x 700 x 700 each, and windows of which MONAI's peak memory is about ours.
- The same in the interior of a large cube, where no face saves a halo: one of our blocks, and one of their windows,
  which brings a volume forward by half its edge along each axis. Their output for the whole volume is not counted in
  their memory here.
- Useful work: the operations of one pass over the whole volume at the rate of a product of matrices, which is measured
  in the same process, against what prediction took.

Times are processor time, so that other programs count little; the first has wall time too, since reading and writing
are to hide behind computing. Each side is a process of its own in each turn; noted is its peak memory above its inputs.

    make bench-setup && .venv/bin/python -m tests.bench.bench_inference
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from io import StringIO
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import tifffile
import torch
from monai.inferers import sliding_window_inference

from pipeline.config.model import Inference
from pipeline.nn.blockwise import BlockPredictor, Normalisation, predict_blocks
from pipeline.nn.calibration import Confidence
from pipeline.nn.device import keep_freed_memory
from pipeline.nn.model import Model
from pipeline.nn.operations import predicting_operations
from pipeline.nn.plan import plan_network
from pipeline.nn.regions import receptive_radius, required_regions
from pipeline.nn.targets import Target
from pipeline.nn.unet import UNet
from pipeline.run.layout import Run
from pipeline.steps.infer import infer
from pipeline.steps.prepare import prepare
from pipeline.volume.geometry import Block, Zyx, tile
from pipeline.volume.stores import Store
from tests.bench.table import Row, options, show

CLASSES = 8
FEATURES = (16, 32, 64, 96)
"""The default network."""
NORMALISATION = Normalisation(128.0, 50.0)
CPU = torch.device("cpu")
PRODUCT = 1536
"""Edge of the matrices whose product is timed."""

STACK: Zyx = (25, 700, 700)
STACK_NM = (10.0, 5.0, 5.0)
STACK_BLOCK: Zyx = (25, 700, 700)
STACK_WINDOW: Zyx = (28, 320, 320)

CUBE: Zyx = (1024, 1024, 1024)
CUBE_NM = (8.0, 8.0, 8.0)
CUBE_BLOCK: Zyx = (512, 320, 320)
CUBE_WINDOW: Zyx = (208, 208, 208)


@dataclass(frozen=True)
class Cost:
    """What a piece of work took."""

    processor_s: float
    wall_s: float
    peak_gb: float
    """Above what the process held before."""
    product_s: float = 0.0
    """In which a product of matrices does the operations of one pass over all of the volume."""


def timed(work: Callable[[], object]) -> Cost:
    before_gb = memory_gb("VmRSS")
    wall, processor = time.perf_counter(), time.process_time()
    work()
    processor_s, wall_s = time.process_time() - processor, time.perf_counter() - wall
    return Cost(processor_s, wall_s, memory_gb("VmHWM") - before_gb)


def product_rate() -> float:
    """Operations a second of the processor in a product of matrices: the best of some."""
    left, right = torch.rand(2, PRODUCT, PRODUCT)
    taken = []
    for _ in range(6):
        begun = time.process_time()
        torch.mm(left, right)
        taken.append(time.process_time() - begun)
    return 2 * PRODUCT**3 / min(taken)


def with_useful_work(work: Callable[[], object], network: UNet, volume_zyx: Zyx, voxels: int) -> Cost:
    """The cost of predicting so many voxels of a volume; the product is measured before and after."""
    padded = tuple(-(-n // s) * s for n, s in zip(volume_zyx, network.plan.stride_zyx, strict=True))
    whole = Block.of_shape(padded)
    operations = predicting_operations(network.plan, whole, whole.shape_zyx) / whole.voxels * voxels
    before = product_rate()
    cost = timed(work)
    return replace(cost, product_s=operations / max(before, product_rate()))


def memory_gb(field: str) -> float:
    """Of this process on Linux, now (VmRSS) or at most (VmHWM); getrusage would count its parent's peak too."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field)]
    return int(line.split()[1]) * 1024 / 1e9


def network_for(voxel_size_nm: tuple[float, float, float], patch_zyx: Zyx) -> UNet:
    """An untrained default network whose norms have statistics, so that nothing is zero by chance."""
    torch.manual_seed(0)
    plan = plan_network(
        voxel_size_nm=voxel_size_nm, extent_zyx=patch_zyx, outputs=CLASSES, head="softmax", features=FEATURES
    )
    network = UNet(plan).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            torch.nn.init.normal_(module.bias, std=0.2)
            torch.nn.init.normal_(module.running_mean, std=0.2)
    return network


def stack_network() -> UNet:
    return network_for(STACK_NM, (16, 128, 128))


def cube_network() -> UNet:
    return network_for(CUBE_NM, (64, 64, 64))


def grey_values(shape_zyx: Zyx) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape_zyx, dtype=np.uint8)


def class_ids(network: UNet, volume: np.ndarray, block_zyx: Zyx) -> np.ndarray:
    """Ours: the whole volume block by block."""
    predictor = BlockPredictor(network, NORMALISATION, device=CPU)
    ids = np.empty(volume.shape, np.uint8)
    blocks = tile(Block.of_shape(volume.shape), block_zyx)
    for core, logits_CZYX in predict_blocks(predictor, lambda block: volume[block.slices], blocks, volume.shape):
        ids[core.slices] = (logits_CZYX.max(0).indices + 1).byte().numpy()
    return ids


def slide(network: UNet, volume: np.ndarray, window_zyx: Zyx) -> torch.Tensor:
    """MONAI's logits (C, Z, Y, X) of the whole volume."""
    image_BCZYX = torch.from_numpy(NORMALISATION(volume))[None, None]
    with torch.inference_mode():
        logits_BCZYX = sliding_window_inference(image_BCZYX, window_zyx, 1, network, overlap=0.5, mode="gaussian")
    assert isinstance(logits_BCZYX, torch.Tensor)
    return logits_BCZYX[0]


def folded(network: UNet) -> UNet:
    """As our predictor has it: folded norms, channels last."""
    network.fold_norms()
    return network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload,no-any-return]


def ours_on_stack() -> Cost:
    network, volume = stack_network(), grey_values(STACK)
    return with_useful_work(lambda: class_ids(network, volume, STACK_BLOCK), network, STACK, voxels(STACK))


def monai_on_stack() -> Cost:
    network, volume = folded(stack_network()), grey_values(STACK)
    return timed(lambda: slide(network, volume, STACK_WINDOW).argmax(0).byte())


def nnunet_on_stack() -> Cost:
    return timed(nnunet_on(folded(stack_network()), grey_values(STACK), STACK_WINDOW))


def nnunet_inside_cube() -> Cost:
    return timed(nnunet_on(folded(cube_network()), grey_values(CUBE_WINDOW), CUBE_WINDOW))


def nnunet_on(network: UNet, volume: np.ndarray, window_zyx: Zyx) -> Callable[[], object]:
    from tests.bench.nnunet import predict

    logits = predict(network, CLASSES, window_zyx)
    return lambda: logits(torch.from_numpy(NORMALISATION(volume))[None]).argmax(0).byte()


def ours_inside_cube() -> Cost:
    network = cube_network()
    predictor = BlockPredictor(network, NORMALISATION, device=CPU)
    core = Block.of_shape(CUBE_BLOCK).shift([(edge - side) // 2 for edge, side in zip(CUBE, CUBE_BLOCK, strict=True)])
    image = grey_values(required_regions(network.plan, core, CUBE).input.shape_zyx)
    target = Target("multilabel", tuple(range(1, CLASSES + 1)), True)

    def predict() -> None:
        for _, logits_CZYX in predict_blocks(predictor, lambda _: image, [core], CUBE):
            target.decide(logits_CZYX)

    return with_useful_work(predict, network, CUBE, core.voxels)


def monai_inside_cube() -> Cost:
    network, volume = folded(cube_network()), grey_values(CUBE_WINDOW)
    return timed(lambda: slide(network, volume, CUBE_WINDOW).argmax(0).byte())


def alone(work: Callable[[], Cost], threads: int) -> Cost:
    """The cost of the work in a process of its own."""
    with ProcessPoolExecutor(1, get_context("spawn"), initializer=prepare_process, initargs=(threads,)) as process:
        return process.submit(work).result()


def prepare_process(threads: int) -> None:
    torch.set_num_threads(threads)
    keep_freed_memory()


def make_run(folder: Path, shape_zyx: Zyx, block_zyx: Zyx) -> str:
    """A run that has a model and a volume, and is ready to be predicted."""
    network = stack_network()
    classes = [{"name": f"class_{k}", "ids": [k], "color": "#808080"} for k in range(1, CLASSES + 1)]
    facts = {
        "classes": {"members": classes},
        "voxel_size_nm": STACK_NM,
        "receptive_field_zyx": [2 * radius + 1 for radius in receptive_radius(network.plan)],
    }
    target = Target("multilabel", tuple(range(1, CLASSES + 1)), True)
    model = Model(network, target, NORMALISATION, Confidence.as_it_is(CLASSES), facts)
    store = Store.open(folder / "model", create=True)
    weights = model.weights_file()
    store.write("model.safetensors", weights)
    store.write_json("model.json", model.json_file(weights))
    tifffile.imwrite(folder / "raw.tif", grey_values(shape_zyx))
    settings = Inference(block_zyx=block_zyx, shard_zyx=(block_zyx[0], block_zyx[1], shape_zyx[2]))
    run = str(folder / "run")
    prepare(store.url, str(folder / "raw.tif"), run, voxel_size_nm=STACK_NM, inference=settings)
    return run


def predict_run(run_url: str) -> None:
    infer(run_url, target="multilabel")


def preloaded(shape_zyx: Zyx, block_zyx: Zyx) -> Callable[[], None]:
    """The network's own compute on the blocks of a run."""
    network, volume = stack_network(), grey_values(shape_zyx)
    predictor = BlockPredictor(network, NORMALISATION, device=CPU)
    inputs = [
        predictor.read(lambda block: volume[block.slices], core, shape_zyx)
        for core in tile(Block.of_shape(shape_zyx), block_zyx)
    ]

    def compute() -> None:
        for each in inputs:
            for _ in predictor.slabs(each):
                pass

    return compute


def end_to_end(repetitions: int) -> Iterator[Row]:
    shape, block = (25, 320, 320), (25, 160, 160)
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(StringIO()):
        run_url = make_run(Path(folder), shape, block)
        compute = preloaded(shape, block)
        pairs = []
        for repetition in range(repetitions + 1):
            Run.open(run_url).store.delete_all("done/infer")
            pair = timed(lambda: predict_run(run_url)), timed(compute)
            if repetition > 0:  # the first one fills caches
                pairs.append(pair)
    for clock in ("processor", "wall"):
        mine, own = (tuple(getattr(pair[side], f"{clock}_s") for pair in pairs) for side in (0, 1))
        yield Row(f"inference end to end, {clock} time", "the network alone", "s", mine, own, 1.15, at_most=True)


def exactness() -> Iterator[Row]:
    shape, block, window = (25, 200, 200), (25, 96, 96), (28, 128, 128)
    volume, network = grey_values(shape), stack_network()
    expected = whole_volume_logits(network, volume)
    predictor = BlockPredictor(network, NORMALISATION, device=CPU)
    blocks = tile(Block.of_shape(shape), block)
    ours = max(
        float((logits_CZYX - expected[(slice(None), *core.slices)]).abs().max())
        for core, logits_CZYX in predict_blocks(predictor, lambda b: volume[b.slices], blocks, shape)
    )
    peer = float((slide(network, volume, window) - expected).abs().max())
    note = f"logits of standard deviation {expected.std():.2f}; MONAI {peer:.2g}"
    yield Row(
        "largest difference, in logits", "one pass over the volume", "", (ours,), bar=1e-5, at_most=True, note=note
    )


def whole_volume_logits(network: UNet, volume: np.ndarray) -> torch.Tensor:
    beyond = [(0, -edge % step) for edge, step in zip(volume.shape, network.plan.stride_zyx, strict=True)]
    z, y, x = volume.shape
    with torch.inference_mode():
        image_BCZYX = torch.from_numpy(NORMALISATION(np.pad(volume, beyond, mode="edge")))[None, None]
        return network(image_BCZYX)[0, :, :z, :y, :x]


def voxels(shape_zyx: Zyx) -> int:
    return Block.of_shape(shape_zyx).voxels


SIDES = {
    "25 × 700 × 700": (
        {"ours": ours_on_stack, "MONAI": monai_on_stack, "nnU-Net's predictor": nnunet_on_stack},
        (voxels(STACK), voxels(STACK)),
        {"MONAI": 2, "nnU-Net's predictor": 5},
        0.65,
    ),
    "inside a large cube": (
        {"ours": ours_inside_cube, "MONAI": monai_inside_cube, "nnU-Net's predictor": nnunet_inside_cube},
        (voxels(CUBE_BLOCK), voxels(CUBE_WINDOW) // 8),
        {"MONAI": 6, "nnU-Net's predictor": 5},
        0.6,
    ),
}
"""Volume: what predicts it, voxels that ours and a peer bring forward, and the bars of the peers and of useful work."""


def beside_peers(threads: int, repetitions: int) -> Iterator[Row]:
    """Each volume by all sides in turn, seconds a million voxels."""
    for title, (works, brought, bars, useful) in SIDES.items():
        costs: dict[str, list[Cost]] = {side: [] for side in works}
        for _ in range(repetitions):
            for side, work in works.items():
                costs[side].append(alone(work, threads))
        mine = tuple(cost.processor_s / brought[0] * 1e6 for cost in costs["ours"])
        held = max(cost.peak_gb for cost in costs["ours"])
        for peer in list(works)[1:]:
            theirs = tuple(cost.processor_s / brought[1] * 1e6 for cost in costs[peer])
            note = f"peak memory {held:.2f} and {max(cost.peak_gb for cost in costs[peer]):.2f} GB"
            yield Row(f"inference, {title}", peer, "s/Mvoxel", mine, theirs, bars[peer], note=note)
        product = tuple(cost.product_s / brought[0] * 1e6 for cost in costs["ours"])
        what, peer = f"useful work, {title}", "one pass at the rate of a product"
        yield Row(what, peer, "s/Mvoxel", mine, product, useful)


def main() -> None:
    asked = options(__doc__, repetitions=3).parse_args()
    prepare_process(asked.threads)
    found = [*end_to_end(asked.repetitions), *exactness(), *beside_peers(asked.threads, asked.repetitions)]
    show(found, asked)


if __name__ == "__main__":
    main()

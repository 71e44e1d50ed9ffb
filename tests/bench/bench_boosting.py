"""What boosting a stack costs beside the published algorithm, and how much neighbouring slices flicker.

    published   a network for each slice: 3000 steps on crops of 128 x 128, eight layers of 64 channels at full size
    stack       one network for all slices, which folds squares of 2 x 2 pixels; as `vemseg boost` does with fold: 2

Both learn from slices made coarse by area averaging, and boost them by 2 with the self-ensemble of eight and ten
back-projections. Printed are PSNR against processor seconds a megapixel of output, training and application apart; then
the flicker of one network for all slices and of one for each, taught for equally many steps: by how much neighbouring
slices differ more than the native ones, and how much of it is the doing of the networks alone.

Last, the slices are taken for the truth, and noise is put on the coarse ones: PSNR of bicubic interpolation, of a
network that learns from sons without noise and is always projected back, and of one that is left to choose.

    python -m tests.bench.bench_boosting                                   # on the generated phantom
    python -m tests.bench.bench_boosting --only noise --side 256
    python -m tests.bench.bench_boosting --raw FOLDER --slices 16-19       # on a real stack
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.nn.training import autocast_dtype
from pipeline.nn.zssr.examples import Examples
from pipeline.nn.zssr.grids import Scaling, Span, Window
from pipeline.nn.zssr.network import DetailNetwork
from pipeline.nn.zssr.resampling import Downsampling, Upsampling
from pipeline.nn.zssr.superresolution import SuperResolution, ZssrSettings, enlarged
from pipeline.nn.zssr.upscalers import Upscaler, Usage, ZeroShot
from pipeline.phantom import make_phantom
from pipeline.scoring.image_quality import Quality, QualityMeter, psnr_db
from pipeline.volume.sources import open_source

FACTOR = 2
SCALING = Scaling.centred(FACTOR)
LOW, HIGH = 0.0, 255.0
DEVICE = torch.device("cpu")
PRECISION = autocast_dtype("auto", DEVICE)
STACK = SuperResolution(
    ZssrSettings(fold=2, most_steps=1000, back_projections=10), scaling=SCALING, kernel="area", seed=0
)
# It never ends early: its learning rate may fall as low as it likes; and its sons are without noise.
PUBLISHED = replace(
    STACK,
    settings=replace(
        STACK.settings, fold=1, most_steps=3000, batch_size=1, lowest_learning_rate=0.0, patch=128, noise=0.0
    ),
)
FLICKER_STEPS = 300
NOISE_STEPS = 300
NOISES = (0.0, 5.0, 10.0)
"""Standard deviations in grey levels."""

Slices = NDArray[np.uint8]


def phantom_slices(count: int, side: int) -> Slices:
    """Neighbouring slices of the generated tissue."""
    raw: Slices = make_phantom((count, side, side), seed=0).raw
    return raw


def real_slices(location: Path, numbers: tuple[int, int], side: int) -> Slices:
    """The middle of slices of a stack, from the first to the last number."""
    with open_source(str(location), Path.cwd()) as source:
        raw = source.read(numbers[0], numbers[1] + 1)
    top, left = ((length - side) // 2 for length in raw.shape[1:])
    middle: Slices = raw[:, top : top + side, left : left + side]
    return middle


def coarse(native: Slices) -> Tensor:
    """The slices (n, y, x) as a microscope with coarser pixels had recorded them."""
    fine: Window = (Span.whole(native.shape[1]), Span.whole(native.shape[2]))
    small: Window = (Span.whole(SCALING.coarse_length(len(fine[0]))), Span.whole(SCALING.coarse_length(len(fine[1]))))
    values = Downsampling(SCALING, "area")(torch.from_numpy(native.astype(np.float32)), fine, small)
    return values.round()


def taught(
    way: SuperResolution, images: Tensor, look: Callable[[ZeroShot, int, float], None], every: int
) -> tuple[ZeroShot, float]:
    """A trained upscaler and the processor seconds of its training; ``look`` is called on the way, off the clock."""
    start = time.process_time()
    examples = way.examples(list(images / HIGH))
    trainer = way.trainer(examples, device=DEVICE, precision=PRECISION)
    batches = way.batches(examples, 0)
    seconds = time.process_time() - start
    while not trainer.ended:
        start = time.process_time()
        trainer.train(islice(batches, every))
        seconds += time.process_time() - start
        look(_upscaler(way, trainer.best_network(), examples), trainer.progress.step, seconds)
    start = time.process_time()
    upscaler = _upscaler(way, trainer.best_network(), examples)
    return upscaler, seconds + time.process_time() - start


def _upscaler(way: SuperResolution, network: DetailNetwork, examples: Examples) -> ZeroShot:
    usage = way.best_usage(network, examples, device=DEVICE)
    return way.upscaler(network, usage, low=LOW, high=HIGH, device=DEVICE, precision=PRECISION)


def cost(native: Slices, chosen: int) -> None:
    """PSNR of one slice against the seconds a megapixel of output, by both ways."""
    low, original = coarse(native), native[chosen].astype(np.float32)
    megapixels = native[0].size / 1e6
    print("| way | steps | PSNR, dB | training, s a megapixel | application, s a megapixel | together |")
    print("| :--- | ---: | ---: | ---: | ---: | ---: |")
    for method in ("bilinear", "bicubic"):
        interpolator = Upsampling(SCALING, method)  # type: ignore[arg-type]
        image = enlarged(low[chosen], interpolator, SCALING).numpy().clip(LOW, HIGH)
        print(f"| {method} | | {psnr_db(original, image, data_range=255):.2f} | | | |")
    ways = {"stack": (STACK, low, len(native)), "published": (PUBLISHED, low[chosen : chosen + 1], 1)}
    for name, (way, images, shared) in ways.items():

        def look(upscaler: ZeroShot, step: int, seconds: float, name: str = name, shared: int = shared) -> None:
            start = time.process_time()
            image = enlarged(low[chosen], upscaler, SCALING).numpy().clip(LOW, HIGH)
            applied = (time.process_time() - start) / megapixels
            trained = seconds / shared / megapixels
            quality = psnr_db(original, image, data_range=255)
            print(
                f"| {name} | {step} | {quality:.2f} | {trained:.1f} | {applied:.1f} | {trained + applied:.1f} |",
                flush=True,
            )

        taught(way, images, look, every=way.settings.most_steps // 6)


def flicker(native: Slices) -> None:
    """How much the slices flicker with one network for all, and with one for each."""
    low = coarse(native)
    way = replace(STACK, settings=replace(STACK.settings, most_steps=FLICKER_STEPS))
    one, _ = taught(way, low, lambda *_: None, every=FLICKER_STEPS)
    each = [taught(way, low[z : z + 1], lambda *_: None, every=FLICKER_STEPS)[0] for z in range(len(native))]
    print("\n| networks | PSNR, dB | flicker, % of range | of the errors | of the networks | of the sharpness, % |")
    print("| :--- | ---: | ---: | ---: | ---: | ---: |")
    for name, upscalers in (("one for all slices", [one] * len(native)), ("one for each slice", each)):
        quality = _quality(native, low, upscalers)
        print(
            f"| {name} | {quality.psnr_db:.2f} | {100 * quality.flicker:.3f} | {100 * quality.error_flicker:.3f} | "
            f"{100 * _of_networks(low, upscalers):.3f} | {100 * quality.sharpness_flicker:.2f} |",
            flush=True,
        )


def noise(native: Slices) -> None:
    """PSNR of the slices, from coarse ones with noise on them."""
    own = replace(STACK, settings=replace(STACK.settings, most_steps=NOISE_STEPS))
    told = replace(own, settings=replace(own.settings, noise=0.0))
    print("\n| noise, grey levels | bicubic, dB | ZSSR as it is told | ZSSR as it finds best | how |")
    print("| ---: | ---: | ---: | ---: | :--- |")
    for deviation in NOISES:
        low = coarse(native)
        low = low + deviation * torch.randn(low.shape, generator=torch.Generator().manual_seed(0))
        chosen, _ = taught(own, low, lambda *_: None, every=NOISE_STEPS)
        projected, _ = taught(told, low, lambda *_: None, every=NOISE_STEPS)
        projected = replace(projected, usage=Usage(STACK.settings.back_projections))
        qualities = (
            _quality(native, low, [upscaler] * len(native)) for upscaler in (Upsampling(SCALING), projected, chosen)
        )
        scores = " | ".join(f"{quality.psnr_db:.2f}" for quality in qualities)
        usage = f"{chosen.usage.share:.0%}, {chosen.usage.back_projections} back-projections"
        print(f"| {deviation:g} | {scores} | {usage} |", flush=True)


def _quality(native: Slices, low: Tensor, upscalers: Sequence[Upscaler]) -> Quality:
    meter = QualityMeter(255)
    for z, upscaler in enumerate(upscalers):
        image = enlarged(low[z], upscaler, SCALING).numpy().round().clip(LOW, HIGH)
        meter.update(native[z], image.astype(np.uint8), z)
    return meter.quality()


def _of_networks(low: Tensor, upscalers: Sequence[ZeroShot]) -> float:
    """Mean absolute difference, of the range, between a slice boosted by its own network and by its neighbour's."""
    pairs = zip(low[1:], upscalers[1:], upscalers, strict=False)
    differences = [
        float((enlarged(image, own, SCALING) - enlarged(image, other, SCALING)).abs().mean())
        for image, own, other in pairs
    ]
    return sum(differences) / len(differences) / (HIGH - LOW)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--raw", type=Path, help="a real stack instead of the phantom")
    parser.add_argument("--slices", default="0-3", help="first and last slice")
    parser.add_argument("--side", type=int, default=512, help="edge of the slices in native pixels")
    parser.add_argument("--only", choices=("cost", "flicker", "noise"))
    arguments = parser.parse_args()
    first, last = (int(number) for number in arguments.slices.split("-"))
    torch.set_num_threads(1)
    native = (
        real_slices(arguments.raw, (first, last), arguments.side)
        if arguments.raw
        else phantom_slices(last - first + 1, arguments.side)
    )
    if arguments.only in (None, "cost"):
        cost(native, len(native) // 2)
    if arguments.only in (None, "flicker"):
        flicker(native)
    if arguments.only in (None, "noise"):
        noise(native)


if __name__ == "__main__":
    main()

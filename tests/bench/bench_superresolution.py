"""Zero-shot super-resolution of natural images, by factor 2: PSNR and SSIM of the luma, image by image.

    set5   low-resolution images blurred by a given kernel, every second pixel kept (set5_g20_lr/NAME.png, set5_gt/
           NAME_GT.png, set5_g20_kernel.mat)
    set14  made small with antialiased bicubic interpolation, as MATLAB's imresize does (set14_hr/NAME.png)

Beside the network stands bicubic interpolation, with the geometry that is true and, for set5, also with that of
imresize, which is off by half a pixel there and is what publications print. Two pixels are cropped.

    python -m tests.bench.bench_superresolution FOLDER set5
    python -m tests.bench.bench_superresolution FOLDER set14 --jobs 2
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from pipeline.nn.training import autocast_dtype
from pipeline.nn.zssr.grids import Scaling, Span, Window
from pipeline.nn.zssr.kernel import Averaging, Kernel
from pipeline.nn.zssr.kernel_file import read_kernel
from pipeline.nn.zssr.resampling import Downsampling, Upsampling
from pipeline.nn.zssr.superresolution import SuperResolution, ZssrSettings, enlarged
from pipeline.nn.zssr.upscalers import Upscaler
from tests.bench.imagescores import ImageScore, benchmark_table, crop_to_multiple, luma, score_image

FACTOR = 2
BORDER_PIXELS = 2
LOW, HIGH = 0.0, 255.0

Luma = NDArray[np.float32]


@dataclass(frozen=True)
class Pair:
    """An original, what is left of it, and how that came about."""

    name: str
    high: Luma
    low: Luma
    scaling: Scaling
    kernel: Averaging | Kernel


def set5(folder: Path) -> Iterator[Pair]:
    """Coarse pixel i lies over fine pixel 2 i."""
    kernel = read_kernel(str(folder / "set5_g20_kernel.mat"))
    for path in sorted((folder / "set5_g20_lr").glob("*.png")):
        low = luma(np.asarray(Image.open(path).convert("RGB")))
        high = luma(np.asarray(Image.open(folder / "set5_gt" / f"{path.stem}_GT.png").convert("RGB")))
        rows, columns = (FACTOR * length for length in low.shape)
        yield Pair(path.stem, high[:rows, :columns], low, Scaling(FACTOR, 0.0), kernel)


def set14(folder: Path) -> Iterator[Pair]:
    """The luma is made small and not rounded after it."""
    scaling = Scaling.centred(FACTOR)
    for path in sorted((folder / "set14_hr").glob("*.png")):
        high = luma(crop_to_multiple(np.asarray(Image.open(path)), FACTOR)).round()
        fine, coarse = _whole(high.shape), _whole(tuple(map(scaling.coarse_length, high.shape)))
        low = Downsampling(scaling, "bicubic")(torch.from_numpy(high.astype(np.float32))[None], fine, coarse)[0]
        yield Pair(path.stem, high, low.numpy(), scaling, "bicubic")


def _whole(shape_yx: tuple[int, ...]) -> Window:
    rows, columns = (Span.whole(length) for length in shape_yx)
    return rows, columns


def way_for(pair: Pair, steps: int) -> SuperResolution:
    """How the network learns from the low-resolution image alone."""
    settings = ZssrSettings(fold=2, most_steps=steps, learning_rate=2e-3, back_projections=10)
    return SuperResolution(settings, scaling=pair.scaling, kernel=pair.kernel, seed=0)


def results(pair: Pair, steps: int) -> dict[str, Luma]:
    """The image that each method makes."""
    device = torch.device("cpu")
    precision = autocast_dtype("auto", device)
    upscalers: dict[str, Upscaler] = {"bicubic": Upsampling(pair.scaling)}
    if pair.scaling != Scaling.centred(FACTOR):
        upscalers["bicubic, as imresize"] = Upsampling(Scaling.centred(FACTOR))
    way, low = way_for(pair, steps), torch.from_numpy(pair.low).float()
    examples = way.examples([low / HIGH])
    trainer = way.trainer(examples, device=device, precision=precision)
    trainer.train(way.batches(examples, 0))
    network = trainer.best_network()
    usage = way.best_usage(network, examples, device=device)
    upscalers["ZSSR"] = way.upscaler(network, usage, low=LOW, high=HIGH, device=device, precision=precision)
    return {name: enlarged(low, upscaler, pair.scaling).numpy().clip(LOW, HIGH) for name, upscaler in upscalers.items()}


def scores(pair: Pair, steps: int) -> dict[str, ImageScore]:
    """The scores of each method on an image."""
    torch.set_num_threads(1)
    start = time.process_time()
    scored = {
        name: score_image(pair.name, pair.high, image, border_pixels=BORDER_PIXELS)
        for name, image in results(pair, steps).items()
    }
    told = ", ".join(f"{name} {score.psnr_db:.2f}" for name, score in scored.items())
    print(f"{pair.name}: {told} dB, {time.process_time() - start:.0f} s", flush=True)
    return scored


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("images", choices=("set5", "set14"))
    parser.add_argument("--jobs", type=int, default=1, help="images at once, a core each")
    parser.add_argument("--steps", type=int, default=1000, help="at most, an image")
    arguments = parser.parse_args()
    pairs = {"set5": set5, "set14": set14}[arguments.images](arguments.folder)
    with multiprocessing.get_context("spawn").Pool(arguments.jobs) as pool:
        of_images = pool.map(partial(scores, steps=arguments.steps), pairs, chunksize=1)
    print(benchmark_table({name: [image[name] for image in of_images] for name in of_images[0]}))


if __name__ == "__main__":
    main()

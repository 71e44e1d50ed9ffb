"""Write a phantom as the files that a microscope and an annotator would leave: two TIFF stacks and a configuration."""

from __future__ import annotations

from pathlib import Path

import tifffile

from pipeline.config.examples import example_text
from pipeline.errors import InputError
from pipeline.phantom import make_phantom
from pipeline.volume.geometry import Zyx

FILES = ("raw.tif", "labels.tif", "study.yaml")


def write_phantom(directory: Path, shape_zyx: Zyx, *, seed: int = 0, example: str = "phantom") -> None:
    """Make a phantom and write ``raw.tif``, ``labels.tif`` and ``study.yaml`` into a folder.

    Raises InputError when one of the files is there already: a capture is never overwritten.
    """
    present = [name for name in FILES if (directory / name).exists()]
    if present:
        raise InputError(f"{directory} already holds {', '.join(present)}; choose another folder or remove them")
    text = example_text(example)
    phantom = make_phantom(shape_zyx, seed=seed)
    directory.mkdir(parents=True, exist_ok=True)
    z_nm, y_nm, x_nm = phantom.voxel_size_nm
    for name, data in (("raw.tif", phantom.raw), ("labels.tif", phantom.labels)):
        tifffile.imwrite(
            directory / name,
            data,
            imagej=True,
            resolution=(1000 / x_nm, 1000 / y_nm),
            metadata={"axes": "ZYX", "spacing": z_nm / 1000, "unit": "um"},
        )
    (directory / "study.yaml").write_text(text, encoding="utf-8")

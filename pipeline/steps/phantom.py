"""Write a phantom as the files that a microscope and an annotator would leave: TIFF stacks and a configuration."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from pipeline.config.examples import example_text
from pipeline.errors import InputError
from pipeline.phantom import make_phantom
from pipeline.volume.geometry import Zyx

FILES = ("raw.tif", "labels.tif", "study.yaml")


OBJECTS = ("mitochondria", "vesicles")
"""Classes with an id for each object, in files of their names."""


def write_phantom(
    directory: Path, shape_zyx: Zyx, *, seed: int = 0, example: str = "phantom", touching: bool = False
) -> None:
    """Make a phantom and write ``raw.tif``, ``labels.tif`` and ``study.yaml`` into a folder.

    With `touching`, mitochondria and vesicles may lie against each other, and the ids of each are written, too.

    Raises InputError when one of the files is there already: a capture is never overwritten.
    """
    files = FILES + tuple(f"{name}.tif" for name in OBJECTS if touching)
    present = [name for name in files if (directory / name).exists()]
    if present:
        raise InputError(f"{directory} already holds {', '.join(present)}; choose another folder or remove them")
    text = example_text(example)
    phantom = make_phantom(shape_zyx, seed=seed, touching=touching)
    directory.mkdir(parents=True, exist_ok=True)
    z_nm, y_nm, x_nm = phantom.voxel_size_nm
    stacks: dict[str, NDArray[np.unsignedinteger]] = {"raw.tif": phantom.raw, "labels.tif": phantom.labels}
    for name in OBJECTS if touching else ():
        tifffile.imwrite(directory / f"{name}.tif", phantom.objects[name], photometric="minisblack", compression="zlib")
    for name, data in stacks.items():
        tifffile.imwrite(
            directory / name,
            data,
            imagej=True,
            resolution=(1000 / x_nm, 1000 / y_nm),
            metadata={"axes": "ZYX", "spacing": z_nm / 1000, "unit": "um"},
        )
    (directory / "study.yaml").write_text(text, encoding="utf-8")

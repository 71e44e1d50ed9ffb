"""Damaged files are read or refused in words: no crash of ours, no hang, no flood of memory.

500 inputs a format here; ``make fuzz`` tries 20,000 (FUZZ_INPUTS). Libraries in C may fail on a damaged file so that
their process ends: it is confined, the user is told, and its seed is listed; no such file is kept.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from fuzzing import MEMORY_BYTES, SECONDS, fuzz
from volume_formats import WRITERS

INPUTS = int(os.environ.get("FUZZ_INPUTS", "500"))
FORMATS = {
    "TIFF stack": ("tiff", "tiff zlib", "tiff tiled", "bigtiff", "tiff page by page", "imagej", "ome-tiff"),
    "folder": ("png folder", "tiff folder"),
    "MRC": ("mrc",),
    "HDF5": ("hdf5", "hdf5 alone"),
    "NumPy": ("npy",),
    "Zarr": ("zarr 2", "zarr 3", "ome-zarr 0.4", "ome-zarr 0.5"),
    "NRRD": ("nrrd", "nrrd gzip"),
    "NIfTI": ("nifti", "nifti gzip"),
    "Gatan": ("dm3", "dm4"),
    "N5 and precomputed": ("n5", "precomputed"),
    "Imaris and BigDataViewer": ("imaris", "bdv"),
    "archive": ("npz", "zip of png", "zip of tiff", "zip of zarr"),
}


@pytest.mark.timeout(60 + INPUTS)
@pytest.mark.parametrize("format", FORMATS)
def test_damaged_files_are_read_or_refused(format: str, tmp_path: Path) -> None:
    data = np.random.default_rng(0).integers(0, 256, (3, 20, 24), np.uint8)
    places = {}
    for name in FORMATS[format]:
        folder = tmp_path / name.replace(" ", "-")
        folder.mkdir()
        places[name] = folder / WRITERS[name](folder, data.astype(np.int16) if name == "mrc" else data)
    work = tmp_path / "work"
    work.mkdir()
    tally = fuzz(places, work, INPUTS)
    print(f"{format}: {dict(tally.outcomes)}, slowest {tally.slowest_seconds:.1f} s, {tally.most_bytes / 1e6:.0f} MB")
    for line in tally.surprises:
        print(f"  {line}")
    assert sum(tally.outcomes.values()) == INPUTS
    assert tally.outcomes["error"] == 0, tally.surprises
    assert tally.outcomes["refused"] > INPUTS / 20
    assert tally.outcomes["process ended"] <= INPUTS / 100, tally.surprises
    assert tally.slowest_seconds < SECONDS
    assert tally.most_bytes < MEMORY_BYTES

"""Tables that steps leave for each shard of a capture: named arrays, which one process joins later."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.run.layout import Run
from pipeline.volume.geometry import Zyx
from pipeline.volume.stores import Store

Arrays = Mapping[str, NDArray[Any]]


def save_table(run: Run, capture: str, name: str, start_zyx: Zyx, arrays: Arrays) -> None:
    """Write the table of the shard that starts there."""
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, **dict(arrays))
    _tables(run, capture, name).write(_key(start_zyx), file.getvalue())


def load_table(run: Run, capture: str, name: str, start_zyx: Zyx) -> Arrays:
    """Read it. Raises FileNotFoundError where there is none."""
    with np.load(io.BytesIO(_tables(run, capture, name).read(_key(start_zyx))), allow_pickle=False) as file:
        return dict(file)


def _tables(run: Run, capture: str, name: str) -> Store:
    return run.separation_store(capture).child("tables", name)


def _key(start_zyx: Zyx) -> str:
    return f"{'_'.join(str(edge) for edge in start_zyx)}.npz"

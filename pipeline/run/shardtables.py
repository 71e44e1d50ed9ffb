"""Tables that steps leave for each shard of a capture: named arrays, which one process joins later.

The format is safetensors: the same arrays give the same bytes everywhere. A zip of NumPy does not, since what Python
writes into its headers differs between its releases.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save

from pipeline.run.layout import Run
from pipeline.volume.geometry import Zyx
from pipeline.volume.stores import Store

Arrays = Mapping[str, NDArray[Any]]


def save_table(run: Run, capture: str, name: str, start_zyx: Zyx, arrays: Arrays) -> None:
    """Write the table of the shard that starts there."""
    whole = {key: np.ascontiguousarray(values) for key, values in sorted(arrays.items())}
    _tables(run, capture, name).write(_key(start_zyx), save(whole))


def load_table(run: Run, capture: str, name: str, start_zyx: Zyx) -> Arrays:
    """Read it. Raises FileNotFoundError where there is none."""
    arrays: Arrays = load(_tables(run, capture, name).read(_key(start_zyx)))
    return arrays


def _tables(run: Run, capture: str, name: str) -> Store:
    return run.separation_store(capture).child("tables", name)


def _key(start_zyx: Zyx) -> str:
    return f"{'_'.join(str(edge) for edge in start_zyx)}.safetensors"

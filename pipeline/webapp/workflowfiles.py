"""Where the workflow files are: in the source tree, or beside the Python that vemseg is installed in."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import pipeline
from pipeline.errors import InputError

INSTALLED = "share/vemseg/workflows"


def workflow_file(name: str) -> Path:
    """The path of a file of ``workflows/``. Raises InputError when this installation lacks it."""
    source = Path(pipeline.__file__).parents[1] / "workflows"
    installed = Path(sysconfig.get_path("data")) / INSTALLED
    for folder in (source, installed):
        if (folder / name).is_file():
            return folder / name
    raise InputError(f"{name} is neither in {source} nor in {installed}; install vemseg again")

"""Commands that take in a volume: one of a stranger is read by a process that can open nothing else."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pipeline.volume.sources.policy import Policy


class InputIs(StrEnum):
    """Who gave a volume: the user of this command, or a stranger, of whom it may already be known."""

    TRUSTED = "trusted"
    UNTRUSTED = "untrusted"
    CONFINED = "confined"

    @property
    def policy(self) -> Policy:
        """What its files may do."""
        from pipeline.volume.sources.policy import STRANGER, TRUSTED

        return TRUSTED if self is InputIs.TRUSTED else STRANGER


InputIsOption = Annotated[
    InputIs,
    typer.Option(
        help="untrusted: a stranger gave it; it is read by a process that can open nothing else and has no secrets. "
        "confined: by this process, which is such a one",
    ),
]

MEMORY_BYTES = 4 * 2**30
"""Enough for shards and slices of any size that is taken; time has no limit, since a large volume takes long."""


def run_confined(volume: str, reads: Sequence[str], writes: Sequence[str | Path | None]) -> None:
    """Do this process's command in a confined one.

    Args:
        volume: location of the volume. reads, writes: URLs and folders that the command reads and writes.

    Raises:
        VemsegError: as the command does.
    """
    from pipeline.run.events import PROGRESS_VARIABLE
    from pipeline.volume import confined
    from pipeline.volume.objects import local_directory
    from pipeline.volume.sources.base import Location

    place = Location.parse(volume, Path.cwd())
    readable = [local_directory(each) for each in reads]
    writable = [local_directory(each) for each in writes if each is not None]
    for folder in writable:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
    progress = os.environ.get(PROGRESS_VARIABLE)
    words = [*sys.argv[1:], f"--input-is={InputIs.CONFINED.value}"]  # of an option given twice, the last counts
    confined.run(
        "pipeline.cli.main:command",
        {"words": words},
        what=Path(volume).name,
        readable=[path for path in (place.path, *readable) if path is not None],
        writable=[path for path in (*writable, Path(progress).parent if progress else None) if path is not None],
        limits=confined.Limits(MEMORY_BYTES, cpu_seconds=None, seconds=None),
        remote=None in (place.path, *readable, *writable),
        shows_output=True,
        cwd=Path.cwd(),
        environment={PROGRESS_VARIABLE: progress} if progress else None,
    )

"""Values as they are written on a command line."""

from __future__ import annotations

from typing import Annotated, TypeVar

import typer

from pipeline.errors import InputError
from pipeline.nn.zssr.methods import METHODS
from pipeline.volume.treatments import TREATMENTS, Treatment

Number = TypeVar("Number", int, float)
RunPlace = Annotated[str, typer.Argument(metavar="RUN", help="Run URL: a path, file:// or s3://", show_default=False)]


def pairs(items: list[str] | None, option: str) -> dict[str, str]:
    """`name=value` items as a mapping; of a name that stands twice the last counts."""
    found = {}
    for item in items or []:
        name, equals, value = item.partition("=")
        if not equals or not name:
            raise InputError(f"{option} {item}: write it as name=value")
        found[name] = value
    return found


def count(value: str, key: str) -> int:
    """The number of places of a semaphore."""
    if not value.isdigit():
        raise InputError(f"--semaphore {key}={value}: the number of places must be a whole number")
    return int(value)


def triple(text: str, option: str, kind: type[Number]) -> tuple[Number, Number, Number]:
    """Three numbers with commas between."""
    try:
        z, y, x = (kind(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(
            f"{option} {text}: give three {'whole ' * (kind is int)}numbers z,y,x, commas and no blanks between"
        ) from error
    return z, y, x


def method_name(text: str) -> str:
    """The name of a way to boost."""
    if text not in METHODS:
        raise typer.BadParameter(f"{text!r} is no way to boost; there are {', '.join(METHODS)}")
    return text


def treatment(text: str) -> Treatment | None:
    """What is done to grey values; none where it is left out, as a workflow does with an empty parameter."""
    known: dict[str, Treatment | None] = {"": None, **{name: name for name in TREATMENTS}}
    if text not in known:
        raise typer.BadParameter(
            f"{text!r} is nothing that can be done to grey values; there is {', '.join(TREATMENTS)}"
        )
    return known[text]


LevelOption = Annotated[
    str, typer.Option(metavar="N", help="Level of a pyramid; 0, the default, is the finest", parser=str)
]
BoxOption = Annotated[
    str,
    typer.Option(metavar="z0:z1,y0:y1,x0:x1", help="Take this box of the volume: voxels of the level, or nm behind it"),
]


def cut_of(level: str, box: str) -> str:
    """What stands behind a location of which a level and a box are asked for; empty where all is."""
    from pipeline.volume.sources.cut import cut_text

    if level and not level.isdecimal():
        raise InputError(f"--level {level}: give a whole number; 0 is the finest")
    return cut_text(int(level or 0), box)


def check_worker(worker: int, workers: int) -> None:
    """Refuse a worker beyond the last; workers count from 0."""
    if worker >= workers:
        raise InputError(f"--worker {worker}: of {workers} workers the last is number {workers - 1}")

"""Values as they are written on a command line."""

from __future__ import annotations

from typing import TypeVar

from pipeline.errors import InputError

Number = TypeVar("Number", int, float)


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
        raise InputError(f"{option} {text}: give three {'whole ' * (kind is int)}numbers, z,y,x") from error
    return z, y, x


def check_worker(worker: int, workers: int) -> None:
    """Refuse a worker beyond the last; workers count from 0."""
    if worker >= workers:
        raise InputError(f"--worker {worker}: of {workers} workers the last is number {workers - 1}")

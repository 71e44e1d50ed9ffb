"""Configurations to start from."""

from __future__ import annotations

from importlib.resources import files

from pipeline.errors import InputError


def example_names() -> list[str]:
    """Names of the examples."""
    return sorted(path.name.removesuffix(".yaml") for path in files(__name__).iterdir() if path.name.endswith(".yaml"))


def example_text(name: str) -> str:
    """The YAML of an example. Raises InputError when there is none of that name."""
    if name not in example_names():
        raise InputError(f"there is no example {name!r}; there are {', '.join(example_names())}")
    return files(__name__).joinpath(f"{name}.yaml").read_text(encoding="utf-8")

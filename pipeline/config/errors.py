"""What is wrong with a configuration, in words for the person who wrote it: file, line, field, and what to write.

Nothing here knows the configuration's fields; they are read off the model that validation was done with.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from pipeline.errors import SettingError


def explain(error: ValidationError, text: str, where: str, root: type[BaseModel]) -> str:
    """A line for each mistake: file, line, field, what is wrong.

    Args:
        error: what validation found.
        text: the YAML that was validated.
        where: the name of its file.
        root: the model of the whole configuration.
    """
    lines, problems = _line_numbers(text), []
    for detail in _root_causes(error):
        place, message = tuple(detail["loc"]), detail["msg"].removeprefix("Value error, ")
        cause = detail.get("ctx", {}).get("error")
        if isinstance(cause, SettingError):
            place += _place(cause.key)
            message = cause.problem
        line = _line(place, lines)
        if detail["type"] == "extra_forbidden":
            message = f"unknown key; {_nearest(place, root)}"
        elif detail["type"] == "missing":
            message = "is missing and has no default; `vemseg config example` shows how it is written"
        field = ".".join(str(part) for part in place)
        problems.append(f"{where}:{line}: {field + ': ' if field else ''}{message}")
    return "\n".join(problems)


def located(problem: str, key: str, text: str, where: str) -> str:
    """A mistake that only a look at the files has shown, with the file and line of its key.

    Args:
        problem: what is wrong; it may begin with the key.
        key: such as ``data.captures.0.raw``; empty where it is of no single one.
        text, where: as for `explain`.
    """
    line = _line(_place(key), _line_numbers(text)) if key else 1
    return f"{where}:{line}: {key + ': ' if key else ''}{problem.removeprefix(f'{key}: ')}"


def _place(key: str) -> tuple[str | int, ...]:
    return tuple(int(part) if part.isdigit() else part for part in key.split("."))


def _line(place: tuple[str | int, ...], lines: dict[tuple[str | int, ...], int]) -> int:
    """That of a key, or of the nearest section around it that is written down."""
    return next((lines[place[:n]] for n in range(len(place), 0, -1) if place[:n] in lines), 1)


def _root_causes(error: ValidationError) -> list[Any]:
    """The errors without those that only say that a list has lost its bad items."""
    details = error.errors()
    places = [detail["loc"] for detail in details]
    return [
        detail
        for detail in details
        if detail["type"] != "too_short"
        or not any(place[:-1][: len(detail["loc"])] == detail["loc"] for place in places)
    ]


def _nearest(place: Sequence[str | int], root: type[Any]) -> str:
    section: type[Any] | None = root
    for part in place[:-1]:
        section = _section_of(section, part)
    fields = sorted(_field_types(section))
    close = difflib.get_close_matches(str(place[-1]), fields, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known keys: {', '.join(fields)}"


def _section_of(section: type[Any] | None, part: str | int) -> type[Any] | None:
    """The section behind a key, or behind the items of a list of sections."""
    if isinstance(part, int):
        return section
    candidates = [_field_types(section).get(part)]
    while candidates:
        candidate = candidates.pop()
        if _field_types(candidate):
            return candidate
        candidates.extend(getattr(candidate, "__args__", ()))
    return None


def _field_types(section: Any) -> dict[str, Any]:
    """The types of a section's fields; empty for what is no section."""
    if isinstance(section, type) and issubclass(section, BaseModel):
        return {name: field.annotation for name, field in section.model_fields.items()}
    return {}


def _line_numbers(text: str) -> dict[tuple[str | int, ...], int]:
    """The line of every key and item of a YAML document."""
    lines: dict[tuple[str | int, ...], int] = {}

    def visit(node: yaml.Node, place: tuple[str | int, ...]) -> None:
        lines.setdefault(place, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                lines[(*place, key.value)] = key.start_mark.line + 1
                visit(value, (*place, key.value))
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                visit(item, (*place, index))

    root = yaml.compose(text)
    if root is not None:
        visit(root, ())
    return lines

"""Replacing `{{tags}}` in texts and whole model objects, and reading the texts that come out."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar, cast

from pipeline.workflow.yamlfile import as_text

T = TypeVar("T")

# Tag -> its value; None marks an output that a skipped task never made.
Scope = Mapping[str, str | None]

TAG = re.compile(r"\{\{\s*(.*?)\s*\}\}")


class TemplateError(ValueError):
    """A tag has no value, or a text that must be a number or a duration is not; a node with it ends in Error."""


def fill(value: T, scope: Scope) -> T:
    """Return `value` with every known tag replaced in all its texts; unknown tags stay for a later scope."""
    if isinstance(value, str):
        return cast(T, TAG.sub(lambda match: _replacement(match, scope), value))
    if isinstance(value, tuple | list):
        return cast(T, type(value)(fill(item, scope) for item in value))
    if isinstance(value, dict):
        return cast(T, {key: fill(item, scope) for key, item in value.items()})
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        changes = {f.name: fill(getattr(value, f.name), scope) for f in dataclasses.fields(value)}
        return cast(T, dataclasses.replace(value, **changes))
    return value


def _replacement(match: re.Match[str], scope: Scope) -> str:
    if match[1] not in scope:
        return match[0]
    value = scope[match[1]]
    if value is None:
        raise TemplateError(f"{match[0]} is the output of a skipped or omitted task and has no default")
    return value


def tags(value: Any) -> Iterator[str]:
    """Yield every tag in the texts of `value`, without its braces."""
    if isinstance(value, str):
        yield from (match[1] for match in TAG.finditer(value))
    elif isinstance(value, tuple | list):
        for item in value:
            yield from tags(item)
    elif isinstance(value, dict):
        yield from tags(list(value.values()))
    elif dataclasses.is_dataclass(value):
        for f in dataclasses.fields(value):
            yield from tags(getattr(value, f.name))


def refuse_tags(value: Any, *prefixes: str) -> None:
    """Raise `TemplateError` where a tag (that starts with one of `prefixes`, if given) is left in `value`."""
    for tag in tags(value):
        if not prefixes or tag.startswith(prefixes):
            raise TemplateError(f"failed to resolve {{{{{tag}}}}}")


def item_scope(item: Any) -> dict[str, str | None]:
    """What `{{item}}` and `{{item.key}}` stand for in one turn of a loop."""
    scope: dict[str, str | None] = {"item": as_text(item)}
    if isinstance(item, dict):
        scope.update({f"item.{key}": as_text(value) for key, value in item.items()})
    return scope


def loop_name(name: str, index: int, item: Any) -> str:
    """The node name of one turn: `task(0:value)`, `task(1:key:value,other:value)`."""
    if isinstance(item, dict):
        text = ",".join(sorted(f"{key}:{as_text(value)}" for key, value in item.items()))
    elif isinstance(item, list):
        text = "[" + " ".join(as_text(value) for value in item) + "]"
    else:
        text = as_text(item)
    return f"{name}({index}:{text.replace('(', '').replace(')', '')})"


def whole_number(text: str, what: str) -> int:
    """Read a decimal number as Argo does: an optional sign and digits."""
    if re.fullmatch(r"[+-]?\d+", text) is None:
        raise TemplateError(f"{what}: {text!r} is not a whole number")
    return int(text)


_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")


def seconds(text: str, what: str) -> float:
    """Read a duration: whole seconds (`30`) or numbers with units (`1h30m`, `1.5s`)."""
    parts = _DURATION_PART.findall(text)
    if text.isdigit():
        return float(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise TemplateError(f"{what}: {text!r} is not a duration such as 30s, 5m or 1h30m")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)

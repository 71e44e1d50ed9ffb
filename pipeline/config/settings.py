"""Settings: a component owns a plain dataclass, the configuration owns a strict model, and this joins the two.

A component knows nothing of the configuration. What it needs is a frozen dataclass, which says by SettingError what is
wrong with it, if it has to. A section of the configuration holds the keys that a user may set, often for several
components; `settings_of` takes those that a component's dataclass names. Where a section serves one component alone,
`section_of` makes it from the dataclass: keys, defaults, documentation and checks stand in one place.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from dataclasses import MISSING, fields, is_dataclass
from itertools import pairwise
from typing import Any, TypeVar, get_args, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

Settings = TypeVar("Settings")


class Section(BaseModel):
    """A part of the configuration: frozen, and strict about its keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)


def settings_of(owner: type[Settings], section: Section, **given: Any) -> Settings:
    """A component's settings, from the keys of a section that have the names of its fields.

    Args:
        owner: the component's dataclass.
        section: of the configuration; it may hold other keys, and lack fields that have a default.
        given: fields that come from elsewhere.
    """
    kinds = get_type_hints(owner)
    taken = {name: _plain(getattr(section, name), kinds[name]) for name in kinds if name in type(section).model_fields}
    return owner(**taken, **given)


def _plain(value: Any, kind: Any) -> Any:
    """A key's value, with sections in it as the dataclasses that their component knows them as."""
    if isinstance(value, Section):
        owner = next(part for part in (kind, *get_args(kind)) if isinstance(part, type) and is_dataclass(part))
        return settings_of(owner, value)
    if isinstance(value, tuple) and any(isinstance(item, Section) for item in value):
        return tuple(_plain(item, get_args(kind)[0]) for item in value)
    return value


def section_of(owner: type[Any]) -> type[Section]:
    """A section with the fields, defaults, documentation and checks of a component's dataclass."""

    def checked(section: Section) -> Section:
        settings_of(owner, section)
        return section

    documented, types = _documentation(owner), get_type_hints(owner)
    definitions: dict[str, Any] = {
        field.name: (
            types[field.name],
            Field(... if field.default is MISSING else field.default, description=documented.get(field.name)),
        )
        for field in fields(owner)
    }
    return create_model(
        owner.__name__,
        __base__=Section,
        __doc__=owner.__doc__,
        __validators__={"checked": model_validator(mode="after")(checked)},  # type: ignore[dict-item]
        **definitions,
    )


def _documentation(owner: type[Any]) -> dict[str, str]:
    """The text below each field; none where the source is not at hand, as with pydantic's own models."""
    try:
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
    except OSError:
        return {}
    assert isinstance(definition, ast.ClassDef)
    return {
        node.target.id: inspect.cleandoc(str(text.value.value))
        for node, text in pairwise(definition.body)
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
    }

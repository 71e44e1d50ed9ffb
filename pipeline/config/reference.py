"""The reference of all fields of a configuration, as Markdown, from their declarations."""

from __future__ import annotations

import json
from typing import Any

from pipeline.config.model import SCHEMA_LINE, Config
from pipeline.config.settings import Section
from pipeline.formats import markdown_table

HEAD = f"""# Configuration

All fields of a study's YAML, made by `vemseg config reference`. Sizes are z, y, x; a unit stands in the name. An
unknown key is an error. Editors that know `yaml-language-server` complete and check a file that begins with

```yaml
{SCHEMA_LINE}
```

once `vemseg config schema > study.schema.json` has written the schema beside it.
"""


def markdown() -> str:
    """A table for each section, in the order of the file."""
    schema = Config.model_json_schema()
    parts = [HEAD]
    for title, section in _sections(Config, ""):
        fields = (schema if section is Config else schema["$defs"].get(section.__name__, {})).get("properties", {})
        rows = [
            (
                f"`{name}`",
                _kind(fields.get(name, {}), schema),
                _default(field),
                " ".join((field.description or "").split()),
            )
            for name, field in section.model_fields.items()
            if not _section_in(field.annotation)
        ]
        about = " ".join((section.__doc__ or "").split("\n\n")[0].split())
        if rows:
            table = markdown_table(("key", "values", "default", "meaning"), rows, text_columns=4)
            parts.append(f"## {f'`{title}`' if title else 'Top level'}\n\n{about}\n\n{table}\n")
    return "\n".join(parts)


def _sections(section: type[Section], title: str) -> list[tuple[str, type[Section]]]:
    found = [(title, section)]
    for name, field in section.model_fields.items():
        inner = _section_in(field.annotation)
        if inner is not None:
            many = "[]" if "tuple" in str(field.annotation) else ""
            found += _sections(inner, f"{title}.{name}{many}".lstrip("."))
    return found


def _section_in(annotation: Any) -> type[Section] | None:
    """The section that a field holds, alone or in a list."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    for part in getattr(annotation, "__args__", ()):
        inner = _section_in(part)
        if inner is not None:
            return inner
    return None


def _default(field: Any) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None:
        return "left out"
    return f"`{json.dumps(value)}`"


def _kind(field: dict[str, Any], schema: dict[str, Any]) -> str:
    """The values that a field takes, in words."""
    if "$ref" in field:
        return _kind(schema["$defs"][field["$ref"].rpartition("/")[2]], schema)
    options = [_kind(option, schema) for option in field.get("anyOf", ()) if option.get("type") != "null"]
    if options:
        return " or ".join(dict.fromkeys(options))
    if "enum" in field:
        return ", ".join(str(value) for value in field["enum"])
    kind = field.get("type", "")
    if kind == "array":
        items = field.get("prefixItems") or [field.get("items", {})]
        count = f"{len(items)} of " if field.get("prefixItems") else "list of "
        return count + _kind(items[0], schema)
    words = {
        "integer": "whole number",
        "number": "number",
        "boolean": "true, false",
        "string": "text",
        "object": "mapping",
    }
    limits = [
        f"{sign} {field[key]:g}"
        for key, sign in (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<"))
        if key in field and abs(field[key]) < 2**31
    ]
    return ", ".join([words.get(kind, kind), *limits])

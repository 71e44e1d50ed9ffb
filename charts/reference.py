"""The table of values in the chart's README, made from its schema; `python charts/reference.py` writes it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parent / "vemseg"
BEGIN, END = "<!-- values: written by charts/reference.py -->", "<!-- end of values -->"


def rows(schema: dict[str, Any], values: dict[str, Any], path: str = "") -> Iterator[str]:
    """A row of the table for each value: its dotted name, its default, what it is."""
    for name, inner in schema["properties"].items():
        here = f"{path}.{name}".strip(".")
        if "properties" in inner:
            yield from rows(inner, values[name], here)
        elif name in values:
            yield f"| `{here}` | `{json.dumps(values[name])}` | {inner['description']} |"


def table() -> str:
    """The whole table, in Markdown."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    return "\n".join(["| value | default | what it is |", "|:---|:---|:---|", *rows(schema, values)])


def readme() -> str:
    """The README with the table as it should be."""
    text = (CHART / "README.md").read_text()
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"


if __name__ == "__main__":
    (CHART / "README.md").write_text(readme())

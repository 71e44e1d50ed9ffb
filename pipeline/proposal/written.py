"""A proposal as YAML: each section with the reason of its choices as a comment, in the order that a person reads."""

from __future__ import annotations

import json
import textwrap
from typing import Any

from pipeline.config.model import SCHEMA_LINE
from pipeline.config.reading import write_yaml
from pipeline.proposal.propose import Proposal

WIDTH = 110


def written(proposal: Proposal, command: str) -> str:
    """The text of a configuration.

    Args:
        proposal: what was decided.
        command: by which it was asked for.
    """
    lines = [SCHEMA_LINE, f"# Proposed by `{command}`.", "#"]
    lines += ["#   vemseg config check study.yaml", "#   vemseg run study -p config=study.yaml -p run=runs/first", "#"]
    lines += _comment(
        "Relative paths start at the folder that this file is in. Whatever is left out has a default: "
        "docs/configuration.md, or `vemseg config schema`."
    )
    if proposal.left_out:
        lines += ["#", "# Left out:"]
        lines += [line for text in proposal.left_out for line in _comment(text, "- ")]
    for warning in proposal.warnings:
        lines += ["#", *_comment(f"LOOK AT THIS: {warning}")]
    for key, value in proposal.settings.items():
        reason = proposal.why.get(key)
        lines += ["", *(_comment(reason) if reason else [])]
        lines += _entry(key, value)
    return "\n".join(lines) + "\n"


def _comment(text: str, bullet: str = "") -> list[str]:
    indent = " " * len(bullet)
    return textwrap.wrap(
        bullet + text,
        WIDTH,
        initial_indent="# ",
        subsequent_indent=f"# {indent}",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _entry(key: str, value: Any, depth: int = 0) -> list[str]:
    """A key and its value: what fits on a line stands on one."""
    pad = "  " * depth
    if isinstance(value, dict) and (depth == 0 or len(_flow(value)) > WIDTH - 20):
        return [f"{pad}{key}:", *(line for name, inner in value.items() for line in _entry(name, inner, depth + 1))]
    if isinstance(value, list) and value and isinstance(value[0], dict):
        items = [_item(item, depth + 1) for item in value]
        return [f"{pad}{key}:", *(line for item in items for line in item)]
    return textwrap.wrap(
        f"{pad}{key}: {_flow(value)}",
        WIDTH,
        subsequent_indent=f"{pad}    ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _item(item: dict[str, Any], depth: int) -> list[str]:
    pad, flow = "  " * depth, _flow(item)
    if len(flow) <= WIDTH - 10 and "labels" not in item:
        return [f"{pad}- {flow}"]
    first, *others = [line for name, value in item.items() for line in _entry(name, value, depth + 1)]
    return [f"{pad}- {first.lstrip()}", *others]


def _flow(value: Any) -> str:
    """A value on one line, as every reader of YAML takes it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(inner) for inner in value) + "]"
    if isinstance(value, str):
        plain = write_yaml(value).strip().removesuffix("\n...")
        return plain if plain == value and not set(value) & set(",[]{}") else json.dumps(value, ensure_ascii=False)
    return json.dumps(value)

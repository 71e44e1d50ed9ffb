"""What becomes of every field of a workflow file on one machine, as Markdown."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.workflow.fields import KINDS
from pipeline.workflow.yamlfile import Kind

_INTRODUCTION = """\
# Fields of a workflow file

What `vemseg run` makes of each field of an Argo Workflows file: this page is what `vemseg run --fields` prints. A field
that is *read* does here what it does on a cluster; one *without meaning* is for clusters alone, and a dry run names its
lines; one that is *refused* ends the command with its file and line, before anything runs. A field that stands nowhere
here is a typing error, and is refused too.
"""


def markdown() -> str:
    """The whole list."""
    return "\n".join([_INTRODUCTION, *(_section(kind) for kind in KINDS)])


def _section(kind: Kind) -> str:
    lines = [f"## {kind.name.removeprefix('a ').removeprefix('an ').removeprefix('the ')}", ""]
    lines += _line("read", sorted(kind.read))
    lines += _line("without meaning", sorted(kind.no_meaning))
    for reason in sorted(set(kind.refused.values())):
        names = sorted(name for name, why in kind.refused.items() if why == reason)
        lines += _line("refused", names, f" ({reason})" if reason else "")
    return "\n".join([*lines, ""])


def _line(what: str, names: Iterable[str], more: str = "") -> list[str]:
    listed = ", ".join(f"`{name}`" for name in names)
    return [f"- {what}: {listed}{more}"] if listed else []

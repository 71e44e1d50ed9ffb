"""A configuration's YAML is read strictly: what a reader would drop without a word, or work at without end, is refused.

A text is looked at as a stream of events first, without recursion and without building anything: how deep it goes, how
much its aliases make of it, how long its numbers are. Then it is read.
"""

from __future__ import annotations

import re
from typing import Any, NoReturn

import yaml

from pipeline.errors import ConfigError
from pipeline.yamlevents import events_within_limits

LARGEST_TEXT_BYTES = 2**20
DEEPEST = 20
"""Mappings and lists inside each other; a configuration has six."""
MOST_VALUES = 100_000
"""Values of a text, those that aliases repeat counted each time."""
LONGEST_NUMBER = 20
"""Characters of a whole number: all that 64 bits hold, as an id may be 2**64 - 1."""
_WHOLE_NUMBER = re.compile(r"[-+]?(0[xX][0-9a-fA-F_]+|0[bB][01_]+|[0-9][0-9_]*(:[0-5]?[0-9])*)$")


def read_yaml(text: str, where: str) -> Any:
    """The data of a YAML text; ``where`` names its origin in errors.

    Raises:
        ConfigError: no YAML; a key that appears twice; too large, deep or repetitive; a number too long.
    """
    if len(text.encode("utf-8", "replace")) > LARGEST_TEXT_BYTES:
        raise ConfigError(f"{where}: larger than {LARGEST_TEXT_BYTES // 2**20} MiB; this is no configuration")
    try:
        _refuse_excess(text, where)
        _refuse_doubled_keys(yaml.compose(text, yaml.SafeLoader), where)
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(_not_yaml(error, where)) from error


def _not_yaml(error: Exception, where: str) -> str:
    """In one line, with the place where reading stopped."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return f"{where}: this is not YAML: {error}"
    problem = " ".join(filter(None, (getattr(error, "context", None), getattr(error, "problem", None))))
    cure = "; indent with spaces, not tabs" if "\\t" in problem else ""
    return f"{where}:{mark.line + 1}: this is not YAML: {problem}{cure}"


class _Dumper(yaml.SafeDumper):
    """Quotes what readers of YAML 1.2, or Go's, take for something else: PyYAML leaves 25921e05, 08 and y bare."""


_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"""[-+]?_*(?:0_*[xX][0-9a-fA-F_]+|0_*[oO][0-7_]+|0_*[bB][01_]+
        |(?:\.[0-9_]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+_]*[0-9_]+)?)$""",
        re.VERBOSE,
    ),
    list("-+.0123456789"),
)
_Dumper.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("[yYnN]$"), list("yYnN"))


def write_yaml(data: Any) -> str:
    """The YAML of plain data, with its keys in their order; strings are strings to every reader."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, width=110)


def _refuse_excess(text: str, where: str) -> None:
    def refuse(event: yaml.Event, problem: str) -> NoReturn:
        assert event.start_mark is not None
        raise ConfigError(f"{where}:{event.start_mark.line + 1}: {problem}")

    for event in events_within_limits(text, yaml.SafeLoader, deepest=DEEPEST, most_values=MOST_VALUES, refuse=refuse):
        if (
            isinstance(event, yaml.ScalarEvent)
            and len(event.value) > LONGEST_NUMBER
            and event.implicit[0]
            and _WHOLE_NUMBER.match(event.value)
        ):
            refuse(event, f"a whole number of {len(event.value)} characters; no setting is that large")


def _refuse_doubled_keys(node: yaml.Node | None, where: str) -> None:
    """YAML readers keep the last of two equal keys, and drop a section without a word."""
    seen: set[str] = set()
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise ConfigError(f"{where}:{line}: a list or mapping stands where a key is to be; keys are names")
        if key.value in seen:
            raise ConfigError(f"{where}:{line}: the key {key.value!r} appears twice; keep one of them")
        seen.add(key.value)
        _refuse_doubled_keys(value, where)
    for item in node.value if isinstance(node, yaml.SequenceNode) else ():
        _refuse_doubled_keys(item, where)

"""YAML as Kubernetes reads it, with line numbers; and mappings whose every key must be known.

`objects` reads any YAML, `read_object` the one mapping of a file; `Fields` refuses unknown keys, so that no field is
dropped silently.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import yaml

from pipeline.errors import WorkflowError
from pipeline.yamlevents import events_within_limits

Object = dict[str, Any]


@dataclass(frozen=True)
class Where:
    """A place in a workflow file; lines count from 1."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class Placed(Object):
    """A mapping that was read from a file: it knows its place, and those of its keys and their values."""

    def __init__(self, where: Where) -> None:
        super().__init__()
        self.where = where
        self.places: dict[str, tuple[Where, Where]] = {}


_DATA = re.compile(r"\{\{=toJson\((\w+\.\w+)(?:\.([\w-]+)|\['([\w-]+)'\])\)[^}]*\}\}")


def tags_in_quotes(text: str) -> str:
    """A text with tags that are data (`{{=toJson(name)}}`) as YAML before they are replaced: `"{{name}}"`."""
    return _DATA.sub(lambda match: f'"{{{{{match[1]}.{match[2] or match[3]}}}}}"', text)


@dataclass(frozen=True)
class Kind:
    """The fields of one kind of object: what is read, what means nothing on one machine, what is refused."""

    name: str
    read: frozenset[str]
    no_meaning: frozenset[str] = frozenset()
    refused: Mapping[str, str] = field(default_factory=dict)  # field -> what to do instead, may be empty


def kind(name: str, read: str, no_meaning: str = "", refused: str | Mapping[str, str] = "") -> Kind:
    """Build a `Kind` from space-separated field names."""
    why = refused if isinstance(refused, Mapping) else dict.fromkeys(refused.split(), "")
    return Kind(name, frozenset(read.split()), frozenset(no_meaning.split()), why)


class _Loader(yaml.SafeLoader):
    """The scalars of Kubernetes' YAML where they are not those of PyYAML.

    `1.0e4`, `08` and `0o14` are numbers, `4:30` and `=` are text, `y` and `n` are bool.
    """


_INT, _FLOAT, _BOOL = (f"tag:yaml.org,2002:{name}" for name in ("int", "float", "bool"))
_Loader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in forms if tag not in (_INT, _FLOAT, "tag:yaml.org,2002:value")]
    for first, forms in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_BOOL, re.compile(r"[yYnN]$"), list("yYnN"))
# resolve.go of sigs.k8s.io/yaml: underscores are dropped, then whole numbers have Go's prefixes and no base of 60, and
# an exponent needs no sign.
_Loader.add_implicit_resolver(
    _INT,
    re.compile(
        r"[-+]?_*(0_*[xX]_*[0-9a-fA-F][0-9a-fA-F_]*|0_*[bB]_*[01][01_]*|0_*[oO]_*[0-7][0-7_]*|0[0-7_]*|[1-9][0-9_]*)$"
    ),
    list("-+0123456789"),
)
_Loader.add_implicit_resolver(
    _FLOAT,
    re.compile(
        r"""(?:\.[0-9]+(?:[eE][-+]?[0-9]+)?
        |[-+]_*\._*[0-9][0-9_]*(?:[eE]_*[-+]?_*[0-9][0-9_]*)?
        |[-+]?_*[0-9][0-9_]*(?:\.[0-9_]*)?(?:[eE]_*[-+]?_*[0-9][0-9_]*)?
        |[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$""",
        re.VERBOSE,
    ),
    list("-+0123456789."),
)


class _Scalars(yaml.constructor.SafeConstructor):
    """Their values."""

    bool_values: ClassVar = {**yaml.constructor.SafeConstructor.bool_values, "y": True, "n": False}

    def number(self, node: yaml.ScalarNode) -> int | float | str:
        """A number; text where Go has no room for it. Raises ValueError for what is none, or not of JSON."""
        text = str(node.value).replace("_", "").lower()
        digits = text.lstrip("-+")
        if base := {"0x": 16, "0b": 2, "0o": 8}.get(digits[:2]):
            whole = int(text, base)
            return whole if _INT64_MIN <= whole <= _UINT64_MAX else str(node.value)
        if digits.isdecimal() and not (digits.startswith("0") and set(digits) & {"8", "9"}):
            whole = int(text, 8 if digits.startswith("0") else 10)
            if _INT64_MIN <= whole <= _UINT64_MAX:
                return whole
        if digits in (".inf", ".nan"):
            raise ValueError("JSON has no such number")
        value = float(text)
        return str(node.value) if math.isinf(value) else value

    yaml_constructors: ClassVar = {
        **yaml.constructor.SafeConstructor.yaml_constructors,
        _INT: number,
        _FLOAT: number,
    }


_INT64_MIN, _UINT64_MAX = -(2**63), 2**64 - 1
DEEPEST = 100
"""Lists and mappings inside each other; a workflow has about fifteen."""
MOST_VALUES = 1_000_000
"""Values of a text, those that aliases repeat counted each time; a rendered chart has tens of thousands."""


yaml.SafeDumper.add_representer(Placed, yaml.SafeDumper.represent_dict)  # written as any other mapping


def objects(text: str, file: str, lines_before: int = 0) -> list[Any]:
    """The documents of a YAML text, but for empty ones; mappings are `Placed`, dates the text they are.

    Args:
        text: the YAML.
        file: its name, for messages and places.
        lines_before: of the file that the text is a block of.

    Raises:
        WorkflowError: for what is no YAML, for a key that stands twice, and for one that Kubernetes would read as
            something other than the text that is written there (`n` is `false`).
    """
    try:
        _refuse_excess(text, file, lines_before)
        nodes = [node for node in yaml.compose_all(text, _Loader) if node is not None]
        return [_Reader(file, lines_before).value(node) for node in nodes]
    except yaml.YAMLError as error:
        raise WorkflowError(f"{file}: not YAML: {error}") from error


def _refuse_excess(text: str, file: str, lines_before: int) -> None:
    """Raise WorkflowError for what a reader would work at without end."""

    def refuse(event: yaml.Event, problem: str) -> NoReturn:
        assert event.start_mark is not None
        raise WorkflowError(f"{Where(file, lines_before + event.start_mark.line + 1)}: {problem}")

    for _ in events_within_limits(text, _Loader, deepest=DEEPEST, most_values=MOST_VALUES, refuse=refuse):
        pass


class _Reader:
    """Python values of YAML nodes; a node that aliases repeat is read once."""

    def __init__(self, file: str, lines_before: int) -> None:
        self.file, self.lines_before = file, lines_before
        self._scalars = _Scalars()
        self._known: dict[int, Any] = {}

    def where(self, node: yaml.Node) -> Where:
        return Where(self.file, self.lines_before + node.start_mark.line + 1)

    def value(self, node: yaml.Node) -> Any:
        if id(node) not in self._known:
            self._known[id(node)] = self._read(node)
        return self._known[id(node)]

    def _read(self, node: yaml.Node) -> Any:
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item) for item in node.value]
        if node.tag.endswith((":timestamp", ":binary")):
            return str(node.value)
        try:
            return self._scalars.construct_object(node)
        except KeyError as error:  # of a tag in the file
            raise WorkflowError(f"{self.where(node)}: {node.value!r} is not true or false") from error
        except ValueError as error:
            raise WorkflowError(f"{self.where(node)}: {node.value!r}: {error}") from error

    def _mapping(self, node: yaml.MappingNode) -> Placed:
        written = [self._key(key) for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        for index, name in enumerate(written):
            if name in written[:index]:
                raise WorkflowError(f"{self.where(node.value[index][0])}: {name!r} stands twice in a mapping")
        if len(written) < len(node.value):
            self._scalars.flatten_mapping(node)
        mapping = Placed(self.where(node))
        for key, value in node.value:
            name = self._key(key)
            mapping[name] = self.value(value)
            mapping.places[name] = (self.where(key), self.where(value))
        return mapping

    def _key(self, node: yaml.Node) -> str:
        text = as_text(self._read(node)) if isinstance(node, yaml.ScalarNode) else ""
        if text != node.value:
            raise WorkflowError(
                f"{self.where(node)}: the key {str(node.value)!r} is read as {text or 'no text'!r} by Kubernetes; "
                "put it in quotes"
            )
        return text


def read_object(path: Path) -> Placed:
    """The one mapping that a file holds; `WorkflowError` for any other file."""
    try:
        found = objects(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise WorkflowError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise WorkflowError(f"{path}: not UTF-8: {error}") from error
    if len(found) != 1 or not isinstance(found[0], Placed):
        raise WorkflowError(f"{path}: expected one YAML mapping, found {len(found)} documents")
    return found[0]


class Fields:
    """A mapping of a known kind. Making one refuses unknown and unsupported keys.

    Args:
        content: the mapping, as it was read.
        what: the fields that it may have.
        no_meaning: gathers the fields met that have no meaning on one machine, with their lines.

    Raises:
        WorkflowError: with the line of the key.
    """

    def __init__(self, content: Any, what: Kind, no_meaning: dict[str, list[int]], around: Where | None = None) -> None:
        self.kind, self.no_meaning = what, no_meaning
        if not isinstance(content, Placed):
            raise WorkflowError(f"{around}: {what.name} must be a mapping")
        self.content, self.where = content, content.where
        for name in content:
            self._admit(name, content.places[name][0])

    def _admit(self, name: str, where: Where) -> None:
        if name in self.kind.refused:
            hint = self.kind.refused[name]
            raise WorkflowError(
                f"{where}: {name!r} of {self.kind.name} is not supported by the local runner"
                + (f"; {hint}" if hint else "")
            )
        if name in self.kind.no_meaning:
            lines = self.no_meaning.setdefault(f"{self.kind.name}.{name}", [])
            if where.line not in lines:  # an alias, or the defaults, bring the same lines again
                lines.append(where.line)
        elif name not in self.kind.read:
            close = difflib.get_close_matches(name, self.kind.read | self.kind.no_meaning, 1)
            guess = f"; did you mean {close[0]!r}?" if close else ""
            raise WorkflowError(f"{where}: {self.kind.name} has no field {name!r}{guess}")

    def __contains__(self, key: str) -> bool:
        return key in self.content

    def error(self, key: str, message: str) -> WorkflowError:
        """An error that cites the line of field `key` (of the whole mapping where it is absent)."""
        return WorkflowError(f"{self._place(key)}: {key!r} of {self.kind.name}: {message}")

    def _place(self, key: str) -> Where:
        return self.content.places[key][1] if key in self.content.places else self.where

    def value(self, key: str) -> Any:
        """The plain Python value of a field, `None` where it is absent."""
        return self.content.get(key)

    def text(self, key: str) -> str | None:
        """A field that Kubernetes wants as a string; a bare number there is refused, as the API server does."""
        value = self.value(key)
        if value is not None and not isinstance(value, str):
            found = "a mapping or list" if isinstance(value, dict | list) else as_text(value)
            raise self.error(key, f"must be a text, not {found}; put it in quotes")
        return value

    def required(self, key: str) -> str:
        """Like `text`, but the field must be there and not empty."""
        value = self.text(key)
        if not value:
            raise self.error(key, "is required")
        return value

    def scalar_text(self, key: str) -> str | None:
        """A text, number or truth value, as the text it stands for."""
        value = self.value(key)
        if isinstance(value, list | dict):
            raise self.error(key, "must be a text or a number")
        return None if value is None else as_text(value)

    def integer(self, key: str) -> int | None:
        """A whole number, not below zero."""
        value = self.value(key)
        if isinstance(value, float) and value.is_integer():
            value = int(value)  # 08 and 1e3 are floats to Go, which writes them as 8 and 1000
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
            raise self.error(key, "must be a whole number, not below 0")
        return value

    def flag(self, key: str, default: bool) -> bool:
        """True or false."""
        value = self.value(key)
        if value is not None and not isinstance(value, bool):
            raise self.error(key, "must be true or false")
        return default if value is None else value

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts."""
        values = self.value(key) or []
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise self.error(key, "must be a list of texts; put quotes around numbers")
        return tuple(values)

    def one(self, key: str, what: Kind) -> Fields | None:
        """A mapping below `key`."""
        return Fields(self.content[key], what, self.no_meaning, self._place(key)) if key in self.content else None

    def many(self, key: str, what: Kind) -> list[Fields]:
        """A list of mappings below `key`."""
        items = self.content.get(key, [])
        if not isinstance(items, list):
            raise self.error(key, "must be a list")
        return [Fields(item, what, self.no_meaning, self._place(key)) for item in items]

    def embedded(self, key: str, what: Kind) -> Fields:
        """A mapping that is written as a block of text below `key`.

        Its tags stand in quotes, or are data: `{{=toJson(name)}}`, which is the text that `name` stands for.
        """
        text = self.text(key)
        if not text:
            raise self.error(key, "must be a block of YAML ('|')")
        try:
            found = objects(tags_in_quotes(text), self.where.file, self._place(key).line)
        except WorkflowError as error:
            raise self.error(
                key, f"is no YAML before its tags are replaced; put quotes around them: {error}"
            ) from error
        return Fields(found[0] if found else None, what, self.no_meaning, self._place(key))


_FOR_HTML = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
_EXPONENT = re.compile(r"e([-+])0*(\d)")


def as_text(value: Any) -> str:
    """The text that Argo makes of a JSON value: `true`, `3`, `0.5`, `{"a":1}`."""
    return value if isinstance(value, str) else as_json(value)


def as_json(value: Any) -> str:
    """A value as Go writes it in JSON: keys sorted, fit for HTML."""
    if isinstance(value, float):
        return _float_text(value)
    if isinstance(value, list):
        return f"[{','.join(map(as_json, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{as_json(key)}:{as_json(value[key])}' for key in sorted(value))}}}"
    return escaped(json.dumps(value, ensure_ascii=False))


def escaped(text: str) -> str:
    """A text in JSON, or any JSON, fit for HTML."""
    return "".join(_FOR_HTML.get(character, character) for character in text)


def _float_text(value: float) -> str:
    """A number as Go writes it in JSON: without exponent from 1e-6 up to below 1e21."""
    if value == 0 or 1e-6 <= abs(value) < 1e21:
        return format(Decimal(repr(value)), "f").removesuffix(".0")
    return _EXPONENT.sub(r"e\1\2", repr(value)).replace(".0e", "e")

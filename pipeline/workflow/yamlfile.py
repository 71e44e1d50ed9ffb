"""YAML with line numbers: mappings whose every key must be known, so that no field is dropped silently."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from pipeline.errors import WorkflowError


@dataclass(frozen=True)
class Where:
    """A place in a workflow file; lines count from 1."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


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


@dataclass
class Document:
    """One YAML file; collects the fields met that have no meaning on one machine."""

    file: str
    no_meaning: dict[str, list[int]] = field(default_factory=dict)  # field -> lines
    lines_before: int = 0  # of a document that is a text inside another one

    def where(self, node: yaml.Node) -> Where:
        return Where(self.file, self.lines_before + node.start_mark.line + 1)


def read(path: Path, top: Kind) -> Fields:
    """Read the single YAML document at `path`; `WorkflowError` names file and line of what is wrong."""
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except OSError as error:
        raise WorkflowError(f"{path}: cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise WorkflowError(f"{path}: not one YAML document: {error}") from error
    if node is None:
        raise WorkflowError(f"{path}: the file is empty")
    return Fields(node, Document(str(path)), top)


class Fields:
    """A YAML mapping of a known kind. Making one refuses unknown, doubled and unsupported keys."""

    def __init__(self, node: yaml.Node, document: Document, what: Kind) -> None:
        self.document, self.kind, self.where = document, what, document.where(node)
        if not isinstance(node, yaml.MappingNode):
            raise WorkflowError(f"{self.where}: {what.name} must be a mapping")
        self._nodes: dict[str, yaml.Node] = {}
        for key, value in node.value:
            self._admit(key, value)

    def _admit(self, key: yaml.Node, value: yaml.Node) -> None:
        name, where = str(key.value), self.document.where(key)
        if name in self._nodes:
            raise WorkflowError(f"{where}: {name!r} stands twice in {self.kind.name}")
        if name in self.kind.refused:
            hint = self.kind.refused[name]
            raise WorkflowError(
                f"{where}: {name!r} of {self.kind.name} is not supported by the local runner"
                + (f"; {hint}" if hint else "")
            )
        if name in self.kind.no_meaning:
            lines = self.document.no_meaning.setdefault(f"{self.kind.name}.{name}", [])
            if where.line not in lines:  # an alias brings the same lines again
                lines.append(where.line)
        elif name not in self.kind.read:
            close = difflib.get_close_matches(name, self.kind.read | self.kind.no_meaning, 1)
            guess = f"; did you mean {close[0]!r}?" if close else ""
            raise WorkflowError(f"{where}: {self.kind.name} has no field {name!r}{guess}")
        self._nodes[name] = value

    def __contains__(self, key: str) -> bool:
        return key in self._nodes

    def error(self, key: str, message: str) -> WorkflowError:
        """An error that cites the line of field `key` (of the whole mapping where it is absent)."""
        where = self.document.where(self._nodes[key]) if key in self._nodes else self.where
        return WorkflowError(f"{where}: {key!r} of {self.kind.name}: {message}")

    def value(self, key: str) -> Any:
        """The plain Python value of a field, `None` where it is absent."""
        return plain(self._nodes[key]) if key in self._nodes else None

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
        return Fields(self._nodes[key], self.document, what) if key in self._nodes else None

    def many(self, key: str, what: Kind) -> list[Fields]:
        """A list of mappings below `key`."""
        if key not in self._nodes:
            return []
        node = self._nodes[key]
        if not isinstance(node, yaml.SequenceNode):
            raise self.error(key, "must be a list")
        return [Fields(item, self.document, what) for item in node.value]

    def embedded(self, key: str, what: Kind) -> Fields:
        """A mapping that is written as the block of text below `key`; its tags stand in quotes."""
        node = self._nodes.get(key)
        if not isinstance(node, yaml.ScalarNode) or node.style != "|":
            raise self.error(key, "must be a block of YAML ('|')")
        document = Document(self.document.file, self.document.no_meaning, node.start_mark.line + 1)
        try:
            inner = yaml.compose(node.value, Loader=yaml.SafeLoader)
        except yaml.YAMLError as error:
            raise self.error(
                key, f"is no YAML before its tags are replaced; put quotes around them: {error}"
            ) from error
        if inner is None:
            raise self.error(key, "is empty")
        return Fields(inner, document, what)

    def with_defaults(self, defaults: Fields | None, skipped: Iterable[str] = ()) -> Fields:
        """Return these fields laid over `defaults`: mappings merge, named lists merge by name, the rest replaces."""
        merged = object.__new__(Fields)
        merged.document, merged.kind, merged.where = self.document, self.kind, self.where
        merged._nodes = dict(self._nodes)
        for key, node in ({} if defaults is None else defaults._nodes).items():
            if key not in skipped:
                merged._nodes[key] = _merged(node, self._nodes[key]) if key in self._nodes else node
        return merged


_MERGE_KEYS = {"volumeMounts": "mountPath", "volumes": "name", "env": "name", "parameters": "name"}


def _merged(default: yaml.Node, own: yaml.Node, key: str = "") -> yaml.Node:
    """Kubernetes' strategic merge of `own` over `default`."""
    if isinstance(default, yaml.MappingNode) and isinstance(own, yaml.MappingNode):
        values = {k.value: (k, v) for k, v in default.value}
        for k, v in own.value:
            values[k.value] = (k, _merged(values[k.value][1], v, k.value) if k.value in values else v)
        return yaml.MappingNode(own.tag, list(values.values()), own.start_mark, own.end_mark)
    if isinstance(default, yaml.SequenceNode) and isinstance(own, yaml.SequenceNode) and key in _MERGE_KEYS:
        taken = {plain(item).get(_MERGE_KEYS[key]) for item in own.value}
        kept = [item for item in default.value if plain(item).get(_MERGE_KEYS[key]) not in taken]
        return yaml.SequenceNode(own.tag, own.value + kept, own.start_mark, own.end_mark)
    return own


def plain(node: yaml.Node) -> Any:
    """The value of a YAML node as plain Python, dates as the text they are."""
    if isinstance(node, yaml.MappingNode):
        return {str(key.value): plain(value) for key, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [plain(item) for item in node.value]
    if node.tag.endswith((":timestamp", ":binary")):
        return str(node.value)
    if isinstance(node, yaml.ScalarNode) and node.style is None and node.value in ("y", "Y", "n", "N"):
        return node.value in ("y", "Y")  # as Kubernetes' YAML has it, and PyYAML has not
    return yaml.SafeLoader("").construct_object(node)


def as_text(value: Any) -> str:
    """The text that Argo makes of a JSON value: `true`, `3`, `0.5`, `{"a":1}`."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

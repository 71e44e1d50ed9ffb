"""The items of a loop, with their JSON as it was written: Argo never reads their numbers.

Source: `item.go` and `processItem` of Argo 4.0.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.argo.yamlfile import as_json, escaped

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|\s+', re.DOTALL)
_DECODER = json.JSONDecoder()


@dataclass(frozen=True)
class Item:
    """One item; `json` is its text without white space between the parts."""

    json: str

    @classmethod
    def of(cls, value: Any) -> Item:
        """The item for a value of YAML."""
        return cls(as_json(value))

    @classmethod
    def parsed(cls, text: str) -> Item:
        """The item for a text of JSON; `ValueError` for any other text."""
        json.loads(text, parse_constant=_no_json)
        return cls(_TOKEN.sub(lambda match: match[0] if match[0].startswith('"') else "", text))

    @property
    def text(self) -> str:
        """What stands for it in a name, and for one of a mapping as `item.key`: a text is as JSON writes it."""
        text = self.json[1:-1] if self.json.startswith('"') else self.json
        return text.replace("\\u003c", "<").replace("\\u003e", ">").replace("\\u0026", "&")

    @property
    def name(self) -> str:
        """What stands for it in the name of its turn, but for parentheses, which fall away."""
        if self.json.startswith("{"):
            text = ",".join(sorted(f"{key}:{item.text}" for key, item in dict(_members(self.json)).items()))
        elif self.json.startswith("["):
            text = "[" + " ".join(item.text for item in _listed(self.json)) + "]"
        else:
            text = "[]" if self.json == "null" else self.text
        return text.replace("(", "").replace(")", "")

    @property
    def scope(self) -> dict[str, str | None]:
        """What `{{item}}` and `{{item.key}}` stand for."""
        if self.json.startswith('"'):
            return {"item": json.loads(self.json)}
        if not self.json.startswith("{"):
            return {"item": escaped(self.json)}
        members = sorted(dict(_members(self.json)).items())
        whole = ",".join(f"{json.dumps(key, ensure_ascii=False)}:{item.json}" for key, item in members)
        return {"item": escaped(f"{{{whole}}}"), **{f"item.{key}": item.text for key, item in members}}


def items_of(text: str) -> list[Item] | None:
    """The items of a JSON list; `None` where the text is none. Argo takes `null` for an empty list."""
    try:
        whole = Item.parsed(text)
    except ValueError:
        return None
    if whole.json == "null":
        return []
    return list(_listed(whole.json)) if whole.json.startswith("[") else None


def _no_json(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _listed(compact: str) -> Iterator[Item]:
    """The items of a compact list."""
    at = 1
    while compact[at] != "]":
        end = _DECODER.raw_decode(compact, at)[1]
        yield Item(compact[at:end])
        at = end + (compact[end] == ",")


def _members(compact: str) -> Iterator[tuple[str, Item]]:
    """The members of a compact mapping; of a key that stands twice, the last one counts."""
    at = 1
    while compact[at] != "}":
        key, colon = _DECODER.raw_decode(compact, at)
        end = _DECODER.raw_decode(compact, colon + 1)[1]
        yield key, Item(compact[colon + 1 : end])
        at = end + (compact[end] == ",")

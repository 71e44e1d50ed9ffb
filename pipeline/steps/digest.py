"""Digests of what a result depends on, and the done-markers that carry them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

import pipeline
from pipeline.errors import DataError
from pipeline.volume.stores import Store


def digest(*things: Any) -> str:
    """A digest of JSON-like data and configuration sections, and of the version of the code."""
    plain = [thing.model_dump(mode="json") if isinstance(thing, BaseModel) else thing for thing in things]
    text = json.dumps([pipeline.__version__, plain], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Marker:
    """Says that a piece of work is done, and from what it was made.

    It is written after the data. A marker with another digest is not done: its result is made again.
    """

    store: Store
    key: str
    digest: str

    @property
    def facts(self) -> dict[str, Any] | None:
        """What was written with the marker; None when the work is not done, or was done from something else."""
        try:
            content = self.store.read_json(self.key)
        except (FileNotFoundError, DataError):
            return None
        return content["facts"] if isinstance(content, dict) and content.get("digest") == self.digest else None

    @property
    def done(self) -> bool:
        """Whether the work is done, from exactly these inputs."""
        return self.facts is not None

    def clear(self) -> None:
        """Take the mark away, whatever it was made from: the data that it speaks of are about to be replaced.

        Otherwise a kill before the new mark is written would leave the old one beside new data, and vouch for them
        once the old inputs return.
        """
        self.store.delete(self.key)

    def write(self, **facts: Any) -> None:
        """Mark the work as done."""
        self.store.write_json(self.key, {"digest": self.digest, "facts": facts})

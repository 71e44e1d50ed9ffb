"""Done-markers: small files that say what is done, from what it was made, and what came of it.

A marker is written after the data, and names every object that was written with its size and digest; of an empty shard
it says that there is none. So a result that is missing, emptied, damaged or exchanged is noticed, and is made again by
the step that owns it. A marker also names itself: as a copy of another one it vouches for nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pipeline.errors import DataError
from pipeline.volume.stores import Store
from pipeline.volume.written import Written, digest_of, recorded

MARKERS = "done"
# What tells times is no result.
RECORDS = ("events/", "metrics/", f"{MARKERS}/", "inputs.json")

Output = tuple[int, str] | None
"""Bytes and digest of an object; None where there must be none."""


@dataclass(frozen=True)
class Marker:
    """Says that a piece of work is done, from what it was made, and what came of it.

    A marker with another digest is not done, nor is one whose output is not there: its result is made again.
    """

    store: Store
    key: str
    digest: str

    @property
    def facts(self) -> dict[str, Any] | None:
        """What was written with the marker; None when the work is not done, or was done from something else."""
        content = read_marker(self.store, self.key)
        return content["facts"] if content and content["digest"] == self.digest else None

    @property
    def done(self) -> bool:
        """Whether the work is done, from exactly these inputs, and its output is there, as large as it was."""
        return self.facts is not None and self.lacking is None

    @property
    def lacking(self) -> str | None:
        """The first output, in words, that is not there, or not as large as it was; None where there is no such."""
        content = read_marker(self.store, self.key)
        for key, output in outputs_of(content).items() if content else ():
            if self.store.size(key) != (output[0] if output else None):
                return f"{key} {damage_of(self.store, key, output)}"
        return None

    @property
    def intact(self) -> bool:
        """Whether the work is done, and its output is what was written, to the last byte."""
        content = read_marker(self.store, self.key)
        if content is None or content["digest"] != self.digest:
            return False
        return not any(damage_of(self.store, key, output) for key, output in outputs_of(content).items())

    def clear(self) -> None:
        """Take the mark away, whatever it was made from: the data that it speaks of are about to be replaced.

        Otherwise a kill before the new mark is written would leave the old one beside new data, and vouch for them
        once the old inputs return.
        """
        self.store.delete(self.key)

    @contextmanager
    def making(self, *, without: Iterable[str] = ()) -> Iterator[dict[str, Any]]:
        """Make the result while this is open; then mark the work as done. Gives the facts that the mark is to keep.

        Args:
            without: keys that others write, too, and vouch for.
        """
        facts: dict[str, Any] = {}
        self.clear()
        with recorded() as written:
            yield facts
        outputs = _keys(self.store, written)
        self.write(facts, {key: output for key, output in outputs.items() if key not in set(without)})

    def write(self, facts: Mapping[str, Any], outputs: Mapping[str, Output]) -> None:
        """Mark the work as done."""
        outputs = dict(sorted(outputs.items()))
        content = {"key": self.key, "digest": self.digest, "facts": dict(facts), "outputs": outputs}
        self.store.write_json(self.key, {**content, "seal": _seal(content)})

    def amend(self, written: Written) -> None:
        """Some of the output was written anew, such as metadata that were damaged; the rest is as it was."""
        content, anew = read_marker(self.store, self.key), _keys(self.store, written)
        if content and content["digest"] == self.digest and anew:
            claimed = outputs_of(content)
            outputs = claimed | {key: output for key, output in anew.items() if key in claimed}
            if outputs != claimed:
                self.write(content["facts"], outputs)


def read_marker(store: Store, key: str) -> dict[str, Any] | None:
    """The content of a marker; None where there is none, where it is damaged, or was copied from another place."""
    try:
        content = store.read_json(key)
    except (FileNotFoundError, DataError):
        return None
    if not isinstance(content, dict) or content.pop("seal", None) != _seal(content):
        return None
    return content if content.get("key") == key else None


def is_of_earlier_version(store: Store, key: str) -> bool:
    """Whether a marker has the form of version 0.1.0, which wrote down no outputs, or names no place as its own.

    The latter was written between 0.1.0 and the version after it, and cannot be told from a copy.
    """
    try:
        content = store.read_json(key)
    except (FileNotFoundError, DataError):
        return False
    return isinstance(content, dict) and content.keys() - {"outputs", "seal"} == {"digest", "facts"}


def outputs_of(content: Mapping[str, Any]) -> dict[str, Output]:
    """What a marker vouches for: keys of the store."""
    return {key: (output[0], output[1]) if output else None for key, output in content["outputs"].items()}


def damage_of(store: Store, key: str, output: Output) -> str:
    """What is wrong with an object, in words; empty where it is as it was written."""
    size = store.size(key)
    if output is None:
        return "" if size is None else "is there, but was empty when it was written"
    if size is None:
        return "is missing"
    if size != output[0]:
        return f"has {size} bytes and not {output[0]}"
    return "" if digest_of(store.read(key)) == output[1] else "has another content than was written"


def _keys(store: Store, written: Written) -> dict[str, Output]:
    """The objects of a store, by their keys, but for records."""
    prefix = store.url + "/"
    keys = {url.removeprefix(prefix): output for url, output in written.items() if url.startswith(prefix)}
    return {key: output for key, output in keys.items() if not key.startswith(RECORDS)}


def _seal(content: Mapping[str, Any]) -> str:
    return digest_of(json.dumps(content, sort_keys=True).encode())

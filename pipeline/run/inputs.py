"""Inputs by their content: what a file holds counts, and not when it was written or where it lies.

The content of a file is read once and noted in the run's ``inputs.json``, beside what the file system says of the file.
While that stays the same, the note holds; else the file is read again. Object storage tells content by entity tags.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.errors import DataError, InputError
from pipeline.volume.geometry import Block
from pipeline.volume.sources import Policy, open_source
from pipeline.volume.sources.base import Location
from pipeline.volume.sources.registry import format_of
from pipeline.volume.stores import State, Store

NOTES = "inputs.json"
# A file that was changed this shortly before it was read could change again within one tick of its clock.
SETTLED_SECONDS = 2.0


class Inputs:
    """The inputs of a run, with what is known of their files from earlier looks at them."""

    def __init__(self, run_url: str) -> None:
        self._known = _noted(run_url)
        self._seen: dict[str, list[Any]] = {}

    def content(self, location: str, base: Path, policy: Policy) -> list[Any]:
        """What an input holds: name, size in bytes and digest of each of its files.

        Args:
            location: as `open_source` takes it.
            base: the folder that relative paths start from.
            policy: whether its file may name others, which then belong to it.

        Raises:
            DataError: there is nothing.
        """
        place = Location.parse(location, base)
        taken = [place.cut.text] if place.cut.text else []
        if place.path is None:
            return [*taken, *_states(place, location, base, policy)]
        if place.path.is_dir():
            files = {str(path.relative_to(place.path)): path for path in _files_below(place.path)}
        elif place.path.exists():
            named = format_of(place).voxels_beside(place) if policy.follows_references else set()
            beside = [path for path in named if not path.samefile(place.path)]
            folder = place.path.parent.resolve()
            files = {os.path.relpath(path.resolve(), folder): path for path in beside} | {place.path.suffix: place.path}
        else:
            raise DataError(f"{location}: no such file or folder below {base}; check the location")
        contents = [[name, path.stat().st_size, self._digest(path)] for name, path in sorted(files.items())]
        return [*taken, place.inner, *contents]

    def note(self, store: Store) -> None:
        """Keep what was learnt for the next time."""
        if self._seen != self._known:
            store.write_json(NOTES, {"files": self._seen, "seal": _seal(self._seen)})

    def _digest(self, path: Path) -> str:
        state, key = path.stat(), str(path.resolve())
        facts = [state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino]
        known = self._known.get(key)
        if known and known[:-1] == facts:
            self._seen[key] = known
            return str(known[-1])
        started = time.time()
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if started - max(state.st_mtime, state.st_ctime) > SETTLED_SECONDS:
            self._seen[key] = [*facts, found]
        return found


def _states(place: Location, location: str, base: Path, policy: Policy) -> tuple[State, ...]:
    """Of the objects in which a remote input lies: of a box, or where nothing can be listed, asked for one by one."""
    root = Store.open(place.url).child(*filter(None, [place.inner]))
    if place.cut.text or not root.lists:
        with open_source(location, base, policy) as source:
            states = source.states(Block.of_shape(source.shape_zyx))
        if states is not None:
            return states
    return root.states()


def _files_below(folder: Path) -> Iterator[Path]:
    """Also below links to folders, which zarr and the readers of slices follow."""
    for root, folders, names in os.walk(folder, followlinks=True):
        here = Path(root).resolve()
        folders[:] = [name for name in folders if not here.is_relative_to(Path(root, name).resolve())]  # no circles
        yield from (path for name in names if (path := Path(root, name)).is_file())


def _noted(run_url: str) -> dict[str, list[Any]]:
    """Of an earlier look; nothing where there is no run yet, or where the notes are damaged."""
    try:
        notes = Store.open(run_url).read_json(NOTES)
    except (InputError, FileNotFoundError):
        return {}
    files = notes.get("files") if isinstance(notes, dict) else None
    return files if isinstance(files, dict) and notes.get("seal") == _seal(files) else {}


def _seal(files: dict[str, list[Any]]) -> str:
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()

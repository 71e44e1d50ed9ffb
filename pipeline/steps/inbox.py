"""Which volumes of a folder have no run yet: what a workflow that looks after the folder segments next."""

from __future__ import annotations

import hashlib
import json
import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.errors import DataError, InputError
from pipeline.volume.sources import TRUSTED, open_source


@dataclass(frozen=True)
class Found:
    """A volume without a run. `name` is made of its path, and fit to name a Workflow; a cut stands behind `input`."""

    name: str
    input: str
    run: str


@dataclass(frozen=True)
class Look:
    """What a look into the folder has found, and why each entry that it left alone was (by its name)."""

    found: tuple[Found, ...]
    left_alone: dict[str, str]


def inbox(
    folder: str, runs: str, *, settled_seconds: float = 300.0, cut: str = "", outputs: Path | None = None
) -> Look:
    """The volumes of a folder that have no run, in the order of their names.

    Args:
        folder: each of its entries is a volume: a file, or a folder of slices; hidden ones are none.
        runs: the folder in which a volume has its run, under its own name.
        settled_seconds: a volume of which a file has changed since is still being copied: the next look finds it.
        cut: level and box that are to be segmented of each, as they stand behind a location; empty: all of it.
        outputs: directory for the value that the workflow goes on with: ``volumes``, a JSON list.

    Raises:
        InputError: there is no such folder.
    """
    place = Path(folder)
    if not place.is_dir():
        raise InputError(f"--folder {folder}: there is no such folder; make it, and copy volumes into it")
    found, left_alone = [], {}
    for entry in sorted(place.iterdir()):
        run = Path(runs) / entry.name
        if entry.name.startswith("."):
            continue
        if reason := _no_work(entry, run, settled_seconds, cut):
            left_alone[entry.name] = reason
        else:
            found.append(Found(_workflow_name(entry), f"{entry}{cut}", str(run)))
    if outputs:
        outputs.mkdir(parents=True, exist_ok=True)
        (outputs / "volumes").write_text(f"[{', '.join(map(_as_json, found))}]", encoding="utf-8")
    return Look(tuple(found), left_alone)


def _as_json(found: Found) -> str:
    """JSON without `{` or `$` in its texts: in a file's name they would begin a tag or a variable of the workflow."""
    texts = {
        key: json.dumps(value).replace("{", "\\u007b").replace("$", "\\u0024") for key, value in asdict(found).items()
    }
    return f"{{{', '.join(f'{json.dumps(key)}: {text}' for key, text in texts.items())}}}"


def _no_work(entry: Path, run: Path, settled_seconds: float, cut: str) -> str:
    """Why an entry is left alone; empty where it is not."""
    if run.exists():
        return f"it has the run {run}"
    if time.time() - _last_change(entry) < settled_seconds:
        return f"it has changed in the last {settled_seconds:g} s"
    try:
        with open_source(f"{entry}{cut}", entry.parent, TRUSTED):
            return ""
    except DataError as error:
        return str(error)


def _last_change(entry: Path) -> float:
    """Seconds since 1970; a folder's own time counts too, since a file may have been removed."""
    paths = [entry, *entry.rglob("*")] if entry.is_dir() else [entry]
    return max(path.stat().st_mtime for path in paths)


def _workflow_name(entry: Path) -> str:
    """Lower-case letters, digits and dashes; the same for the same path, another for any other."""
    readable = re.sub(r"[^a-z0-9]+", "-", entry.name.lower()).strip("-")[:30].strip("-")
    return f"segment-{readable or 'volume'}-{hashlib.sha256(str(entry).encode()).hexdigest()[:8]}"

"""Small JSON files that say what a folder is, replaced whole: a reader or a crash sees the old or the new one."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

_ID = re.compile(r"[0-9a-z-]{8,64}")


def write_record(path: Path, content: dict[str, Any]) -> None:
    """Replace the record; only one process writes one path."""
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    staged.write_text(json.dumps(content, indent=1), encoding="utf-8")
    staged.replace(path)


def read_record(path: Path) -> dict[str, Any] | None:
    """The record; None where there is none, or no longer one that can be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def is_id(text: str) -> bool:
    """Whether a text that came with a request may name a folder: no dots, no slashes."""
    return _ID.fullmatch(text) is not None

"""Make the workflow files from what stands here: `make workflows`.

Argo cannot include: study, segment and boost are whole files, but what they share is written once, in a `.part`. In a
`.in` or a `.part`, a line `#include NAME` stands for the lines of the file NAME, moved in as far as itself.
"""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

SOURCE = Path(__file__).parent
_INCLUDE = re.compile(r"^( *)#include (\S+)\n", re.MULTILINE)
_NOTE = "# Made by `make workflows` from workflows/source: change it there.\n#\n"


def assembled(name: str) -> str:
    """The text of a file of this folder, with all that it includes."""
    text = (SOURCE / name).read_text(encoding="utf-8")
    return _INCLUDE.sub(lambda line: textwrap.indent(assembled(line[2]), line[1]), text)


def workflows() -> dict[Path, str]:
    """The workflow files and what they should hold."""
    return {SOURCE.parent / f"{path.stem}.yaml": _NOTE + assembled(path.name) for path in sorted(SOURCE.glob("*.in"))}


if __name__ == "__main__":
    for path, text in workflows().items():
        path.write_text(text, encoding="utf-8")

"""Cut the project's pins into files that change only when the layer of the image that is made of them must.

Run in a folder that holds pyproject.toml and constraints.txt; writes torch.txt (torch and what it needs, each with its
exact version), libraries.txt (what the project asks for) and app.txt (what the application asks for beside it).
"""

from __future__ import annotations

import tomllib
from pathlib import Path

# What torch needs of constraints.txt; its wheel names the CUDA libraries with their exact versions itself.
TORCH = ["torch", "filelock", "fsspec", "Jinja2", "MarkupSafe", "mpmath", "networkx", "sympy", "typing_extensions"]


def main() -> None:
    """Write torch.txt, libraries.txt and app.txt."""
    pins = Path("constraints.txt").read_text(encoding="utf-8")
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    files = {
        "torch.txt": [line for line in pins.splitlines() if line.partition("==")[0] in TORCH],
        "libraries.txt": project["dependencies"],
        "app.txt": [*extras["app"], *extras["cluster"]],
    }
    for name, lines in files.items():
        Path(name).write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

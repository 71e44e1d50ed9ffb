"""The workflows that come with vemseg, by their names: `study`, `segment`, `boost`."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from pipeline.errors import WorkflowError

_INSTALLED = re.compile(r"share/vemseg/workflows/\w+\.yaml$")


def shipped() -> dict[str, Path]:
    """The files by name: of the checkout, or else of the wheel that was installed."""
    found = sorted((Path(__file__).parents[2] / "workflows").glob("*.yaml"))
    if not found:
        try:
            recorded = files("vemseg") or []
        except PackageNotFoundError:
            recorded = []
        found = sorted(Path(str(each.locate())) for each in recorded if _INSTALLED.search(each.as_posix()))
    return {path.stem: path for path in found}


def workflow_file(name: str) -> Path:
    """The file of a name. Raises WorkflowError when there is none of that name."""
    there = shipped()
    if name not in there:
        raise WorkflowError(f"no workflow is called {name!r}; there are {', '.join(there) or 'none: install it again'}")
    return there[name]


def find_workflow(name: str) -> Path:
    """The file that a person means: a name of those that came with vemseg, or a path.

    Raises:
        WorkflowError: neither; says what to write instead.
    """
    path = Path(name)
    if re.fullmatch(r"\w+", name) and (name in shipped() or not path.is_file()):
        return workflow_file(name)
    if path.is_file():
        if path.suffix in (".yaml", ".yml") and re.search(r"(?m)^classes:", path.read_text("utf-8", "replace")):
            raise WorkflowError(
                f"{name} is a configuration, not a workflow: vemseg run study -p config={name} -p run=runs/first"
            )
        return path
    known = f"; the one that came with vemseg is called {path.stem}: vemseg run {path.stem} -p ..."
    raise WorkflowError(f"{name}: there is no such file{known if path.stem in shipped() else ''}")


def purpose(workflow: Path) -> str:
    """The paragraph that a workflow's file begins with."""
    lines = [line[1:].strip() for line in workflow.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    return " ".join(lines[2 : lines.index("", 2)])

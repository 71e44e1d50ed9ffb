"""What a workflow would run, as far as it can be known before anything has run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from graphlib import TopologicalSorter
from pathlib import Path

from pipeline.argo import loops, templating
from pipeline.argo.check import dependencies
from pipeline.argo.directory import StateDirectory
from pipeline.argo.engine import Engine, Pod
from pipeline.argo.local import settled_parameters
from pipeline.argo.model import Parameter, Task, Template, Workflow
from pipeline.argo.processes import Places
from pipeline.argo.templating import TemplateError

_OPEN = re.compile(r"\{\{=([\w.]+)[^}]*\}\}")  # an expression of something that only a run can tell
_DEEPEST = 20  # a template may use itself, and then only running it tells when it ends


def describe(
    workflow: Workflow,
    parameters: Mapping[str, str] | None = None,
    *,
    state_dir: str | Path,
    volumes: Mapping[str, str | Path] | None = None,
    config_maps: Mapping[str, str] | None = None,
) -> str:
    """Return the tree of tasks with their commands, in an order in which they could run. Starts and writes nothing.

    Tags whose value only a task can give stay as they are.
    """
    values = settled_parameters(workflow, parameters or {}, config_maps)
    name = workflow.name or f"{workflow.generate_name}xxxxx"
    places = Places.of(workflow, values, StateDirectory(Path(state_dir), 0), volumes or {}, parameters or {})
    known = Engine(workflow, values, name=name, uid="(uid)", config_maps=config_maps).globals
    printer = _Printer(workflow, places, known)
    arguments = tuple(replace(p, value=values[p.name]) for p in workflow.parameters)
    lines = [name, *printer.template(workflow.entrypoint, arguments, name, 1)]
    if workflow.on_exit is not None:
        lines += [f"{name}.onExit", *printer.template(workflow.on_exit, arguments, f"{name}.onExit", 1)]
    if workflow.no_meaning:
        lines.append(f"Without meaning on this machine ({workflow.where.file}):")
        lines += [f"  {key}: line {', '.join(map(str, at))}" for key, at in sorted(workflow.no_meaning.items())]
    return "\n".join(lines)


class _Printer:
    def __init__(self, workflow: Workflow, places: Places, known: Mapping[str, str | None]) -> None:
        self.workflow, self.places, self.known = workflow, places, known

    def template(self, name: str, arguments: tuple[Parameter, ...], node: str, depth: int) -> Iterator[str]:
        template = templating.inputs(self.workflow.templates[name], arguments, lambda parameter: parameter.default)
        template = templating.fill(template, self.known)
        inputs: dict[str, str | None] = {f"inputs.parameters.{p.name}": p.value for p in template.inputs}
        template = templating.fill(template, inputs)
        if template.dag is None:
            yield "    " * depth + "$ " + self._command(node, template)
            return
        if depth > _DEEPEST:
            yield "    " * depth + "..."
            return
        graph = {task.name: dependencies(task) for task in template.dag.tasks}
        for task_name in TopologicalSorter(graph).static_order():
            yield from self._task(template.dag.task(task_name), node, depth)

    def _command(self, node: str, template: Template) -> str:
        argv = self.places.command(Pod(node, template, node, template, "", False, False)).argv
        return " ".join(_quoted(_OPEN.sub(r"{{\1}}", word)) for word in argv)

    def _task(self, task: Task, node: str, depth: int) -> Iterator[str]:
        facts = [f"after {task.depends}" if task.depends else "", f"when {task.when}" if task.when else ""]
        try:
            turns = loops.turns(task) if task.is_loop else [(task.name, task)]
        except TemplateError:  # only a task before it knows how often
            over = task.param or (task.sequence and (task.sequence.count or task.sequence.end))
            facts.append(f"for each of {over}")
            turns = [(task.name, task)]
        for name, turn in turns:
            yield "    " * depth + ", ".join([name, *filter(None, facts)])
            yield from self.template(turn.template, turn.arguments, f"{node}.{name}", depth + 1)


def _quoted(word: str) -> str:
    return f"'{word}'" if not word or any(character.isspace() for character in word) else word

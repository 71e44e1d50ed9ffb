"""What can be known to be wrong with a workflow before anything runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter
from typing import Any

from pipeline.argo import expressions, templating
from pipeline.argo.expressions import DEPENDS, EXPR, FINE, ExpressionError
from pipeline.argo.model import Container, Dag, Parameter, Task, Template, Workflow
from pipeline.argo.yamlfile import Where
from pipeline.errors import WorkflowError

RESULTS = ("Succeeded", "Failed", "Errored", "Skipped", "Omitted", "Daemoned", "AnySucceeded", "AllFailed")
_NAME = re.compile(r"[A-Za-z0-9][-A-Za-z0-9]*")
_OF_THE_RUN = ("name", "uid", "namespace", "serviceAccountName", "mainEntrypoint", "creationTimestamp")
_OF_ITS_END = ("status", "failures", "duration")
_OF_A_TRY = ("retries", "lastRetry.exitCode", "lastRetry.status", "lastRetry.message", "lastRetry.duration")
_ALWAYS_KNOWN = {"node.name", "pod.name", "workflow.parameters", "workflow.parameters.json", *_OF_A_TRY}
_ALWAYS_KNOWN |= {f"workflow.{fact}" for fact in (*_OF_THE_RUN, *_OF_ITS_END)}


def dependencies(task: Task) -> list[str]:
    """The tasks that `depends` speaks of, each once, in order."""
    return list(_named_in(task.depends)) if task.depends else []


@lru_cache(maxsize=1024)
def _named_in(depends: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.split(".")[0] for name in expressions.names(depends, DEPENDS)))


def ancestors(dag: Dag, task: Task) -> list[str]:
    """All tasks that must end before `task` starts."""
    found: list[str] = []
    waiting = dependencies(task)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.append(name)
            waiting += dependencies(dag.task(name))
    return found


def check(workflow: Workflow) -> None:
    """Raise `WorkflowError`, with file and line, for the first thing that cannot work."""
    for name in (workflow.entrypoint, workflow.on_exit):
        if name is not None and name not in workflow.templates:
            raise WorkflowError(f"{workflow.where}: there is no template {name!r}{_there_are(workflow)}")
    for template in workflow.templates.values():
        _check_template(workflow, template)
        _check_tags(workflow, template)


def _there_are(workflow: Workflow) -> str:
    return f"; there are {', '.join(workflow.templates)}"


def _check_template(workflow: Workflow, template: Template) -> None:
    if template.retry is not None and template.retry.expression:
        _parsed(template.retry.expression, EXPR, template.retry.where)
    if template.dag is not None:
        for output in template.outputs:
            if output.source is None:
                raise WorkflowError(f"{output.where}: an output of a dag needs 'valueFrom.parameter'")
        _check_dag(workflow, template.dag)
        if template.is_nested:
            _check_nested(workflow, template.dag)
    if template.container is not None:
        for output in template.outputs:
            if output.path is None:
                raise WorkflowError(f"{output.where}: an output of a container needs 'valueFrom.path'")
        _check_mounts(workflow, template, template.container)


def _check_mounts(workflow: Workflow, template: Template, container: Container) -> None:
    known = {volume.name for volume in (*workflow.volumes, *template.volumes)}
    for mount in container.mounts:
        if mount.volume not in known:
            raise WorkflowError(f"{mount.where}: there is no volume {mount.volume!r}")


def _check_dag(workflow: Workflow, dag: Dag) -> None:
    names = [task.name for task in dag.tasks]
    for task in dag.tasks:
        if names.count(task.name) > 1:
            raise WorkflowError(f"{task.where}: two tasks are called {task.name!r}")
        if _NAME.fullmatch(task.name) is None:
            raise WorkflowError(f"{task.where}: a task name has only letters, digits and '-', unlike {task.name!r}")
        if task.template not in workflow.templates:
            raise WorkflowError(f"{task.where}: there is no template {task.template!r}{_there_are(workflow)}")
        _check_depends(task, dag, names)
        _check_arguments(task, workflow.templates[task.template])
    try:
        TopologicalSorter({task.name: dependencies(task) for task in dag.tasks}).prepare()
    except CycleError as error:
        raise WorkflowError(f"{dag.where}: tasks wait for each other: {' -> '.join(error.args[1])}") from error


def _check_depends(task: Task, dag: Dag, names: list[str]) -> None:
    if not task.depends:
        return
    for path in _parsed(task.depends, DEPENDS, task.where):
        name, result = path.split(".")
        if name not in names:
            raise WorkflowError(f"{task.where}: task {task.name!r} depends on {name!r}, which does not exist")
        if result not in (*RESULTS, FINE):
            raise WorkflowError(f"{task.where}: {path!r}: a task has no result {result!r}; it has {', '.join(RESULTS)}")
        if result in ("AnySucceeded", "AllFailed") and not dag.task(name).is_loop:
            raise WorkflowError(f"{task.where}: {path!r}: only a loop has the result {result}")


def _check_nested(workflow: Workflow, dag: Dag) -> None:
    """What a nested workflow is given is the same here as there, or an input of the template that it enters."""
    for task in dag.tasks:
        inputs = {wanted.name for wanted in workflow.templates[task.template].inputs}
        for argument in task.arguments:
            if argument.name not in inputs:
                raise WorkflowError(
                    f"{argument.where}: {argument.name!r} is no input of {task.template!r}; a parameter of the "
                    f"workflow is passed on as '{{{{workflow.parameters.{argument.name}}}}}'"
                )


def _check_arguments(task: Task, template: Template) -> None:
    given = {argument.name for argument in task.arguments}
    for wanted in template.inputs:
        settled = (wanted.value, wanted.default, wanted.config_map_key)
        if wanted.name not in given and settled == (None, None, None):
            raise WorkflowError(f"{task.where}: task {task.name!r} does not give {wanted.name!r} to {template.name!r}")


def _parsed(text: str, dialect: expressions.Dialect, where: Where) -> list[str]:
    try:
        return expressions.names(text, dialect)
    except ExpressionError as error:
        raise WorkflowError(f"{where}: {error}") from error


def _check_tags(workflow: Workflow, template: Template) -> None:
    for where, tag, allowed in _tags(workflow, template):
        if "{{" in tag:
            raise WorkflowError(f"{where}: a tag inside a tag ({{{{{tag}}}}}) is not supported by the local runner")
        names = _parsed(tag[1:], EXPR, where) if tag.startswith("=") else [tag]
        for name in names:
            if name not in allowed and name not in _ALWAYS_KNOWN:
                raise WorkflowError(
                    f"{where}: nothing is known as {name!r} in {{{{{tag}}}}} here; check how it is spelt: known are "
                    "parameters of this template and results of tasks that this one waits for"
                )


def _tags(workflow: Workflow, template: Template) -> Iterator[tuple[Where, str, set[str]]]:
    """Every tag of a template with its place and the names known there."""
    known = {f"workflow.parameters.{p.name}" for p in workflow.parameters}
    known |= {"inputs.parameters", *(f"inputs.parameters.{p.name}" for p in template.inputs)}
    known |= {f"outputs.parameters.{p.name}.path" for p in template.outputs}
    parts: list[Any] = [*template.inputs, template.container, template.retry, *template.volumes]
    parts += [template.active_deadline_seconds, template.timeout, *template.locks]
    for part in parts:
        yield from ((getattr(part, "where", template.where), tag, known) for tag in templating.tags(part))
    if template.dag is None:
        return
    for task in template.dag.tasks:
        tasks = [template.dag.task(name) for name in ancestors(template.dag, task)]
        for tag in templating.tags(task):
            here = known | _task_names(workflow, tasks) | ({tag} if task.is_loop and _is_item(tag) else set())
            yield task.where, tag, here
    for output in template.outputs:
        for tag in templating.tags(output):
            yield output.where, tag, known | _task_names(workflow, list(template.dag.tasks))


def _is_item(tag: str) -> bool:
    return tag == "item" or tag.startswith("item.")


def _task_names(workflow: Workflow, tasks: list[Task]) -> set[str]:
    names = set()
    for task in tasks:
        outputs: tuple[Parameter, ...] = workflow.templates[task.template].outputs
        facts = [
            "id",
            "startedAt",
            "finishedAt",
            "status",
            "exitCode",
            "outputs.result",
            "outputs.parameters",
        ]
        facts += [f"outputs.parameters.{output.name}" for output in outputs]
        names |= {f"tasks.{task.name}.{fact}" for fact in facts}
    return names

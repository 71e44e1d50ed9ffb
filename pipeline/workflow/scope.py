"""What the tags of a DAG's tasks stand for, and how a task becomes the turns of its loop."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from pipeline.workflow import expressions, templating
from pipeline.workflow.expressions import WHEN, ExpressionError
from pipeline.workflow.model import Parameter, Sequence, Task, Template
from pipeline.workflow.nodes import OMITTED, SKIPPED, SUCCEEDED, Node
from pipeline.workflow.templating import Scope, TemplateError
from pipeline.workflow.yamlfile import as_text


def timestamp(seconds: float) -> str:
    """Seconds since 1970 as Argo prints a time."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parameter_scope(values: Mapping[str, str]) -> dict[str, str | None]:
    """The tags of the workflow's parameters."""
    return {f"workflow.parameters.{name}": value for name, value in values.items()}


def of_task(name: str, node: Node, turns: list[Node], template: Template) -> dict[str, str | None]:
    """The tags `tasks.<name>.*` after its node has ended; `turns` are the nodes of its loop, in order."""
    prefix = f"tasks.{name}"
    scope: dict[str, str | None] = _of_loop(prefix, turns) if turns else {}
    scope[f"{prefix}.id"] = node.name
    scope[f"{prefix}.status"] = node.phase
    if node.started_at is not None:
        scope[f"{prefix}.startedAt"] = timestamp(node.started_at)
    if node.finished_at is not None:
        scope[f"{prefix}.finishedAt"] = timestamp(node.finished_at)
    if node.result is not None:
        scope[f"{prefix}.outputs.result"] = node.result
    if node.exit_code is not None:
        scope[f"{prefix}.exitCode"] = str(node.exit_code)
    for key, value in node.outputs.items():
        scope[f"{prefix}.outputs.parameters.{key}"] = value
    if node.phase in (SKIPPED, OMITTED):
        for output in template.outputs:
            scope[f"{prefix}.outputs.parameters.{output.name}"] = output.default
    return scope


def _of_loop(prefix: str, turns: list[Node]) -> dict[str, str | None]:
    """Outputs of the turns that succeeded, as JSON lists in the order of the turns."""
    done = [turn for turn in turns if turn.phase == SUCCEEDED]
    results = []
    for turn in done:
        if turn.result is not None:
            try:
                results.append(json.loads(turn.result))
            except ValueError as error:
                raise TemplateError(f"{turn.name}: its result is not JSON, so no list can be made of it") from error
    scope: dict[str, str | None] = {
        f"{prefix}.outputs.result": as_text(results),
        f"{prefix}.outputs.parameters": as_text([turn.outputs for turn in done if turn.outputs]),
    }
    for name in dict.fromkeys(name for turn in done for name in turn.outputs):
        values = [turn.outputs[name] for turn in done if name in turn.outputs]
        scope[f"{prefix}.outputs.parameters.{name}"] = as_text(_structured(values) or values)
    return scope


def _structured(values: list[str]) -> list[Any] | None:
    """The values read as JSON when every one is a list or a mapping, else `None`."""
    parsed = []
    for value in values:
        try:
            parsed.append(json.loads(value))
        except ValueError:
            return None
    return parsed if all(isinstance(value, list | dict) for value in parsed) else None


def resolve(task: Task, scope: Scope) -> Task:
    """Replace the tags of a task but for its loop's; a task whose `when` is false already is left as it is."""
    when = templating.fill(task.when, scope)
    templating.refuse_tags(when, "tasks.")
    if when and not task.is_loop and not proceeds(when):
        return replace(task, when=when)
    if when and task.is_loop and _is_false(when):
        return replace(task, when=when)
    given = tuple(argument for argument in task.arguments if not _is_absent(argument, scope))
    filled = templating.fill(replace(task, arguments=given), scope)
    templating.refuse_tags(filled, "tasks.")
    return filled


def _is_absent(argument: Parameter, scope: Scope) -> bool:
    """An argument that only repeats the missing output of a skipped task counts as not given."""
    match = templating.TAG.fullmatch(argument.value or "")
    return match is not None and match[1] in scope and scope[match[1]] is None


def proceeds(when: str) -> bool:
    """Whether a task with this `when` runs; `TemplateError` for what is no condition."""
    try:
        return not when or expressions.evaluate_bool(when, WHEN, {})
    except ExpressionError as error:
        raise TemplateError(f"Invalid 'when' expression '{when}': {error}") from error


def _is_false(when: str) -> bool:
    """Whether a loop's `when` is false for all turns; one that still holds `{{item}}` cannot be told yet."""
    try:
        return not proceeds(when)
    except TemplateError:
        return False


def turns(task: Task) -> list[tuple[str, Task]]:
    """The turns of a resolved loop with their node names; none where the loop is empty."""
    try:
        items = _items(task)
    except TemplateError:
        if _is_false(task.when):
            return []
        raise
    bare = replace(task, items=None, param=None, sequence=None)
    return [
        (templating.loop_name(task.name, index, item), templating.fill(bare, templating.item_scope(item)))
        for index, item in enumerate(items)
    ]


def _items(task: Task) -> Iterable[Any]:
    if task.items is not None:
        return task.items
    if task.sequence is not None:
        return _counted(task.sequence)
    try:
        items = json.loads(task.param or "")
    except ValueError:
        items = None
    if not isinstance(items, list):
        raise TemplateError(f"withParam value could not be parsed as a JSON list: {(task.param or '').strip()}")
    return items


def _counted(sequence: Sequence) -> list[str]:
    """The numbers of `withSequence`: `count` of them from `start`, or up or down to `end`, which is included."""
    start = templating.whole_number(sequence.start or "0", "withSequence.start")
    if sequence.end is not None:
        end = templating.whole_number(sequence.end, "withSequence.end")
    else:
        count = templating.whole_number(sequence.count or "", "withSequence.count")
        if count == 0:
            return []
        end = start + count - 1
    step = 1 if start <= end else -1
    try:
        return [sequence.format % number for number in range(start, end + step, step)]
    except (TypeError, ValueError) as error:
        raise TemplateError(f"withSequence.format {sequence.format!r}: {error}") from error


def inputs(
    template: Template, arguments: tuple[Parameter, ...], config_map: Callable[[Parameter], str | None]
) -> Template:
    """Return the template with the value of each input settled: the argument, else its value, else its default."""
    given = {argument.name: argument.value for argument in arguments if argument.value is not None}
    settled = []
    for wanted in template.inputs:
        value = given.get(wanted.name)
        if value is None:
            value = wanted.value if wanted.value is not None else config_map(wanted)
        if value is None:
            raise TemplateError(f"inputs.parameters.{wanted.name} was not supplied")
        settled.append(replace(wanted, value=value))
    return replace(template, inputs=tuple(settled))

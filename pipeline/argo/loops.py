"""How a task becomes what runs: its tags replaced, its condition asked, its loop unrolled into turns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from pipeline.argo import expressions, templating
from pipeline.argo.expressions import WHEN, ExpressionError
from pipeline.argo.items import Item, items_of
from pipeline.argo.model import Parameter, Sequence, Task
from pipeline.argo.templating import Scope, TemplateError


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
        (f"{task.name}({index}:{item.name})", templating.fill(bare, item.scope)) for index, item in enumerate(items)
    ]


def _items(task: Task) -> Iterable[Item]:
    if task.items is not None:
        return task.items
    if task.sequence is not None:
        return map(Item.of, _counted(task.sequence))
    items = items_of(task.param or "")
    if items is None:
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

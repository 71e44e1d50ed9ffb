"""Tags: what they stand for, their replacement in texts and whole objects, and reading the texts that come out."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

from pipeline.argo import expressions
from pipeline.argo.expressions import EXPR, ExpressionError
from pipeline.argo.items import Item
from pipeline.argo.model import Parameter, Template
from pipeline.argo.nodes import OMITTED, SKIPPED, SUCCEEDED, Node
from pipeline.argo.yamlfile import as_text, escaped

T = TypeVar("T")

# Tag -> its value; None marks an output that a skipped task never made.
Scope = Mapping[str, str | None]

TAG = re.compile(r"\{\{\s*(.*?)\s*\}\}", re.DOTALL)


class TemplateError(ValueError):
    """A tag has no value, or a text that must be a number or a duration is not; a node with it ends in Error."""


def fill(value: T, scope: Scope) -> T:
    """Return `value` with every known tag replaced in all its texts; unknown tags stay for a later scope."""
    if isinstance(value, str):
        return cast(T, TAG.sub(lambda match: _replacement(match, scope), value))
    if isinstance(value, tuple | list):
        return cast(T, type(value)(fill(item, scope) for item in value))
    if isinstance(value, dict):
        return cast(T, {key: fill(item, scope) for key, item in value.items()})
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        changes = {f.name: fill(getattr(value, f.name), scope) for f in dataclasses.fields(value)}
        return cast(T, dataclasses.replace(value, **changes))
    return value


def _replacement(match: re.Match[str], scope: Scope) -> str:
    if match[1].startswith("="):
        try:
            return as_text(expressions.parse(match[1][1:], EXPR)(_environment(scope)))
        except ExpressionError:  # as on a cluster, where a later scope may hold what it lacks
            return match[0]
    if match[1] not in scope:
        return match[0]
    value = scope[match[1]]
    if value is None:
        raise TemplateError(f"{match[0]} is the output of a skipped or omitted task and has no default")
    return value


def _environment(scope: Scope) -> dict[str, Any]:
    """The scope as expressions see it: `a.b` is the member `b` of `a`."""
    environment: dict[str, Any] = {}
    for path, value in sorted(scope.items()):
        *around, last = path.split(".")
        holder = environment
        for part in around:
            if not isinstance(holder.get(part), dict):
                holder[part] = {}
            holder = holder[part]
        holder[last] = value
    return environment


def tags(value: Any) -> Iterator[str]:
    """Yield every tag in the texts of `value`, without its braces."""
    if isinstance(value, str):
        yield from (match[1] for match in TAG.finditer(value))
    elif isinstance(value, tuple | list):
        for item in value:
            yield from tags(item)
    elif isinstance(value, dict):
        yield from tags(list(value.values()))
    elif dataclasses.is_dataclass(value):
        for f in dataclasses.fields(value):
            yield from tags(getattr(value, f.name))


def refuse_tags(value: Any, *prefixes: str) -> None:
    """Raise `TemplateError` where a tag (that starts with one of `prefixes`, if given) is left in `value`."""
    for tag in tags(value):
        if not prefixes or tag.startswith(prefixes):
            raise TemplateError(f"failed to resolve {{{{{tag}}}}}")


def whole_number(text: str, what: str) -> int:
    """Read a decimal number as Argo does: an optional sign and digits."""
    if re.fullmatch(r"[+-]?\d+", text) is None:
        raise TemplateError(f"{what}: {text!r} is not a whole number")
    return int(text)


_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")


def seconds(text: str, what: str) -> float:
    """Read a duration: whole seconds (`30`) or numbers with units (`1h30m`, `1.5s`)."""
    parts = _DURATION_PART.findall(text)
    if text.isdigit():
        return float(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise TemplateError(f"{what}: {text!r} is not a duration such as 30s, 5m or 1h30m")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def timestamp(seconds: float) -> str:
    """Seconds since 1970 as Argo prints a time."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parameter_scope(values: Mapping[str, str]) -> dict[str, str | None]:
    """The tags of the workflow's parameters."""
    return {f"workflow.parameters.{name}": value for name, value in values.items()}


def of_run(
    parameters: Mapping[str, str], name: str, uid: str, entrypoint: str, created_at: float
) -> dict[str, str | None]:
    """The tags `workflow.*`; `created_at` in seconds since 1970."""
    listed = as_text([{"name": key, "value": value} for key, value in parameters.items()])
    return {
        **parameter_scope(parameters),
        "workflow.parameters": listed,
        "workflow.parameters.json": listed,
        "workflow.name": name,
        "workflow.uid": uid,
        "workflow.namespace": "local",
        "workflow.serviceAccountName": "local",
        "workflow.mainEntrypoint": entrypoint,
        "workflow.creationTimestamp": timestamp(created_at),
    }


def of_end(phase: str, failed: Iterable[Node], duration_seconds: float) -> dict[str, str | None]:
    """What only the exit handler can know: how the run ended, and which nodes `failed`."""
    failures = [
        {
            "displayName": node.display_name,
            "message": node.message,
            "templateName": node.template,
            "phase": node.phase,
            "podName": node.name,
            "finishedAt": timestamp(node.finished_at or 0.0),
        }
        for node in failed
    ]
    text = json.dumps(as_text(failures), ensure_ascii=False)  # quoted once more, as Argo does it
    return {"workflow.status": phase, "workflow.failures": text, "workflow.duration": f"{duration_seconds:.6f}"}


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
                results.append(Item.parsed(turn.result).json)
            except ValueError as error:
                raise TemplateError(f"{turn.name}: its result is not JSON, so no list can be made of it") from error
    scope: dict[str, str | None] = {
        f"{prefix}.outputs.result": escaped(f"[{','.join(results)}]"),
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

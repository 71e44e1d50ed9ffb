"""What tags stand for: those of the run, of the tasks of a DAG, of the inputs of a template."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from pipeline.workflow.model import Parameter, Template
from pipeline.workflow.nodes import OMITTED, SKIPPED, SUCCEEDED, Node
from pipeline.workflow.templating import TemplateError
from pipeline.workflow.yamlfile import as_text


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

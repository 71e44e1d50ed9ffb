"""What the local runner and the controller must agree on: the tree of nodes, and how each of them ended."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from pipeline.argo import Result


@dataclass(frozen=True)
class NodeOutcome:
    """One node. `boundary` is the DAG that it is in, `followers` are the nodes that come after it."""

    type: str
    phase: str
    message: str
    outputs: tuple[tuple[str, str], ...]
    boundary: str
    followers: tuple[str, ...]


Outcome = dict[str, NodeOutcome]  # by name; the workflow itself goes by ""


def of_runner(result: Result) -> Outcome:
    """The outcome of a local run."""
    nodes = {
        node.name: NodeOutcome(
            node.type,
            node.phase,
            _kind(node.message),
            tuple(sorted(node.outputs.items())),
            node.boundary or "",
            tuple(sorted(node.children)),
        )
        for node in result.nodes.values()
    }
    return {"": NodeOutcome("", result.phase, _kind(result.message), (), "", ()), **nodes}


def of_controller(workflow: dict[str, Any]) -> Outcome:
    """The outcome in a Workflow object."""
    status = workflow["status"]
    nodes = status.get("nodes", {})
    names = {identity: node["name"] for identity, node in nodes.items()}
    outcome = {
        node["name"]: NodeOutcome(
            node["type"],
            node["phase"],
            _kind(node.get("message", "")),
            _parameters(node),
            names.get(node.get("boundaryID", ""), ""),
            tuple(sorted(names.get(child, child) for child in node.get("children", []))),
        )
        for node in nodes.values()
    }
    return {"": NodeOutcome("", status["phase"], _kind(status.get("message", "")), (), "", ()), **outcome}


def _parameters(node: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    made = [parameter for parameter in node.get("outputs", {}).get("parameters", []) if "value" in parameter]
    return tuple(sorted((parameter["name"], parameter["value"]) for parameter in made))


# What a message says, where the two say it in other words; all other messages are the same to the letter.
_KINDS = {
    r"(main: Error \(exit code \d+\)).*": r"\1",
    r"output parameter 'value': cannot read.*|wait: Error \(exit code 64\): open .*": "no file for an output",
    r"(withParam value could not be parsed as a JSON list: [^:]+).*": r"\1",
    r".* is not a whole number|strconv.Atoi: .*|.* cannot be resolved to an int": "not a number",
    r"(Invalid 'when' expression '.*?'): .*": r"\1",
    # The kubelet ends the pod, or the controller does, whoever is first.
    r"Step exceeded its deadline|Pod was active on the node longer than the specified deadline": "the deadline is over",
    r".*(is the output of a skipped or omitted task|is an absent optional).*": "no output of a skipped task",
}


def _kind(message: str) -> str:
    for pattern, kind in _KINDS.items():
        if re.fullmatch(pattern, message):
            return re.sub(pattern, kind, message, count=1)
    return message


def differences(ours: Outcome, theirs: Outcome) -> list[str]:
    """What the controller (`theirs`) has otherwise than the local runner, a line each."""
    lines = [f"only the runner has {name!r}: {ours[name]}" for name in ours if name not in theirs]
    lines += [f"only the controller has {name!r}: {theirs[name]}" for name in theirs if name not in ours]
    for name in ours:
        for field in NodeOutcome.__dataclass_fields__ if name in theirs else ():
            here, there = getattr(ours[name], field), getattr(theirs[name], field)
            if here != there:
                lines.append(f"{field} of {name!r}: the runner has {here!r}, the controller {there!r}")
    return lines

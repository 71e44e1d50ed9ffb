"""Take in the captures and decide everything that the later steps have in common."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

from pipeline.config.model import Config
from pipeline.errors import RunConflictError
from pipeline.proposal.estimate import estimate
from pipeline.proposal.speed import Rate, kept
from pipeline.run.create import spread_out, write_plan
from pipeline.run.decide import Decision, Geometries, decide, study_plan, what_was_decided
from pipeline.run.fanout import PODS_PER_WORKFLOW
from pipeline.run.foresight import expectation
from pipeline.run.inputs import Inputs
from pipeline.run.intake import is_planned_with, read_config, read_kernels, stacks_of, take_in_stack
from pipeline.run.layout import Run
from pipeline.run.plan import RunPlan
from pipeline.run.start import starts, take_in_starts
from pipeline.volume.fetched import remembering
from pipeline.volume.split import PART_IDS


@remembering()
def plan(
    config_location: str,
    run_url: str,
    *,
    outputs: Path | None = None,
    pods_per_workflow: int = PODS_PER_WORKFLOW,
    at_once: int = 0,
    update: bool = False,
) -> RunPlan:
    """Ingest the captures of a configuration and write the run's plan.

    Args:
        config_location: path or URL of the configuration.
        run_url: where the run is kept; it is made if need be.
        outputs: directory for the small files that the workflow goes on with.
        pods_per_workflow: workers that one workflow holds; those of the inference beyond them go to nested ones.
        at_once: pods that run at once, where they are few: one predicts several targets then; 0: any number.
        update: take a changed configuration; what it does not touch is not computed again.

    Raises:
        RunConflictError: the run belongs to another configuration.
        InputError: the data or the configuration cannot be used.
    """
    config, base = read_config(config_location)
    inputs = Inputs(run_url)
    stacks = stacks_of(config, base, inputs)
    kernels = read_kernels(config.boosting, base) if config.boost_methods else None
    geometries = {stack.name: stack.geometry for stack in stacks}
    decision = decide(config, geometries, kernels)
    begun_with = starts(config, base, decision, geometries)
    run = Run.open(run_url, create=True)
    if not update:
        refuse_other_configuration(run, config, config_location)
    with run.reporter("plan") as report:
        inputs.note(run.store)
        taken = [take_in_stack(run, config, base, stack, decision.parts[stack.name], report) for stack in stacks]
        captures, intensities = zip(*taken, strict=True)
        decided = study_plan(config, decision, captures, intensities, take_in_starts(run, begun_with))
        write_plan(run, config.to_yaml(), decided, outputs, pods_per_workflow, at_once)
        for line in what_was_decided(config, decided):
            report.say(line)
        merges, separates = config.inference.merged, bool(config.classes.instances)
        spread = spread_out(decided, pods_per_workflow, at_once=at_once, merges=merges, separates=separates)
        report.say(_expected(config, decision, geometries, spread.together))
        counts = {part: decided.class_voxels(part) for part in PART_IDS}
        report.event("planned", targets=list(decided.targets), class_voxels=json.loads(json.dumps(counts)))
    return decided


def _expected(config: Config, decision: Decision, geometries: Geometries, groups: list[tuple[str, ...]]) -> str:
    """What steps take, by what is known of this machine without measuring it now; whoever looks on corrects it."""
    threads = int(os.environ.get("OMP_NUM_THREADS") or 1)
    found = estimate(
        config,
        decision,
        geometries,
        threads,
        lambda load: kept(load) or Rate.known(threads).speed(load),
        groups=groups,
    )
    return expectation({step.key: step.seconds for step in found.steps})


def refuse_other_configuration(run: Run, config: Config, config_location: str) -> None:
    """Raise RunConflictError when a run was planned with another configuration; it says what to type."""
    if run.store.exists("plan.json") and not is_planned_with(run, config.to_yaml()):
        place = run.store.local_path()
        where = shlex.quote(os.path.relpath(place) if place else run.store.url)
        again = f"vemseg run study -p config={shlex.quote(config_location)} -p run={where}"
        taken_in = f"vemseg plan --update --config {shlex.quote(config_location)} --run {where}"
        raise RunConflictError(
            f"{run.store.url} was planned with another configuration (its config.yaml). Choose another run, or take "
            f"the change in and run the workflow again, which keeps what it does not touch:\n  {taken_in}\n  {again}"
        )

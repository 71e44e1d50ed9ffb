"""The results that a run holds so far, and what of them is lacking, with the reason and the command that helps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.scoring import ablation_tables
from pipeline.scoring.ablation import Ablation
from pipeline.scoring.report.contents import Lacking, TargetFacts
from pipeline.steps.inspect import TargetState, target_states, validations
from pipeline.steps.run import Run
from pipeline.steps.summary import SUMMARY_JSON

SCORES, ABLATION = "scores.json", "ablation.json"
RENDERS = "renders"
GO_ON = "vemseg run workflows/study.yaml -p config=… -p run=RUN"


def ablation(run: Run) -> Ablation | None:
    """What boosting did; None before that was compared."""
    try:
        return ablation_tables.from_json(run.evaluation_store.read(ABLATION).decode())
    except FileNotFoundError:
        return None


def targets(run: Run) -> tuple[TargetFacts, ...]:
    """Every network of the plan, with how its training went so far."""
    return tuple(_target(run, state) for state in target_states(run))


def lacking(run: Run, networks: Sequence[TargetFacts], *, has_regions: bool) -> Iterator[Lacking]:
    """What cannot be shown, in the order of the page."""
    if not run.plan.networks:
        yield from _of_segmentation(run)
        return
    if not run.store.exists(f"evaluation/{SCORES}"):
        yield _unscored(networks)
        for part in ("confusion", "regions"):
            yield Lacking(part, "comes with the scores.", is_expected=False)
    elif not has_regions:
        yield Lacking(
            "regions",
            "the confusion volumes that regions are found in are not there.",
            "vemseg evaluate --run RUN",
        )
    if not any(network.history for network in networks):
        yield Lacking("training", "no network has got as far as its first validation.", GO_ON)
    yield from _of_boosting(run)
    yield from _of_renders(run)


def failures(run: Run) -> tuple[str, ...]:
    """How the last workflow on this run failed, node by node; empty when it did not, or has not ended."""
    if not run.store.exists(SUMMARY_JSON):
        return ()
    told = run.store.read_json(SUMMARY_JSON)
    if told["status"] == "Succeeded":
        return ()
    nodes = [f"{failure['node']}: {failure['message']}" for failure in told["failures"]]
    return (f"The workflow {told['workflow']} ended {told['status']} on {told['ended']}.", *nodes)


def _target(run: Run, state: TargetState) -> TargetFacts:
    store = run.model_store(state.target)
    ended = store.exists("history.json")
    history = store.read_json("history.json") if ended else validations(run, state.target)
    model = store.read_json("model.json") if store.exists("model.json") else {}
    return TargetFacts(
        name=state.target,
        trained=state.trained,
        shards=state.shards_text,
        history=history,
        is_training=bool(history) and not ended,
        weights_sha256=str(model.get("weights_sha256", "")),
    )


def _unscored(networks: Sequence[TargetFacts]) -> Lacking:
    untrained = [network.name for network in networks if network.trained == "no"]
    if untrained:
        trained = f"{len(networks) - len(untrained)} of {len(networks)} networks are trained"
        return Lacking("scores", f"{trained}, not yet {', '.join(untrained)}; scores need all of them.", GO_ON)
    unfinished = [f"{network.name} ({network.shards})" for network in networks if not _is_predicted(network)]
    if unfinished:
        return Lacking("scores", f"shards are not all predicted yet: {', '.join(unfinished)}.", GO_ON)
    return Lacking("scores", "everything is predicted, but not scored.", "vemseg evaluate --run RUN")


def _is_predicted(network: TargetFacts) -> bool:
    done, _, of = network.shards.partition(" of ")
    return done == of


def _of_segmentation(run: Run) -> Iterator[Lacking]:
    reason = "this run segments a volume without labels: there is nothing to score it against."
    for part in ("scores", "confusion", "regions", "boosting"):
        yield Lacking(part, reason, is_expected=False)
    yield Lacking("training", "the network was trained in another run.", is_expected=False)
    yield from _of_renders(run)


def _of_boosting(run: Run) -> Iterator[Lacking]:
    if run.store.exists(f"evaluation/{ABLATION}"):
        return
    if run.plan.boosting is None:
        reason = "this study boosts nothing: its configuration has no boosting.methods."
        yield Lacking("boosting", reason, is_expected=False)
    else:
        yield Lacking(
            "boosting", "the boosted versions of the test part are not compared yet.", "vemseg boost compare --run RUN"
        )


def _of_renders(run: Run) -> Iterator[Lacking]:
    if not any(True for _ in run.evaluation_store.list(RENDERS)):
        yield Lacking("renders", "no renders have been made.", "vemseg render RUN", is_expected=False)

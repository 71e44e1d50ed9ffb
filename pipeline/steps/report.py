"""One page that shows how good the models of a run are and where they err, made of what the run holds so far."""

from __future__ import annotations

import hashlib

from pipeline import __version__
from pipeline.errors import DataError
from pipeline.scoring.report.contents import ClassFacts, ClassRegions, Contents
from pipeline.scoring.report.page import render
from pipeline.scoring.tables import ScoreTable
from pipeline.steps.digest import Marker, digest
from pipeline.steps.evaluate import is_scored
from pipeline.steps.reporting import diary, facts, results
from pipeline.steps.reporting.links import links
from pipeline.steps.reporting.regions import class_regions
from pipeline.steps.run import Run
from pipeline.telemetry import Reporter

PAGE = "report.html"


def report(run_url: str, *, unless_current: bool = False) -> str:
    """Write ``evaluation/report.html``, also for a run that is only half finished; return its URL.

    Args:
        run_url: the run.
        unless_current: leave a page as it is that was made of the present results.

    Raises:
        RunConflictError: there is no plan yet.
    """
    run = Run.open(run_url)
    url = f"{run.evaluation_store.url}/{PAGE}"
    with run.reporter("report") as reporter:
        marker = _marker(run)
        if unless_current and marker.done and run.evaluation_store.exists(PAGE):
            reporter.say("is done")
            return url
        marker.clear()
        page = render(gather(run, reporter))
        run.evaluation_store.write(PAGE, page.encode())
        marker.write()
        reporter.progress(1, 1, url)
        return url


def gather(run: Run, reporter: Reporter) -> Contents:
    """Everything that the page shows."""
    table = run.scores
    targets = results.targets(run)
    regions = () if table is None else _regions(run, table, reporter)
    lacking = tuple(results.lacking(run, targets, has_regions=bool(regions)))
    workers = diary.read_diary(run.store)
    return Contents(
        name=run.config.name,
        version=__version__,
        classes=tuple(ClassFacts(member.name, member.color) for member in run.config.classes.members),
        captures=facts.captures(run.plan),
        targets=targets,
        facts=facts.planned(run.config, run.plan),
        digests=facts.digests(run),
        work=diary.work(workers),
        machines=diary.machines(workers),
        scores=table,
        scores_outdated=table is not None and not is_scored(run),
        regions=regions,
        ablation=results.ablation(run),
        links=tuple(links(run.evaluation_store)),
        lacking=lacking,
        failures=results.failures(run) if any(one.is_expected for one in lacking) else (),
    )


def _regions(run: Run, table: ScoreTable, reporter: Reporter) -> tuple[ClassRegions, ...]:
    """Empty where the confusion volumes are not there, as in a copy without them."""
    try:
        return class_regions(run, table, reporter)
    except DataError:
        return ()


def _marker(run: Run) -> Marker:
    """Of all that the page shows but times, which change even when nothing is done again."""
    keys = ["config.yaml", "plan.json", f"evaluation/{results.SCORES}", f"evaluation/{results.ABLATION}"]
    keys += [f"models/{target}/{name}" for target in run.plan.targets for name in ("history.json", "model.json")]
    contents = {key: hashlib.sha256(run.store.read(key)).hexdigest() for key in keys if run.store.exists(key)}
    return run.marker("report", "page", digest(contents, _renders(run)))


def _renders(run: Run) -> list[tuple[str, int]]:
    """Names and sizes: as good as their contents, which would take longer to read than the page to make."""
    if not any(True for _ in run.evaluation_store.list(results.RENDERS)):
        return []
    return [(key, size) for key, size, _ in run.evaluation_store.child(results.RENDERS).states()]

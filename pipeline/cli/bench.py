"""vemseg bench: how fast this machine reads, decodes, computes and writes, and which of these limits it."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from pipeline.proposal.bottleneck import Limits
    from pipeline.proposal.speed import Load

app = typer.Typer()


@app.command(rich_help_panel="Studies", epilog="vemseg bench /data/runs --config study.yaml")
def bench(
    place: Annotated[
        str, typer.Argument(metavar="PLACE", help="Where runs are to be kept: a path, file://, s3:// or gs://")
    ] = ".",
    config: Annotated[
        str | None, typer.Option(help="Measure with the network and the blocks of this study; default: the usual ones")
    ] = None,
    threads: Annotated[int | None, typer.Option(help="Of a process; default: all cores", min=1)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON")] = False,
) -> None:
    """Measure reading, decoding, computing and writing in less than a minute, and say which of them limits.

    A folder of some 70 MB is written to PLACE and removed again. What the machine computes is kept for `vemseg
    estimate`.
    """
    from pipeline.argo.local import cores
    from pipeline.proposal.bottleneck import default_load, limits

    load = _load(config, threads) if config else default_load(threads or cores())
    found = limits(place, load, _note)
    if as_json:
        print(json.dumps(_facts(place, load, found), indent=2))
    else:
        _show(place, load, found)


def _load(config: str, threads: int | None) -> Load:
    """What `vemseg estimate` measures for a study."""
    from pipeline.argo.local import cores
    from pipeline.proposal.estimate import load_of
    from pipeline.run.check import check

    checked = check(config, whole=False)
    load = load_of(checked.config, checked.decision, checked.geometries, cores())
    return replace(load, threads=threads) if threads else load


def _facts(place: str, load: Load, found: Limits) -> dict[str, Any]:
    from pipeline.proposal.bottleneck import DECODING, READING, WRITING

    stored = {READING: found.storage.image_bytes, DECODING: 1.0, WRITING: found.storage.classes_bytes}
    return {
        "place": place,
        "threads": load.threads,
        "features": [level.features for level in load.network.levels],
        "block_zyx": load.block_zyx,
        "patch_zyx": load.patch_zyx,
        "batch_size": load.batch_size,
        "stages": {
            stage: {"voxels_per_s": 1 / seconds} | ({"bytes_per_s": stored[stage] / seconds} if stage in stored else {})
            for stage, seconds in found.seconds.items()
        },
        "inference_limited_by": found.inference,
        "workers_at_this_place": found.workers,
        "step_s": found.speed.step_s,
        "samples_s": found.batch_s,
        "training_limited_by": found.training,
    }


def _show(place: str, load: Load, found: Limits) -> None:
    from rich.console import Console
    from rich.table import Table

    from pipeline.formats import duration, percent_phrase
    from pipeline.proposal.bottleneck import COMPUTING, SAMPLES
    from pipeline.proposal.speed import kept

    facts = _facts(place, load, found)
    slowest_s = max(found.seconds.values())
    table = Table("stage", "million voxels/s", "MB/s", "share of the slowest")
    for column in table.columns[1:]:
        column.justify = "right"
    for stage, seconds in found.seconds.items():
        bytes_per_s = facts["stages"][stage].get("bytes_per_s")
        stored = "" if bytes_per_s is None else f"{bytes_per_s / 1e6:.3g}"
        table.add_row(stage, f"{1e-6 / seconds:.3g}", stored, percent_phrase(seconds / slowest_s))
    Console().print(table)
    widths = ", ".join(map(str, facts["features"]))
    print(f"network of {widths} channels, {load.threads} threads; MB: as stored, of decoding as voxels")
    print(f"prediction is limited by {found.inference}; {_sharing(found)}")
    waits = "its samples limit it" if found.training == SAMPLES else f"{COMPUTING} limits it"
    print(f"a training step takes {duration(found.speed.step_s)}, its samples {duration(found.batch_s)}: {waits}")
    if kept(load) == found.speed:
        print("kept for vemseg estimate")


def _sharing(found: Limits) -> str:
    if found.workers < 1:
        return "a faster place, or one nearer to the machine, helps more than a faster machine"
    return f"about {min(found.workers, 9999):.0f} such processes can share this place before it limits them"


def _note(text: str) -> None:
    print(f"vemseg: {text}", file=sys.stderr, flush=True)

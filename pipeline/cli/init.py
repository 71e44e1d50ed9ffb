"""What is known of a study before it runs: a configuration proposed from the data, and what it takes."""

from __future__ import annotations

import os
import re
import shlex
import sys
from functools import cache
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.values import BoxOption, LevelOption, cut_of, triple

if TYPE_CHECKING:
    from pipeline.proposal.fingerprint import Fingerprint, Role
    from pipeline.proposal.fitting import Wishes
    from pipeline.proposal.speed import SpeedOf
    from pipeline.volume.geometry import ZyxNm

PANEL = "Studies"
app = typer.Typer()
Pair = tuple[str, str]
GpuOption = Annotated[
    str | None,
    typer.Option("--gpu", metavar="KIND", help="For such a GPU, as a100, l40s, rtx3090; default: this machine"),
]


@app.command(rich_help_panel=PANEL, epilog="vemseg init raw labels --voxel-size-nm 50,8,8 --minutes 30 > study.yaml")
def init(
    stacks: Annotated[
        list[str],
        typer.Argument(metavar="RAW LABELS ...", help="A stack and its labels, several after each other"),
    ],
    validation: Annotated[
        Pair | None, typer.Option(metavar="RAW LABELS", help="A stack to choose the best model on, not trained on")
    ] = None,
    test: Annotated[
        Pair | None, typer.Option(metavar="RAW LABELS", help="A stack to score on, seen by nothing before")
    ] = None,
    minutes: Annotated[float, typer.Option(help="Time that the study may take on this machine", min=0.1)] = 30.0,
    voxel_size_nm: Annotated[
        str | None, typer.Option(help="z,y,x in nanometres, where the files do not state it")
    ] = None,
    classes: Annotated[
        list[str] | None,
        typer.Option("--class", help="A class and its ids, name=1,2; several times; all other ids are background"),
    ] = None,
    ignore: Annotated[str | None, typer.Option(help="Ids of voxels that nobody labelled, such as 255")] = None,
    labelled_slices: Annotated[
        str | None, typer.Option(help="Slices that are labelled, from 0, such as 0-4,7; for one stack")
    ] = None,
    level: LevelOption = "",
    box: BoxOption = "",
    gpu: GpuOption = None,
    binary: Annotated[
        bool | None, typer.Option("--binary/--no-binary", help="A network a class, too; default: if there is time")
    ] = None,
    boost: Annotated[
        bool | None, typer.Option("--boost/--no-boost", help="See what boosting does; default: if there is time")
    ] = None,
    interactive: Annotated[bool, typer.Option("--interactive", "-i", help="Ask what the files do not say")] = False,
) -> None:
    """Look at a stack and its labels, and print a configuration for them that says why it is as it is.

    LABELS is a volume of ids, a folder that holds a folder of slices for each class, or name=mask,name=mask.
    """
    from pipeline.argo.local import cores
    from pipeline.config.model import parse_config
    from pipeline.errors import InputError
    from pipeline.formats import rough_duration
    from pipeline.proposal.fingerprint import look_at
    from pipeline.proposal.fitting import Wishes
    from pipeline.proposal.propose import propose
    from pipeline.proposal.written import written
    from pipeline.volume.fetched import remembering

    speed_of, machine = _speeds(gpu)
    size_nm = _size(voxel_size_nm, "--voxel-size-nm") if voxel_size_nm else None
    if len(stacks) % 2:
        raise InputError(f"init takes stacks and their labels in pairs: {stacks[-1]} has no labels beside it")
    labelled = _numbers(labelled_slices, "--labelled-slices") if labelled_slices else None
    pairs: list[tuple[str, str, Role]] = [
        (raw, truth, "any") for raw, truth in zip(stacks[::2], stacks[1::2], strict=True)
    ]
    pairs += [(*pair, role) for pair, role in ((validation, "validation"), (test, "test")) if pair]  # type: ignore[misc]
    if labelled and len(pairs) > 1:
        raise InputError(
            "--labelled-slices is for one stack; write them into the configuration where there are several"
        )
    cut = cut_of(level, box)
    if cut and len(pairs) > 1:
        raise InputError(f"--level and --box are for one stack; write them behind the places of several: raw{cut}")
    _refuse_twice([pair[:2] for pair in pairs])
    with remembering():
        looks = [look_at(raw, truth, Path(), role=role, labelled=labelled, cut=cut) for raw, truth, role in pairs]
    wishes = Wishes(
        minutes=minutes,
        cores=cores(),
        machine=machine,
        voxel_size_nm=size_nm,
        classes=_classes(classes or []),
        ignore_ids=tuple(_numbers(ignore, "--ignore")) if ignore else (),
        binary=binary,
        boosting=boost,
    )
    if interactive:
        wishes = _asked(looks, wishes)
    proposal = propose(looks, wishes, speed_of)
    text = written(proposal, shlex.join(["vemseg", *sys.argv[1:]]))
    parse_config(text, "the proposal")
    print(text, end="")
    for warning in proposal.warnings:
        _note(f"look at this: {warning}")
    _note(f"a study of about {rough_duration(60 * proposal.minutes)}; vemseg run study -p config=... -p run=runs/first")


@app.command(rich_help_panel=PANEL, epilog="vemseg estimate study.yaml --gpu a100 --price 0.5")
def estimate(
    config: Annotated[str, typer.Argument(metavar="FILE", help="Configuration of the study", show_default=False)],
    gpu: GpuOption = None,
    gpus: Annotated[int | None, typer.Option(help="So many of them at once; default: 1", min=1)] = None,
    price: Annotated[float | None, typer.Option(help="Of an hour of a pod, in any currency", min=0)] = None,
) -> None:
    """Say how long a study takes and how much it needs, step by step: here, after a short measurement, or on GPUs."""
    from rich.console import Console
    from rich.table import Table

    from pipeline.argo.local import cores
    from pipeline.errors import InputError
    from pipeline.formats import duration, rough_duration
    from pipeline.proposal.estimate import estimate as estimated
    from pipeline.run.check import check

    if gpus and gpu is None:
        raise InputError(f"--gpus {gpus}: say of which kind, such as --gpu a100; without GPUs, leave it out")
    if price is not None and not isfinite(price):
        raise InputError(f"--price {price}: give a number, such as 0.5")
    speed_of, machine = _speeds(gpu)
    checked = check(config, whole=False)
    found = estimated(
        checked.config,
        checked.decision,
        checked.geometries,
        cores(),
        speed_of,
        gpus=(gpus or 1) if gpu else None,
    )
    table = Table("step", "pods", "time of each", "memory, GB")
    for step in found.steps:
        table.add_row(step.name, str(step.pods), duration(step.seconds), f"{step.memory_gb:.1f}")
    Console().print(table)
    where = f"on {machine}" if machine else "on this machine"
    several = f", {gpus} at once" if gpus and gpus > 1 else ""
    print(f"{where}{several}: about {rough_duration(found.seconds)}; {found.pod_hours:.2f} hours of pods")
    cost = "" if price is None else f"; {price * found.pod_hours:.2f} to pay"
    print(f"storage about {found.storage_gb:.2g} GB{cost}")


def _speeds(gpu: str | None) -> tuple[SpeedOf, str]:
    """How fast networks are, and on what; empty for this machine."""
    from pipeline.proposal.cards import card
    from pipeline.proposal.speed import measured

    if gpu is None:
        said = cache(_note)  # each remark once
        return lambda load: measured(load, said), ""
    found = card(gpu)
    _note(f"GPU {found.name}: reckoned by a tenth of the peak that its maker states, about; not measured on one")
    return found.rate.speed, f"a GPU {found.name}"


def _note(text: str) -> None:
    print(f"vemseg: {text}", file=sys.stderr, flush=True)


def _size(text: str, option: str) -> ZyxNm:
    """A voxel size that a microscope can have."""
    from pipeline.config.model import voxel_edge
    from pipeline.errors import InputError

    size = triple(text, option, float)
    try:
        for edge in size:
            voxel_edge(edge)
    except ValueError as error:
        raise InputError(f"{option} {text}: {error}") from error
    return size


def _refuse_twice(pairs: list[Pair]) -> None:
    """Refuse a place that stands for two things: what is scored must not be what was learnt."""
    from pipeline.errors import InputError

    seen: set[str] = set()
    for raw, labels in pairs:
        raw, labels = os.path.normpath(raw), os.path.normpath(labels)
        if raw == labels:
            raise InputError(f"{raw} is given for the images and for their labels; give the labels behind the images")
        if raw in seen:
            raise InputError(
                f"the stack {raw} is given twice, and a network is scored on what it never saw: give another one, or "
                "leave it out, and a part of the first is held back"
            )
        seen.add(raw)


def _classes(items: list[str]) -> dict[str, list[int]]:
    from pipeline.errors import InputError

    found: dict[str, list[int]] = {}
    for item in items:
        name, equals, ids = item.partition("=")
        if not equals or not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name):
            raise InputError(f"--class {item}: write it as name=1,2, the name in small letters, digits and _")
        found.setdefault(name, []).extend(_numbers(ids, "--class"))
    return found


def _numbers(text: str, option: str) -> list[int]:
    """Whole numbers and ranges with both ends, such as 0-4,7."""
    from pipeline.errors import InputError

    numbers: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,20})(?:-(\d{1,7}))?\s*", part)
        if not match or (match[2] and not int(match[1]) <= int(match[2]) <= 10**6):
            raise InputError(f"{option} {text}: write whole numbers or ranges with commas between, such as 0-4,7")
        numbers += range(int(match[1]), int(match[2]) + 1) if match[2] else [int(match[1])]
    return numbers


def _asked(looks: list[Fingerprint], wishes: Wishes) -> Wishes:
    """What only a person can say, asked on the terminal: the proposal itself may go to a file."""
    from collections import Counter
    from dataclasses import replace

    from pipeline.formats import percent_phrase

    size = wishes.voxel_size_nm
    if size is None and any(look.voxel_size_nm is None for look in looks):
        answer = typer.prompt("Voxel size in nanometres, z,y,x (such as 50,8,8)", err=True)
        size = _size(answer, "voxel size")
    names = {name: list(ids) for name, ids in (wishes.classes or {}).items()}
    unlabelled = list(wishes.ignore_ids)
    if not names and not any(look.has_masks or look.objects for look in looks):
        voxels = Counter[int]()
        for look in looks:
            voxels.update({int(id_): count for id_, count in look.voxels.items()})
        for id_ in sorted(set(voxels) - set(unlabelled)):
            share = percent_phrase(voxels[id_] / max(1, voxels.total()))
            prompt = f"Name of the class with id {id_} ({share} of the voxels; - where nobody labelled these)"
            name = typer.prompt(prompt, default="background" if id_ == 0 else f"class_{id_}", err=True).strip()
            if name == "-":
                unlabelled.append(id_)
            else:
                names.setdefault(name, []).append(id_)
    minutes = typer.prompt("Minutes that the study may take", default=wishes.minutes, type=float, err=True)
    return replace(
        wishes,
        voxel_size_nm=size,
        classes=_classes([f"{name}={','.join(map(str, ids))}" for name, ids in names.items()]),
        ignore_ids=tuple(unlabelled),
        minutes=minutes,
    )

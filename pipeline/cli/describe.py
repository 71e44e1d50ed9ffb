"""vemseg describe: what a volume's file holds and how it is read, before any work is spent on it."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.untrusted import InputIs, InputIsOption
from pipeline.cli.values import BoxOption, LevelOption, cut_of
from pipeline.errors import InputError

if TYPE_CHECKING:
    from pipeline.volume.description import Description

app = typer.Typer()
_LONGEST_NAME = 120


@app.command(rich_help_panel="Volumes", epilog="vemseg describe stack.tif --model runs/mine/models/multilabel")
def describe(
    volume: Annotated[str, typer.Argument(metavar="FILE", help="A volume in any readable format: a path or URL")],
    level: LevelOption = "",
    box: BoxOption = "",
    labels: Annotated[bool, typer.Option("--labels", help="Take voxels for label ids, and count all of them")] = False,
    model: Annotated[str, typer.Option(help="Compare grey values with those that a trained model learnt from")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON")] = False,
    picture: Annotated[
        bool, typer.Option(help="Write the slice in the middle to the current folder, named after it: FILE.slice.png")
    ] = True,
    input_is: InputIsOption = InputIs.TRUSTED,
) -> None:
    """Say what a file holds and how it is read: format, axes, type, grey values, voxel size, and what is doubtful."""
    from pipeline.volume.greyvalues import compared_with

    found = _described(volume + cut_of(level, box), labels, input_is)
    told = None if not model else compared_with(found.grey_values, _model(model))
    compared = told and f"{'far' if told.is_far else 'near'}: {told.text}"
    place = _write_picture(found, volume) if picture else None
    if as_json:
        beside = {"grey_values_beside_the_model": compared} if model else {}
        print(json.dumps(found.as_json() | {"picture": place and place.name} | beside, indent=2))
        return
    rows = found.rows | ({"The model": compared or "does not say which grey values it learnt from"} if model else {})
    width = max(map(len, rows))
    for name, text in rows.items():
        print(f"{name:{width}}  {text}")
    for remark in found.remarks:
        print(f"{remark.code}: {remark.text} {remark.cure}".rstrip())
    if place:
        print(f"{'Picture':{width}}  {place.name}, the slice in the middle")


def _model(url: str) -> dict[str, Any]:
    from pipeline.nn.description import refuse_changed
    from pipeline.volume.stores import Store

    try:
        return refuse_changed(Store.open(url).read_json("model.json"), url)
    except FileNotFoundError as error:
        raise InputError(f"{url} holds no model.json; give a trained model: a run's models/<target>") from error


def _described(volume: str, labels: bool, input_is: InputIs) -> Description:
    from pipeline.volume.description import Description, describe, inspect

    if input_is is not InputIs.UNTRUSTED:
        return describe(volume, Path.cwd(), input_is.policy, labels=labels)
    from pipeline.volume import confined
    from pipeline.volume.sources.base import Location
    from pipeline.volume.sources.registry import format_names

    place = Location.parse(volume, Path.cwd())
    inner = f":/{place.inner}" if place.inner else ""
    location = volume if place.path is None else f"{place.path}{inner}{place.cut.text}"
    answer = confined.run(
        f"{inspect.__module__}:{inspect.__name__}",
        {"place": location, "policy": input_is.policy.as_json(), "formats": format_names(), "labels": labels},
        what=volume,
        readable=[] if place.path is None else [place.path],
        remote=place.path is None,
    )
    return Description.of_answer(answer, volume)


def _write_picture(found: Description, volume: str) -> Path | None:
    """The slice in the middle, where there is one to look at; its place."""
    from PIL import Image

    from pipeline.figures.slices import grey_image

    if found.preview is None:
        return None
    place = Path(f"{_file_name(volume)}.slice.png")
    Image.fromarray(grey_image(found.preview)[..., 0]).save(place)
    return place


def _file_name(volume: str) -> str:
    """The end of its address as the name of a file: folders are part of it, since many a stack is called raw."""
    with suppress(ValueError):
        volume = Path(volume).resolve().relative_to(Path.cwd()).as_posix()
    return re.sub(r"[^A-Za-z0-9._-]+", "-", volume)[-_LONGEST_NAME:].strip("-.") or Path.cwd().name

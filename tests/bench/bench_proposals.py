"""What `vemseg init` proposes against the examples that were made by hand: macro F1 after the same minutes.

Three cases, each with a stack of its own to test on: the eight classes of the phantom against `demo`, mitochondria
alone in a small block-face stack against `small`, and, where its folder is given, serial sections of a fly against
`sections`. An example is trained for as many steps as are foretold to end with what is proposed; nothing is boosted,
and no network a class is trained. All of it is held to one core.

    python -m tests.bench.bench_proposals [FOLDER] [--minutes 4] [--only phantom] [--vnc DATA]
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import yaml

from pipeline.config.examples import example_text
from pipeline.formats import decimals, markdown_table
from pipeline.phantom import PHANTOM_CLASSES, make_phantom
from tests.bench.studies import say, seconds_told

MITO = PHANTOM_CLASSES.index("mitochondria") + 1


@dataclass(frozen=True)
class Case:
    """Stacks, and by what they were planned without `init`."""

    example: str
    init: tuple[str, ...]
    """What `init` is told: the stacks, and what only a person knows."""
    captures: list[dict[str, Any]]
    """As the example has them."""
    split: dict[str, Any]


def _stack(folder: Path, name: str, shape_zyx: tuple[int, int, int], seed: int, size_nm: Any, *, one: bool) -> None:
    phantom = make_phantom(shape_zyx, seed=seed, voxel_size_nm=size_nm)
    labels = np.where(phantom.labels == MITO, 255, 0) if one else phantom.labels
    tifffile.imwrite(folder / f"{name}-raw.tif", phantom.raw)
    tifffile.imwrite(folder / f"{name}-labels.tif", labels.astype(np.uint8))


def _stacks(folder: Path, shape_zyx: tuple[int, int, int], size_nm: Any, kind: str, words: tuple[str, ...]) -> Case:
    for seed, name in enumerate(("train", "test")):
        depth = shape_zyx[0] // (1 + seed)
        _stack(folder, name, (depth, *shape_zyx[1:]), seed, size_nm, one=kind == "small")
    pairs = [f"{name}-{of}.tif" for name in ("train", "test") for of in ("raw", "labels")]
    told = ("--voxel-size-nm", ",".join(f"{edge:g}" for edge in size_nm), *words)
    captures = [
        {"name": name, "raw": raw, "labels": labels, "voxel_size_nm": list(size_nm)}
        for name, raw, labels in (("train", *pairs[:2]), ("test", *pairs[2:]))
    ]
    width = shape_zyx[2]
    held = [{"part": "train", "x": [0, width * 7 // 10]}, {"part": "validation", "x": [width * 4 // 5, width]}]
    regions = [{**each, "capture": "train"} for each in held] + [{"part": "test", "capture": "test"}]
    return Case(kind, (*pairs[:2], "--test", *pairs[2:], *told), captures, {"regions": regions})


def phantom(folder: Path, _vnc: Path | None) -> Case:
    """Eight classes, as in the demo."""
    named = [f"--class={name}={number}" for number, name in enumerate(PHANTOM_CLASSES, 1)]
    return _stacks(folder, (16, 256, 448), (10.0, 5.0, 5.0), "demo", tuple(named))


def block_face(folder: Path, _vnc: Path | None) -> Case:
    """Mitochondria alone, as in the small stacks that CDeep3M is shown with."""
    return _stacks(
        folder, (20, 320, 384), (30.0, 8.0, 8.0), "small", ("--class=background=0", "--class=mitochondria=255")
    )


def sections(folder: Path, vnc: Path | None) -> Case:
    """Serial sections of the ventral nerve cord."""
    if vnc is None:
        raise SystemExit("--vnc FOLDER: the folder that holds raw/ and labels/")
    for name in ("raw", "labels"):
        (folder / name).symlink_to(vnc.resolve() / name)
    made = yaml.safe_load(example_text("sections"))
    named = [f"--class={each['name']}={','.join(map(str, each['ids']))}" for each in made["classes"]["members"]]
    train, test = "[0:15,0:1024,0:1024]", "[16:20,0:1024,0:1024]"
    pairs = (f"raw{train}", f"labels{train}", "--test", f"raw{test}", f"labels{test}")
    told = ("--voxel-size-nm", ",".join(map(str, made["data"]["captures"][0]["voxel_size_nm"])))
    return Case("sections", (*pairs, *told, *named), made["data"]["captures"], made["split"])


CASES: dict[str, Callable[[Path, Path | None], Case]] = {
    "phantom": phantom,
    "block face": block_face,
    "sections": sections,
}


def plain(study: dict[str, Any]) -> dict[str, Any]:
    """A configuration with one network, whose pictures nobody waits for."""
    study["training"]["targets"] = "multilabel"
    study["boosting"] = {"methods": []}
    study["evaluation"] = {"renders": False}
    for key in ("merged", "doubt"):
        study.get("inference", {}).pop(key, None)
    return study


def foretold(folder: Path, study: dict[str, Any]) -> float:
    """Seconds that a study takes on an idle machine."""
    place = folder / "foretold.yaml"
    place.write_text(yaml.safe_dump(study))
    return seconds_told(place)


def fitted(folder: Path, study: dict[str, Any], seconds: float) -> dict[str, Any]:
    """A configuration with the steps that end in so many seconds: time is linear in steps."""
    took = []
    for steps in (100, 1100):
        study["training"]["steps"] = steps
        took.append(foretold(folder, study))
    each = (took[1] - took[0]) / 1000
    study["training"]["steps"] = max(100, round(100 + (seconds - took[0]) / each))
    return study


def scores(folder: Path, name: str, study: dict[str, Any]) -> tuple[dict[str, float], float]:
    """F1 of each class and their mean on the test stack, and the seconds of processor time that it all took."""
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(study))
    before = os.times()
    say(folder, "run", "study", "-p", f"config={name}.yaml", "-p", f"run={name}")
    after = os.times()
    rows = json.loads((folder / name / "evaluation/scores.json").read_text())["rows"]
    classes = [each["name"] for each in study["classes"]["members"]]
    found = {row["name"]: row["multilabel"]["f1"] for row in rows if row["name"] in classes}
    took = after.children_user + after.children_system - before.children_user - before.children_system
    return found | {"macro": float(np.mean([found[each] for each in classes]))}, took


def compare(name: str, folder: Path, minutes: float, vnc: Path | None) -> list[list[str]]:
    """A row for what is proposed, and one for what was made by hand."""
    folder.mkdir(parents=True)
    os.chdir(folder)
    case = CASES[name](folder, vnc)
    told = say(folder, "init", *case.init, "--minutes", str(minutes), "--no-binary", "--no-boost")
    (folder / "proposal.yaml").write_text(told)
    proposed = plain(yaml.safe_load(told))
    by_hand = plain(yaml.safe_load(example_text(case.example)))
    by_hand |= {"data": {"captures": case.captures}, "split": case.split, "classes": proposed["classes"]}
    by_hand = fitted(folder, by_hand, foretold(folder, proposed))
    rows = []
    for who, study in (("init", proposed), (f"example {case.example}", by_hand)):
        found, took = scores(folder, who.replace(" ", "-"), study)
        network, training = study.get("network", {}), study["training"]
        plan = [str(network.get("features", "default")), str(training.get("patch_zyx", "default"))]
        each = ", ".join(f"{key} {decimals(value)}" for key, value in found.items() if key != "macro")
        rows.append([name, who, *plan, str(training["steps"]), f"{took:.0f}", decimals(found["macro"]), each])
        print(*rows[-1], sep=" | ", flush=True)
    return rows


def main() -> None:
    """Compare the cases that are asked for, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--only", choices=CASES)
    parser.add_argument("--vnc", type=Path)
    asked = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as place:
        vnc = asked.vnc and asked.vnc.resolve()
        names = [asked.only] if asked.only else [name for name in CASES if vnc or name != "sections"]
        rows = []
        for name in names:
            folder = (asked.folder or Path(place)).resolve() / name.replace(" ", "-")
            rows += compare(name, folder, asked.minutes, vnc)
    titles = ["data", "configuration", "channels", "patch (z, y, x)", "steps", "processor s", "macro F1", "F1 of each"]
    print(markdown_table(titles, rows, text_columns=4))


if __name__ == "__main__":
    main()

"""Trained models as packages of bioimage.io (https://bioimage.io), and back.

A package holds the network as TorchScript, for programs that do not know vemseg, and beside it ``model.json`` and
``model.safetensors``: from these the model is taken back exactly, with its plan and receptive field.
"""

from __future__ import annotations

import json
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from pipeline.errors import CheckpointError, ConfigError, DataError, InputError
from pipeline.formats import sides
from pipeline.run import provenance
from pipeline.run.layout import Run
from pipeline.volume.geometry import Block, Zyx, zyx
from pipeline.volume.stores import Store

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.nn.model import Model

WEIGHTS_FILE, DESCRIPTION_FILE = "model.safetensors", "model.json"
_MOST_BYTES = 1 << 30
"""Of a file in a package: networks of this kind have some megabytes."""
_COVER_PX = 512


@dataclass(frozen=True)
class Credits:
    """What a package has to say of its makers.

    Args:
        authors: names.
        license: of the model, by its SPDX identifier.
        cite: what to cite: a text and a DOI or address.
    """

    authors: tuple[str, ...]
    license: str
    cite: tuple[str, str]


def export_model(run_url: str, target: str, file: Path, credits_: Credits) -> None:
    """Write a trained model of a run as a package.

    Args:
        run_url: a run with the model.
        target: whose.
        file: the zip to write.

    Raises:
        RunConflictError: the model is not trained, or not with the run's plan.
        ConfigError: the package's own rules refuse what is said of its makers.
    """
    _refuse_without_library()
    from pipeline.nn.model import load_model

    run = Run.open(run_url)
    run.refuse_other_targets(target)
    provenance.model_digest(run, target)
    store = run.model_store(target)
    files = {name: store.read(name) for name in (WEIGHTS_FILE, DESCRIPTION_FILE)}
    model = load_model(files[WEIGHTS_FILE], json.loads(files[DESCRIPTION_FILE]), store.url)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for name, data in files.items():
            (folder / name).write_bytes(data)
        shape_zyx = _write_network(run, model, folder)
        (folder / "README.md").write_text(_documentation(run, model), encoding="utf-8")
        _save(_described(run, model, shape_zyx, credits_), folder, file)


def import_model(file: Path, model_url: str) -> dict[str, Any]:
    """Take the model back from a package that `export_model` wrote, and return what ``model.json`` says.

    Raises:
        DataError: this is no such package, or it is damaged.
    """
    from pipeline.nn.model import load_model

    try:
        with zipfile.ZipFile(file) as package:
            files = {name: _member(package, name) for name in (WEIGHTS_FILE, DESCRIPTION_FILE)}
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{file}: cannot be read as a package: {error}") from error
    except KeyError as error:
        raise DataError(
            f"{file}: holds no {DESCRIPTION_FILE} and {WEIGHTS_FILE}: it was not made by `vemseg model export`, and "
            "what its network sees around a voxel is not known, which exact inference by blocks needs; run it in the "
            "program that it was made for"
        ) from error
    try:
        description: dict[str, Any] = json.loads(files[DESCRIPTION_FILE])
        load_model(files[WEIGHTS_FILE], description, str(file))
    except (ValueError, CheckpointError) as error:
        raise DataError(f"{file}: its model cannot be used: {error}") from error
    store = Store.open(model_url, create=True)
    if any(store.exists(name) for name in files):
        raise InputError(f"{store.url}: holds a model already; choose another folder")
    for name, data in files.items():
        store.write(name, data)
    return description


def _refuse_without_library() -> None:
    if find_spec("bioimageio.spec") is None:
        raise InputError("packages of bioimage.io need an extra: pip install 'vemseg[bioimageio]'")


def _save(described: dict[str, Any], folder: Path, file: Path) -> None:
    """Raises ConfigError where the specification does not allow what is described."""
    from bioimageio.spec import ValidationContext, save_bioimageio_package
    from bioimageio.spec.model.v0_5 import ModelDescr

    try:
        with ValidationContext(root=folder):
            model = ModelDescr.model_validate(described)
    except ValidationError as error:
        problems = "; ".join(dict.fromkeys(_problem(dict(each), described) for each in error.errors()))
        raise ConfigError(f"bioimage.io does not allow this: {problems}") from error
    file.parent.mkdir(parents=True, exist_ok=True)
    save_bioimageio_package(model, output_path=file)


def _problem(error: Mapping[str, Any], described: dict[str, Any]) -> str:
    """A mistake in a sentence; the library lists all licences that there are."""
    where = error["loc"]
    if where[0] == "license":
        return f"license: {described['license']!r} is no SPDX identifier, such as CC-BY-4.0 or MIT"
    return f"{'.'.join(map(str, where))}: {error['input']!r}: {error['msg']}"


def _member(package: zipfile.ZipFile, name: str) -> bytes:
    if package.getinfo(name).file_size > _MOST_BYTES:
        raise DataError(f"{package.filename}: {name} says that it is larger than any such model")
    with package.open(name) as member:
        return member.read(_MOST_BYTES)


def _write_network(run: Run, model: Model, folder: Path) -> Zyx:
    """The program, a piece of the run with what the program makes of it, and a picture; returns the piece's shape."""
    import torch

    from pipeline.nn.script import scripted

    capture = run.plan.captures[0]
    part = max(capture.split().test or (capture.volume,), key=lambda block: block.voxels)
    block = _centre(part, run.plan.patch_zyx, model.network.plan.stride_zyx)
    grey = run.read_seen(capture)(block)
    image = torch.from_numpy(grey.astype(np.float32))[None, None]
    program, probabilities = scripted(model, image)
    (folder / "network.pt").write_bytes(program)
    np.save(folder / "test_input.npy", image.numpy())
    np.save(folder / "test_output.npy", probabilities.numpy())
    middle = len(grey) // 2
    _write_cover(folder / "cover.png", run, model, grey[middle], probabilities[0, :, middle].numpy())
    return block.shape_zyx


def _centre(part: Block, wanted_zyx: Zyx, stride_zyx: Zyx) -> Block:
    """A piece in the middle of a part whose edges are multiples of the stride."""
    edges = [
        max(stride, min(want, stop - start) // stride * stride)
        for want, stride, start, stop in zip(wanted_zyx, stride_zyx, part.start_zyx, part.stop_zyx, strict=True)
    ]
    starts = [
        start + (stop - start - edge) // 2
        for start, stop, edge in zip(part.start_zyx, part.stop_zyx, edges, strict=True)
    ]
    return Block(zyx(starts, "start"), zyx([start + edge for start, edge in zip(starts, edges, strict=True)], "stop"))


def _write_cover(
    path: Path, run: Run, model: Model, grey_YX: NDArray[Any], probabilities_CYX: NDArray[np.float32]
) -> None:
    """Grey values and classes side by side, twice as wide as high, which is what the site shows."""
    from PIL import Image

    from pipeline.figures.slices import class_image, grey_image

    side = min(grey_YX.shape)
    colors = [run.config.classes.members[class_id - 1].color for class_id in model.target.class_ids]
    best_YX = probabilities_CYX.argmax(0) + 1
    ids_YX = np.where(probabilities_CYX.max(0) > 0.5, best_YX, 0) if model.target.head == "sigmoid" else best_YX
    grey = grey_image(grey_YX)
    pair = np.hstack([grey[:side, :side], class_image(ids_YX, colors, grey)[:side, :side]])
    larger = Image.fromarray(pair).resize((2 * _COVER_PX, _COVER_PX), Image.Resampling.NEAREST)
    larger.save(path)


def _outputs(run: Run, model: Model) -> list[str]:
    return [run.config.classes.names[class_id - 1] for class_id in model.target.class_ids]


def _documentation(run: Run, model: Model) -> str:
    from pipeline.scoring.tables import to_markdown

    size = sides(run.plan.captures[0].voxel_size_nm, by="x")
    field = sides(run.plan.receptive_field_zyx, by="x")
    table = run.scores
    scored = to_markdown(table) if table else "Not scored on a test part."
    return f"""# {_name(run, model)}

A 3D U-Net that segments volume electron microscopy, trained by vemseg.

- Outputs: probabilities of {", ".join(_outputs(run, model))}.
- Voxels of {size} nm (z, y, x): bring other volumes to this size first.
- Grey values as they were recorded; the program normalises them by the mean ({model.normalisation.mean:.6g}) and the
  standard deviation ({model.normalisation.std:.6g}) of its training part.
- What a voxel becomes depends on {field} voxels (z, y, x) around it: tiles need half of that as a margin.
- `vemseg model import FILE FOLDER` takes the model back, for `vemseg run segment -p model=FOLDER`.

# Validation

On the part of the labelled capture that was not trained on, guard bands between:

{scored}
"""


def _name(run: Run, model: Model) -> str:
    return f"{run.config.name} {model.target.name.replace('_', ' ')}"


def _described(run: Run, model: Model, shape_zyx: Zyx, credits_: Credits) -> dict[str, Any]:
    """What the package says of itself, in the terms of version 0.5 of the specification of models.

    https://github.com/bioimage-io/spec-bioimage-io
    """
    import torch

    names = _outputs(run, model)
    voxel_nm, field_zyx = run.plan.captures[0].voxel_size_nm, run.plan.receptive_field_zyx
    space_in, space_out = [], []
    for axis, edge, stride, edge_nm, field in zip(
        "zyx", shape_zyx, model.network.plan.stride_zyx, voxel_nm, field_zyx, strict=True
    ):
        common = {"type": "space", "id": axis, "unit": "micrometer", "scale": edge_nm / 1000}
        margin = {"halo": field // 2} if field > 1 else {}
        space_in.append({**common, "size": {"min": edge, "step": stride}})
        space_out.append({**common, "size": {"tensor_id": "grey", "axis_id": axis}, **margin})
    text, place = credits_.cite
    return {
        "name": _name(run, model),
        "description": f"Segments {', '.join(names)} in volume electron microscopy",
        "authors": [{"name": name} for name in credits_.authors],
        "cite": [{"text": text, "url" if "://" in place else "doi": place}],
        "license": credits_.license,
        "documentation": {"source": "README.md"},
        "covers": [{"source": "cover.png"}],
        "tags": ["electron-microscopy", "3d", "semantic-segmentation", "unet", "vemseg"],
        "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
        "inputs": [
            {
                "id": "grey",
                "axes": [{"type": "batch"}, {"type": "channel", "channel_names": ["grey"]}, *space_in],
                "test_tensor": {"source": "test_input.npy"},
                "data": {"type": "float32"},
            }
        ],
        "outputs": [
            {
                "id": "probabilities",
                "axes": [{"type": "batch"}, {"type": "channel", "channel_names": names}, *space_out],
                "test_tensor": {"source": "test_output.npy"},
                "data": {"type": "float32", "range": [0.0, 1.0]},
            }
        ],
        "weights": {
            "torchscript": {"source": "network.pt", "pytorch_version": torch.__version__.partition("+")[0]},
        },
        "attachments": [{"source": name} for name in (DESCRIPTION_FILE, WEIGHTS_FILE)],
    }

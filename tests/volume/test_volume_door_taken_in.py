"""The table of the door all the way in: through `segment`'s and `plan`'s ingest, and the application's uploads.

The application takes one input of each kind, since it looks at each in a process of its own; `make door` gives it all.
"""

from __future__ import annotations

import io
import os
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from door import TABLE, A, Input
from tinystudy import VOXEL_SIZE_NM, place, whole

from pipeline.errors import DataError, InputError
from pipeline.run.layout import Run
from pipeline.steps.prepare import prepare
from pipeline.volume.geometry import ZyxNm
from pipeline.volume.ingest import TRUTH, ingest_capture
from pipeline.volume.labels import ClassMap
from pipeline.volume.omezarr import open_image, open_labels
from pipeline.volume.sources import STRANGER, TRUSTED, Policy
from pipeline.volume.stores import Store
from pipeline.webapp.intake import inspect_upload
from pipeline.webapp.settings import Settings
from pipeline.webapp.uploads import Uploads

GREYS = {name: given for name, given in TABLE.items() if not given.labels}
LABELS = {name: given for name, given in TABLE.items() if given.labels}
SIZE_NM: ZyxNm = (40.0, 8.0, 8.0)


def kind(name: str, given: Input) -> str:
    """The format, by the first word of the name, and whether it is refused."""
    return f"{re.split(r'[^A-Za-z-]', name)[0]} {given.voxels is None}"


def uploadable() -> dict[str, Input]:
    """Inputs that are one file, or a folder to be packed, without a part that is named; one of each kind, or all."""
    known = {name: given for name, given in GREYS.items() if not given.references}
    if os.environ.get("VEMSEG_DOOR") == "full":
        return known
    return {name: known[name] for name in {kind(name, known[name]): name for name in reversed(known)}.values()}


def segmented(location: str, run: Path, finished: Run, policy: Policy) -> np.ndarray:
    """The volume as `segment` takes it in."""
    assert SIZE_NM == VOXEL_SIZE_NM
    model = finished.model_store("multilabel").url
    prepare(model, location, str(run), voxel_size_nm=SIZE_NM, intensity="as_trained", policy=policy)
    return whole(Run.open(run).image("volume"))


@pytest.mark.parametrize("name", GREYS)
def test_segment_takes_in_what_is_right(
    tmp_path: Path, finished: Run, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    given = GREYS[name]
    location = given.write(tmp_path)
    monkeypatch.chdir(tmp_path)
    if given.voxels is None:
        with pytest.raises(DataError, match=given.refusal):
            segmented(location, tmp_path / "run", finished, TRUSTED)
        assert not (tmp_path / "run").exists()  # nothing was spent
        return
    found = segmented(location, tmp_path / "run", finished, TRUSTED)
    np.testing.assert_array_equal(found, given.voxels)
    assert found.dtype.name in ("uint8", "uint16", "float32")


@pytest.mark.parametrize("name", LABELS)
def test_plan_takes_in_the_ids_that_were_drawn(tmp_path: Path, name: str) -> None:
    given = LABELS[name]
    np.save(tmp_path / "raw.npy", A)
    known, place_of_id = np.unique(A if given.voxels is None else given.voxels, return_inverse=True)
    ids = tuple(known.tolist())
    classes = ClassMap(tuple(f"c{n}" for n in range(len(ids))), ("#ff0000",) * len(ids), tuple((each,) for each in ids))

    def take_in(labels: str) -> None:
        store = Store.open(tmp_path / "out", create=True)
        ingest_capture(
            store, name="c", raw="raw.npy", labels=labels, base=tmp_path, classes=classes, voxel_size_nm=SIZE_NM
        )

    location = given.write(tmp_path)
    if given.voxels is None:
        with pytest.raises(DataError, match=given.refusal):
            take_in(location)
        return
    take_in(location)
    out = Store.open(tmp_path / "out")
    np.testing.assert_array_equal(whole(open_image(out)), A)
    np.testing.assert_array_equal(whole(open_labels(out, TRUTH)), place_of_id.reshape(A.shape) + 1)


@pytest.mark.parametrize("name", uploadable())
def test_what_is_uploaded_is_seen_and_segmented_as_it_is(tmp_path: Path, finished: Run, name: str) -> None:
    """A folder is packed, as its user would; a part that is named behind a file is not for the application."""
    given = GREYS[name]
    location = given.write(tmp_path)
    if ":/" in location:
        pytest.skip("names a part")
    settings = Settings.of({}, data=tmp_path / "data", models=(str(place(finished)),), cores=1)
    file, content = as_uploaded(tmp_path / location)
    uploads = Uploads(settings)
    begun = uploads.begin("anna", file, len(content))
    upload = uploads.append("anna", begun.id, 0, content)
    if given.voxels is None and re.search("name one|add one|several images", given.refusal):
        return  # the application takes the largest of several, and says so
    if given.voxels is None:
        with pytest.raises(InputError) as refused:
            inspect_upload(upload.path, settings.policy)
        assert str(tmp_path) not in str(refused.value)
        return
    found = inspect_upload(upload.path, settings.policy)
    assert (found.shape_zyx, found.dtype) == (given.voxels.shape, given.voxels.dtype.name)
    assert found.voxel_size_nm == (given.size_nm and pytest.approx(given.size_nm, rel=1e-4))
    assert any(given.note in note for note in found.notes) or not given.note
    assert found.preview is not None
    middle = given.voxels[len(given.voxels) // 2]
    assert middle.min() == middle.max() or np.corrcoef(found.preview.ravel(), middle.ravel())[0, 1] > 0.9
    np.testing.assert_array_equal(segmented(found.location, tmp_path / "run", finished, STRANGER), given.voxels)


def as_uploaded(path: Path) -> tuple[str, bytes]:
    """Name and content of the file that is sent."""
    if path.is_file():
        return path.name, path.read_bytes()
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for file in sorted(path.rglob("*")):
            archive.write(file, file.relative_to(path.parent))
    return f"{path.name}.zip", content.getvalue()

"""Ingest writes what the input says, refuses contradictions before it writes, and can be killed and run again.

The formats themselves are tested with the sources. NumPy on the whole array is the judge of statistics.
"""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from ome_zarr_models.v05 import Image, Labels
from PIL import Image as Pillow
from volume_formats import VOXEL_SIZE_NM, WRITERS

from pipeline.errors import ConfigError, DataError, InputError
from pipeline.volume.ingest import FILL, IngestedCapture, ingest_capture, labelled_runs
from pipeline.volume.intensity import IntensityHistogram
from pipeline.volume.labels import ClassMap
from pipeline.volume.omezarr import open_image, open_labels
from pipeline.volume.stores import Store

REAL_DATA = Path(__file__).parents[2].parent / "shared/data/vnc"
GRID = ((2, 16, 16), (4, 32, 32))

# Ends itself at the n-th object written; n is the last argument.
INGEST_AND_DIE = """
import itertools, os, signal, sys
from pathlib import Path
from pipeline.volume import zarrstore
from pipeline.volume.ingest import ingest_capture
from pipeline.volume.labels import ClassMap
from pipeline.volume.stores import Store

folder, out, last = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
calls, write = itertools.count(), zarrstore.ObstoreZarr.set

async def write_or_die(self, key, value):
    if next(calls) == last:
        staged = Path(out) / f"{key}#1"
        staged.parent.mkdir(parents=True, exist_ok=True)
        staged.write_bytes(b"half an object")
        os.kill(os.getpid(), signal.SIGKILL)
    await write(self, key, value)

zarrstore.ObstoreZarr.set = write_or_die
classes = ClassMap(("a", "b", "c"), ("#ff0000",) * 3, ((0,), (1,), (2,)))
ingest_capture(Store.open(out, create=True), name="capture", raw="raw.npy", labels="labels.npy", base=folder,
               classes=classes, voxel_size_nm=(30, 5, 5), grid=((2, 16, 16), (4, 32, 32)))
"""

INGEST_AND_MEASURE = """
import sys
from pathlib import Path
from pipeline.volume.ingest import ingest_capture
from pipeline.volume.labels import ClassMap
from pipeline.volume.stores import Store

classes = ClassMap(("a", "b", "c"), ("#ff0000",) * 3, ((0,), (1,), (2,)))
folder = Path(sys.argv[1])
ingest_capture(Store.open(folder / "out", create=True), name="capture", raw="raw", labels="labels.tif", base=folder,
               classes=classes, voxel_size_nm=(8, 8, 8), grid=((16, 64, 64), (16, 128, 128)))
# Not ru_maxrss, which a child inherits from the process that started it.
print(next(line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")))
"""


def ingest(folder: Path, **changed: object) -> IngestedCapture:
    """Ingest with short arguments; writes to ``out`` below the folder."""
    arguments = {"name": "capture", "raw": "raw.npy", "base": folder, "voxel_size_nm": VOXEL_SIZE_NM, "grid": GRID}
    store = Store.open(folder / "out", create=True)
    return ingest_capture(store, **arguments | changed)  # type: ignore[arg-type]


def stored_truth(folder: Path) -> np.ndarray:
    truth = open_labels(Store.open(folder / "out"), "truth")
    return truth.read(truth.geometry.block)


@pytest.fixture
def ids(raw: np.ndarray) -> np.ndarray:
    """Label ids of the classes of the `classes` fixture, with some ignored voxels."""
    return np.random.default_rng(1).choice(np.array([0, 1, 2, 3, 9], np.uint8), raw.shape)


@pytest.fixture
def folder(tmp_path: Path, raw: np.ndarray, ids: np.ndarray) -> Path:
    np.save(tmp_path / "raw.npy", raw)
    np.save(tmp_path / "labels.npy", ids)
    return tmp_path


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_is_ingested(tmp_path: Path, raw: np.ndarray, name: str) -> None:
    raw = raw.astype(np.uint16)
    ingest(tmp_path, raw=WRITERS[name](tmp_path, raw))
    volume = open_image(Store.open(tmp_path / "out"))
    assert volume.dtype == np.uint16
    np.testing.assert_array_equal(volume.read(volume.geometry.block), raw)


def test_a_labelled_capture_becomes_a_valid_image_with_truth(
    store: Store, folder: Path, raw: np.ndarray, ids: np.ndarray, classes: ClassMap
) -> None:
    found = ingest_capture(
        store, name="one", raw="raw.npy", labels="labels.npy", base=folder, classes=classes, voxel_size_nm=(30, 5, 4)
    )
    image = Image.from_zarr(zarr.open_group(store.zarr(), mode="r"))
    assert len(image.attributes.ome.multiscales[0].datasets) >= 1
    Labels.from_zarr(zarr.open_group(store.child("labels").zarr(), mode="r"))
    truth = open_labels(store, "truth")
    code_of = {1: 1, 2: 1, 3: 2, 0: 3, 9: 0}
    np.testing.assert_array_equal(truth.read(truth.geometry.block), np.vectorize(code_of.get)(ids))
    assert truth.classes == classes.label_classes
    assert found.class_voxels == {
        "membrane": np.isin(ids, (1, 2)).sum(),
        "vesicle": (ids == 3).sum(),
        "cytosol": (ids == 0).sum(),
    }
    assert found.unlabelled_voxels == (ids == 9).sum()
    assert found.geometry == truth.geometry == open_image(store).geometry


@pytest.mark.parametrize(
    ("given", "stored"),
    [("uint8", "uint8"), ("uint16", "uint16"), ("float32", "float32"), ("bool", "uint8")]
    + [(name, "float32") for name in ("int8", "int16", "int32", "uint32", "int64", "float16", "float64")],
)
def test_types_are_kept_or_become_float32(folder: Path, raw: np.ndarray, given: str, stored: str) -> None:
    data = (raw.astype(np.int16) - 100).astype(given) if given[0] in "if" else raw.astype(given)
    np.save(folder / "raw.npy", data)
    assert ingest(folder).dtype == stored
    volume = open_image(Store.open(folder / "out"))
    assert volume.dtype == stored
    np.testing.assert_array_equal(volume.read(volume.geometry.block), data.astype(stored))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_statistics_are_those_of_all_voxels(folder: Path, dtype: str) -> None:
    data = np.random.default_rng(2).normal(100, 20, (7, 45, 38)).clip(0).astype(dtype)
    np.save(folder / "raw.npy", data)
    found = ingest(folder).intensity
    assert (found.minimum, found.maximum) == (data.min(), data.max())
    assert found.mean == pytest.approx(data.mean(dtype=float))
    assert found.std == pytest.approx(data.std(dtype=float), rel=1e-6)
    tolerance = 2**-11 if dtype == "float32" else 0
    for value, share in ((found.low, 0.005), (found.high, 0.995)):
        assert value == pytest.approx(np.quantile(data, share, method="inverted_cdf"), rel=tolerance, abs=0)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_quantiles_of_floats_hold_for_any_range_and_sign(scale: float) -> None:
    data = (np.random.default_rng(3).normal(-0.5, 1, 20_000) * scale).astype(np.float32)
    histogram = IntensityHistogram(data.dtype)
    histogram.add(data[:5000])
    histogram.add(data[5000:])
    found = histogram.summary()
    for value, share in ((found.low, 0.005), (found.high, 0.995)):
        assert value == pytest.approx(np.quantile(data, share, method="inverted_cdf"), rel=2**-11)


def test_only_the_labelled_slices_get_labels(folder: Path, ids: np.ndarray, classes: ClassMap) -> None:
    expected = np.zeros_like(ids)
    for z in (1, 2, 5):
        expected[z] = classes.encode(ids[z], "")
    found = ingest(folder, labels="labels.npy", classes=classes, labelled_slices=[5, 1, 2])
    np.testing.assert_array_equal(stored_truth(folder), expected)
    assert found.unlabelled_voxels == (expected == 0).sum()

    np.save(folder / "few.npy", ids[[1, 2, 5]])
    ingest(folder, labels="few.npy", classes=classes, labelled_slices=[1, 2, 5])
    np.testing.assert_array_equal(stored_truth(folder), expected)

    (folder / "drawn").mkdir()
    for z in (1, 2, 5):
        Pillow.fromarray(ids[z]).save(folder / "drawn" / f"section{z}.png")
    ingest(folder, labels="drawn", classes=classes, labelled_slices=[1, 2, 5])
    np.testing.assert_array_equal(stored_truth(folder), expected)


def test_ids_on_slices_that_are_not_labelled_do_not_matter(folder: Path, ids: np.ndarray, classes: ClassMap) -> None:
    ids[0] = 77
    np.save(folder / "labels.npy", ids)
    ingest(folder, labels="labels.npy", classes=classes, labelled_slices=[1])


def test_a_run_of_slices_becomes_a_capture_in_its_place(
    folder: Path, raw: np.ndarray, ids: np.ndarray, classes: ClassMap
) -> None:
    assert labelled_runs([5, 1, 2, 2, 6, 9]) == [(1, 3), (5, 7), (9, 10)]
    few = ids[[1, 2, 5, 6]]
    np.save(folder / "few.npy", few)
    found = ingest(folder, labels="few.npy", classes=classes, labelled_slices=[1, 2, 5, 6], slices=(5, 7))
    assert found.geometry.translation_nm == (5 * VOXEL_SIZE_NM[0], 0, 0)
    volume = open_image(Store.open(folder / "out"))
    np.testing.assert_array_equal(volume.read(volume.geometry.block), raw[5:7])
    np.testing.assert_array_equal(stored_truth(folder), classes.encode(ids[5:7], ""))


def test_one_mask_a_class(folder: Path, ids: np.ndarray, classes: ClassMap) -> None:
    tifffile.imwrite(folder / "membrane.tif", (ids == 1).astype(np.uint8) * 255)
    np.save(folder / "vesicle.npy", ids == 3)
    masks = {"membrane": "membrane.tif", "cytosol": FILL, "vesicle": "vesicle.npy"}
    ingest(folder, labels=masks, classes=classes)
    np.testing.assert_array_equal(stored_truth(folder), np.where(ids == 1, 1, np.where(ids == 3, 2, 3)))


def test_overlapping_masks_become_bits(folder: Path, ids: np.ndarray) -> None:
    np.save(folder / "a.npy", ids > 0)
    np.save(folder / "b.npy", ids > 2)
    classes = ClassMap(("a", "b"), ("#ff0000", "#00ff00"), ((), ()), exclusive=False)
    found = ingest(folder, labels={"a": "a.npy", "b": "b.npy"}, classes=classes, labelled_slices=range(6))
    expected = 1 + 2 * (ids > 0) + 4 * (ids > 2)
    expected[6] = 0
    np.testing.assert_array_equal(stored_truth(folder), expected)
    assert found.class_voxels == {"a": (ids[:6] > 0).sum(), "b": (ids[:6] > 2).sum()}


def test_the_voxel_size_comes_from_the_file_or_the_caller(tmp_path: Path, raw: np.ndarray) -> None:
    location = WRITERS["imagej"](tmp_path, raw)
    assert ingest(tmp_path, raw=location, voxel_size_nm=None).geometry.voxel_size_nm == pytest.approx(VOXEL_SIZE_NM)
    near = (30.1, 5.0, 4.0)
    found = ingest(tmp_path, raw=location, voxel_size_nm=near)
    assert (found.geometry.voxel_size_nm, found.note) == (near, "")
    found = ingest(tmp_path, raw=location, voxel_size_nm=(50.0, 5.0, 4.0))
    assert found.geometry.voxel_size_nm == (50, 5, 4)
    for part in ("ij.tif", "30 x 5 x 4 nm", "50 x 5 x 4 nm"):
        assert part in found.note


def test_labels_pair_with_the_slices_of_their_number(tmp_path: Path, raw: np.ndarray) -> None:
    ids = (raw > 99).astype(np.uint8) + 1
    classes = ClassMap(("a", "b"), ("#ff0000", "#00ff00"), ((1,), (2,)))
    for folder, data, span in (("r", raw, range(7)), ("l", ids, range(2, 6))):
        (tmp_path / folder).mkdir()
        for z in span:
            name = f"slice_{z:05}_z={0.98 + z / 100:.2f}um.png"
            Pillow.fromarray(data[z]).save(tmp_path / folder / name)
    ingest(tmp_path, raw="r", labels="l", classes=classes, labelled_slices=range(2, 6))
    expected = np.zeros_like(raw)
    expected[2:6] = ids[2:6]
    np.testing.assert_array_equal(stored_truth(tmp_path), expected)
    with pytest.raises(DataError, match=r"slice_00002.*labelled slice 3.*slice_00003.*counted from 0"):
        ingest(tmp_path, raw="r", labels="l", classes=classes, labelled_slices=range(3, 7))

    np.save(tmp_path / "raw.npy", raw)
    with pytest.raises(DataError, match="voxel_size_nm"):
        ingest(tmp_path, voxel_size_nm=None)


def refused(folder: Path, *parts: str, error: type[InputError] = DataError, **changed: object) -> None:
    """The ingest is refused, naming `parts`, before anything is written."""
    with pytest.raises(error) as refusal:
        ingest(folder, **changed)
    assert all(part in str(refusal.value) for part in parts), str(refusal.value)
    assert refusal.value.exit_code == 2
    assert not any((folder / "out").iterdir())


def test_labels_of_another_shape_are_refused_with_both_files(folder: Path, ids: np.ndarray, classes: ClassMap) -> None:
    for wrong in (ids[:, :44], ids[:6]):
        np.save(folder / "wrong.npy", wrong)
        refused(folder, "wrong.npy", "raw.npy", str(wrong.shape), "(7, 45, 38)", labels="wrong.npy", classes=classes)
    refused(folder, "wrong.npy", labels="wrong.npy", classes=classes, labelled_slices=[0, 1])


def test_ids_that_no_class_knows_are_refused_with_slice_and_number(
    folder: Path, ids: np.ndarray, classes: ClassMap
) -> None:
    ids[6, 44, 30:34] = 42
    np.save(folder / "labels.npy", ids)
    refused(folder, "labels.npy", "slice 6", "42", "4 voxels", labels="labels.npy", classes=classes)


def test_masks_that_overlap_are_refused_with_slice_and_number(folder: Path, ids: np.ndarray, classes: ClassMap) -> None:
    one, other = ids == 1, ids == 3
    other[4, 0, :3] = one[4, 0, :3] = True
    np.save(folder / "one.npy", one)
    np.save(folder / "other.npy", other)
    masks = {"membrane": "one.npy", "vesicle": "other.npy", "cytosol": FILL}
    refused(folder, "slice 4", "3 voxels", "membrane", "vesicle", labels=masks, classes=classes)


def test_masks_that_do_not_match_the_classes_are_refused(folder: Path, ids: np.ndarray, classes: ClassMap) -> None:
    np.save(folder / "a.npy", ids == 1)
    for masks in (
        {"membrane": "a.npy", "vesicle": "a.npy"},
        {"membrane": "a.npy", "vesicle": "a.npy", "cytosol": FILL, "axon": "a.npy"},
        {"membrane": "a.npy", "vesicle": FILL, "cytosol": FILL},
    ):
        refused(folder, labels=masks, classes=classes, error=ConfigError)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_numbers_that_are_none_are_refused_with_file_and_slice(folder: Path, raw: np.ndarray, value: float) -> None:
    data = raw.astype(np.float64)
    data[5, 40, 2] = value
    np.save(folder / "raw.npy", data)
    with pytest.raises(DataError, match=r"raw\.npy, slice 5"):
        ingest(folder)


def test_slices_outside_the_volume_are_refused(folder: Path, classes: ClassMap) -> None:
    refused(folder, "raw.npy", slices=(3, 8), error=ConfigError)
    refused(folder, "raw.npy", labels="labels.npy", classes=classes, labelled_slices=[7], error=ConfigError)
    refused(folder, labels="labels.npy", error=ConfigError)


def files(folder: Path) -> dict[str, str]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def test_a_killed_ingest_run_again_gives_the_same_files(tmp_path: Path, raw: np.ndarray) -> None:
    np.save(tmp_path / "raw.npy", raw)
    np.save(tmp_path / "labels.npy", raw % 3)

    def run(out: Path, last: int) -> int:
        return subprocess.run([sys.executable, "-c", INGEST_AND_DIE, tmp_path, out, str(last)], check=False).returncode

    assert run(tmp_path / "clean", -1) == 0
    expected = files(tmp_path / "clean")
    assert len(expected) > 30
    for last in (3, 11, 24):
        assert run(tmp_path / "killed", last) == -signal.SIGKILL
    assert any("#" in name for name in files(tmp_path / "killed"))
    assert run(tmp_path / "killed", -1) == 0
    assert files(tmp_path / "killed") == expected


def peak_memory_kib(folder: Path, shape: tuple[int, int, int]) -> int:
    rng = np.random.default_rng(0)
    (folder / "raw").mkdir(parents=True)
    with tifffile.TiffWriter(folder / "labels.tif") as labels:
        for z in range(shape[0]):
            page = rng.integers(0, 256, shape[1:], np.uint8)
            Pillow.fromarray(page).save(folder / "raw" / f"{z}.png", compress_level=1)
            labels.write(page % 3, compression="zlib", contiguous=False)
    run = [sys.executable, "-c", INGEST_AND_MEASURE, folder]
    return int(subprocess.run(run, capture_output=True, text=True, check=True).stdout)


def test_memory_does_not_grow_with_the_volume(tmp_path: Path) -> None:
    small = peak_memory_kib(tmp_path / "small", (32, 256, 256))
    large = peak_memory_kib(tmp_path / "large", (64, 512, 512))
    assert large < 1.1 * small


@pytest.mark.skipif(not REAL_DATA.is_dir(), reason="shared/data/vnc is not there")
def test_a_real_stack_of_sections(tmp_path: Path) -> None:
    classes = ClassMap(
        ("membrane", "glia", "mitochondria", "synapse", "intracellular"),
        ("#ff0000",) * 5,
        ((0, 32, 64, 96, 128), (159,), (191,), (223,), (255,)),
    )
    found = ingest_capture(
        Store.open(tmp_path),
        name="vnc",
        raw="raw",
        labels="labels",
        base=REAL_DATA,
        classes=classes,
        voxel_size_nm=(50, 4.6, 4.6),
    )
    assert found.geometry.shape_zyx == (20, 1024, 1024)
    assert found.class_voxels is not None
    shares = [100 * count / found.geometry.block.voxels for count in found.class_voxels.values()]
    assert shares == pytest.approx([17.16, 2.85, 5.38, 0.56, 74.06], abs=0.01)

"""Volumes are valid OME-Zarr 0.5 with units, come back as they were written, and only take whole shards.

ome-zarr-models, which follows the specification, is the judge of the metadata.
"""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import zarr
from ome_zarr_models.v05 import Image, Labels

from pipeline.errors import DataError, InputError
from pipeline.volume.geometry import Block, tile
from pipeline.volume.omezarr import Geometry, Volume, create_image, create_labels, open_image, open_labels
from pipeline.volume.pyramid import build_pyramid
from pipeline.volume.stores import Store

GEOMETRY = Geometry((7, 45, 38), (30.0, 5.0, 4.6), (60.0, 0.0, 2.3))
GRID = {"chunk_zyx": (4, 16, 16), "shard_zyx": (4, 32, 32)}
CLASSES = [(1, "membrane", "#ff8000"), (2, "synapse", "#0000ff")]


def image(store: Store, **changed: object) -> Volume:
    return create_image(store, **{"geometry": GEOMETRY, "dtype": "uint8", "name": "raw", **GRID} | changed)  # type: ignore[arg-type]


def fill(volume: Volume, data: np.ndarray) -> Volume:
    for block in tile(volume.geometry.block, volume.shard_zyx):
        volume.write(block, data[(..., *block.slices)])
    return build_pyramid(volume)


def test_an_image_and_its_labels_are_valid_and_carry_units(store: Store, raw: np.ndarray) -> None:
    fill(image(store), raw)
    truth = create_labels(store, "truth", geometry=GEOMETRY, dtype="uint8", classes=CLASSES, **GRID)
    fill(truth, raw % 3)
    build_pyramid(create_labels(store, "split", geometry=GEOMETRY, dtype="uint8", classes=[], **GRID))

    (multiscale,) = Image.from_zarr(zarr.open_group(store.zarr(), mode="r")).attributes.ome.multiscales
    assert [(axis.name, axis.type, axis.unit) for axis in multiscale.axes] == [(a, "space", "nanometer") for a in "zyx"]
    first = multiscale.datasets[0].coordinateTransformations
    assert [list(first[0].scale), list(first[1].translation)] == [[30.0, 5.0, 4.6], [60.0, 0.0, 2.3]]

    labels = Labels.from_zarr(zarr.open_group(store.child("labels").zarr(), mode="r"))
    assert labels.attributes.ome.labels == ["split", "truth"]
    attributes = labels.get_image_labels_group("truth").attributes.ome.image_label
    assert attributes is not None
    assert attributes.version == "0.5"
    assert attributes.source is not None
    assert attributes.source.image == "../../"
    assert [(c.label_value, c.rgba) for c in attributes.colors or ()] == [
        (1, (255, 128, 0, 255)),
        (2, (0, 0, 255, 255)),
    ]
    assert [p.model_dump()["name"] for p in attributes.properties or ()] == ["membrane", "synapse"]


def test_the_centres_of_coarse_voxels_are_the_means_of_the_fine_ones(store: Store, raw: np.ndarray) -> None:
    fill(image(store), raw)
    (multiscale,) = Image.from_zarr(zarr.open_group(store.zarr(), mode="r")).attributes.ome.multiscales
    assert len(multiscale.datasets) > 2
    for dataset in multiscale.datasets:
        scale, translation = (list(getattr(t, t.type)) for t in dataset.coordinateTransformations)
        for axis, factor in enumerate(np.rint(np.divide(scale, GEOMETRY.voxel_size_nm)).astype(int)):
            centres = GEOMETRY.translation_nm[axis] + np.arange(factor) * GEOMETRY.voxel_size_nm[axis]
            assert translation[axis] == pytest.approx(centres.mean())


def test_arrays_are_sharded_and_name_their_axes(store: Store) -> None:
    array = image(store).array
    assert (array.shards, array.chunks) == (GRID["shard_zyx"], GRID["chunk_zyx"])
    assert array.metadata.dimension_names == ("z", "y", "x")  # type: ignore[union-attr]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "float32"])
def test_voxels_come_back(store: Store, raw: np.ndarray, dtype: str) -> None:
    data = raw.astype(dtype) * (1 if dtype == "uint8" else 2)
    fill(image(store, dtype=dtype), data)
    volume = open_image(store)
    assert volume.dtype == dtype
    np.testing.assert_array_equal(volume.read(volume.geometry.block), data)
    block = Block((1, 3, 30), (6, 40, 38))
    np.testing.assert_array_equal(volume.read(block), data[block.slices])


def test_what_was_given_is_known_when_opened_again(store: Store) -> None:
    image(store)
    create_labels(store, "truth", geometry=GEOMETRY, dtype="uint16", classes=CLASSES, **GRID)
    volume, labels = open_image(store), open_labels(store, "truth")
    assert (volume.geometry, volume.name, volume.channels, volume.is_labels) == (GEOMETRY, "raw", None, False)
    assert (volume.chunk_zyx, volume.shard_zyx) == (GRID["chunk_zyx"], GRID["shard_zyx"])
    assert (labels.geometry, labels.classes, labels.is_labels) == (GEOMETRY, tuple(CLASSES), True)


def test_channels_have_names_and_shards_of_their_own(store: Store, raw: np.ndarray) -> None:
    data = np.stack([raw, raw[::-1]]).astype(np.float32) / 255
    fill(image(store, dtype="float32", channels=("membrane", "other")), data)
    volume = open_image(store)
    assert volume.channels == ("membrane", "other")
    np.testing.assert_array_equal(volume.read(Block((0, 0, 0), (7, 20, 38))), data[:, :, :20])
    (multiscale,) = Image.from_zarr(zarr.open_group(store.zarr(), mode="r")).attributes.ome.multiscales
    assert [axis.name for axis in multiscale.axes] == ["c", "z", "y", "x"]
    assert all(level.array.shape[0] == 2 for level in volume.levels)


def test_a_single_slice_is_a_volume(store: Store, raw: np.ndarray) -> None:
    volume = fill(image(store, geometry=Geometry((1, 45, 38), (30, 5, 5))), raw[:1])
    assert [level.geometry.shape_zyx for level in volume.levels] == [(1, 45, 38), (1, 23, 19), (1, 12, 10)]
    Image.from_zarr(zarr.open_group(store.zarr(), mode="r"))


@pytest.mark.parametrize(
    "block",
    [
        Block((0, 0, 0), (4, 32, 16)),
        Block((0, 0, 0), (3, 32, 32)),
        Block((1, 0, 0), (4, 32, 32)),
        Block((0, 32, 0), (4, 64, 32)),
    ],
)
def test_writing_a_part_of_a_shard_is_refused(store: Store, block: Block) -> None:
    with pytest.raises(InputError):
        image(store).write(block, np.zeros(block.shape_zyx, np.uint8))


def test_several_whole_shards_clipped_by_the_end_can_be_written(store: Store, raw: np.ndarray) -> None:
    volume = image(store)
    block = Block((4, 0, 0), (7, 45, 38))
    volume.write(block, raw[block.slices])
    np.testing.assert_array_equal(volume.read(block), raw[block.slices])


def test_data_of_another_shape_or_a_wider_type_are_refused(store: Store) -> None:
    volume, block = image(store), Block((0, 0, 0), (4, 32, 32))
    for data in (np.zeros((4, 32, 31), np.uint8), np.zeros((1, 4, 32, 32), np.uint8), np.zeros((4, 32, 32), np.int64)):
        with pytest.raises(InputError):
            volume.write(block, data)


def test_reading_outside_is_refused(store: Store) -> None:
    with pytest.raises(InputError):
        image(store).read(Block((0, 0, 0), (8, 1, 1)))


def test_creating_again_keeps_the_data_of_the_same_array_only(store: Store, raw: np.ndarray) -> None:
    fill(image(store), raw)
    np.testing.assert_array_equal(image(store).read(GEOMETRY.block), raw)
    assert not image(store, dtype="uint16").read(GEOMETRY.block).any()


def test_levels_of_an_earlier_deeper_pyramid_are_removed(store: Store, raw: np.ndarray) -> None:
    deep = fill(image(store), raw)
    flat = fill(image(store, chunk_zyx=(8, 64, 64), shard_zyx=(8, 64, 64)), raw)
    assert (len(deep.levels), len(flat.levels)) == (5, 1)
    assert not any(key[0] in "1234" for key in store.list())


def test_a_volume_can_be_sent_to_another_process(store: Store, raw: np.ndarray) -> None:
    volume = pickle.loads(pickle.dumps(fill(image(store), raw)))
    np.testing.assert_array_equal(volume.read(GEOMETRY.block), raw)
    assert len(volume.levels) == 5


def test_what_cannot_be_created_or_opened_is_refused(store: Store) -> None:
    with pytest.raises(InputError):
        image(store, chunk_zyx=(3, 16, 16))
    with pytest.raises(InputError):
        create_labels(store, "truth", geometry=GEOMETRY, dtype="float32", classes=[], **GRID)
    with pytest.raises(InputError):
        create_labels(store, "../truth", geometry=GEOMETRY, dtype="uint8", classes=[], **GRID)
    with pytest.raises(DataError):
        open_image(store.child("nothing"))
    with pytest.raises(DataError):
        open_labels(store, "nothing")


def test_another_version_of_ome_zarr_is_named(store: Store) -> None:
    image(store)
    document = store.read_json("zarr.json")
    document["attributes"]["ome"]["version"] = "0.6"
    store.write_json("zarr.json", document)
    with pytest.raises(DataError, match=r"0\.6"):
        open_image(store)

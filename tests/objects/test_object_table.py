"""The table of objects keeps ids and numbers as they are, through Parquet and CSV, as others read them."""

from __future__ import annotations

import csv
import io
import re
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from pipeline.objects import columns, table
from pipeline.objects.measure import Measuring
from pipeline.objects.sums import Measured
from pipeline.scoring.object_matches import MATCH_COLUMNS
from pipeline.scoring.object_tables import TITLES
from pipeline.volume.geometry import Block, Geometry

LARGE = [2**53, 2**53 + 1, 2**64 - 1]
"""The first two are one as floats; the last is none of int64."""
GEOMETRY = Geometry((2, 3, 4), (50.0, 8.0, 8.0), (100.0, 0.0, -8.0))


@pytest.fixture(scope="module")
def measured() -> Measured:
    cells, others = np.zeros((2, *GEOMETRY.shape_zyx), np.uint64)
    cells[0, 0, 0], cells[0, 0, 1], cells[1, 2, 1:] = LARGE
    others[1, 1, 2] = LARGE[2]

    def read(values: np.ndarray, block: Block) -> np.ndarray:
        return values[block.slices]

    reads = {"mitochondria": partial(read, cells), 'vesicles, "dense"': partial(read, others)}
    return Measuring(GEOMETRY, reads).measure(GEOMETRY.block)


def test_positions_are_in_voxels_and_in_the_space_of_the_volume(measured: Measured) -> None:
    row = table.object_table(measured, GEOMETRY).to_pylist()[2]
    assert row["voxels"] == 3
    assert row["volume_nm3"] == 3 * 50 * 8 * 8
    assert [row[f"centroid_{axis}_voxel"] for axis in "zyx"] == [1, 2, 2]
    assert [row[f"centroid_{axis}_nm"] for axis in "zyx"] == [150, 16, 8]
    assert [row[f"box_start_{axis}_nm"] for axis in "zyx"] == [125, 12, -4]
    assert [row[f"box_stop_{axis}_nm"] for axis in "zyx"] == [175, 20, 20]
    assert row["axis_major_nm"] == pytest.approx(np.sqrt(20 / 12) * 50)
    assert row["membrane_distance_nm"] is None
    assert row["other_class_distance_nm"] == 8
    assert row["touches_face"]
    assert row["cut_nm2"] == 3 * 64 + 3 * 400 + 400


def test_parquet_keeps_ids_and_what_is_not_defined(measured: Measured) -> None:
    written = table.object_table(measured, GEOMETRY)
    read = pa.parquet.read_table(io.BytesIO(columns.to_parquet(written)))
    assert read.equals(written)
    assert columns.from_parquet(columns.to_parquet(written)).equals(written)
    assert read.schema.field("id").type == pa.uint64()
    assert read["id"].to_pylist() == [*LARGE, LARGE[2]]
    frame = pd.read_parquet(io.BytesIO(columns.to_parquet(written)))
    assert frame["id"].dtype == np.uint64
    assert frame["id"].tolist() == [*LARGE, LARGE[2]]
    assert frame["membrane_distance_nm"].isna().all()


def test_csv_keeps_ids_and_names(measured: Measured) -> None:
    written = table.object_table(measured, GEOMETRY)
    rows = list(csv.DictReader(io.StringIO(columns.to_csv(written).decode())))
    assert list(rows[0]) == [column.name for column in table.OBJECT_COLUMNS]
    assert [int(row["id"]) for row in rows] == [*LARGE, LARGE[2]]
    assert rows[3]["class"] == 'vesicles, "dense"'
    assert rows[2]["membrane_distance_nm"] == ""
    assert float(rows[2]["surface_nm2"]) == written["surface_nm2"][2].as_py()


def test_contacts_name_both_objects(measured: Measured) -> None:
    found = table.contact_table(measured, GEOMETRY, "cortex")
    assert found.schema.names == [column.name for column in table.CONTACT_COLUMNS]
    assert found.to_pylist() == [
        {
            "capture": "cortex",
            "class": "mitochondria",
            "id": LARGE[0],
            "other_class": "mitochondria",
            "other_id": LARGE[1],
            "area_nm2": 50 * 8,
        },
        {
            "capture": "cortex",
            "class": "mitochondria",
            "id": LARGE[2],
            "other_class": 'vesicles, "dense"',
            "other_id": LARGE[2],
            "area_nm2": 50 * 8,
        },
    ]


def test_every_column_says_what_it_means_and_its_unit() -> None:
    unitless = {"capture", "class", "id", "other_class", "other_id", "sphericity", "contacts", "voxels", "touches_face"}
    for column in (*table.OBJECT_COLUMNS, *table.CONTACT_COLUMNS):
        assert column.meaning
        assert (
            column.name in unitless
            or column.name.endswith(("_nm", "_nm2", "_nm3", "_voxel"))
            or (column.name.startswith("direction_"))
        )


def test_the_documentation_names_every_column() -> None:
    page = (Path(__file__).parents[2] / "docs/objects.md").read_text(encoding="utf-8")
    for column in (*table.OBJECT_COLUMNS, *table.CONTACT_COLUMNS, *MATCH_COLUMNS):
        name = re.sub(r"_[yx](?=_|$)", "_z", column.name)
        assert f"`{name}`" in page or name in ("state", "cut"), name
    for score in TITLES:
        assert f"`{score}`" in page or score == "ap_75", score


def test_a_row_is_found_by_its_exact_id() -> None:
    """Numbers of 64 bits that floats and signed numbers do not tell apart, and numbers that are no ids."""
    ids = [1, 2**53, 2**53 + 1, 2**64 - 1]
    rows = pa.table({"id": pa.array(ids, pa.uint64())})
    assert [table.of_id(rows, id_)["id"].to_pylist() for id_ in ids] == [[id_] for id_ in ids]
    assert [len(table.of_id(rows, id_)) for id_ in (0, -1, 2**53 + 2, 2**64, 10**20)] == [0] * 5

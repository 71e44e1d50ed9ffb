"""Tables of objects: a column has its unit in its name, and says what it means.

A table is Arrow's: its types are kept in Parquet, ids stay whole numbers of 64 bits, and what is not defined is null.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

Table = Any
"""pyarrow.Table: pyarrow has no types."""


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    name: str
    kind: str
    """Arrow's name of its type."""
    meaning: str


WHERE = (Column("capture", "string", "name of the capture"), Column("class", "string", "name of the class"))
"""Where an object is; each table of objects begins with it."""


def arrow_table(columns: Sequence[Column], values: Iterable[Any]) -> Table:
    """A table of so many columns of values; NaN is null."""
    return pa.table(
        [
            pa.array(cells, column.kind, from_pandas=column.kind == "double")
            for column, cells in zip(columns, values, strict=True)
        ],
        schema=_schema(columns),
    )


def _schema(columns: Sequence[Column]) -> Any:
    return pa.schema([pa.field(c.name, pa.type_for_alias(c.kind), metadata={"meaning": c.meaning}) for c in columns])


def empty_table(columns: Sequence[Column]) -> Table:
    """A table without rows."""
    return _schema(columns).empty_table()


def joined(tables: Sequence[Table]) -> Table:
    """The tables of several captures as one."""
    return pa.concat_tables(tables)


def to_csv(table: Table) -> bytes:
    """Lines with commas between the cells; what is not defined is empty."""
    file = io.BytesIO()
    pa.csv.write_csv(table, file, pa.csv.WriteOptions(quoting_style="needed"))
    return file.getvalue()


def to_parquet(table: Table) -> bytes:
    """A file of Parquet."""
    file = io.BytesIO()
    pa.parquet.write_table(table, file, compression="zstd")
    return file.getvalue()


def from_parquet(data: bytes) -> Table:
    """The table of a file of Parquet."""
    return pa.parquet.read_table(io.BytesIO(data))

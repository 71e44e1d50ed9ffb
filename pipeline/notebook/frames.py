"""The tables of objects as data frames of pandas, in which ids stay whole numbers of 64 bits.

pandas turns a column of whole numbers into floats where one is missing, which makes two ids from 2**53 on one. Its
nullable types, which these frames have, do not. A join with a column of signed numbers is one of floats even so: join
with ``astype("UInt64")``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pyarrow as pa

from pipeline.errors import InputError
from pipeline.run.layout import Run
from pipeline.run.objecttables import CONTACTS, MATCHES, OBJECTS, read_table

if TYPE_CHECKING:
    import pandas as pd

TABLES = {"objects": OBJECTS, "contacts": CONTACTS, "matches": MATCHES}


def objects(run: Run, what: Literal["objects", "contacts", "matches"] = "objects") -> pd.DataFrame:
    """The objects of a run, a row each; or who touches whom, or what was found, missed and invented.

    Raises:
        InputError: pandas is not installed.
        RunConflictError: the run has no such table yet, or tells no objects apart.
    """
    try:
        import pandas as pd
    except ModuleNotFoundError as error:
        raise InputError(
            "data frames need pandas: pip install 'vemseg[notebook]'. Without it, pyarrow.parquet.read_table reads the "
            "run's evaluation/objects.parquet"
        ) from error
    nullable = {pa.uint64(): pd.UInt64Dtype(), pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    frame: pd.DataFrame = read_table(run, TABLES[what]).to_pandas(types_mapper=nullable.get)
    return frame

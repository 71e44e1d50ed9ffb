"""Tables of objects as data frames: ids stay what they are, also where some are missing and in joins of pandas."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import InputError, RunConflictError
from pipeline.notebook import objects
from pipeline.objects.columns import arrow_table
from pipeline.run.layout import Run
from pipeline.run.objecttables import read_table
from pipeline.scoring.object_matches import MATCH_COLUMNS
from pipeline.volume.stores import Store

LARGE = [2**53, 2**53 + 1, 2**64 - 1]


def test_a_frame_is_the_table(with_objects: Run) -> None:
    for what, name in (("objects", "objects"), ("contacts", "contacts"), ("matches", "object_matches")):
        frame, table = objects(with_objects, what), read_table(with_objects, name)
        assert list(frame.columns) == table.schema.names
        assert frame.iloc[:, 2].tolist() == table.column(2).to_pylist()
    frame = objects(with_objects)
    assert frame["id"].dtype == pd.UInt64Dtype()
    assert frame.groupby("class")["volume_nm3"].median().loc["bright"] > 0


def test_ids_stay_what_they_are_where_some_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    ids, none = [*LARGE, None], [None, *LARGE]
    cells = [["c"] * 4, ["m"] * 4, ["found"] * 4, ids, none, [0.5] * 4, [1, 2, 3, None], [1] * 4, [True] * 4]
    table = arrow_table(MATCH_COLUMNS, cells)
    monkeypatch.setattr("pipeline.notebook.frames.read_table", lambda run, name: table)
    frame = objects(Run(Store.open("/")), "matches")
    assert frame["true_id"].tolist()[:3] == LARGE
    assert frame["predicted_id"].tolist()[1:] == LARGE
    assert frame["true_id"].isna().tolist() == [False, False, False, True]
    other = pd.DataFrame({"true_id": np.array([4, 5], np.uint64), "note": ["a", "b"]}).astype({"true_id": "UInt64"})
    joined = frame.merge(other, how="outer", on="true_id")
    assert set(joined["true_id"].dropna().tolist()) == {4, 5, *LARGE}


def test_without_pandas_it_says_what_to_do(with_objects: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(InputError, match=r"vemseg\[notebook\].*objects\.parquet"):
        objects(with_objects)


def test_a_run_without_objects_has_none(finished: Run) -> None:
    with pytest.raises(RunConflictError, match="instances: true"):
        objects(finished)


def test_scores_of_objects_show_themselves(with_objects: Run) -> None:
    table = with_objects.scores
    assert table is not None
    html = table._repr_html_()  # type: ignore[attr-defined]
    assert "AP.5" in html
    assert html.count("<table") == 2

"""`vemseg objects` shows what a run's tables say, and writes them as files; mistakes end before any of it."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from tinystudy import Finished

from pipeline.objects.columns import from_parquet
from pipeline.objects.table import of_class
from pipeline.run.layout import Run
from pipeline.run.objecttables import read_table

Command = Callable[..., Finished]


def test_a_summary_counts_the_objects_of_each_class(with_objects: Run, vemseg: Command) -> None:
    shown = vemseg("objects", with_objects.store.url)
    assert shown.code == 0
    table = read_table(with_objects, "objects")
    for name in ("grey", "bright"):
        row = next(line.split() for line in shown.text.splitlines() if line.split()[:1] == [name])
        assert row[1] == str(of_class(table, name).num_rows)
    assert "AP.5" in shown.text
    alone = vemseg("objects", with_objects.store.url, "--class", "grey").text
    assert "bright" not in alone


def test_tables_are_written_by_the_ending_of_the_file(with_objects: Run, vemseg: Command, tmp_path: Path) -> None:
    run, table = with_objects.store.url, read_table(with_objects, "objects")
    assert vemseg("objects", run, tmp_path / "all.parquet").code == 0
    assert from_parquet((tmp_path / "all.parquet").read_bytes()).equals(table)
    written = vemseg("objects", run, tmp_path / "grey.csv", "--class", "grey")
    rows = list(csv.DictReader((tmp_path / "grey.csv").read_text().splitlines()))
    assert [int(row["id"]) for row in rows] == of_class(table, "grey")["id"].to_pylist()
    assert f"{len(rows)} rows" in written.text
    assert vemseg("objects", run, tmp_path / "matches.csv", "--what", "matches").code == 0
    assert (tmp_path / "matches.csv").read_text().startswith('"capture","class","state"')


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["table.xlsx"], "written as .parquet or .csv"),
        (["table.csv", "--class", "membranes"], "but of grey, bright"),
        (["--class", "membranes"], "but of grey, bright"),
        (["mesh.obj", "--mesh", "1", "--class", "bright"], ".ply or .stl"),
        (["mesh.ply", "--mesh", "99999", "--class", "bright"], "no object 99999 of bright"),
        (["mesh.ply", "--mesh", "1"], "--class: grey, bright"),
        (["mesh.ply", "--mesh", "1", "--class", "bright", "--capture", "other"], "captures with some are"),
        (["--mesh", "1"], "name the file to write"),
        (["objects.csv", "--capture", "tiny"], "--capture tiny: says of which capture the object of --mesh is"),
        (["mesh.ply", "--mesh", "1", "--what", "contacts"], "--what contacts: is a table"),
    ],
)
def test_what_cannot_be_written_is_refused(
    words: list[str], told: str, with_objects: Run, vemseg: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = vemseg("objects", with_objects.store.url, *words)
    assert ended.code == 2
    assert told in ended.text
    assert not any(tmp_path.iterdir())


def test_a_run_without_objects_says_what_they_need(finished: Run, vemseg: Command) -> None:
    ended = vemseg("objects", finished.store.url)
    assert ended.code == 2
    assert "instances: true" in ended.text

"""A folder is looked after: what is new and whole is found once, what is not is left alone and said so."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from tinystudy import write_tiff

from pipeline.errors import InputError
from pipeline.steps.inbox import inbox

LONG_AGO = 1_000_000_000


def settled_slice(path: Path) -> Path:
    """A volume of one slice, which nobody has touched for long."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_tiff(path, np.zeros((8, 8), np.uint8))
    os.utime(path, (LONG_AGO, LONG_AGO))
    return path


def test_a_volume_is_found_until_it_has_a_run(tmp_path: Path) -> None:
    volume = settled_slice(tmp_path / "in" / 'Mouse 7 (left) {{x}} $(y) "z".tif')
    look = inbox(str(tmp_path / "in"), str(tmp_path / "runs"), outputs=tmp_path / "out")
    (found,) = look.found
    assert (found.input, found.run) == (str(volume), str(tmp_path / "runs" / volume.name))
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", found.name)
    told = (tmp_path / "out" / "volumes").read_text()
    assert json.loads(told) == [vars(found)]
    assert "{{" not in told  # would begin a tag of Argo's
    assert "$" not in told

    assert inbox(str(tmp_path / "in"), str(tmp_path / "runs")) == look
    Path(found.run).mkdir(parents=True)
    later = inbox(str(tmp_path / "in"), str(tmp_path / "runs"), outputs=tmp_path / "out")
    assert later.found == ()
    assert found.run in later.left_alone[volume.name]
    assert (tmp_path / "out" / "volumes").read_text() == "[]"


def test_what_is_still_copied_unreadable_or_hidden_is_left_alone(tmp_path: Path) -> None:
    settled_slice(tmp_path / ".hidden.tif")
    settled_slice(tmp_path / "fresh.tif").touch()
    settled_slice(tmp_path / "slices" / "0.tif")  # its folder has just been made
    notes = tmp_path / "notes.txt"
    notes.write_text("no volume")
    os.utime(notes, (LONG_AGO, LONG_AGO))
    look = inbox(str(tmp_path), str(tmp_path / "runs"))
    assert look.found == ()
    assert sorted(look.left_alone) == ["fresh.tif", "notes.txt", "slices"]
    patient = inbox(str(tmp_path), "runs", settled_seconds=0)
    assert [found.input for found in patient.found] == [str(tmp_path / name) for name in ("fresh.tif", "slices")]
    assert list(patient.left_alone) == ["notes.txt"]


def test_two_volumes_never_share_a_name(tmp_path: Path) -> None:
    for name in ("a.tif", "A.tif", "a_tif.tif", "a/0.tif", "x" * 80 + ".tif"):
        settled_slice(tmp_path / name)
    names = [found.name for found in inbox(str(tmp_path), "runs", settled_seconds=0).found]
    assert len(names) == len(set(names)) == 5
    assert max(map(len, names)) <= 63


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        inbox(str(tmp_path / "nowhere"), str(tmp_path))


def test_of_each_volume_the_same_part_is_taken(tmp_path: Path) -> None:
    settled_slice(tmp_path / "large.tif")
    write_tiff(tmp_path / "small.tif", np.zeros((4, 4), np.uint8))
    look = inbox(str(tmp_path), "runs", settled_seconds=0, cut="[0:1,0:8,2:8]")
    (found,) = look.found
    assert (found.input, found.run) == (f"{tmp_path / 'large.tif'}[0:1,0:8,2:8]", "runs/large.tif")
    assert "box" in look.left_alone["small.tif"]

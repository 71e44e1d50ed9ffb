"""A format is one class: entered into the registry, it is read by sources, studies and the application alike."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from dummyformat import SHAPE, DummySource, dummy_format

from pipeline.errors import DataError, InputError
from pipeline.volume import sources
from pipeline.volume.ingest import ingest_capture
from pipeline.volume.omezarr import open_image
from pipeline.volume.sources import STRANGER, TRUSTED, open_source
from pipeline.volume.sources.base import Location, Opening
from pipeline.volume.stores import Store


@pytest.fixture
def dummy(tmp_path: Path) -> Iterator[Path]:
    with dummy_format() as content:
        (tmp_path / "stack.dummy").write_bytes(content)
        yield tmp_path / "stack.dummy"


def test_a_registered_format_is_opened(dummy: Path) -> None:
    with open_source(str(dummy), dummy.parent) as source:
        assert (source.shape_zyx, source.read(0, 3)[:, 5, 5].tolist()) == (SHAPE, [7, 8, 9])
    with pytest.raises(DataError, match="dummy volume"):
        open_source(str(dummy.parent), dummy.parent)


def test_a_study_takes_it_in(dummy: Path, tmp_path: Path) -> None:
    store = Store.open(tmp_path / "run", create=True)
    taken = ingest_capture(store, name="made", raw=dummy.name, base=dummy.parent)
    assert taken.geometry.voxel_size_nm == DummySource.voxel_size_nm
    assert open_image(store).array[:, 0, 0].tolist() == [7, 8, 9]


def test_its_references_are_a_matter_of_who_gave_it(dummy: Path) -> None:
    dummy.write_text("3 40 56 /etc/hostname")
    with open_source(str(dummy), dummy.parent, TRUSTED) as source:
        assert source.shape_zyx == SHAPE
    for policy in ((), (STRANGER,)):
        with pytest.raises(DataError, match="another file"):
            open_source(str(dummy), dummy.parent, *policy)


def test_a_library_that_is_missing_is_named_with_its_extra(dummy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def init(self: DummySource, location: Location, opening: Opening) -> None:
        raise ModuleNotFoundError("no module named dummylib")

    monkeypatch.setattr(DummySource, "__init__", init)
    monkeypatch.setattr(DummySource, "extra", "formats")
    with pytest.raises(InputError, match=r"vemseg\[formats\]"):
        open_source(str(dummy), dummy.parent)


def test_every_format_says_what_it_is() -> None:
    assert len({each.name for each in sources.FORMATS}) == len(sources.FORMATS)
    endings = [suffix for each in sources.FORMATS for suffix in each.suffixes]
    assert len(set(endings)) == len(endings)
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in endings)

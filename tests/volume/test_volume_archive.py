"""Archives made to do harm are refused, by entry and before anything is written; honest ones unpack."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import pytest

from pipeline.errors import DataError
from pipeline.volume.sources import TRUSTED, Limits, Policy
from pipeline.volume.sources.packed import extract


def archive(folder: Path, entries: dict[str, bytes], **attributes: int) -> Path:
    path = folder / "upload.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in entries.items():
            entry = zipfile.ZipInfo(name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            for attribute, value in attributes.items():
                setattr(entry, attribute, value)
            file.writestr(entry, content)
    return path


def refused(path: Path, folder: Path, policy: Policy = TRUSTED) -> str:
    target = folder / "target"
    target.mkdir(exist_ok=True)
    with pytest.raises(DataError) as error:
        extract(path, target, policy)
    assert not any(target.iterdir())
    assert {entry.name for entry in folder.iterdir()} <= {"target", "upload.zip"}
    assert "upload.zip" in str(error.value)
    return str(error.value)


def test_an_honest_archive_unpacks_with_its_folders(tmp_path: Path) -> None:
    path = archive(tmp_path, {"a/": b"", "a/1.png": b"one", "b/c/2.png": b"two"})
    target = tmp_path / "target"
    target.mkdir()
    extract(path, target)
    found = {str(file.relative_to(target)): file.read_bytes() for file in target.rglob("*") if file.is_file()}
    assert found == {"a/1.png": b"one", "b/c/2.png": b"two"}


@pytest.mark.parametrize(
    "name", ["../evil", "a/../../evil", "/etc/evil", "..", "a\\..\\..\\evil", "C:/evil", "C:\\evil", "/", "./.."]
)
def test_paths_that_leave_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    path = archive(tmp_path, {"fine.png": b"1", name: b"2"})
    refused(path, tmp_path)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices_are_refused(tmp_path: Path, kind: int) -> None:
    path = archive(tmp_path, {"link.png": b"/etc/passwd"}, external_attr=(kind | 0o777) << 16)
    assert "link.png" in refused(path, tmp_path)


def test_an_encrypted_archive_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path, {"secret.png": b"1"})
    content = bytearray(path.read_bytes())
    for signature, flags_at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + flags_at] |= 1
    path.write_bytes(content)
    assert "secret.png" in refused(path, tmp_path)


def test_an_archive_in_an_archive_is_refused(tmp_path: Path) -> None:
    assert "inner.ZIP" in refused(archive(tmp_path, {"inner.ZIP": b"PK"}), tmp_path)


def test_what_unpacks_to_a_thousand_times_its_size_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path, {"bomb.tif": bytes(20_000_000)})
    assert 900 * path.stat().st_size < 20_000_000
    refused(path, tmp_path)


def test_a_tiny_mask_may_pack_very_well(tmp_path: Path) -> None:
    path = archive(tmp_path, {"mask.npy": bytes(2**16)})
    (tmp_path / "target").mkdir()
    extract(path, tmp_path / "target")


@pytest.mark.parametrize("limits", [Limits(files=1), Limits(total_bytes=5), Limits(depth=2)])
def test_number_size_and_depth_are_limited(tmp_path: Path, limits: Limits) -> None:
    path = archive(tmp_path, {"a/b/1.png": b"abc", "2.png": b"def"})
    refused(path, tmp_path, Policy(follows_references=True, limits=limits))


def test_one_name_twice_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path, {"1.png": b"abc"})
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "a") as file:
        file.writestr("1.png", b"def")
    refused(path, tmp_path)


def test_an_entry_that_declares_less_than_it_holds_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path, {"liar.tif": bytes(5_000_000)})
    content = path.read_bytes().replace((5_000_000).to_bytes(4, "little"), (1000).to_bytes(4, "little"))
    path.write_bytes(content)
    target = tmp_path / "target"
    target.mkdir()
    with pytest.raises(DataError, match=r"upload\.zip"):
        extract(path, target)
    assert sum(file.stat().st_size for file in target.iterdir()) <= 1000


@pytest.mark.parametrize("damage", [slice(0, 0), slice(0, 40), slice(30, None)])
def test_a_damaged_archive_is_refused(tmp_path: Path, damage: slice) -> None:
    path = archive(tmp_path, {"1.png": b"abc" * 100})
    path.write_bytes(path.read_bytes()[damage])
    refused(path, tmp_path)


def test_a_name_that_is_not_in_the_encoding_it_claims_is_refused(tmp_path: Path) -> None:
    """Names that are flagged as UTF-8 (APPNOTE.TXT 6.3.10, bit 11), with a byte that UTF-8 does not have there."""
    path = archive(tmp_path, {"\u00e9.png": b"1"})
    path.write_bytes(path.read_bytes().replace("\u00e9".encode(), b"\xc3("))
    refused(path, tmp_path)

"""A stranger's volume gives the same result as one's own; what it names beside itself is neither read nor copied."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from tinystudy import Finished, place

from pipeline.run.layout import Run

GREY = np.random.default_rng(0).integers(0, 256, (4, 40, 48), np.uint8)
Vemseg = Callable[..., Finished]


def files(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and not {"events", "metrics"} & set(path.parts) and path.name != "inputs.json"
    }


def test_the_result_is_the_same(vemseg: Vemseg, tmp_path: Path, finished: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "stack.npy", GREY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ARGO_PROGRESS_FILE", str(tmp_path / "progress"))
    model = next(path.parent for path in (place(finished) / "models").rglob("model.safetensors"))
    words = ["prepare", "--model", model, "--input", "stack.npy", "--voxel-size-nm", "40,8,8", "--intensity=as_trained"]
    for name in ("trusted", "untrusted"):
        done = vemseg(*words, "--run", name, "--outputs", f"{name}-outputs", "--input-is", name)
        assert done.code == 0, done.text
    assert files(Path("untrusted")) == files(Path("trusted"))
    assert files(Path("untrusted-outputs")) == files(Path("trusted-outputs"))
    assert "4 x 40 x 48 voxels" in done.text


def test_a_file_of_the_server_is_not_read(vemseg: Vemseg, tmp_path: Path) -> None:
    canary = tmp_path / "server" / "canary"
    canary.parent.mkdir()
    canary.write_bytes(b"the server's own" * 480)
    with h5py.File(tmp_path / "stack.h5", "w") as file:
        file.create_dataset("volume", GREY.shape, "uint8", external=[(str(canary), 0, GREY.size)])
        file["volume"].attrs["element_size_um"] = (0.04, 0.008, 0.008)
    words = ["resample", "--input", tmp_path / "stack.h5", "--to-nm", "40,8,8", "--output"]
    refused = vemseg(*words, tmp_path / "untrusted", "--input-is=untrusted")
    assert (refused.code, "keeps its voxels in other files" in refused.text) == (2, True)
    assert not (tmp_path / "untrusted" / "resampled").exists()
    assert vemseg(*words, tmp_path / "trusted").code == 0

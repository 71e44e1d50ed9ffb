"""A confined process has what it is given and no more; whatever it does, its caller gets an answer or plain words.

The attempts are harmless: a canary file of the test's own, the loopback address, /bin/true.
"""

from __future__ import annotations

import ctypes
import time
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import DataError
from pipeline.volume import confined
from pipeline.volume.confined import Limits

FUNCTIONS = "confined_functions"
needs_landlock = pytest.mark.skipif(
    ctypes.CDLL(None).syscall(444, None, 0, 1) < 6, reason="this kernel's Landlock is older than version 6"
)


@needs_landlock
def test_nothing_but_what_is_given_can_be_opened(tmp_path: Path) -> None:
    canary, given, writable = tmp_path / "canary" / "secret", tmp_path / "given", tmp_path / "out"
    for folder in (canary.parent, writable):
        folder.mkdir()
    canary.write_text("the server's")
    given.write_text("the stranger's")
    done = confined.run(
        f"{FUNCTIONS}:attempts",
        {"canary": str(canary), "given": str(given), "writable": str(writable)},
        what="stack.tif",
        readable=[given],
        writable=[writable],
    )
    allowed = {"read what is given", "write where it may"}
    assert {name for name, outcome in done.items() if outcome == "done"} == allowed
    assert (done["read a canary"], done["connect"]) == ("PermissionError", "PermissionError")
    assert [path.name for path in canary.parent.iterdir()] == ["secret"]
    assert given.read_text() == "the stranger's"


def test_no_secret_is_in_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_SECRET_ACCESS_KEY", "VEMSEG_APP_DATA", "VEMSEG_COOKIE_KEY", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.setenv(name, "secret")
    found = confined.run(f"{FUNCTIONS}:environment", {}, what="stack.tif")
    assert not [name for name in found["variables"] if name.startswith(("AWS_", "VEMSEG_", "KUBERNETES_"))]
    assert found["threads"] == 1
    remote = confined.run(f"{FUNCTIONS}:environment", {}, what="s3://lab/stack.zarr", remote=True)
    assert "AWS_SECRET_ACCESS_KEY" in remote["variables"]
    assert "VEMSEG_COOKIE_KEY" not in remote["variables"]


def test_answers_are_plain_data() -> None:
    answer = confined.run(f"{FUNCTIONS}:arrays", {}, what="stack.tif")
    assert answer["text"] == "µm"
    np.testing.assert_array_equal(answer["grey"], [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(answer["sizes"], [0.5, 2.0])
    assert confined.run(f"{FUNCTIONS}:chatters", {}, what="stack.tif") == {"said": True}


@pytest.mark.parametrize(
    ("function", "seconds", "words"),
    [
        ("refuses", 60, "stack.tif: made up"),
        ("surprises", 60, "no such thing"),
        ("takes_memory", 60, "0.25 GB of memory"),
        ("computes", 60, "1 seconds of computing"),
        ("waits", 3, "longer than 3 seconds"),
        ("dies", 60, "failed on it"),
        ("kills_itself", 60, "failed on it"),
    ],
)
def test_whatever_it_does_is_told_in_words(function: str, seconds: float, words: str) -> None:
    limits = Limits(memory_bytes=2**28, cpu_seconds=1, seconds=seconds)
    started = time.monotonic()
    with pytest.raises(DataError, match=words) as refused:
        confined.run(f"{FUNCTIONS}:{function}", {}, what="stack.tif", limits=limits)
    assert str(refused.value).startswith("stack.tif: ")
    assert time.monotonic() - started < 60


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1, 2]\n",
        "{}\n",
        '{"result": 3}\n',
        '{"result": {"size": NaN}}\n',
        '{"result": {"size": -Infinity}}\n',
        "[" * 100_000 + "\n",
        '{"error": ["DataError"], "message": null}\n',
        '{"error": "SettingError", "message": "of two arguments"}\n',
        '{"error": "BaseException", "message": "not ours"}\n',
        *(
            f'{{"result": {{"grey": {{"dtype": {dtype}, "shape": {shape}}}}}}}\n0123'
            for dtype, shape in [
                ('"u1"', "[5]"),
                ('"u1"', "[3]"),
                ('"u1"', "[-1, -4]"),
                ('"u1"', "[2.0, 2]"),
                ('"u1"', "[true, 4]"),
                ('"u1"', "null"),
                ('"u1"', "[99999999999999999999]"),
                ('"O"', "[1]"),
                ('"no type"', "[4]"),
                ("7", "[4]"),
            ]
        ),
    ],
)
def test_an_answer_that_is_none_is_an_error_in_words(text: str) -> None:
    with pytest.raises(DataError, match=r"^stack\.tif: "):
        confined.run(f"{FUNCTIONS}:answers", {"text": text}, what="stack.tif", limits=Limits(seconds=60))


def test_numbers_that_json_has_not_are_no_answer() -> None:
    with pytest.raises(DataError, match="no proper answer"):
        confined.run(f"{FUNCTIONS}:not_a_number", {}, what="stack.tif")

"""A run's results in other programs: one OME-Zarr with its labels, served on loopback, exported with an explanation."""

from __future__ import annotations

import http.client
import json
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
import tensorstore
import tifffile
from ome_zarr.io import parse_url
from ome_zarr.reader import Reader
from tinystudy import CONFIG, NAMES, Finished, place, whole

from pipeline.errors import ConfigError, InputError, StorageError
from pipeline.run.layout import Run
from pipeline.run.outcome import outcome
from pipeline.run.takeout import take_out
from pipeline.run.verify import verify
from pipeline.steps.infer import infer
from pipeline.volume.stores import Store
from pipeline.volume.viewers import LabelLayer, VolumeServer, neuroglancer_url

COLORS = [member["color"] for member in CONFIG["classes"]["members"]]


def test_ome_zarr_py_opens_one_path_with_names_and_colours(finished: Run) -> None:
    """As napari-ome-zarr does, which reads by it."""
    location = parse_url(place(finished) / "volume.zarr/tiny")
    assert location is not None
    image, _, *labels = Reader(location)()
    assert image.metadata["contrast_limits"] == [list(finished.image("tiny").shown or ())]
    assert np.array_equal(np.asarray(image.data[0]), whole(finished.image("tiny")))
    names = [node.metadata["name"] for node in labels]
    assert names == ["segmentation", *(f"segmentation-{name}" for name in NAMES), "truth", "split"]
    shown = labels[0]
    assert np.array_equal(np.asarray(shown.data[0]), whole(finished.segmentation("multilabel", "tiny")))
    assert [shown.metadata["properties"][value]["name"] for value in (1, 2, 3)] == list(NAMES)
    colors = [np.rint(np.array(shown.metadata["color"][value][:3]) * 255).astype(int) for value in (1, 2, 3)]
    assert ["#{:02x}{:02x}{:02x}".format(*color) for color in colors] == COLORS
    # "The JSON array associated with the datasets key MUST have the same number of entries as the original image."
    assert {len(node.data) for node in labels} == {len(image.data)}


@pytest.fixture
def served(finished: Run) -> Iterator[VolumeServer]:
    found = outcome(str(place(finished)))
    stores = {name: volume.store for name, volume in found.volumes.items()}
    classes = {name: volume.classes for name, volume in found.labels.items()}
    with VolumeServer(stores, classes) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_tensorstore_reads_what_is_served(served: VolumeServer, finished: Run) -> None:
    for name, volume in outcome(str(place(finished))).volumes.items():
        spec = {"driver": "zarr3", "kvstore": f"{served.url(name)}/0/"}
        assert np.array_equal(tensorstore.open(spec).result().read().result(), whole(volume))


def test_names_are_served_to_neuroglancer(served: VolumeServer) -> None:
    with urllib.request.urlopen(f"{served.url('segmentation')}/names/info") as answer:
        told = json.load(answer)
    assert told["@type"] == "neuroglancer_segment_properties"
    assert dict(zip(told["inline"]["ids"], told["inline"]["properties"][0]["values"], strict=True)) == {
        str(number): name for number, name in enumerate(NAMES, 1)
    }


def ask(server: VolumeServer, path: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    with closing(connection):
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read(), dict(answer.headers)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("bytes=2-5", slice(2, 6)),
        ("bytes=3-", slice(3, None)),
        ("bytes=-4", slice(-4, None)),
        ("bytes=0-999999", slice(None)),
    ],
)
def test_ranges_of_bytes(served: VolumeServer, finished: Run, asked: str, expected: slice) -> None:
    content = (place(finished) / "volume.zarr/tiny/zarr.json").read_bytes()
    status, data, headers = ask(served, urlsplit(served.url("raw")).path + "/zarr.json", Range=asked)
    assert data == content[expected]
    assert status == (206 if len(data) < len(content) else 200)
    assert headers["Access-Control-Allow-Origin"] == "*"


def test_a_range_beyond_the_end_is_refused(served: VolumeServer) -> None:
    status, _, headers = ask(served, urlsplit(served.url("raw")).path + "/zarr.json", Range="bytes=9999999-")
    assert status == 416
    assert headers["Content-Range"].startswith("bytes */")


@pytest.mark.parametrize(
    "beyond",
    [
        "../../../plan.json",
        "%2e%2e/%2e%2e/plan.json",
        "labels/..%2f..%2fplan.json",
        "",
        "/etc/passwd",
        "a" * 300,
        "zarr.json/x",
        "labels",
        "%0a",
        "%7f",
        "%00",
        "%ff",
        "a%20b%3f%23",
    ],
)
def test_nothing_beside_the_volumes_is_served(served: VolumeServer, beyond: str) -> None:
    assert ask(served, f"{urlsplit(served.url('raw')).path}/{beyond}")[0] == 404


class LostStore(Store):
    """A bucket whose storage fails."""

    def local_path(self) -> None:
        return None

    def size(self, key: str) -> int | None:
        raise StorageError(f"{key}: the connection was lost")


def test_an_error_leaves_the_connection_in_order(served: VolumeServer) -> None:
    """An answer to HEAD has no body, which would be taken for the next answer."""
    served.volumes = {**served.volumes, "lost": LostStore("s3://lost/volume")}
    path = urlsplit(served.url("raw")).path
    lost = urlsplit(served.url("lost")).path
    with closing(http.client.HTTPConnection("127.0.0.1", served.server_port, timeout=30)) as connection:
        for asked, status in ((f"{lost}/zarr.json", 500), (f"{path}/zarr.json", 200)):
            connection.request("HEAD", asked)
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (status, b"")


def test_who_does_not_know_the_secret_or_the_name_gets_nothing(served: VolumeServer) -> None:
    path = urlsplit(served.url("raw")).path
    assert ask(served, "/other" + path[path.index("/", 1) :] + "/zarr.json")[0] == 404
    assert ask(served, path + "/zarr.json", Host="evil.example:80")[0] == 404
    assert ask(served, path + "/zarr.json")[0] == 200


def test_a_link_out_of_the_volume_is_not_followed(copied: Run) -> None:
    (place(copied) / "volume.zarr/tiny/out").symlink_to(place(copied) / "plan.json")
    with VolumeServer({"raw": copied.image("tiny").store}, {}) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(HTTPError, match="404"):
            urllib.request.urlopen(f"{server.url('raw')}/out")
        server.shutdown()


def test_the_address_for_neuroglancer_holds_colours_and_contrast(finished: Run) -> None:
    layers = [
        LabelLayer("segmentation", "http://127.0.0.1:1/a", [(1, "dark", "#5b6b7b")], "http://127.0.0.1:1/a/names")
    ]
    url = neuroglancer_url("http://127.0.0.1:1/raw", layers, finished.image("tiny").geometry, shown=(3.0, 9.0))
    raw, labels = json.loads(unquote(urlsplit(url).fragment.removeprefix("!")))["layers"]
    assert raw["source"] == "http://127.0.0.1:1/raw/|zarr3:"
    assert raw["shaderControls"] == {"normalized": {"range": [3.0, 9.0]}}
    assert labels["segmentColors"] == {"1": "#5b6b7b"}
    assert labels["source"][1] == "precomputed://http://127.0.0.1:1/a/names"
    with_doubt = neuroglancer_url("", layers, finished.image("tiny").geometry, doubt_url="http://127.0.0.1:1/doubt")
    _, doubt = json.loads(unquote(urlsplit(with_doubt).fragment.removeprefix("!")))["layers"]
    assert (doubt["type"], doubt["source"], doubt["visible"]) == ("image", "http://127.0.0.1:1/doubt/|zarr3:", False)
    assert "toNormalized(getDataValue())" in doubt["shader"]


def test_a_run_is_enough_to_export(
    finished: Run, tmp_path: Path, vemseg: Callable[..., Finished], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = vemseg("export", place(finished))
    assert made.code == 0, made.text
    ids = whole(finished.segmentation("multilabel", "tiny"))
    assert np.array_equal(tifffile.imread("tiny-segmentation.tif"), ids)
    told = Path("tiny-segmentation.tif.README.txt").read_text(encoding="utf-8")
    assert all(f"{number}  {name}" in told for number, name in enumerate(NAMES, 1))
    weights = finished.model_store("multilabel").read_json("model.json")["weights_sha256"]
    assert weights in told
    assert vemseg("export", place(finished), "--what", "masks").code == 0
    for number, name in enumerate(NAMES, 1):
        assert np.array_equal(tifffile.imread(f"tiny-masks/{name}.tif"), np.where(ids == number, 255, 0))
    assert vemseg("export", place(finished), "part.npy", "--what", "truth", "--box", "1:3,10:20,5:50").code == 0
    nanometres = "40:120,80:160,40:400 nm"
    assert vemseg("export", place(finished), "same.npy", "--what", "truth", "--box", nanometres).code == 0
    np.testing.assert_array_equal(np.load("same.npy"), np.load("part.npy"))
    assert np.array_equal(np.load("part.npy"), whole(finished.truth("tiny"))[1:3, 10:20, 5:50])


@pytest.mark.parametrize(
    "words",
    [
        "x.jpg",
        "--as jpg",
        "--what foo",
        "--what probabilities",
        "--box 1:2",
        "--box 0:1,0:1,0:9999",
        "--box 2:1,0:1,0:1",
        "--capture b",
        "x.nii.gz",
        "--level 77",
        "x.mrc --what masks --as foo",
    ],
)
def test_what_cannot_be_exported_is_refused_and_nothing_written(
    words: str,
    finished: Run,
    tmp_path: Path,
    vemseg: Callable[..., Finished],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert vemseg("export", place(finished), *words.split()).code == 2
    assert list(tmp_path.iterdir()) == []


def test_the_whole_ending_is_named_that_cannot_be_written(finished: Run) -> None:
    for name, ending in (("x.nii.gz", ".nii.gz"), ("a.b.xyz", ".xyz")):
        with pytest.raises(ConfigError, match=f"cannot export as {ending};"):
            next(take_out(str(place(finished)), Path(name)))


def test_neither_a_run_nor_a_volume(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="neither a run"):
        outcome(str(tmp_path))


def test_a_run_whose_predictions_lie_apart_stays_readable_and_goes_on_there(copied: Run, tmp_path: Path) -> None:
    """As 0.1.0 kept them: ``predictions/<target>/<capture>/labels/segmentation``."""
    root = place(copied)
    ids = whole(copied.segmentation("multilabel", "tiny"))
    for target, name in {"multilabel": "segmentation", **{name: f"segmentation-{name}" for name in NAMES}}.items():
        apart = root / f"predictions/{target}/tiny/labels/segmentation"
        apart.parent.mkdir(parents=True)
        (root / f"volume.zarr/tiny/labels/{name}").rename(apart)
    run = Run.open(str(root))
    assert np.array_equal(whole(run.segmentation("multilabel", "tiny")), ids)
    assert np.array_equal(whole(outcome(str(root)).volume("segmentation")), ids)
    (root / "done/infer").rename(tmp_path / "infer")
    assert infer(str(root), target="multilabel") == 4
    assert np.array_equal(whole(Run.open(str(root)).segmentation("multilabel", "tiny")), ids)
    assert not (root / "volume.zarr/tiny/labels/segmentation").exists()


def test_a_damaged_list_of_labels_is_named_and_mended(copied: Run, study: Path) -> None:
    from pipeline.steps.plan import plan

    listed = place(copied) / "volume.zarr/tiny/labels/zarr.json"
    before = listed.read_bytes()
    listed.write_bytes(b"{}")
    assert [damage.key for damage in verify(copied.store.url)] == ["volume.zarr/tiny/labels/zarr.json"]
    plan(str(study), copied.store.url)
    assert listed.read_bytes() == before
    assert verify(copied.store.url) == []

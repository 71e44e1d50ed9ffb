"""What a step tells of itself: values are those of the work that was done, and telling them never costs the work.

Counts are compared with what the run holds. Served pages are read as Prometheus reads them, by the text format's own
parser. Whether a real Prometheus takes them in is tested in test_monitoring.py.
"""

from __future__ import annotations

import json
import math
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tinystudy import CONFIG, SHAPE_ZYX, markers, place

from pipeline.errors import ConfigError, DataError, StorageError
from pipeline.run.events import Reporter, read_events
from pipeline.run.layout import Run
from pipeline.run.metrics import LABELS, PORT_VARIABLE, PUSHGATEWAY_VARIABLE, StepMetrics
from pipeline.steps.evaluate import evaluate
from pipeline.steps.infer import infer
from pipeline.volume.omezarr import Volume
from pipeline.volume.stores import Store

VOXELS = math.prod(SHAPE_ZYX)
PATCH_VOXELS = math.prod(CONFIG["training"]["patch_zyx"])


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path)


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch, free_port: int) -> int:
    """A free port, which the environment asks for."""
    monkeypatch.setenv(PORT_VARIABLE, str(free_port))
    return free_port


class Page:
    """An exposition, to be asked for values by name and labels."""

    def __init__(self, text: str) -> None:
        self.samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    @classmethod
    def of(cls, run: Run, name: str) -> Page:
        return cls((place(run) / f"metrics/{name}.prom").read_text())

    @classmethod
    def at(cls, port: int) -> Page:
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            return cls(answer.read().decode())

    def value(self, name: str, **labels: str) -> float:
        """The value of the one series of that name with these labels."""
        (value,) = (s.value for s in self.samples if s.name == name and labels.items() <= s.labels.items())
        return float(value)

    def names(self) -> set[str]:
        return {sample.name for sample in self.samples}


def test_voxels_are_those_of_the_work(finished: Run) -> None:
    training = finished.config.training
    predicted = [json.loads(path.read_text()) for path in (place(finished) / "done/infer/multilabel").rglob("*.json")]
    test_voxels = sum(block.voxels for capture in finished.plan.captures for block in capture.split().test)
    expected = {
        "plan": VOXELS,
        "augment-0": finished.config.augmentation.pool_samples * PATCH_VOXELS,
        "train-multilabel": training.steps * training.batch_size * PATCH_VOXELS,
        "train-grey": training.binary_steps * training.batch_size * PATCH_VOXELS,
        "infer-multilabel-0": sum(marker["facts"]["voxels"] for marker in predicted),
        "evaluate": len(finished.plan.targets) * test_voxels,
    }
    for name, voxels in expected.items():
        assert Page.of(finished, name).value("vemseg_voxels_total") == voxels, name


def test_scores_are_those_of_the_results(finished: Run) -> None:
    history = finished.model_store("multilabel").read_json("history.json")
    trained = Page.of(finished, "train-multilabel")
    assert trained.value("vemseg_f1_ratio", average="macro") == history[-1]["validation_macro_f1"]
    assert trained.value("vemseg_loss") > 0
    scored, table = Page.of(finished, "evaluate"), evaluate(finished.store.url)
    for side, scores in table.sides.items():
        assert scored.value("vemseg_f1_ratio", network=side, average="macro") == scores.macro.f1
        assert scored.value("vemseg_f1_ratio", network=side, average="weighted") == scores.weighted.f1


def test_every_series_says_whose_it_is_and_nothing_that_grows_with_the_data(finished: Run) -> None:
    for path in (place(finished) / "metrics").iterdir():
        page = Page(path.read_text())
        assert len(page.samples) < 30
        for sample in page.samples:
            if sample.name != "vemseg_build_info":
                assert set(sample.labels) - {"phase", "network", "average"} == set(LABELS)
                item = "-".join(sample.labels[label] for label in LABELS if sample.labels[label])
                assert item == path.stem


@pytest.mark.skipif(not shutil.which("promtool"), reason="needs promtool")
def test_names_follow_prometheus_conventions(finished: Run) -> None:
    for path in (place(finished) / "metrics").iterdir():
        linted = subprocess.run(["promtool", "check", "metrics"], input=path.read_bytes(), capture_output=True)
        assert (linted.returncode, linted.stderr) == (0, b""), linted.stderr


def test_a_step_that_was_done_before_leaves_the_metrics_of_the_one_that_did_it(finished: Run) -> None:
    path = place(finished) / "metrics/infer-multilabel-0.prom"
    before = path.read_bytes()
    assert infer(finished.store.url, target="multilabel") == 0
    assert path.read_bytes() == before


@pytest.mark.parametrize("slow", ["read", "write"])
def test_waiting_for_the_storage_is_told_from_computing(
    copied: Run, monkeypatch: pytest.MonkeyPatch, slow: str
) -> None:
    """Each read or write of a volume takes a tenth of a second more; the network is far faster."""
    shutil.rmtree(place(copied) / "done/infer/multilabel")
    original = getattr(Volume, slow)

    def slowed(*arguments: Any) -> Any:
        time.sleep(0.1)
        return original(*arguments)

    monkeypatch.setattr(Volume, slow, slowed)
    infer(copied.store.url, target="multilabel")
    page, shards = Page.of(copied, "infer-multilabel-0"), len(markers(place(copied), "infer/multilabel"))
    assert page.value("vemseg_phase_seconds_total", phase=slow) >= 0.1 * shards
    assert page.value("vemseg_phase_seconds_total", phase="queue") >= 0.1 * (shards - 2)
    assert page.value("vemseg_phase_seconds_total", phase="compute") < 0.1 * shards


def test_time_is_counted_to_the_end_of_the_items_and_through_errors() -> None:
    metrics = StepMetrics("infer")

    def slow_items() -> Iterator[int]:
        for item in range(3):
            time.sleep(0.02)
            yield item
        time.sleep(0.02)

    assert list(metrics.each("queue", slow_items())) == [0, 1, 2]

    def fail_late() -> None:
        time.sleep(0.02)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        metrics.timed("compute", fail_late)()
    page = Page(metrics.exposition().decode())
    assert page.value("vemseg_phase_seconds_total", phase="queue") >= 0.08
    assert page.value("vemseg_phase_seconds_total", phase="compute") >= 0.02


def test_a_step_is_served_while_it_works_and_its_port_is_free_afterwards(store: Store, port: int) -> None:
    for worker in (0, 1):
        with Reporter(store, "infer", target="membrane", worker=worker) as report:
            report.metrics.voxels(5)
            report.progress(0, 4)
            time.sleep(0.1)
            report.progress(1, 4)
            page = Page.at(port)
            whose = {"step": "infer", "target": "membrane", "worker": str(worker)}
            assert page.value("vemseg_step_running", **whose) == 1
            assert page.value("vemseg_voxels_total", **whose) == 5
            assert page.value("vemseg_progress_ratio", **whose) == 0.25
            assert 0.3 <= page.value("vemseg_left_seconds", **whose) < 3
            assert abs(page.value("vemseg_progress_timestamp_seconds", **whose) - time.time()) < 60
    kept = Page(store.read("metrics/infer-membrane-1.prom").decode())
    assert kept.value("vemseg_step_running") == 0
    assert kept.value("vemseg_voxels_total") == 5


def test_without_a_port_nothing_listens(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PORT_VARIABLE, raising=False)
    before = threading.active_count()
    with Reporter(store, "infer"):
        assert threading.active_count() == before


def test_a_taken_port_costs_the_metrics_and_not_the_step(
    store: Store, port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as other:
        other.bind(("0.0.0.0", port))
        other.listen()
        with Reporter(store, "infer") as report:
            report.metrics.voxels(1)
    assert "not served" in capsys.readouterr().out
    assert store.exists("metrics/infer.prom")


@pytest.mark.parametrize("text", ["0", "65536", "tcp://10.0.0.1:9090"])
def test_what_is_no_port_is_refused(store: Store, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(PORT_VARIABLE, text)
    with pytest.raises(ConfigError, match=PORT_VARIABLE), Reporter(store, "infer"):
        pass


def _work_and_fail(report: Reporter) -> None:
    report.metrics.voxels(7)
    raise ZeroDivisionError


def test_a_step_that_fails_leaves_its_metrics_and_its_own_error(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), Reporter(store, "infer") as report:
        _work_and_fail(report)
    assert Page(store.read("metrics/infer.prom").decode()).value("vemseg_voxels_total") == 7


def test_metrics_that_cannot_be_kept_cost_nothing_else(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    write = Store.write

    def full_for_metrics(self: Store, key: str, data: bytes) -> None:
        if key.startswith("metrics/"):
            raise StorageError("the disk is full")
        write(self, key, data)

    monkeypatch.setattr(Store, "write", full_for_metrics)
    with Reporter(store, "infer") as report:
        report.metrics.voxels(1)
    assert b"the disk is full" in store.read("events/infer.jsonl")


def test_events_are_json_even_of_numbers_that_it_has_not(store: Store) -> None:
    with Reporter(store, "train", target="membrane") as report:
        report.event("validated", step=1, loss=math.nan, scores={"f1": [-math.inf, 0.5]})
    lines = store.read("events/train-membrane.jsonl").decode().splitlines()
    _, told, _ = [json.loads(line, parse_constant=pytest.fail) for line in lines]
    assert (told["loss"], told["scores"]) == (None, {"f1": [None, 0.5]})


@pytest.mark.parametrize("line", ["[1]", "3", '{"event": "ended"}', "[" * 50_000, "{"])
def test_what_is_no_event_is_named_with_its_file(store: Store, line: str) -> None:
    store.write("events/train.jsonl", f"{line}\n".encode())
    with pytest.raises(DataError, match=r"events/train\.jsonl: not a list of events"):
        read_events(store, "events/train.jsonl")


@pytest.mark.parametrize("gateway", ["127.0.0.1:9", "http://127.0.0.1:no-port", "nowhere.invalid:9091"])
def test_a_pushgateway_that_is_not_there_costs_nothing_else(
    store: Store, monkeypatch: pytest.MonkeyPatch, gateway: str
) -> None:
    monkeypatch.setenv(PUSHGATEWAY_VARIABLE, gateway)
    with Reporter(store, "infer") as report:
        report.metrics.voxels(1)
    assert b"metrics_lost" in store.read("events/infer.jsonl")
    assert store.exists("metrics/infer.prom")


@pytest.mark.skipif(not shutil.which("prometheus-pushgateway"), reason="needs prometheus-pushgateway")
def test_what_is_pushed_is_what_the_gateway_shows(
    store: Store, monkeypatch: pytest.MonkeyPatch, free_port: int, wait_for: Callable[..., Any]
) -> None:
    """Two workers of one run do not overwrite each other."""
    monkeypatch.setenv(PUSHGATEWAY_VARIABLE, f"127.0.0.1:{free_port}")
    gateway = subprocess.Popen(
        ["prometheus-pushgateway", f"--web.listen-address=127.0.0.1:{free_port}"], stderr=subprocess.DEVNULL
    )
    try:
        wait_for(lambda: Page.at(free_port))
        for worker in (0, 1):
            with Reporter(store, "infer", target="membrane", worker=worker) as report:
                report.metrics.voxels(worker + 1)
        page = Page.at(free_port)
        for worker in (0, 1):
            whose = {"job": "vemseg", "run": store.url, "step": "infer", "target": "membrane", "worker": str(worker)}
            assert page.value("vemseg_voxels_total", **whose) == worker + 1
    finally:
        gateway.terminate()
        gateway.wait()


def test_neither_help_nor_metrics_wait_for_what_they_do_not_need() -> None:
    metrics = "import sys, pipeline.run.events; sys.exit('torch' in sys.modules or 'zarr' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", metrics]).returncode == 0
    command_line = "import sys, pipeline.cli.main; sys.exit('prometheus_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", command_line]).returncode == 0

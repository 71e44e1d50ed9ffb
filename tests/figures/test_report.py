"""The report of a run says what the run's files say, whatever of them is there, and needs no other file to be read.

The judge of its figures is `scores.json`, that of its regions every tile of the arrays that are stored, one by one.
Names and messages are text, whatever they hold. How it looks in a browser is tested in tests/browser.
"""

from __future__ import annotations

import json
import platform
import re
import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pagereader import Page
from sklearn.metrics import f1_score
from tinystudy import BOOSTING, NAMES, Finished, place, run_chain, whole, write_study

from pipeline.errors import MissingLibraryError, RunConflictError
from pipeline.figures.palette import DARK_SCALE, LIGHT_SCALE, contrast, ink_on, luminance, shade
from pipeline.figures.render.drawing import require_opengl
from pipeline.figures.report.charts import training_curves
from pipeline.figures.report.contents import Contents, Place, TargetFacts
from pipeline.figures.report.findings import findings
from pipeline.figures.report.page import render
from pipeline.figures.report.pictures import LOOKS, Seen, draw_panels
from pipeline.figures.report.regions import TILE_VOXELS, Ranking, Region, even_side
from pipeline.figures.slices import ErrorKind
from pipeline.formats import decimals, signed
from pipeline.run.layout import Run
from pipeline.run.worklog import Measured, Work, machines, read_workers, work
from pipeline.scoring.ablation import Ablation, MeasuredInput, compare_inputs
from pipeline.scoring.ablation_tables import interval_text
from pipeline.scoring.ablation_tables import to_json as ablation_json
from pipeline.scoring.confusion import BinaryConfusion, ConfusionMatrix
from pipeline.scoring.tables import ScoreTable
from pipeline.steps.finish import finish
from pipeline.steps.infer import infer
from pipeline.steps.plan import plan
from pipeline.steps.prepare import prepare
from pipeline.steps.render import render as render_step
from pipeline.steps.report import report
from pipeline.volume.omezarr import open_labels
from pipeline.volume.stores import Store

HOSTILE = "<script>alert('x')</script>&\"quoted\""
PARTS = ("scores", "confusion", "regions", "training", "boosting", "renders")


def page_of(run: Run) -> Page:
    """The report of a run, made now."""
    report(run.store.url)
    return Page.of((place(run) / "evaluation/report.html").read_text())


def ablation(seed: int = 0) -> Ablation:
    """Four blocks of random counts of three inputs with one truth."""
    rng = np.random.default_rng(seed)
    rows = rng.integers(50, 100, (8, len(NAMES)))

    def blocks(right: float) -> list[ConfusionMatrix]:
        counted = []
        for supports in rows:
            chances = np.full((len(NAMES), len(NAMES)), (1 - right) / (len(NAMES) - 1))
            np.fill_diagonal(chances, right)
            counts = [[0, *rng.multinomial(n, chance)] for n, chance in zip(supports, chances, strict=True)]
            counted.append(ConfusionMatrix(NAMES, np.array(counts)))
        return counted

    inputs = [MeasuredInput(name, None, blocks(right)) for name, right in (("native", 0.9), ("bicubic", 0.6))]
    return compare_inputs(inputs, resamples=50)


@pytest.fixture(scope="module")
def complete(finished: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run with an ablation and renders beside its scores."""
    folder = tmp_path_factory.mktemp("complete") / "run"
    shutil.copytree(place(finished), folder)
    (folder / "evaluation/ablation.json").write_text(ablation_json(ablation()))
    renders = folder / "evaluation/renders"
    renders.mkdir()
    (renders / "dark found #1.html").write_text("a scene")
    shutil.copy(folder / "evaluation/figures/f1.png", renders / "still.png")
    return Run.open(folder)


@pytest.fixture(scope="module")
def page(complete: Run) -> Page:
    """The report of the complete run."""
    return page_of(complete)


@pytest.fixture(scope="module")
def scores(complete: Run) -> dict[str, dict[str, object]]:
    """Rows of scores.json by name."""
    return {row["name"]: row for row in json.loads(complete.evaluation_store.read("scores.json"))["rows"]}


@pytest.mark.parametrize(
    ("title", "measure"), [("F1", "f1"), ("IoU", "iou"), ("Precision", "precision"), ("Recall", "recall")]
)
def test_the_tables_of_scores_are_those_of_the_file(title: str, measure: str, page: Page, scores: dict) -> None:
    head, *rows = page.table(f"{title}:")
    assert head == ["class", "binary", "multilabel", "gain"]
    assert len(rows) == len(scores)
    for cells, row in zip(rows, scores.values(), strict=True):
        assert cells[0].startswith(row["name"])
        assert cells[1:3] == [decimals(row[side][measure]) for side in ("binary", "multilabel")]
        if None not in (row["binary"][measure], row["multilabel"][measure]):
            gain = float(cells[3].replace("−", "-"))
            assert gain == pytest.approx(row["multilabel"][measure] - row["binary"][measure], abs=6e-4)


def test_the_table_of_all_measures_is_that_of_the_file(page: Page, scores: dict) -> None:
    rows = page.table("Scores of the test part")[2:]
    for cells, row in zip(rows, scores.values(), strict=True):
        expected = [
            decimals(row[side][m]) for m in ("f1", "iou", "precision", "recall") for side in ("binary", "multilabel")
        ]
        assert cells[3:] == expected
        assert cells[2].replace(" ", "") == ("" if row["support_voxels"] is None else str(row["support_voxels"]))


def test_the_bars_are_as_long_as_the_scores(complete: Run, scores: dict) -> None:
    html = (place(complete) / "evaluation/report.html").read_text()
    table = html[html.index('<div class="measure measure-f1">') : html.index('<div class="measure measure-iou">')]
    widths = [float(width) for width in re.findall(r'class="bar multilabel" width="([0-9.e-]+)%"', table)]
    assert widths == pytest.approx([100 * (row["multilabel"]["f1"] or 0) for row in scores.values()], abs=0.05)


def test_the_confusion_matrix_is_in_per_cent_of_the_rows(page: Page, complete: Run) -> None:
    counts = np.array(json.loads(complete.evaluation_store.read("scores.json"))["confusion"]["multilabel"]["counts"])
    head, *rows = page.table("Confusion matrix")
    assert head == ["truth", *NAMES]
    shares = 100 * counts[:, 1:] / counts.sum(axis=1, keepdims=True)
    shown = [[0.0 if cell == "" else float(cell.removeprefix("<")) for cell in cells[1:]] for cells in rows]
    assert np.allclose(shown, shares, atol=0.1)


def test_binary_networks_are_tallied(page: Page, complete: Run) -> None:
    counts = json.loads(complete.evaluation_store.read("scores.json"))["confusion"]["binary"]["classes"]
    for cells in page.table("One network a class")[1:]:
        one = counts[cells[0]]
        support = one["tp"] + one["fn"]
        expected = [100 * one[kind] / support for kind in ("tp", "fn", "fp")]
        assert [float(cell.removeprefix("<")) for cell in cells[2:]] == pytest.approx(expected, abs=0.1)


def tiles(run: Run) -> list[tuple[Place, np.ndarray, np.ndarray]]:
    """Every tile of the test part with truth and prediction, cut by hand."""
    (test,) = run.plan.captures[0].split().test
    split = whole(open_labels(run.capture_store("tiny"), "split"))
    truth = np.where(split == 3, whole(run.truth("tiny")), 0)
    predicted = np.where(truth > 0, whole(run.segmentation("multilabel", "tiny")), 0)
    (_, top, left), (_, bottom, right) = test.start_zyx, test.stop_zyx
    rows, columns = even_side(bottom - top, TILE_VOXELS), even_side(right - left, TILE_VOXELS)
    found = []
    for z in range(test.start_zyx[0], test.stop_zyx[0]):
        for y in range(top, bottom, rows):
            for x in range(left, right, columns):
                box = np.s_[z, y : min(y + rows, bottom), x : min(x + columns, right)]
                place = Place("tiny", z, y, x, *truth[box].shape)
                found.append((place, truth[box], predicted[box]))
    return found


def test_regions_are_the_best_and_worst_of_all_tiles(complete: Run, page: Page) -> None:
    every = tiles(complete)
    html = (place(complete) / "evaluation/report.html").read_text()
    for number, name in enumerate(NAMES, 1):
        either = [int(((t == number) | (p == number)).sum()) for _, t, p in every]
        average = sum(either) // len(every)
        competing = [
            (f1_score(t.ravel() == number, p.ravel() == number, zero_division=0), where)
            for (where, t, p), voxels in zip(every, either, strict=True)
            if voxels >= max(1, average)
        ]
        worst, best = min(competing)[0], max(competing)[0]
        card = re.search(rf"<summary><h3>[^\n]*{name}</h3>.*?</details>", html, re.S)
        assert card
        shown = re.findall(r'class="standing (\w+)">\w+</strong> F1 <strong>([.\d]+)</strong>', card[0])
        assert shown[0] == ("worst", decimals(worst))
        if len(competing) > 1 and best > worst:
            assert shown[-1] == ("best", decimals(best))


def test_a_region_counts_the_voxels_of_its_tile(complete: Run) -> None:
    html = (place(complete) / "evaluation/report.html").read_text()
    by_place = {(where.z, where.top, where.left): (t, p) for where, t, p in tiles(complete)}
    pattern = (
        r"([\d\u202f]+) voxels found, ([\d\u202f]+) missed, ([\d\u202f]+) invented.*?z (\d+), y (\d+)–\d+, x (\d+)–"
    )
    cards = re.findall(r"<summary><h3>[^\n]*?(\w+)</h3>(.*?)</details>", html, re.S)
    assert {name for name, _ in cards} == set(NAMES)
    for name, card in cards:
        for found in re.findall(pattern, card, re.S):
            tp, fn, fp, z, y, x = (int(value.replace("\u202f", "")) for value in found)
            truth, predicted = (ids == NAMES.index(name) + 1 for ids in by_place[z, y, x])
            assert (tp, fn, fp) == ((truth & predicted).sum(), (truth & ~predicted).sum(), (predicted & ~truth).sum())


regions = st.builds(
    Region,
    st.builds(Place, st.just("c"), st.integers(0, 4), st.integers(0, 2), st.just(0), st.just(1), st.just(1)),
    st.builds(BinaryConfusion, tp=st.integers(0, 4), fp=st.integers(0, 3), fn=st.integers(0, 3)),
)


@given(st.lists(regions, max_size=30, unique_by=lambda region: region.place), st.integers(0, 4), st.randoms())
def test_a_ranking_is_a_sort_whatever_the_order(found: list[Region], least: int, random: object) -> None:
    """Of each column of tiles its best and its worst, from the best or the worst on."""
    ranking = Ranking(least, worst_places=2, best_places=1)
    random.shuffle(found)  # type: ignore[attr-defined]
    for region in found:
        ranking.add(region)
    competing = [region for region in found if region.concerned >= max(1, least)]

    def first(sign: int) -> list[Region]:
        ranked = sorted(competing, key=lambda one: (sign * one.f1, -one.concerned, one.place))
        columns = dict.fromkeys(one.place.column for one in ranked)
        return [next(one for one in ranked if one.place.column == column) for column in columns]

    assert list(ranking.worst) == first(1)[:2]
    assert list(ranking.best) == [one for one in first(-1)[:3] if one not in ranking.worst][:1]


@given(st.integers(1, 2000), st.integers(1, 300))
def test_tiles_share_a_length_out_evenly(length: int, wanted: int) -> None:
    side = even_side(length, wanted)
    assert length <= 1.5 * wanted or wanted / 2 < side <= 1.5 * wanted + 1


def test_the_ablation_is_that_of_the_file(page: Page) -> None:
    expected = {row.name: interval_text(row.f1) for one in ablation().against("native") for row in one.rows}
    rows = page.table("F1 minus that of the native slices")[1:]
    shown = {}
    for title, effect in zip(rows[::2], rows[1::2], strict=True):
        assert effect[0] == "bicubic"
        shown[title[0].removesuffix(" average")] = effect[2]
    assert shown == expected


def test_the_page_needs_nothing_else(complete: Run, page: Page) -> None:
    html = (place(complete) / "evaluation/report.html").read_text()
    own = [address for address in page.addresses if not address.startswith(("data:image/webp;base64,", "#"))]
    assert all(not re.match(r"[a-z]+:|/", address) for address in own)
    assert "default-src 'none'" in html
    assert not {"link", "iframe", "object", "embed", "base"} & set(page.tags)
    assert not re.search(r"@import|url\((?!#)", html)
    assert len(html) < 4_000_000


def test_links_lead_to_files_beside_the_report(complete: Run, page: Page) -> None:
    assert "renders/dark%20found%20%231.html" in page.addresses
    assert "scores.csv" in page.addresses
    assert "figures/f1.png" in page.addresses


def test_every_chart_is_drawn_and_has_words(complete: Run) -> None:
    html = (place(complete) / "evaluation/report.html").read_text()
    charts = re.findall(r"<svg.*?</svg>(?!</svg>)", re.sub(r"(<svg[^>]*anchor[^>]*>)(.*?)</svg>", r"\2", html), re.S)
    assert len(charts) > 30
    for chart in charts:
        root = ElementTree.fromstring(chart)
        assert root.get("aria-hidden") == "true" or root.get("aria-label")
    assert html.count("<img") == html.count(' alt="') > 3 * 4


def test_it_is_left_alone_only_while_the_results_are_the_same(copied: Run, vemseg) -> None:
    target = place(copied) / "evaluation/report.html"
    assert vemseg("report", place(copied)).code == 0
    first = target.stat().st_mtime_ns
    assert vemseg("report", "--unless-current", place(copied)).code == 0
    assert target.stat().st_mtime_ns == first
    (place(copied) / "evaluation/ablation.json").write_text(ablation_json(ablation()))
    assert vemseg("report", "--unless-current", place(copied)).code == 0
    assert target.stat().st_mtime_ns > first
    assert "bicubic" in target.read_text()


@pytest.mark.parametrize("content", [b"null", b"{}", b"\xff\xfe", b""])
def test_damaged_metrics_cost_their_numbers_and_nothing_else(copied: Run, content: bytes) -> None:
    for path in (place(copied) / "metrics").glob("*.prom"):
        path.write_bytes(content)
    assert all(worker.measured == Measured() for worker in read_workers(copied.store))


def test_by_hand_it_is_always_made_again(copied: Run) -> None:
    report(copied.store.url)
    target = place(copied) / "evaluation/report.html"
    made = target.read_text()
    target.write_text("something else")
    report(copied.store.url)
    again = target.read_text()
    assert re.sub(r"data:[^\"]*", "", made) == re.sub(r"data:[^\"]*", "", again)


def lacking(page: Page) -> str:
    """What the summary says of parts that are not there."""
    return page.text.partition("What is lacking")[2].partition("On the test part alone")[0]


def test_of_a_study_that_is_only_planned(study: Path, tmp_path: Path) -> None:
    plan(str(study), str(tmp_path / "run"))
    page = page_of(Run.open(tmp_path / "run"))
    assert "0 of 4 networks are trained" in page.text
    assert "no network has got as far as its first validation" in page.text
    assert page.text.count("Not there yet") == 2
    assert page.text.count("Comes with the scores") == 2


def test_of_a_study_whose_shards_are_not_all_predicted(copied: Run) -> None:
    (place(copied) / "evaluation/scores.json").unlink()
    next((place(copied) / "done/infer/dark").rglob("*.json")).unlink()
    shards = len(list((place(copied) / "done/infer/dark").rglob("*.json")))
    page = page_of(copied)
    assert f"dark ({shards} of {shards + 1})" in lacking(page)
    assert "multilabel (" not in lacking(page)


def test_of_a_study_that_is_predicted_but_not_scored(copied: Run) -> None:
    shutil.rmtree(place(copied) / "evaluation")
    page = page_of(copied)
    assert "everything is predicted, but not scored" in lacking(page)
    assert "vemseg evaluate --run RUN" in page.text
    assert "training loss" in page.text


def test_of_a_training_that_has_not_ended(copied: Run) -> None:
    for name in ("history.json", "model.json"):
        (place(copied) / "models/dark" / name).unlink()
    shutil.rmtree(place(copied) / "evaluation")
    page = page_of(copied)
    assert "3 of 4 networks are trained" in lacking(page)
    assert "not ended yet" in page.text
    assert len(page.table("dark")) == 1 + 2  # the validations that its events tell of


def test_of_a_run_without_its_confusion_volumes(copied: Run) -> None:
    shutil.rmtree(place(copied) / "evaluation/confusion")
    page = page_of(copied)
    assert "confusion volumes that regions are found in are not there" in lacking(page)
    assert page.table("Confusion matrix")


def test_scores_of_an_earlier_prediction_are_called_so(copied: Run) -> None:
    next((place(copied) / "done/infer/dark").rglob("*.json")).unlink()
    assert "Outdated" in page_of(copied).text


def test_why_a_workflow_failed_is_told_while_something_is_lacking(copied: Run) -> None:
    failure = {"node": "train(0)", "message": f"main: Error {HOSTILE}", "finished": "t"}
    told = {"workflow": "w", "status": "Failed", "ended": "2026-01-01", "failures": [failure]}
    (place(copied) / "summary.json").write_text(json.dumps(told))
    assert "train(0)" not in page_of(copied).text
    (place(copied) / "evaluation/scores.json").unlink()
    page = page_of(copied)
    assert f"train(0): main: Error {HOSTILE}" in page.text
    assert page.tags.count("script") == 1


def test_of_a_segmentation_without_labels(finished: Run, study: Path, tmp_path: Path) -> None:
    model = place(finished) / "models/multilabel"
    prepare(str(model), str(study.parent / "raw.tif"), str(tmp_path / "new"), voxel_size_nm=(40.0, 8.0, 8.0))
    run = Run.open(tmp_path / "new")
    assert "not segmented yet: 0 of 1 shards predicted" in page_of(run).text
    infer(run.store.url, target="multilabel")
    finish(run.store.url)
    page = page_of(run)
    assert "vemseg segmentation report" in page.text
    assert "Receptive field" in page.text
    for of_a_study in ("Training", "Features by level", "Scores", "Super-resolution", "vemseg render", "study"):
        assert of_a_study not in page.text
    assert "Not there yet" not in page.text
    ids = whole(run.segmentation("multilabel", "volume"))
    for value, row in enumerate(page.table("All classes at once")[1:], 1):
        voxels = int(np.count_nonzero(ids == value))
        assert row[0] == NAMES[value - 1]
        assert row[1] == f"{100 * voxels / ids.size:.2f}"
        assert float(row[2]) == pytest.approx(voxels * 40 * 8 * 8 / 1e9, rel=0.05)
        assert int(row[3].replace("\u202f", "").replace(" ", "")) == voxels
    assert page.tags.count("img") == 1


def test_of_a_study_with_binary_networks_alone(copied: Run) -> None:
    plan(
        str(write_study(place(copied).parent / "binary", {"training": {"targets": "binary"}})),
        place(copied).parent / "b",
    )
    page = page_of(Run.open(place(copied).parent / "b"))
    assert "0 of 3 networks are trained" in page.text


def test_what_is_no_run_is_refused(tmp_path: Path, vemseg) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunConflictError, match="not a run yet"):
        report(str(tmp_path / "empty"))
    ended: Finished = vemseg("report", tmp_path / "none")
    assert ended.code == 2
    assert "no such directory" in ended.text


def contents(name: str, **more: object) -> Contents:
    """Contents in which everything that has a name is called so."""
    counts = ConfusionMatrix((name, "other"), np.array([[0, 5, 2], [1, 0, 9]]))
    history = [{"step": 1, "loss": 1.0, "validation_macro_f1": 0.5}]
    return Contents(
        name=name,
        version="0",
        colors={name: "#123456", "other": "#654321"},
        captures=(),
        targets=(TargetFacts(name, "1 steps", "1 of 1", history, is_training=False),),
        facts={name: name},
        digests={name: name},
        work=(Work("train", name, ((0.0, 1.0),), 1, 1, name, 5, 5.0, 1.0, 1),),
        machines=(),
        scores=ScoreTable(counts, counts.one_vs_rest()),
        **more,  # type: ignore[arg-type]
    )


def test_hostile_names_stay_text() -> None:
    page = Page.of(render(contents(HOSTILE)))
    assert page.tags.count("script") == 1
    assert page.text.count(HOSTILE) > 10
    assert page.table("Confusion matrix")[1][0].startswith(HOSTILE)


def test_a_class_that_nobody_has_or_saw_has_dashes() -> None:
    counts = ConfusionMatrix(("there", "never"), np.array([[0, 5, 0], [0, 0, 0]]))
    table = ScoreTable(counts, None)
    page = Page.of(
        render(
            replace(
                contents("there"),
                scores=table,
                colors={"there": "#000000", "never": "#ffffff"},
            )
        )
    )
    row = next(cells for cells in page.table("F1:") if cells[0].startswith("never"))
    assert row[1] == "–"
    assert "never neither in the truth nor predicted" in page.text


def write_events(run: Store, name: str, *tries: tuple[float, float | None, str | None]) -> None:
    """An event log with (start, stop, error) of each try; a stop of None is none."""
    lines = []
    for start, stop, error in tries:
        lines.append({"time": start, "step": name, "event": "started", "machine": {"processor": "abacus", "cores": 2}})
        lines.append({"time": start + 1, "step": 5, "event": "validated"})
        if stop is not None:
            lines.append({"time": stop, "step": name, "event": "ended", "error": error})
    key = f"events/{name.replace(' ', '-')}.jsonl"
    run.write(key, "".join(json.dumps(line) + "\n" for line in lines).encode())


def write_metrics(run: Store, name: str, progressed_at: float, voxels: int) -> None:
    """Metrics as Prometheus' text has them."""
    text = (
        f'vemseg_progress_timestamp_seconds{{step="x"}} {progressed_at}\n'
        f'vemseg_voxels_total{{step="x"}} {voxels}\nvemseg_cpu_seconds_total{{step="x"}} 3\n'
    )
    run.write(f"metrics/{name}.prom", text.encode())


def test_workers_of_a_step_are_told_of_together(tmp_path: Path) -> None:
    run = Store.open(tmp_path)
    write_events(run, "infer big-name-0", (10.0, 20.0, None), (500.0, 500.1, None))
    write_events(run, "infer big-name-1", (15.0, 35.0, None))
    write_metrics(run, "infer-big-name-0", 19.0, 1000)
    write_metrics(run, "infer-big-name-1", 34.0, 3000)
    (one,) = work(read_workers(run))
    assert (one.step, one.item, one.workers, one.tries) == ("infer", "big-name", 2, 2)
    assert one.spans == ((10.0, 35.0),)  # what found everything done at 500 is left out
    assert one.voxels == 4000
    assert one.voxels_per_second == pytest.approx(1000 / 10 + 3000 / 20)
    assert one.cpu_seconds == 6


def test_tries_that_failed_or_were_killed_are_told(tmp_path: Path) -> None:
    run = Store.open(tmp_path)
    write_events(run, "train a-2", (10.0, None, None), (30.0, 40.0, "the disk is full"))
    write_events(run, "train b", (10.0, None, None))
    killed, last = sorted(work(read_workers(run)), key=lambda one: one.item, reverse=True)
    assert (last.item, last.tries, last.error) == ("a-2", 2, "the disk is full")
    assert last.spans == ((10.0, 11.0), (30.0, 40.0))
    assert "killed" in killed.error


def test_the_report_tells_when_each_step_worked(page: Page) -> None:
    rows = [cells[0] for cells in page.table("Steps from")[1:]]
    assert {"plan", "augment", "train multilabel", "infer dark", "evaluate"} <= set(rows)
    assert "report" not in rows


def test_curves_hold_every_point_in_order() -> None:
    history = [{"step": step, "loss": 1 / step, "validation_macro_f1": step / 100} for step in (10, 20, 50)]
    (curve,) = training_curves([TargetFacts("a", "", "", history, is_training=False)])
    lines = [line.get("points") for line in ElementTree.fromstring(curve.chart).iter("polyline")]
    assert len(lines) == 2
    for points in lines:
        xs, ys = zip(*((float(v) for v in point.split(",")) for point in points.split()), strict=True)
        assert len(xs) == 3
        assert all(left < right for left, right in pairwise(xs))
        assert ys[0] != ys[-1]
    assert Page.of(curve.table).table("a")[-1] == ["50", "0.0200", ".500"]
    assert "best validation F1 .500 at step 50" in curve.sentence


def test_missed_and_invented_differ_without_colours() -> None:
    """The errors' fills are far apart in lightness, from each other and from the picture around them."""
    truth = np.zeros((40, 40), bool)
    predicted = truth.copy()
    truth[5:20, 5:35] = True
    predicted[22:37, 5:35] = True
    raw = np.random.default_rng(0).integers(0, 255, truth.shape).astype(np.uint8)
    seen = Seen(truth, predicted, np.ones_like(truth))
    panels = draw_panels(raw, seen, color="#00ff00", voxel_size_nm=(1, 1, 1))
    light = panels.errors @ np.array([0.2126, 0.7152, 0.0722]) / 255
    rows, columns = light.shape
    missed = light[rows * 6 // 40 : rows * 19 // 40, columns * 6 // 40 : columns * 34 // 40]
    invented = light[rows * 23 // 40 : rows * 36 // 40, columns * 6 // 40 : columns * 34 // 40]
    around = light[rows * 38 // 40 :]
    assert missed.mean() + 0.15 < invented.mean() < around.mean() - 0.05
    assert contrast(LOOKS[ErrorKind.MISSED].fill, LOOKS[ErrorKind.INVENTED].fill) > 2
    assert LOOKS[ErrorKind.MISSED].descending != LOOKS[ErrorKind.INVENTED].descending


def test_pictures_have_square_pixels_whatever_the_voxels_are() -> None:
    mask = np.zeros((30, 30), bool)
    panels = draw_panels(mask.astype(np.uint8), Seen(mask, mask, ~mask), color="#00ff00", voxel_size_nm=(9, 20, 10))
    rows, columns = panels.raw.shape[:2]
    assert rows == pytest.approx(2 * columns, abs=1)


@given(st.floats(0, 1))
def test_text_on_the_matrix_can_be_read(share: float) -> None:
    for scale in (LIGHT_SCALE, DARK_SCALE):
        color = shade(share, scale)
        assert contrast(ink_on(color), color) >= 4.5


def test_contrast_is_that_of_the_guidelines() -> None:
    """Examples of WCAG 2.2: black on white is 21, #767676 on white just passes 4.5."""
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)
    assert luminance("#ffffff") == pytest.approx(1)


def test_methods_of_the_plan_that_are_not_compared_yet(study: Path, tmp_path: Path) -> None:
    config = write_study(tmp_path, {**BOOSTING, "training": {"targets": "multilabel"}})
    plan(str(config), str(tmp_path / "run"))
    assert "boosted versions of the test part are not compared yet" in page_of(Run.open(tmp_path / "run")).text


def test_findings_name_the_extremes_and_what_is_behind_them() -> None:
    counts = ConfusionMatrix(("good", "poor"), np.array([[0, 90, 10], [0, 60, 40]]))
    better = ConfusionMatrix(("good", "poor"), np.array([[0, 95, 5], [0, 50, 50]]))
    first, second = findings(ScoreTable(counts, better.one_vs_rest()), None)
    assert "best in good (F1 .720) and weakest in poor (.533)" in first
    assert "60 % of poor is taken for good" in first
    assert "ahead of the binary ones in 0 of 2 classes" in second
    beside = ConfusionMatrix(("good", "poor", "absent"), np.array([[0, 90, 10, 0], [0, 60, 38, 2], [0, 0, 0, 0]]))
    assert "weakest in poor" in findings(ScoreTable(beside, None), None)[0]
    assert f"behind most in poor ({signed(80 / 150 - 100 / 155)})" in second


def test_machines_of_one_kind_are_told_of_together(tmp_path: Path) -> None:
    run = Store.open(tmp_path)
    write_events(run, "plan", (1.0, 2.0, None))
    write_events(run, "evaluate", (3.0, 4.0, None))
    (machine,) = machines(read_workers(run))
    assert machine.description == "abacus, 2 cores"
    assert set(machine.steps) == {"plan", "evaluate"}


def test_the_machines_of_a_run_are_on_its_page(page: Page) -> None:
    assert f"Python {platform.python_version()}" in page.text


def test_classes_that_overlap_have_regions_of_their_own(tmp_path: Path) -> None:
    changes = {"classes": {"exclusive": False}, "training": {"targets": "multilabel"}}
    page = page_of(run_chain(write_study(tmp_path, changes), tmp_path / "run"))
    assert [cells[0] for cells in page.table("Classes that may overlap")[1:]] == list(NAMES)
    assert page.tags.count("img") == 4 * page.text.count("voxels found,") > 0


def shards_of(run: Run) -> list[Path]:
    """The files of a confusion volume that hold voxels in full resolution."""
    folder = place(run) / "evaluation/confusion/multilabel/tiny/labels/confusion/0/c"
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


def test_a_confusion_volume_that_lost_a_shard_is_told_and_not_read_as_zeros(copied: Run) -> None:
    shards_of(copied)[0].unlink()
    page = page_of(copied)
    assert "evaluation/confusion/multilabel/tiny/labels/confusion: holds" in lacking(page)
    assert "missing or damaged" in lacking(page)
    assert "Next: vemseg verify RUN" in " ".join(page.text.split())
    assert "voxels found," not in page.text
    assert page.table("Confusion matrix")


def test_a_confusion_volume_that_lost_a_shard_is_not_drawn(copied: Run) -> None:
    try:
        require_opengl()
    except MissingLibraryError as error:
        pytest.skip(str(error))
    shards_of(copied)[-1].unlink()
    with pytest.raises(RunConflictError, match=r"has no scores.*vemseg evaluate"):
        render_step(copied.store.url)

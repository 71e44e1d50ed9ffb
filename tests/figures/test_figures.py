"""Proves that the figures show the numbers and voxels they were given, legibly, in bytes that never vary.

Beauty is left to the eye.
"""

from __future__ import annotations

import io
import itertools
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.text import Text
from PIL import Image
from skimage import io as skimage_io

from pipeline.errors import InputError
from pipeline.figures.canvas import figure_png
from pipeline.figures.charts import confusion_figure, f1_figure, reliability_figure, training_figure
from pipeline.figures.panels import preview_figure, slice_figure
from pipeline.figures.slices import ERROR_COLORS, ErrorKind
from pipeline.formats import amount, decimals
from pipeline.scoring.confusion import BinaryConfusion, ClasswiseConfusion, ConfusionMatrix
from pipeline.scoring.reliability import LIKELIEST, Calibration, Reliability, Trust
from pipeline.scoring.tables import score_table

NAMES = (
    "cytosol",
    "synapses",
    "mitochondria",
    "membrane",
    "vesicles",
    "endoplasmic reticulum",
    "microtubules",
    "my$lin$",
)
COLORS = ("#88ccee", "#cc6677", "#117733", "#332288", "#ddcc77", "#44aa99", "#999933", "#aa4499")
WIDE = np.ones((60, 900), np.uint8)
VNC = Path(__file__).parents[2].parent / "shared/data/vnc"


def rgb(color: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(color[1:]))


def matrix(not_predicted: int = 0) -> ConfusionMatrix:
    counts = np.random.default_rng(0).integers(0, 10**4, (8, 9))
    counts[np.arange(8), np.arange(1, 9)] += 10**5
    counts[:, 0] = not_predicted
    return ConfusionMatrix(NAMES, counts)


def table(binary_names=NAMES[:7]):
    binary = {n: BinaryConfusion(9, i, 1, 90) for i, n in enumerate(binary_names)}
    return score_table(matrix(), ClasswiseConfusion(binary))


def histories() -> dict[str, list[dict[str, float | None]]]:
    steps = range(0, 1000, 10)
    return {
        target: [
            {"step": s, "loss": 1 / (1 + s / 100), "validation_macro_f1": s / 2000 if s % 100 == 0 else None}
            for s in steps
        ]
        for target in ("multilabel", *NAMES)
    }


def small_slice(**changes) -> Figure:
    """A 20 × 30 slice in which each class has a 5 × 5 patch that may be looked at."""
    truth = np.arange(24, dtype=np.uint8).reshape(4, 6).repeat(5, 0).repeat(5, 1) % 9
    prediction = np.roll(truth, 5, axis=1)
    raw = np.random.default_rng(0).integers(0, 256, truth.shape).astype(np.uint8)
    arguments = {"raw": raw, "truth": truth, "prediction": prediction, "background": 1, **changes}
    return slice_figure(**{"class_names": NAMES, "colors": COLORS, "voxel_size_nm": (40, 5, 5), **arguments})


FIGURES = {
    "slice": small_slice,
    "slice_with_title": lambda: small_slice(title="capture, section 7 (worst)"),
    "slice_wide": lambda: small_slice(**dict.fromkeys(("raw", "truth", "prediction"), WIDE)),
    "slice_tall": lambda: small_slice(**dict.fromkeys(("raw", "truth", "prediction"), WIDE.T)),
    "confusion": lambda: confusion_figure(matrix(), "Multilabel network"),
    "confusion_not_predicted": lambda: confusion_figure(matrix(7)),
    "training": lambda: training_figure(histories()),
    "f1": lambda: f1_figure(table()),
}


@cache
def drawn(name: str) -> tuple[Figure, bytes]:
    """A figure of `FIGURES`, laid out, and its PNG: made once for all tests that only look."""
    figure = FIGURES[name]()
    return figure, figure_png(figure)


@cache
def pixels(figure: Figure) -> np.ndarray:
    """The PNG as (row, column, 3) uint8."""
    return np.asarray(Image.open(io.BytesIO(figure_png(figure))).convert("RGB"))


def panel(figure: Figure, i: int, shape) -> np.ndarray:
    """The colour at the centre of every voxel of panel i, found in the PNG itself."""
    image, axes = pixels(figure), figure.axes[i]
    box = axes.get_window_extent()
    rows = image.shape[0] - box.y1 + (np.arange(shape[0]) + 0.5) * box.height / shape[0]
    columns = box.x0 + (np.arange(shape[1]) + 0.5) * box.width / shape[1]
    return image[np.ix_(rows.astype(int), columns.astype(int))]


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text() and text.get_visible()]


# --- every figure ---


@pytest.mark.parametrize("name", FIGURES)
def test_bytes_depend_on_nothing_but_the_data(name):
    _, png = drawn(name)
    assert figure_png(FIGURES[name]()) == png
    assert not Image.open(io.BytesIO(png)).text


@pytest.mark.parametrize("name", FIGURES)
def test_size_is_that_of_the_figure_and_fits_a_page(name):
    figure, png = drawn(name)
    image = imread(io.BytesIO(png))
    assert image.shape[:2] == tuple(figure.bbox.size[::-1].astype(int))
    assert 300 < image.shape[0] < 3000
    assert 500 < image.shape[1] < 3000


@pytest.mark.parametrize("name", FIGURES)
def test_no_text_overlaps_another_or_leaves_the_picture(name):
    figure, _ = drawn(name)
    hidden = _hidden_tick_labels(figure)
    level = [t for t in figure.findobj(Text) if t.get_visible() and t.get_rotation() == 0 and t not in hidden]
    boxes = [(t.get_text(), t.get_window_extent()) for t in level if t.get_text().strip()]
    for text, box in boxes:
        assert figure.bbox.x0 <= box.x0, text
        assert box.x1 <= figure.bbox.x1, text
        assert figure.bbox.y0 <= box.y0, text
        assert box.y1 <= figure.bbox.y1, text
    for (text, box), (other, other_box) in itertools.combinations(boxes, 2):
        assert not box.padded(-1).overlaps(other_box.padded(-1)), (text, other)


def _hidden_tick_labels(figure: Figure) -> set[Text]:
    """Tick labels beyond the limits of their axis or of an axis that is off: they exist but are not drawn."""
    hidden = set()
    for axes in figure.axes:
        for labels, dimension in ((axes.get_xticklabels(), 0), (axes.get_yticklabels(), 1)):
            low, high = sorted((axes.get_xlim(), axes.get_ylim())[dimension])
            on = {label for label in labels if axes.axison and low <= label.get_position()[dimension] <= high}
            hidden |= set(labels) - on
    return hidden


def test_pyplot_is_never_imported():
    code = "import sys, pipeline.figures.charts, pipeline.figures.panels;sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- slices ---


def test_every_voxel_of_truth_and_prediction_has_the_colour_of_its_class():
    truth = np.random.default_rng(1).integers(1, 9, (20, 30)).astype(np.uint8)
    prediction = np.random.default_rng(2).integers(1, 9, (20, 30)).astype(np.uint8)
    figure = small_slice(truth=truth, prediction=prediction)
    palette = np.array([(0, 0, 0), *map(rgb, COLORS)])
    assert np.array_equal(panel(figure, 1, truth.shape), palette[truth])
    assert np.array_equal(panel(figure, 2, truth.shape), palette[prediction])


def test_missed_and_invented_have_their_own_colours():
    truth, prediction = np.full((20, 30), 2, np.uint8), np.full((20, 30), 2, np.uint8)
    prediction[:5], truth[5:10], prediction[10:15, :9], prediction[15:, :9] = 1, 1, 3, 0
    found = panel(small_slice(truth=truth, prediction=prediction), 3, truth.shape)
    for voxel, kind in {
        (0, 0): ErrorKind.MISSED,
        (6, 0): ErrorKind.INVENTED,
        (11, 0): ErrorKind.CONFUSED,
        (16, 0): ErrorKind.NOT_PREDICTED,
    }.items():
        assert tuple(found[voxel]) == rgb(ERROR_COLORS[kind])
    right = found[16, 20]
    assert right[0] == right[1] == right[2] >= 150


def test_unlabelled_voxels_show_the_raw_data_and_are_in_the_legend():
    figure = small_slice()
    raw, truth = panel(figure, 0, (20, 30)), panel(figure, 1, (20, 30))
    assert np.array_equal(truth[1, 1], raw[1, 1])
    assert any("not labelled" in text for text in texts(figure))
    labelled = np.ones((20, 30), np.uint8)
    assert not any("not labelled" in text for text in texts(small_slice(truth=labelled, prediction=labelled)))


def test_the_legend_names_every_class_and_the_title_the_share_of_errors():
    truth, prediction = np.ones((20, 30), np.uint8), np.ones((20, 30), np.uint8)
    prediction[:5], truth[-10:] = 2, 0
    shown = texts(small_slice(truth=truth, prediction=prediction))
    assert {name.replace("$", r"\$") for name in NAMES} <= set(shown)
    assert "Errors: 50.0 % of labelled voxels" in shown


def test_overlapping_classes_are_drawn_topmost_first():
    truth, prediction = np.full((20, 30), 0b1011, np.uint32), np.full((20, 30), 0b0011, np.uint32)
    figure = small_slice(truth=truth, prediction=prediction, overlapping=True, background=None)
    assert tuple(panel(figure, 1, truth.shape)[0, 0]) == rgb(COLORS[2])
    assert tuple(panel(figure, 2, truth.shape)[0, 0]) == rgb(COLORS[0])
    assert tuple(panel(figure, 3, truth.shape)[0, 0]) == rgb(ERROR_COLORS[ErrorKind.MISSED])


@pytest.mark.parametrize(("voxel_y", "voxel_x"), [(5, 5), (10, 5), (4, 16)])
def test_panels_have_the_shape_of_the_tissue(voxel_y, voxel_x):
    box = small_slice(voxel_size_nm=(40, voxel_y, voxel_x)).axes[0].get_window_extent()
    assert box.width / box.height == pytest.approx(30 * voxel_x / (20 * voxel_y), rel=0.01)


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (200, 3), (700, 650), (2500, 2400)])
def test_the_scale_bar_is_as_long_as_it_says(shape):
    ones = np.ones(shape, np.uint8)
    figure = small_slice(raw=ones, truth=ones, prediction=ones, voxel_size_nm=(40, 8, 8))
    (bar,) = figure.findobj(lambda artist: artist.get_gid() == "scale bar")
    (text,) = [text for text in texts(figure) if text.endswith((" nm", " µm"))]
    number, unit = text.split()
    share_of_panel = bar.get_width() * figure.bbox.width / figure.axes[0].get_window_extent().width
    assert share_of_panel * shape[1] * 8 == pytest.approx(float(number) * {"nm": 1, "µm": 1000}[unit], rel=0.01)
    assert share_of_panel <= 0.25 + 1e-6


@pytest.mark.parametrize(
    "changes",
    [
        {"raw": np.zeros((20, 31))},
        {"raw": np.zeros((2, 20, 30))},
        {"truth": np.full((20, 30), 9)},
        {"prediction": np.zeros((20, 29), np.uint8)},
        {"colors": COLORS[:3]},
        {"background": 9},
        {"overlapping": True},
    ],
)
def test_slices_that_do_not_fit_together_are_refused(changes):
    with pytest.raises(InputError):
        small_slice(**changes)


@pytest.mark.skipif(not VNC.exists(), reason="shared/data/vnc is not there")
def test_a_real_section_is_drawn_voxel_by_voxel():
    labels = skimage_io.imread(VNC / "labels/labels00000016.png")
    raw = skimage_io.imread(VNC / "raw/16.tif")
    ids = np.searchsorted([128, 159, 191, 223, 255], labels).astype(np.uint8) + 1
    figure = slice_figure(raw, ids, ids, class_names=NAMES[:5], colors=COLORS[:5], voxel_size_nm=(50, 4.6, 4.6))
    palette = np.array([(0, 0, 0), *map(rgb, COLORS)])
    assert np.array_equal(panel(figure, 1, ids.shape), palette[ids])


# --- charts ---


def test_the_confusion_matrix_shows_every_count_in_its_cell():
    counts = matrix(3).counts
    axes = confusion_figure(matrix(3)).axes[0]
    cells = {(round(t.get_position()[1]), t.get_position()[0], t.get_text()) for t in axes.texts}
    for (row, column), count in np.ndenumerate(counts):
        assert (row, column, amount(int(count))) in cells
        percent = 100 * count / counts[row].sum()
        assert (row, column, f"{percent:.1f}" if percent >= 0.05 else "<0.1") in cells


def test_the_column_not_predicted_is_there_only_when_it_is_needed():
    assert "not predicted" in texts(confusion_figure(matrix(1)))
    assert "not predicted" not in texts(confusion_figure(matrix(0)))


def test_a_class_without_truth_leaves_its_row_empty():
    figure = confusion_figure(ConfusionMatrix(("a", "b"), np.array([[0, 5, 5], [0, 0, 0]])))
    assert {round(t.get_position()[1]) for t in figure.axes[0].texts} == {0}


def test_training_curves_are_the_history_and_the_legend_names_the_best():
    data = {
        "multilabel": [
            {"step": 0, "loss": 2.0, "validation_macro_f1": 0.25},
            {"step": 10, "loss": float("nan"), "validation_macro_f1": None},
            {"step": 20, "loss": 1.0, "validation_macro_f1": 0.75},
            {"step": 30, "loss": 0.5},
        ],
        "untouched": [],
    }
    figure = training_figure(data)
    loss, f1 = (axes.lines[0] for axes in figure.axes)
    assert loss.get_xydata().tolist() == [[0, 2], [20, 1], [30, 0.5]]
    assert f1.get_xydata().tolist() == [[0, 0.25], [20, 0.75]]
    assert ".750  multilabel" in texts(figure)
    assert "untouched" in texts(figure)


def test_a_long_history_is_averaged_without_losing_its_mean():
    loss = np.random.default_rng(0).random(10_000)
    history = [{"step": step, "loss": float(value)} for step, value in enumerate(loss)]
    line = training_figure({"multilabel": history}).axes[0].lines[0].get_xydata()
    assert len(line) <= 100
    assert line.mean(axis=0) == pytest.approx([9999 / 2, loss.mean()])


def test_no_history_at_all_is_refused():
    with pytest.raises(InputError):
        training_figure({"multilabel": []})


def test_more_targets_than_colours_still_look_different():
    history = [{"step": 0, "loss": 1.0}, {"step": 1, "loss": 0.5}]
    lines = training_figure({f"class {i}": history for i in range(20)}).axes[0].lines
    assert len({(line.get_color(), repr(line._dash_pattern)) for line in lines}) == 20


def test_bars_are_as_long_as_the_f1_of_the_table():
    scores = table()
    axes = f1_figure(scores).axes[0]
    bars = {c.get_label(): [bar.get_width() for bar in c] for c in axes.containers}
    for side in ("binary", "multilabel"):
        expected = [row.sides[side] and row.sides[side].f1 for row in scores.rows]
        assert bars[side] == [value or 0 for value in expected]
        assert {decimals(value) for value in expected} <= set(texts(axes.figure))


def test_reliability_is_drawn_before_and_after_and_for_each_class():
    said = np.repeat([0.05, 0.35, 0.95], 100)
    true = np.arange(300) % 100 < np.repeat([10, 30, 90], 100)
    off, right = Reliability.counted(np.minimum(said + 0.04, 1), true), Reliability.counted(said, true)
    both = {LIKELIEST: right, NAMES[0]: right}
    figure = reliability_figure(Trust({"multilabel": Calibration({**both, LIKELIEST: off}, both)}))
    drawn = {line.get_label(): line.get_xydata() for axes in figure.axes for line in axes.get_lines()}
    assert drawn[f"{decimals(right.error)}  calibrated"] == pytest.approx(
        np.array([[0.05, 0.1], [0.35, 0.3], [0.95, 0.9]])
    )
    assert drawn[f"{decimals(off.error)}  as trained"][:, 0] == pytest.approx([0.09, 0.39, 0.99])
    assert f"{decimals(right.error)}  {NAMES[0]}" in drawn
    with pytest.raises(InputError, match="probabilities"):
        reliability_figure(Trust())


def test_a_table_of_one_side_has_one_colour():
    axes = f1_figure(score_table(matrix(), None)).axes[0]
    assert [c.get_label() for c in axes.containers] == ["multilabel"]


def preview(ids, raw=None, names=NAMES, colors=COLORS, **options):
    raw = np.full(ids.shape, 120, np.uint8) if raw is None else raw
    return preview_figure(raw, ids, class_names=names, colors=colors, voxel_size_nm=(40, 8, 8), **options)


def test_preview_shows_raw_beside_segmentation():
    raw = np.tile(np.arange(40, dtype=np.uint8), (30, 1))
    figure = preview(np.full((30, 40), 3, np.uint8), raw, title="new volume")
    grey, colored = (axes.images[0].get_array() for axes in figure.axes)
    assert (grey[..., 0] == grey[..., 1]).all()
    assert len(np.unique(grey[..., 0])) > 20
    means = colored.reshape(-1, 3).mean(axis=0)
    assert np.argmax(means) == np.argmax(rgb(COLORS[2]))
    words = {text.get_text() for text in figure.findobj(Text)}
    assert {"new volume", "Raw", "Segmentation", "cytosol"} <= words
    assert any(word.endswith((" nm", " µm")) for word in words)


def test_preview_says_what_it_left_raw():
    ids = np.ones((30, 40), np.uint8)
    assert "no class: raw data" not in {text.get_text() for text in preview(ids).findobj(Text)}
    ids[:5] = 0
    assert "no class: raw data" in {text.get_text() for text in preview(ids).findobj(Text)}


def test_preview_of_overlapping_classes_shows_the_topmost():
    bits = np.full((30, 40), 0b101, np.uint32)
    first, second = (preview(b, overlapping=True).axes[1].images[0].get_array() for b in (bits, bits + 8))
    assert np.array_equal(first, preview(np.full((30, 40), 2, np.uint8)).axes[1].images[0].get_array())
    assert np.array_equal(second, preview(np.full((30, 40), 3, np.uint8)).axes[1].images[0].get_array())


@pytest.mark.parametrize("shape", [(30, 40), (300, 20), (60, 900)])
def test_preview_leaves_no_room_for_panels_it_does_not_have(shape):
    figure = preview(np.ones(shape, np.uint8))
    right = max(axes.get_position().x1 for axes in figure.axes)
    legend = min(text.get_position()[0] for text in figure.findobj(Text) if text.get_text() == "Classes")
    assert legend - right < 0.2


def test_preview_refuses_what_does_not_fit():
    with pytest.raises(InputError, match="one \\(y, x\\) slice"):
        preview(np.ones((30, 40), np.uint8), raw=np.ones((30, 41), np.uint8))
    with pytest.raises(InputError, match="class id 9"):
        preview(np.full((30, 40), 9, np.uint8))

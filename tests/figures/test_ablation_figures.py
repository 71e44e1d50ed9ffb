"""Proves that the figures of an ablation show the differences, pictures and classes they were given, in bytes that
never vary, and that the window they are cut to is the one where the inputs differ most.

Beauty is left to the eye.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from pipeline.errors import InputError
from pipeline.figures.canvas import figure_png
from pipeline.figures.charts import difference_figure
from pipeline.figures.panels import InputSlice, ablation_slice_figure, telling_window
from pipeline.figures.slices import ERROR_COLORS, ErrorKind
from pipeline.formats import signed
from pipeline.scoring.ablation import Ablation, MeasuredInput, compare_inputs
from pipeline.scoring.confusion import ConfusionMatrix

NAMES = ("cytosol", "my$lin$", "rare")
COLORS = ("#88ccee", "#332288", "#aa4499")
INPUTS = ("native", "bicubic", "zssr")
SHAPE = (40, 50)


def rgb(color: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(color[1:]))


@cache
def ablation(names=INPUTS) -> Ablation:
    rng = np.random.default_rng(0)
    measured = []
    for name, errors in zip(names, (0.1, 0.3, 0.05, 0.2, 0.2, 0.2, 0.2), strict=False):
        blocks = [ConfusionMatrix(NAMES) for _ in range(8)]
        for i, block in enumerate(blocks):
            truth = np.resize([1, 2], 300)
            truth[:4] = 3 if i == 0 else 1
            block.update(truth, np.where(rng.random(300) < errors, 3 - np.minimum(truth, 2), truth))
        measured.append(MeasuredInput(name, None, blocks))
    return compare_inputs(measured, resamples=200)


def texts(figure: Figure) -> list[str]:
    return [text.get_text().replace(r"\$", "$") for text in figure.findobj(Text) if text.get_text()]


def slices() -> tuple[np.ndarray, list[InputSlice]]:
    """Truth of three classes, and inputs of ever less contrast of which the first is segmented without error."""
    truth = np.arange(SHAPE[0] * SHAPE[1]).reshape(SHAPE) // 400 % 3 + 1
    image = np.random.default_rng(0).integers(0, 256, SHAPE)
    segmentations = [truth, np.roll(truth, 7, axis=0), np.ones_like(truth)]
    return truth, [
        InputSlice(name, image / (i + 1), segmentation)
        for i, (name, segmentation) in enumerate(zip(INPUTS, segmentations, strict=True))
    ]


def drawn(**changes) -> Figure:
    truth, inputs = slices()
    arguments = {"inputs": inputs, "truth": truth, "class_names": NAMES, "colors": COLORS, "background": 1, **changes}
    return ablation_slice_figure(**{"voxel_size_nm": (50, 5, 5), **arguments})


def pictures(figure: Figure) -> list[np.ndarray]:
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes]


@pytest.mark.parametrize("reference", ["native", "bicubic"])
def test_the_bars_are_the_differences(reference):
    comparisons = ablation().against(reference)
    axes = difference_figure(ablation(), reference).axes[0]
    for comparison, bars in zip(comparisons, axes.containers, strict=True):
        assert [bar.get_width() for bar in bars] == [row.f1.estimate or 0 for row in comparison.rows]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [c.name for c in comparisons]
    shown = texts(axes.figure)
    assert all(signed(row.f1.estimate) in shown for comparison in comparisons for row in comparison.rows)


def test_every_interval_is_a_line_and_a_class_without_one_says_so():
    figure = difference_figure(ablation())
    rows = [row for comparison in ablation().against("native") for row in comparison.rows]
    intervals = [(row.f1.low, row.f1.high) for row in rows if row.f1.low is not None]
    lines = [tuple(line.get_xdata()) for line in figure.axes[0].lines if line.get_marker() == "|"]
    assert lines == intervals
    assert len(intervals) == len(rows) - 2
    assert "rare\nin 1 block" in texts(figure)


def test_the_chart_holds_more_inputs_than_there_are_styles():
    names = (*INPUTS, "bilinear", "lanczos", "edsr", "nearest")
    assert len(difference_figure(ablation(names)).axes[0].containers) == 6


def test_a_chart_without_comparisons_is_refused():
    with pytest.raises(InputError):
        difference_figure(ablation(("native",)))
    with pytest.raises(InputError):
        difference_figure(ablation(("native", "zssr")), "bicubic")


def test_names_are_shown_as_they_are():
    assert "my$lin$" in texts(difference_figure(ablation()))
    assert {"my$lin$", *INPUTS, "Truth"} <= set(texts(drawn()))


def test_images_truth_segmentations_and_errors_stand_in_their_places():
    truth, inputs = slices()
    shown = pictures(drawn())
    palette = np.array([rgb(color) for color in COLORS])
    error_colors = np.array([rgb(color) for color in ERROR_COLORS.values()])
    assert len(shown) == 3 * 3 + 1
    assert np.array_equal(shown[3], palette[truth - 1])
    for picture, one in zip(shown[4:7], inputs, strict=True):
        assert np.array_equal(picture, palette[one.segmentation - 1])
    for picture, one in zip(shown[7:], inputs, strict=True):
        wrong = (picture[..., None, :] == error_colors).all(axis=-1).any(axis=-1)
        assert np.array_equal(wrong, one.segmentation != truth)


def test_all_images_have_one_grey_scale():
    spreads = [picture.std() for picture in pictures(drawn())[:3]]
    assert spreads[1] == pytest.approx(spreads[0] / 2, rel=0.05)
    assert spreads[2] == pytest.approx(spreads[0] / 3, rel=0.05)


def test_errors_are_named_and_counted():
    truth, inputs = slices()
    shown = texts(drawn())
    for one in inputs:
        assert f"Errors: {100 * np.mean(one.segmentation != truth):.1f} %" in shown
    assert {"missed: taken for cytosol", "invented: is cytosol", "confused: is another class"} <= set(shown)
    assert "not predicted" not in shown


def test_voxels_without_label_show_the_image():
    truth, _ = slices()
    truth[:10] = 0
    figure = drawn(truth=truth)
    assert np.array_equal(pictures(figure)[3][:10], pictures(figure)[0][:10])
    assert "not labelled: image" in texts(figure)
    assert texts(drawn(truth=np.zeros_like(truth))).count("Errors") == 4


def test_overlapping_classes_are_drawn_by_the_topmost():
    truth, inputs = slices()

    def bits(ids: np.ndarray) -> np.ndarray:
        return (1 | np.uint32(1) << ids.astype(np.uint32)).astype(np.uint32)

    of_bits = [one._replace(segmentation=bits(one.segmentation)) for one in inputs]
    shown = pictures(drawn(truth=bits(truth), inputs=of_bits, overlapping=True))
    assert all(np.array_equal(a, b) for a, b in zip(shown[3:7], pictures(drawn())[3:7], strict=True))


@pytest.mark.parametrize("shape", [(1, 1), (30, 900), (900, 30), (1400, 1300)])
def test_slices_of_any_shape_give_a_picture_of_reasonable_size(shape):
    ones = np.ones(shape, np.uint8)
    figure = drawn(truth=ones, inputs=[InputSlice(n, ones, ones) for n in INPUTS], title="a title")
    width, height = figure.get_size_inches() * figure.dpi
    assert 300 < width < 3500
    assert 300 < height < 3500


def test_no_panel_lies_on_another_or_outside():
    figure = drawn(class_names=[*NAMES, *map(str, range(30))], colors=[*COLORS, *["#123456"] * 30])
    boxes = [axes.get_position() for axes in figure.axes]
    assert all(0 <= edge <= 1 for box in boxes for edge in (box.x0, box.x1, box.y0, box.y1))
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    renderer = FigureCanvasAgg(figure).get_renderer()
    assert all(text.get_window_extent(renderer).y0 >= 0 for text in figure.texts)


def test_equal_data_give_equal_bytes():
    assert figure_png(drawn()) == figure_png(drawn())
    assert figure_png(difference_figure(ablation())) == figure_png(difference_figure(ablation()))


def test_what_does_not_fit_together_is_refused():
    truth, inputs = slices()
    for changes in (
        {"inputs": []},
        {"truth": truth[1:]},
        {"inputs": [inputs[0]._replace(image=np.ones((3, 3)))]},
        {"colors": COLORS[1:]},
        {"background": 4},
        {"inputs": [inputs[0]._replace(segmentation=truth + 1)]},
    ):
        with pytest.raises(InputError):
            drawn(**changes)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 60), st.integers(1, 60), st.integers(1, 40))
def test_the_window_has_the_most_differences_of_all_it_was_sought_among(seed, rows, columns, side):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, (rows, columns))
    segmentations = [rng.integers(1, 3, truth.shape) for _ in range(3)]
    window = telling_window(truth, segmentations, side)
    differ = (np.ptp(segmentations, axis=0) > 0) & (truth > 0)
    height, width, step = min(side, rows), min(side, columns), max(1, side // 8)
    most = max(
        differ[y : y + height, x : x + width].sum()
        for y in {*range(0, rows - height + 1, step), rows - height}
        for x in {*range(0, columns - width + 1, step), columns - width}
    )
    assert differ[window].shape == (height, width)
    assert differ[window].sum() == most


def test_missed_and_invented_keep_their_colours():
    truth, _ = slices()
    missed = pictures(drawn())[-1][truth > 1]
    assert np.array_equal(np.unique(missed, axis=0), [rgb(ERROR_COLORS[ErrorKind.MISSED])])

"""Grey values of a volume beside those that a network learnt from: how far they are, and what brings them there.

A network knows grey values by number. Of another range, or with black and white exchanged, it makes nonsense of the
same tissue, and nothing in its result says so. Quantiles tell, since they are robust. Which way round contrast is shows
in the texture: whether details stand out on the dark side or on the bright one. docs/grey-values.md says how the limits
were chosen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ConfigError
from pipeline.volume.treatments import Treatment

SHARES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995)
_LOW, _MEDIAN, _HIGH = SHARES.index(0.05), SHARES.index(0.5), SHARES.index(0.95)
_SHOWN = (0.005, 0.05, 0.5, 0.95, 0.995)

LARGEST_SHIFT = 0.2
"""Of the median, in ranges from 5 % to 95 % of the training's grey values."""
LARGEST_RATIO = 1.4
"""Of two such ranges."""
CLEAR_TEXTURE = 0.02
"""A texture nearer to 0 does not tell which way round contrast is; then the shape of the histogram has to."""
REVERSED_BY = 0.01
"""So much better, as a share of the range, must the reversed shape fit for contrast to be called inverted."""


@dataclass(frozen=True)
class GreyValues:
    """What is known of the grey values of voxels.

    dtype: in the file. minimum, maximum: of what was looked at. quantiles: at `SHARES`, padding left out. padding:
    share of voxels that all have the lowest or all the highest value, where that is a margin or a mask and no tissue.
    texture: how much farther details stand out on the bright side than on the dark one, by rank and not by value, so
    that only its sign changes when contrast is inverted, and nothing when grey values are stretched or bent; 0 unknown.
    """

    dtype: str
    minimum: float
    maximum: float
    quantiles: tuple[float, ...]
    padding: float = 0.0
    texture: float = 0.0

    @classmethod
    def of_json(cls, content: Mapping[str, Any]) -> GreyValues:
        """What `asdict` made of it."""
        return cls(**{**content, "quantiles": tuple(content["quantiles"])})

    @property
    def median(self) -> float:
        """Of all that is no padding."""
        return self.quantiles[_MEDIAN]

    @property
    def spread(self) -> float:
        """From 5 % to 95 %."""
        return self.quantiles[_HIGH] - self.quantiles[_LOW]

    @property
    def text(self) -> str:
        """In numbers, on one line."""
        values = ", ".join(
            f"{100 * share:g}\u00a0%\u00a0{_grey(self.quantiles[SHARES.index(share)])}" for share in _SHOWN
        )
        padding = f"; {100 * self.padding:.0f} % of the voxels are padding" if self.padding else ""
        return f"{self.dtype}, {_grey(self.minimum, 6)} to {_grey(self.maximum, 6)}; quantiles {values}{padding}"


@dataclass(frozen=True)
class GreyMap:
    """A monotone map of grey values: straight between knots, and beyond them as steep as it is on the whole."""

    given: tuple[float, ...]
    """Rising."""
    becomes: tuple[float, ...]

    def __call__(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Of voxels one by one, so that it does not matter how a volume is cut."""
        if values.dtype.kind == "u" and values.dtype.itemsize <= 2:
            table = self._of(np.arange(2 ** (8 * values.dtype.itemsize)))
            return np.asarray(table[values], np.float32)
        return self._of(values)

    def _of(self, values: NDArray[Any]) -> NDArray[np.float32]:
        slope = (self.becomes[-1] - self.becomes[0]) / (self.given[-1] - self.given[0])
        inside = np.interp(values, self.given, self.becomes)
        beyond = values.astype(np.float64) - np.clip(values, self.given[0], self.given[-1])
        return np.asarray(inside + slope * beyond, np.float32)


@dataclass(frozen=True)
class Comparison:
    """How far a volume's grey values are from those of a training.

    shift: of the median, in ranges of the training. ratio: of the two ranges, above 1 where the volume's is wider.
    is_inverted: black and white are exchanged.
    """

    volume: GreyValues
    trained: GreyValues
    shift: float
    ratio: float
    is_inverted: bool

    @property
    def is_far(self) -> bool:
        """Whether a network that learnt from the one cannot be expected to know the other."""
        near = abs(self.shift) <= LARGEST_SHIFT and 1 / LARGEST_RATIO <= self.ratio <= LARGEST_RATIO
        return self.is_inverted or not near

    @property
    def text(self) -> str:
        """What differs, with both in numbers."""
        found = [
            *(["black and white are exchanged"] if self.is_inverted else []),
            *([f"the range is {_times(self.ratio)}"] if not 1 / LARGEST_RATIO <= self.ratio <= LARGEST_RATIO else []),
        ]
        if abs(self.shift) > LARGEST_SHIFT and not found:
            found = [f"the median is off by {abs(self.shift):.3g} of the range"]
        return f"{', '.join(found) or 'they agree'} (the volume: {self.volume.text}. The training: {self.trained.text})"


def _grey(value: float, digits: int = 4) -> str:
    """So many digits, and as many as it takes where a grey value of 16 or 32 bits has more before the point."""
    return f"{value:.0f}" if 10**digits <= abs(value) < 1e10 else f"{value:.{digits}g}"


def _times(ratio: float) -> str:
    return f"{ratio:.3g} times as wide" if ratio >= 1 else f"{1 / max(ratio, 1e-12):.3g} times narrower"


def joint(parts: Sequence[tuple[int, GreyValues]]) -> GreyValues:
    """Of several volumes together, each with its number of voxels; exact for one, else to a fraction of a percent."""
    if len(parts) == 1:
        return parts[0][1]
    every = [each for _, each in parts]
    grid = np.unique([value for each in every for value in (each.minimum, *each.quantiles, each.maximum)])
    below = [np.interp(grid, (e.minimum, *e.quantiles, e.maximum), (0, *SHARES, 1)) for e in every]
    cumulative = np.average(below, axis=0, weights=[max(voxels, 1) for voxels, _ in parts])
    return GreyValues(
        "/".join(dict.fromkeys(each.dtype for each in every)),
        min(each.minimum for each in every),
        max(each.maximum for each in every),
        tuple(float(value) for value in np.interp(SHARES, cumulative, grid)),
        texture=float(np.average([each.texture for each in every], weights=[max(voxels, 1) for voxels, _ in parts])),
    )


def compare(volume: GreyValues, trained: GreyValues) -> Comparison:
    """Compare a volume with the training; a training of one grey value has no range, and none is told apart."""
    spread = max(trained.spread, 1e-12)
    return Comparison(
        volume,
        trained,
        shift=(volume.median - trained.median) / spread,
        ratio=volume.spread / spread,
        is_inverted=_is_inverted(volume, trained),
    )


def _is_inverted(volume: GreyValues, trained: GreyValues) -> bool:
    if volume.spread <= 0:
        return False
    if min(abs(volume.texture), abs(trained.texture)) >= CLEAR_TEXTURE:
        return volume.texture * trained.texture < 0
    forward, backward = (_misfit(volume, trained, backward=each) for each in (False, True))
    return backward + REVERSED_BY < forward


def compared_with(values: GreyValues, model: Mapping[str, Any]) -> Comparison | None:
    """The comparison with what a ``model.json`` says; None where it is of a version that did not say it."""
    told = model.get("grey_values")
    return None if told is None else compare(values, GreyValues.of_json(told))


def grey_map(volume: GreyValues, trained: GreyValues, treatment: Treatment) -> GreyMap | None:
    """What brings a volume's grey values to the training's; None for `as_trained`.

    match: its quantiles are laid on the training's, whichever way round they fit. percentile: it is stretched so that
    its lowest and highest half percent are the training's.

    Raises ConfigError for a volume of one grey value.
    """
    if treatment == "as_trained":
        return None
    if volume.quantiles[-1] <= volume.quantiles[0]:
        raise ConfigError("the volume's grey values are all alike: there is nothing to bring to the training's")
    if treatment == "percentile":
        return GreyMap((volume.quantiles[0], volume.quantiles[-1]), (trained.quantiles[0], trained.quantiles[-1]))
    becomes = np.asarray(trained.quantiles)
    if compare(volume, trained).is_inverted:
        becomes = becomes[::-1]
    given, places = np.unique(volume.quantiles, return_inverse=True)
    mean = np.bincount(places, becomes) / np.bincount(places)
    return GreyMap(tuple(given.tolist()), tuple(mean.tolist()))


def _misfit(volume: GreyValues, trained: GreyValues, *, backward: bool) -> float:
    """Mean distance of the two shapes, as a share of the range."""
    ours, theirs = (_shape(each.quantiles) for each in (volume, trained))
    return float(np.abs((1 - ours[::-1] if backward else ours) - theirs).mean())


def _shape(quantiles: Sequence[float]) -> NDArray[np.float64]:
    values = np.asarray(quantiles, np.float64)
    return np.asarray((values - values[0]) / max(values[-1] - values[0], 1e-12))
